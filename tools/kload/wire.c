#include "wire.h"

#include <string.h>
#include <time.h>

uint8_t *put_8(uint8_t *at, int value) {
    at[0] = (uint8_t)value;
    return at + 1;
}

uint8_t *put_16(uint8_t *at, int value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

uint8_t *put_32(uint8_t *at, int64_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + 4;
}

uint8_t *put_64(uint8_t *at, int64_t value) {
    put_32(at, value >> 32);
    return put_32(at + 4, value);
}

uint8_t *put_string(uint8_t *at, const char *text) {
    size_t length = strlen(text);
    at = put_16(at, (int)length);
    memcpy(at, text, length);
    return at + length;
}

uint8_t *put_varint(uint8_t *at, int64_t value) {
    uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (zigzag > 127) {
        *at++ = (uint8_t)(zigzag | 128);
        zigzag >>= 7;
    }
    *at++ = (uint8_t)zigzag;
    return at;
}

int varint_bytes(int64_t value) {
    uint8_t scratch[10];
    return (int)(put_varint(scratch, value) - scratch);
}

int get_16(const uint8_t *at) { return (int16_t)(at[0] << 8 | at[1]); }

int32_t get_32(const uint8_t *at) {
    return (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

int64_t get_64(const uint8_t *at) {
    return (int64_t)((uint64_t)(uint32_t)get_32(at) << 32 | (uint32_t)get_32(at + 4));
}

#if defined(__SSE4_2__) && defined(__x86_64__)

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    uint64_t crc = 0xFFFFFFFFu;
    for (; size_bytes >= 8; bytes += 8, size_bytes -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (size_bytes--) crc = __builtin_ia32_crc32qi((uint32_t)crc, *bytes++);
    return ~(uint32_t)crc;
}

#else

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = i;
            for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
            table[i] = crc;
        }
    }
    uint32_t crc = 0xFFFFFFFFu;
    while (size_bytes--) crc = table[(crc ^ *bytes++) & 255] ^ (crc >> 8);
    return ~crc;
}

#endif

// A record before its value: length, attributes, timestamp delta, offset delta, null key, value length.
static uint8_t *put_record_head(uint8_t *at, int index, int value_bytes) {
    int length = 1 + varint_bytes(0) + varint_bytes(index) + varint_bytes(-1) + varint_bytes(value_bytes) + value_bytes +
                 varint_bytes(0);
    at = put_varint(at, length);
    at = put_8(at, 0);
    at = put_varint(at, 0);
    at = put_varint(at, index);
    at = put_varint(at, -1);
    return put_varint(at, value_bytes);
}

size_t batch_bytes_max(int records, int value_bytes) {
    enum { RECORD_OVERHEAD_MAX = 32 };
    return BATCH_HEADER_BYTES + (size_t)records * ((size_t)value_bytes + RECORD_OVERHEAD_MAX);
}

static void seal_crc(uint8_t *batch, size_t batch_bytes) {
    put_32(batch + BATCH_CRC_AT, crc32c(batch + BATCH_CRC_START, batch_bytes - BATCH_CRC_START));
}

size_t build_batch(uint8_t *out, int records, int value_bytes, uint32_t seed) {
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    uint8_t *at = put_64(out, 0);      // base offset: the broker's to fill in
    at = put_32(at, 0);                // length: below
    at = put_32(at, -1);               // partition leader epoch
    at = put_8(at, 2);                 // magic
    at = put_32(at, 0);                // CRC: below
    at = put_16(at, 0);                // attributes: no compression, create time
    at = put_32(at, records - 1);      // last offset delta
    at = put_64(at, now_ms);
    at = put_64(at, now_ms);
    at = put_64(at, -1);               // no producer id, epoch, sequence
    at = put_16(at, -1);
    at = put_32(at, -1);
    at = put_32(at, records);
    for (int i = 0; i < records; i++) {
        at = put_record_head(at, i, value_bytes);
        for (int k = 0; k < value_bytes; k++) {
            seed = seed * 1103515245u + 12345u;
            *at++ = (uint8_t)(seed >> 16);
        }
        at = put_varint(at, 0);        // no headers
    }
    size_t size_bytes = (size_t)(at - out);
    put_32(out + 8, (int64_t)(size_bytes - BATCH_PREFIX_BYTES));
    seal_crc(out, size_bytes);
    return size_bytes;
}

void stamp_sequence(uint8_t *batch, size_t batch_bytes, int value_bytes, uint64_t sequence) {
    uint8_t head[32];
    size_t head_bytes = (size_t)(put_record_head(head, 0, value_bytes) - head);
    put_64(batch + BATCH_HEADER_BYTES + head_bytes, (int64_t)sequence);
    seal_crc(batch, batch_bytes);
}

uint8_t *put_request_header(uint8_t *at, int api_key, int api_version, int32_t correlation_id) {
    at = put_32(at, 0);
    at = put_16(at, api_key);
    at = put_16(at, api_version);
    at = put_32(at, correlation_id);
    return put_string(at, "kload");
}

void seal_request(uint8_t *request, size_t size_bytes) { put_32(request, (int64_t)(size_bytes - 4)); }
