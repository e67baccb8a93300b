// The bytes of the protocol that kload speaks: Produce v7, Fetch v4 and ListOffsets v1, all non-flexible and all spoken
// by Kafka 4.x; and the record batch v2 that travels in them. Nothing here does I/O.
#ifndef KLOAD_WIRE_H
#define KLOAD_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_LIST_OFFSETS = 2,
    PRODUCE_VERSION = 7,
    FETCH_VERSION = 4,
    LIST_OFFSETS_VERSION = 1,
    ERROR_OFFSET_OUT_OF_RANGE = 1,
    BATCH_HEADER_BYTES = 61,
    BATCH_PREFIX_BYTES = 12,         // base offset and length: not counted in the length
    BATCH_LAST_OFFSET_DELTA_AT = 23,
    BATCH_RECORD_COUNT_AT = 57,
    BATCH_CRC_AT = 17,
    BATCH_CRC_START = 21,
    SEQUENCE_BYTES = 8,              // what stamp_sequence writes at the start of the first value
};

// Each put writes big-endian at `at` and returns the position after it.
uint8_t *put_8(uint8_t *at, int value);
uint8_t *put_16(uint8_t *at, int value);
uint8_t *put_32(uint8_t *at, int64_t value);
uint8_t *put_64(uint8_t *at, int64_t value);
uint8_t *put_string(uint8_t *at, const char *text);
uint8_t *put_varint(uint8_t *at, int64_t value);
int varint_bytes(int64_t value);

int get_16(const uint8_t *at);
int32_t get_32(const uint8_t *at);
int64_t get_64(const uint8_t *at);

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes);

// Room that build_batch needs for `records` values of `value_bytes` each.
size_t batch_bytes_max(int records, int value_bytes);

// One uncompressed batch of null-keyed records whose values don't compress; `seed` chooses the bytes. Returns its size.
size_t build_batch(uint8_t *out, int records, int value_bytes, uint32_t seed);

// Overwrite the first eight bytes of the first value with `sequence`, and seal the CRC again. The batch must hold
// values of at least SEQUENCE_BYTES.
void stamp_sequence(uint8_t *batch, size_t batch_bytes, int value_bytes, uint64_t sequence);

// A request's length field (left open), header v1 and client id. `seal_request` fills in the length.
uint8_t *put_request_header(uint8_t *at, int api_key, int api_version, int32_t correlation_id);
void seal_request(uint8_t *request, size_t size_bytes);

#endif
