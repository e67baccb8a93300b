// Closed-loop produce load: every connection keeps `depth` requests in flight, each answer releases the next request.
//
// Batches are built once, into a pool that all connections share; a request is a small head of the connection's own and a
// batch of the pool, sent with one system call as a client would. With -u each connection stamps a copy of its own.
#include "kload.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    IN_FLIGHT_SLOTS = 1024,           // a power of two above the largest depth
    HEAD_BYTES_MAX = 512,
    EVENTS_MAX = 256,
    POOL_BYTES_MAX = 64 << 20,
    RESPONSE_BYTES_MAX = 1 << 20,
    RECEIVE_BYTES = 1 << 16,
    STRETCH_MAX = 20,                 // -n may make a run so many times longer than -t
};
static const double WARM_FRACTION = 0.15;
static const double DRAIN_TIMEOUT_S = 30;
static const int BROKER_TIMEOUT_MS = 30000;

typedef struct {
    double at_s;
    uint64_t sequence;
} flight;

typedef struct {
    int fd;
    int partition;
    uint8_t head[HEAD_BYTES_MAX];
    size_t head_bytes;
    size_t correlation_at, partition_at;
    const uint8_t *batch;             // of the request being sent
    uint8_t *own_batch;               // with -u
    uint64_t sequence;                // with -u
    size_t sent_bytes;                // of the request being sent
    int unsent;                       // requests released and not sent yet
    uint32_t next_sent, next_answered;
    flight flights[IN_FLIGHT_SLOTS];
    uint8_t *input;
    size_t input_bytes, input_room;
} connection;

typedef struct {
    const options *o;
    uint8_t **pool;
    size_t batch_bytes;
    int pool_size, next_batch, next_partition;
    uint64_t next_sequence;
    connection *connections;
    int epoll;
    FILE *ack_log;
    histogram *latencies;
    int64_t acknowledged, acknowledged_before_warm, errors;
    int first_error;
    double start_s, warm_s, counted_from_s, end_s, last_answer_s;
    bool draining;
} load;

static void build_pool(load *l) {
    size_t room = batch_bytes_max(l->o->records, l->o->value_bytes);
    l->pool_size = l->o->pool_batches;
    if ((size_t)l->pool_size * room > POOL_BYTES_MAX) l->pool_size = room < POOL_BYTES_MAX ? (int)(POOL_BYTES_MAX / room) : 1;
    l->pool = must_allocate((size_t)l->pool_size * sizeof *l->pool);
    for (int i = 0; i < l->pool_size; i++) {
        l->pool[i] = must_allocate(room);
        l->batch_bytes = build_batch(l->pool[i], l->o->records, l->o->value_bytes, (uint32_t)i * 2654435761u + 7);
    }
}

// Everything of a Produce request before the batch; correlation id and partition are patched for each request.
static void build_head(load *l, connection *c) {
    uint8_t *at = put_request_header(c->head, API_PRODUCE, PRODUCE_VERSION, 0);
    c->correlation_at = 8;
    at = put_16(at, -1);              // no transactional id
    at = put_16(at, l->o->acks);
    at = put_32(at, BROKER_TIMEOUT_MS);
    at = put_32(at, 1);               // one topic
    at = put_string(at, l->o->topic);
    at = put_32(at, 1);               // one partition
    c->partition_at = (size_t)(at - c->head);
    at = put_32(at, c->partition);
    at = put_32(at, (int64_t)l->batch_bytes);
    c->head_bytes = (size_t)(at - c->head);
    seal_request(c->head, c->head_bytes + l->batch_bytes);
}

static void open_connection(load *l, connection *c, int index) {
    c->fd = dial(l->o->host, l->o->port);
    c->partition = index % l->o->partitions;
    c->input_room = RECEIVE_BYTES;
    c->input = must_allocate(c->input_room);
    if (l->o->unique) {
        c->own_batch = must_allocate(l->batch_bytes);
        memcpy(c->own_batch, l->pool[index % l->pool_size], l->batch_bytes);
    }
    build_head(l, c);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event)) fail(EXIT_CONNECTION, "epoll: %s", strerror(errno));
}

// Choose batch, partition and correlation id of the request that is sent next.
static void start_request(load *l, connection *c) {
    if (l->o->partitions > l->o->connections) {
        put_32(c->head + c->partition_at, l->next_partition);
        l->next_partition = (l->next_partition + 1) % l->o->partitions;
    }
    put_32(c->head + c->correlation_at, (int32_t)c->next_sent);
    if (c->own_batch) {
        c->sequence = l->next_sequence++;
        stamp_sequence(c->own_batch, l->batch_bytes, l->o->value_bytes, c->sequence);
        c->batch = c->own_batch;
    } else {
        c->batch = l->pool[l->next_batch];
        l->next_batch = (l->next_batch + 1) % l->pool_size;
    }
}

static void release(connection *c, double at_s) {
    c->flights[(c->next_sent + (uint32_t)c->unsent) % IN_FLIGHT_SLOTS].at_s = at_s;
    c->unsent++;
}

static bool wants_more(const load *l, double at_s) {
    if (l->o->requests && l->acknowledged + l->errors >= l->o->requests) return false;
    if (at_s < l->end_s) return true;
    int64_t bytes = l->acknowledged * l->o->records * l->o->value_bytes;
    return bytes < l->o->stop_bytes && at_s < l->start_s + STRETCH_MAX * l->o->seconds;
}

static void count(load *l, connection *c, int partition, int error, int64_t base_offset) {
    flight *f = &c->flights[c->next_answered++ % IN_FLIGHT_SLOTS];
    double at_s = l->last_answer_s = now_s();
    if (error) {
        l->errors++;
        if (!l->first_error) l->first_error = error;
    } else {
        l->acknowledged++;
        if (l->ack_log && l->o->unique)
            fprintf(l->ack_log, "%d %lld %d %llu\n", partition, (long long)base_offset, l->o->records, (unsigned long long)f->sequence);
        else if (l->ack_log)
            fprintf(l->ack_log, "%d %lld %d\n", partition, (long long)base_offset, l->o->records);
        if (at_s > l->warm_s) {
            if (l->counted_from_s == 0) {
                l->counted_from_s = at_s;
                l->acknowledged_before_warm = l->acknowledged;
            }
            histogram_add(l->latencies, (at_s - f->at_s) * 1e6);
        }
    }
    if (l->o->requests && !wants_more(l, at_s)) l->draining = true;
    if (!l->draining) release(c, at_s);
}

static void send_released(load *l, connection *c) {
    size_t request_bytes = c->head_bytes + l->batch_bytes;
    while (c->unsent) {
        if (c->sent_bytes == 0) start_request(l, c);
        struct iovec pieces[2] = {{c->head, c->head_bytes}, {(void *)(uintptr_t)c->batch, l->batch_bytes}};
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
        if (c->sent_bytes < c->head_bytes) {
            pieces[0].iov_base = c->head + c->sent_bytes;
            pieces[0].iov_len -= c->sent_bytes;
        } else {
            size_t of_batch = c->sent_bytes - c->head_bytes;
            pieces[1].iov_base = (void *)(uintptr_t)(c->batch + of_batch);
            pieces[1].iov_len -= of_batch;
            message.msg_iov = pieces + 1;
            message.msg_iovlen = 1;
        }
        ssize_t sent = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) return;
            fail(EXIT_CONNECTION, "send: %s", strerror(errno));
        }
        c->sent_bytes += (size_t)sent;
        if (c->sent_bytes < request_bytes) continue;
        c->sent_bytes = 0;
        c->unsent--;
        c->flights[c->next_sent++ % IN_FLIGHT_SLOTS].sequence = c->sequence;
        if (l->o->acks == 0) {
            if (!wants_more(l, now_s())) l->draining = true;
            count(l, c, 0, 0, 0);
        }
    }
}

// One Produce v7 response of one topic and one partition.
static void read_response(load *l, connection *c, const uint8_t *frame, size_t size_bytes) {
    enum { BEFORE_TOPIC = 4 + 4, AFTER_TOPIC = 4 + 4 + 2 + 8 + 8 + 8 };
    size_t topic_bytes = size_bytes >= BEFORE_TOPIC + 2 ? (size_t)get_16(frame + BEFORE_TOPIC) : 0;
    if (size_bytes < BEFORE_TOPIC + 2 + topic_bytes + AFTER_TOPIC)
        fail(EXIT_BAD_RESULT, "a Produce response of %zu bytes is too short", size_bytes);
    if ((uint32_t)get_32(frame) != c->next_answered)
        fail(EXIT_BAD_RESULT, "response %d came where %u was next: replies out of order", get_32(frame), c->next_answered);
    const uint8_t *partition = frame + BEFORE_TOPIC + 2 + topic_bytes + 4;
    count(l, c, get_32(partition), get_16(partition + 4), get_64(partition + 6));
}

static bool receive(load *l, connection *c) {
    for (;;) {
        ssize_t got = recv(c->fd, c->input + c->input_bytes, c->input_room - c->input_bytes, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (got <= 0) {
            fprintf(stderr, "kload: %s\n", got ? strerror(errno) : "the broker closed a connection");
            return false;
        }
        c->input_bytes += (size_t)got;
        size_t at = 0;
        while (c->input_bytes - at >= 4) {
            size_t size_bytes = (size_t)(uint32_t)get_32(c->input + at);
            if (size_bytes > RESPONSE_BYTES_MAX) fail(EXIT_BAD_RESULT, "a response of %zu bytes was announced", size_bytes);
            if (c->input_bytes - at < 4 + size_bytes) break;
            read_response(l, c, c->input + at + 4, size_bytes);
            at += 4 + size_bytes;
        }
        memmove(c->input, c->input + at, c->input_bytes - at);
        c->input_bytes -= at;
        if (c->input_bytes == c->input_room) {
            c->input_room *= 2;
            c->input = realloc(c->input, c->input_room);
            if (!c->input) fail(EXIT_USAGE, "no memory");
        }
    }
}

static bool anything_in_flight(const load *l) {
    for (int i = 0; i < l->o->connections; i++) {
        const connection *c = l->connections + i;
        if (c->unsent || c->next_sent != c->next_answered) return true;
    }
    return false;
}

// Returns whether every request was answered.
static bool run(load *l) {
    struct epoll_event events[EVENTS_MAX];
    double drain_from_s = 0;
    for (;;) {
        int ready = epoll_wait(l->epoll, events, EVENTS_MAX, 1000);
        double at_s = now_s();
        if (!l->draining && !wants_more(l, at_s)) l->draining = true;
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (!receive(l, c)) return false;
            send_released(l, c);
        }
        if (!l->draining) continue;
        if (drain_from_s == 0) drain_from_s = at_s;
        if (!anything_in_flight(l)) return true;
        if (at_s > drain_from_s + DRAIN_TIMEOUT_S) {
            fprintf(stderr, "kload: requests were not answered within %.0f s\n", DRAIN_TIMEOUT_S);
            return false;
        }
    }
}

static void print_result(const load *l) {
    const options *o = l->o;
    int64_t counted = l->acknowledged - l->acknowledged_before_warm;
    double seconds = l->last_answer_s - l->counted_from_s;
    double requests_per_s = seconds > 0 && l->counted_from_s > 0 ? (double)counted / seconds : 0;
    printf("{\"conns\":%d,\"depth\":%d,\"batch\":%d,\"size\":%d,\"partitions\":%d,\"acks\":%d,", o->connections, o->depth,
           o->records, o->value_bytes, o->partitions, o->acks);
    printf("\"requests_per_s\":%.0f,\"records_per_s\":%.0f,\"mb_per_s\":%.1f,", requests_per_s, requests_per_s * o->records,
           requests_per_s * o->records * o->value_bytes / 1e6);
    printf("\"p50_us\":%.0f,\"p90_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f,",
           histogram_percentile(l->latencies, 0.5), histogram_percentile(l->latencies, 0.9),
           histogram_percentile(l->latencies, 0.99), histogram_percentile(l->latencies, 0.999), histogram_max(l->latencies));
    printf("\"seconds\":%.3f,\"acked\":%lld,\"acked_bytes\":%lld,\"errors\":%lld,\"first_error\":%d}\n",
           l->last_answer_s - l->start_s, (long long)l->acknowledged,
           (long long)(l->acknowledged * o->records * o->value_bytes), (long long)l->errors, l->first_error);
}

int produce(const options *o) {
    load l = {.o = o, .latencies = histogram_new(), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (o->ack_log && !(l.ack_log = fopen(o->ack_log, "w"))) fail(EXIT_USAGE, "%s: %s", o->ack_log, strerror(errno));
    build_pool(&l);
    l.connections = must_allocate((size_t)o->connections * sizeof(connection));
    for (int i = 0; i < o->connections; i++) open_connection(&l, l.connections + i, i);
    l.start_s = l.last_answer_s = now_s();
    l.end_s = l.start_s + o->seconds;
    l.warm_s = l.start_s + o->seconds * WARM_FRACTION;
    for (int i = 0; i < o->connections; i++)
        for (int k = 0; k < o->depth; k++) release(l.connections + i, now_s());
    for (int i = 0; i < o->connections; i++) send_released(&l, l.connections + i);
    bool whole = run(&l);
    if (l.ack_log && fclose(l.ack_log)) fail(EXIT_USAGE, "%s: %s", o->ack_log, strerror(errno));
    print_result(&l);
    return whole && !l.errors && l.acknowledged ? 0 : EXIT_BAD_RESULT;
}
