// Catch-up reading: one connection, one request at a time, every partition from its log start to the high watermark it
// had when it was first seen. Partitions take turns at the front of the request, as consumers have them do.
#include "kload.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { WAIT_MAX_MS = 500, FRAME_BYTES_MAX = 1 << 30, REQUEST_BYTES_MAX = 512, PARTITION_BYTES = 16, IDLE_ROUNDS_MAX = 4 };

typedef struct {
    int64_t offset, end;              // end: -1 until the broker has said it
    bool started;                     // its log start was asked for
} partition;

typedef struct {
    const options *o;
    int fd;
    int32_t correlation_id;
    partition *partitions;
    int first;                        // who comes first in the next request
    uint8_t *request, *frame;
    size_t frame_room;
    int64_t bytes, records, requests;
} reader;

// A cursor over a response that never leaves it.
typedef struct {
    const uint8_t *at, *end;
} cursor;

static const uint8_t *take(cursor *c, int64_t size_bytes) {
    if (size_bytes < 0 || c->end - c->at < size_bytes) fail(EXIT_BAD_RESULT, "a response ends within a field");
    const uint8_t *field = c->at;
    c->at += size_bytes;
    return field;
}

static int take_16(cursor *c) { return get_16(take(c, 2)); }
static int32_t take_32(cursor *c) { return get_32(take(c, 4)); }
static int64_t take_64(cursor *c) { return get_64(take(c, 8)); }

static void send_whole(int fd, const uint8_t *bytes, size_t size_bytes) {
    while (size_bytes) {
        ssize_t sent = send(fd, bytes, size_bytes, MSG_NOSIGNAL);
        if (sent <= 0) fail(EXIT_CONNECTION, "send: %s", strerror(errno));
        bytes += sent;
        size_bytes -= (size_t)sent;
    }
}

static void receive_whole(int fd, uint8_t *into, size_t size_bytes) {
    while (size_bytes) {
        ssize_t got = recv(fd, into, size_bytes, 0);
        if (got == 0) fail(EXIT_CONNECTION, "the broker closed the connection");
        if (got < 0) fail(EXIT_CONNECTION, "recv: %s", strerror(errno));
        into += got;
        size_bytes -= (size_t)got;
    }
}

// Send what is in r->request up to `end`; returns the response's body.
static cursor ask(reader *r, uint8_t *end) {
    seal_request(r->request, (size_t)(end - r->request));
    send_whole(r->fd, r->request, (size_t)(end - r->request));
    uint8_t prefix[4];
    receive_whole(r->fd, prefix, 4);
    size_t size_bytes = (size_t)(uint32_t)get_32(prefix);
    if (size_bytes < 4 || size_bytes > FRAME_BYTES_MAX) fail(EXIT_BAD_RESULT, "a response of %zu bytes was announced", size_bytes);
    if (size_bytes > r->frame_room) {
        free(r->frame);
        r->frame_room = size_bytes + (1 << 20);
        r->frame = must_allocate(r->frame_room);
    }
    receive_whole(r->fd, r->frame, size_bytes);
    if (get_32(r->frame) != r->correlation_id) fail(EXIT_BAD_RESULT, "response %d to request %d", get_32(r->frame), r->correlation_id);
    return (cursor){r->frame + 4, r->frame + size_bytes};
}

// Where retention or DeleteRecords moved the log start, reading begins there.
static void find_log_start(reader *r, int index) {
    partition *p = &r->partitions[index];
    if (p->started) fail(EXIT_BAD_RESULT, "partition %d: offset %lld is out of range", index, (long long)p->offset);
    p->started = true;
    uint8_t *at = put_request_header(r->request, API_LIST_OFFSETS, LIST_OFFSETS_VERSION, ++r->correlation_id);
    at = put_32(at, -1);              // a consumer
    at = put_32(at, 1);
    at = put_string(at, r->o->topic);
    at = put_32(at, 1);
    at = put_32(at, index);
    at = put_64(at, -2);              // earliest
    cursor c = ask(r, at);
    take(&c, 4);
    take(&c, take_16(&c));
    take(&c, 4 + 4);
    int error = take_16(&c);
    take(&c, 8);
    if (error) fail(EXIT_BAD_RESULT, "partition %d: ListOffsets answered error %d", index, error);
    p->offset = take_64(&c);
}

// Count whole batches and move the partition's offset past them; a batch cut short is asked for again.
static int64_t read_batches(reader *r, int index, cursor records) {
    partition *p = &r->partitions[index];
    int64_t taken = 0;
    while (records.end - records.at >= BATCH_HEADER_BYTES) {
        const uint8_t *batch = records.at;
        int64_t size_bytes = BATCH_PREFIX_BYTES + (int64_t)get_32(batch + 8);
        if (size_bytes < BATCH_HEADER_BYTES) fail(EXIT_BAD_RESULT, "partition %d: a batch of %lld bytes", index, (long long)size_bytes);
        if (size_bytes > records.end - records.at) break;
        if (r->o->verify && (uint32_t)get_32(batch + BATCH_CRC_AT) != crc32c(batch + BATCH_CRC_START, (size_t)size_bytes - BATCH_CRC_START))
            fail(EXIT_BAD_RESULT, "partition %d: the batch at offset %lld has a wrong CRC", index, (long long)get_64(batch));
        int64_t next = get_64(batch) + get_32(batch + BATCH_LAST_OFFSET_DELTA_AT) + 1;
        if (next > p->offset) p->offset = next;
        r->records += get_32(batch + BATCH_RECORD_COUNT_AT);
        taken += size_bytes;
        records.at += size_bytes;
    }
    return taken;
}

static uint8_t *build_fetch(reader *r) {
    const options *o = r->o;
    uint8_t *at = put_request_header(r->request, API_FETCH, FETCH_VERSION, ++r->correlation_id);
    at = put_32(at, -1);              // a consumer
    at = put_32(at, WAIT_MAX_MS);
    at = put_32(at, 1);               // at least one byte
    at = put_32(at, o->max_bytes);
    at = put_8(at, 0);                // read uncommitted
    at = put_32(at, 1);
    at = put_string(at, o->topic);
    uint8_t *count_at = at;
    at += 4;
    int wanted = 0;
    int limit = o->asked_at_once ? o->asked_at_once : o->partitions;
    for (int k = 0; k < o->partitions && wanted < limit; k++) {
        int index = (r->first + k) % o->partitions;
        const partition *p = &r->partitions[index];
        if (p->end >= 0 && p->offset >= p->end) continue;
        at = put_32(at, index);
        at = put_64(at, p->offset);
        at = put_32(at, o->max_bytes);
        wanted++;
    }
    put_32(count_at, wanted);
    r->first = (r->first + 1) % o->partitions;
    return wanted ? at : NULL;
}

// One request and its response; returns the bytes of whole batches, or -1 when every partition is read to its end.
static int64_t fetch_once(reader *r) {
    uint8_t *end = build_fetch(r);
    if (!end) return -1;
    cursor c = ask(r, end);
    r->requests++;
    take(&c, 4);                      // throttle time
    if (take_32(&c) != 1) fail(EXIT_BAD_RESULT, "a Fetch response without the topic");
    take(&c, take_16(&c));
    int count = take_32(&c), moved[64], moves = 0;
    int64_t got = 0;
    for (int i = 0; i < count; i++) {
        int index = take_32(&c), error = take_16(&c);
        int64_t high_watermark = take_64(&c);
        take(&c, 8);                  // last stable offset
        int aborted = take_32(&c);
        if (aborted > 0) take(&c, (int64_t)aborted * 16);
        int records_bytes = take_32(&c);
        const uint8_t *records = take(&c, records_bytes > 0 ? records_bytes : 0);
        if (index < 0 || index >= r->o->partitions) fail(EXIT_BAD_RESULT, "partition %d was not asked for", index);
        if (error == ERROR_OFFSET_OUT_OF_RANGE) {
            if (moves < 64) moved[moves++] = index;
            continue;
        }
        if (error) fail(EXIT_BAD_RESULT, "partition %d: Fetch answered error %d", index, error);
        if (r->partitions[index].end < 0) r->partitions[index].end = high_watermark;
        got += read_batches(r, index, (cursor){records, c.at});
    }
    for (int i = 0; i < moves; i++) find_log_start(r, moved[i]);
    return moves && !got ? 0 : got;
}

int fetch(const options *o) {
    reader r = {.o = o, .fd = dial(o->host, o->port)};
    r.partitions = must_allocate((size_t)o->partitions * sizeof(partition));
    for (int i = 0; i < o->partitions; i++) r.partitions[i].end = -1;
    r.request = must_allocate(REQUEST_BYTES_MAX + (size_t)o->partitions * PARTITION_BYTES);
    r.frame_room = (size_t)o->max_bytes * 2 + (1 << 20);
    r.frame = must_allocate(r.frame_room);
    double start_s = now_s(), last_s = start_s;
    // Rounds that bring nothing: log starts being looked up, or a topic that turns out to be empty.
    for (int idle = 0; idle < IDLE_ROUNDS_MAX + o->partitions / 64;) {
        if ((o->stop_bytes && r.bytes >= o->stop_bytes) || (o->requests && r.requests >= o->requests)) break;
        int64_t got = fetch_once(&r);
        if (got < 0) break;
        idle = got ? 0 : idle + 1;
        r.bytes += got;
        if (got) last_s = now_s();
    }
    double seconds = last_s - start_s;
    printf("{\"bytes\":%lld,\"records\":%lld,\"requests\":%lld,\"seconds\":%.3f,\"mb_per_s\":%.1f,\"records_per_s\":%.0f}\n",
           (long long)r.bytes, (long long)r.records, (long long)r.requests, seconds,
           seconds > 0 ? (double)r.bytes / seconds / 1e6 : 0, seconds > 0 ? (double)r.records / seconds : 0);
    return r.bytes ? 0 : EXIT_BAD_RESULT;
}
