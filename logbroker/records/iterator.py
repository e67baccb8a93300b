"""Records inside a batch: decode them, or walk over them only to check.

After decompression the payload is `record count` records, one behind the other (zigzag varints, as protobuf's sint):

    length        varint     bytes after this field
    attributes    int8       unused
    timestamp     varlong    delta to the batch's base timestamp, ms
    offset        varint     delta to the batch's base offset
    key           varint length (negative: null), bytes
    value         varint length (negative: null), bytes
    headers       varint count, then each: varint key length, UTF-8 key, varint value length (negative: null), value

Keys and values are memoryviews into the payload, never copies. Every length is held against the record's end, and
that against the payload's, before it is used; the count in the batch header is held against the payload before anything is made
for it. What is wrong inside a batch whose CRC is right was written so by its producer: an `InvalidRecordError` says which
record and which byte of the (unpacked) payload.

Decoding costs time per record, so the two loops below read numbers of one and two bytes in place. The broker does it only where it must (`check_records`: compacted topics,
a `compression.type` that differs, `record.validation=full`). Pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.records.batch import (
    CODEC_MASK,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MIN_RECORD_SIZE,
    NO_TIMESTAMP,
    TIMESTAMP_TYPE_MASK,
    BatchHeader,
    parse_header,
)
from logbroker.records.compression import DEFAULT_MAX_DECOMPRESSED_BYTES, decompress

VARINT_MAX_BYTES = 5
VARLONG_MAX_BYTES = 10
WALKED_BYTES_MAX = 16 << 20
"""What a compressed batch may unpack to where `check_records` walks it: about a second of the event loop, at worst."""
TIMESTAMP_LIMIT_MS = 1 << 62
"""Base timestamps and deltas stay below it in magnitude, so that their sum is always an int64."""

Headers = tuple[tuple[str, memoryview | None], ...]


class Record(NamedTuple):
    """One record; `key`, `value` and header values are views of the batch's (unpacked) bytes, or None for null.

    `timestamp_ms` is the append time on a LogAppendTime batch. A header key that is no UTF-8 keeps its bytes as
    surrogates (`errors="surrogateescape"`).
    """

    offset: int
    timestamp_ms: int
    key: memoryview | None
    value: memoryview | None
    headers: Headers


class CheckedRecords(NamedTuple):
    """What `check_records` found while it was there."""

    payload: memoryview
    max_timestamp: int


class InvalidRecordError(InvalidBatchError):
    """A record that must not be appended; `record_index` counts from 0 within its batch."""

    def __init__(self, record_index: int, message: str, code: ErrorCode = ErrorCode.INVALID_RECORD) -> None:
        super().__init__(code, f"record {record_index} of the batch: {message}")
        self.record_index = record_index


_new = tuple.__new__


def payload_of(
    buffer: Buffer,
    header: BatchHeader,
    position: int = 0,
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES,
) -> memoryview:
    """The records of the batch at `position`, unpacked.

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE when the batch is cut short or can't be unpacked, MESSAGE_TOO_LARGE when it
            unpacks to more than `max_decompressed_bytes`, INVALID_RECORD when its record count or base timestamp can't be true.

    """
    end = position + header.length + LOG_OVERHEAD
    if end > len(buffer):
        raise InvalidBatchError(
            ErrorCode.CORRUPT_MESSAGE,
            f"record batch at byte {position} ends at byte {end}, the data at {len(buffer)}",
        )
    payload = decompress(
        header.attributes & CODEC_MASK,
        memoryview(buffer)[position + HEADER_SIZE : end],
        max_decompressed_bytes,
    )
    count = header.record_count
    if count < 0 or count * MIN_RECORD_SIZE > len(payload):
        raise InvalidBatchError(
            ErrorCode.INVALID_RECORD,
            f"record batch at byte {position}: {count} records can't lie in {len(payload)} bytes",
        )
    if not -TIMESTAMP_LIMIT_MS < header.base_timestamp < TIMESTAMP_LIMIT_MS:
        raise InvalidBatchError(
            ErrorCode.INVALID_RECORD,
            f"record batch at byte {position}: base timestamp {header.base_timestamp} is out of range",
        )
    return payload


def iter_records(
    buffer: Buffer,
    position: int = 0,
    *,
    header: BatchHeader | None = None,
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES,
) -> Iterator[Record]:
    """Decode the records of the batch at `position`, in order.

    Args:
        buffer: Bytes that hold the whole batch. Its CRC is the caller's business (`batch.check_crc`).
        position: Where the batch starts.
        header: The batch's header, where the caller has it already.
        max_decompressed_bytes: Bound on the unpacked payload.

    Raises:
        InvalidBatchError: the batch can't be read (see `payload_of`); `InvalidRecordError` for a record that can't.

    """
    if header is None:
        header = parse_header(buffer, position)
    payload = payload_of(buffer, header, position, max_decompressed_bytes)
    base_offset = header.base_offset
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.attributes & TIMESTAMP_TYPE_MASK else None
    size = len(payload)
    at = 0
    index = -1
    try:
        for index in range(header.record_count):
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            end = at + (length >> 1)
            if length & 1 or end > size:
                raise _bad_length(index, at, "record length", length, size)
            at += 1  # attributes
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read_varlong(payload, at, index)
            timestamp_ms = (
                base_timestamp + ((number >> 1) ^ -(number & 1)) if append_time is None else append_time
            )
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read_varint(payload, at, index)
            offset = base_offset + ((number >> 1) ^ -(number & 1))
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            if length & 1:
                key = None
            else:
                start = at
                at += length >> 1
                if at > end:
                    raise _bad_length(index, start, "key length", length, end)
                key = payload[start:at]
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            if length & 1:
                value = None
            else:
                start = at
                at += length >> 1
                if at > end:
                    raise _bad_length(index, start, "value length", length, end)
                value = payload[start:at]
            if payload[at] == 0:
                at += 1
                headers: Headers = ()
            else:
                headers, at = _read_headers(payload, at, end, index)
            if at != end:
                raise _bad_end(index, at, end)
            yield _new(Record, (offset, timestamp_ms, key, value, headers))
    except IndexError:
        raise InvalidRecordError(index, f"the payload ends at byte {size}, inside it") from None
    if at != size:
        raise _trailing(header.record_count, size - at)


def decode_records(
    buffer: Buffer,
    position: int = 0,
    *,
    header: BatchHeader | None = None,
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES,
) -> list[Record]:
    """All records of the batch at `position`: see `iter_records`. Nothing is returned of a batch that is partly bad."""
    return list(iter_records(buffer, position, header=header, max_decompressed_bytes=max_decompressed_bytes))


def check_records(
    buffer: Buffer,
    header: BatchHeader,
    *,
    require_keys: bool = False,
    earliest_ms: int | None = None,
    latest_ms: int | None = None,
    max_decompressed_bytes: int = WALKED_BYTES_MAX,
) -> CheckedRecords:
    """Walk the records of the batch at the start of `buffer`, as a producer sent it, and decode none.

    Checks lengths and counts down to the last header, that offset deltas are 0, 1, 2, ..., and what the arguments ask for.

    Args:
        buffer: The batch.
        header: Its header, which `batch.validate_from_client` has passed.
        require_keys: Refuse null keys: compacted topics.
        earliest_ms: Refuse older timestamps (-1, no timestamp, passes); None: don't look.
        latest_ms: Refuse newer ones; None: don't look.
        max_decompressed_bytes: Bound on the unpacked payload.

    Returns:
        The unpacked payload (for `recompress`) and the true max timestamp, which the one in the header should equal
        (`batch.stamp_max_timestamp` mends it).

    Raises:
        InvalidBatchError: as `payload_of`.
        InvalidRecordError: INVALID_RECORD or INVALID_TIMESTAMP, with the index of the first bad record.

    """
    payload = payload_of(buffer, header, 0, max_decompressed_bytes)
    base_timestamp = header.base_timestamp
    check_times = earliest_ms is not None or latest_ms is not None
    earliest = 0 if earliest_ms is None else earliest_ms
    latest = (1 << 63) - 1 if latest_ms is None else latest_ms
    max_delta: int | None = None
    size = len(payload)
    at = 0
    index = -1
    try:
        for index in range(header.record_count):
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            end = at + (length >> 1)
            if length & 1 or end > size:
                raise _bad_length(index, at, "record length", length, size)
            at += 1  # attributes
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read_varlong(payload, at, index)
            delta = (number >> 1) ^ -(number & 1)
            if max_delta is None or delta > max_delta:
                max_delta = delta
            if check_times and not earliest <= base_timestamp + delta <= latest:
                _check_timestamp(index, base_timestamp + delta, earliest, latest)
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read_varint(payload, at, index)
            if number != index << 1:
                delta = (number >> 1) ^ -(number & 1)
                raise InvalidRecordError(index, f"offset delta is {delta} where {index} should be")
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            if not length & 1:
                start = at
                at += length >> 1
                if at > end:
                    raise _bad_length(index, start, "key length", length, end)
            elif require_keys:
                raise InvalidRecordError(index, "a compacted topic takes no record without a key")
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read_varint(payload, at, index)
            if not length & 1:
                start = at
                at += length >> 1
                if at > end:
                    raise _bad_length(index, start, "value length", length, end)
            if payload[at] == 0:
                at += 1
            else:
                at = _pass_headers(payload, at, end, index)
            if at != end:
                raise _bad_end(index, at, end)
    except IndexError:
        raise InvalidRecordError(index, f"the payload ends at byte {size}, inside it") from None
    if at != size:
        raise _trailing(header.record_count, size - at)
    return CheckedRecords(payload, NO_TIMESTAMP if max_delta is None else base_timestamp + max_delta)


def _read_varint(payload: memoryview, at: int, index: int) -> tuple[int, int]:
    """An unsigned 32-bit varint (still zigzag) and the byte after it. Raises IndexError at the payload's end."""
    value = 0
    for shift in range(0, 7 * VARINT_MAX_BYTES, 7):
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF, at
    raise InvalidRecordError(
        index, f"the number before byte {at} is longer than the {VARINT_MAX_BYTES} bytes of a varint"
    )


def _read_varlong(payload: memoryview, at: int, index: int) -> tuple[int, int]:
    """A timestamp delta (still zigzag) and the byte after it. Raises IndexError at the payload's end."""
    value = 0
    for shift in range(0, 7 * VARLONG_MAX_BYTES, 7):
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= TIMESTAMP_LIMIT_MS * 2:
                raise InvalidRecordError(index, f"the timestamp delta before byte {at} is out of range")
            return value, at
    raise InvalidRecordError(
        index, f"the number before byte {at} is longer than the {VARLONG_MAX_BYTES} bytes of a varlong"
    )


def _pass_headers(payload: memoryview, at: int, end: int, index: int) -> int:
    """As `_read_headers`, but nothing is made of them: a few bytes may be a great many, once unpacked."""
    start = at
    count, at = _read_varint(payload, at, index)
    if count & 1 or count > end - at:
        raise _bad_length(index, start, "header count", count, end)
    for _ in range(count >> 1):
        start = at
        length = payload[at]
        if length < 0x80:
            at += 1
        else:
            length, at = _read_varint(payload, at, index)
        at += length >> 1
        if length & 1 or at > end:
            raise _bad_length(index, start, "header key length", length, end)
        start = at
        length = payload[at]
        if length < 0x80:
            at += 1
        else:
            length, at = _read_varint(payload, at, index)
        if length & 1:
            continue
        at += length >> 1
        if at > end:
            raise _bad_length(index, start, "header value length", length, end)
    return at


def _read_headers(payload: memoryview, at: int, end: int, index: int) -> tuple[Headers, int]:
    """The headers from their count on, and the byte after them. Raises IndexError at the payload's end."""
    start = at
    count, at = _read_varint(payload, at, index)
    if count & 1 or count > end - at:  # zigzag: count is twice the number, and the least header has two bytes
        raise _bad_length(index, start, "header count", count, end)
    headers: list[tuple[str, memoryview | None]] = []
    for _ in range(count >> 1):
        start = at
        length, at = _read_varint(payload, at, index)
        key_end = at + (length >> 1)
        if length & 1 or key_end > end:
            raise _bad_length(index, start, "header key length", length, end)
        key = str(payload[at:key_end], "utf-8", "surrogateescape")
        start = key_end
        length, at = _read_varint(payload, key_end, index)
        if length & 1:
            headers.append((key, None))
            continue
        value_end = at + (length >> 1)
        if value_end > end:
            raise _bad_length(index, start, "header value length", length, end)
        headers.append((key, payload[at:value_end]))
        at = value_end
    return tuple(headers), at


def _check_timestamp(index: int, timestamp_ms: int, earliest_ms: int, latest_ms: int) -> None:
    if timestamp_ms != NO_TIMESTAMP:
        raise InvalidRecordError(
            index,
            f"timestamp {timestamp_ms} is outside [{earliest_ms}, {latest_ms}]",
            ErrorCode.INVALID_TIMESTAMP,
        )


def _bad_length(index: int, at: int, what: str, zigzag: int, end: int) -> InvalidRecordError:
    value = (zigzag >> 1) ^ -(zigzag & 1)
    return InvalidRecordError(index, f"{what} {value} near byte {at} does not fit before byte {end}")


def _bad_end(index: int, at: int, end: int) -> InvalidRecordError:
    return InvalidRecordError(index, f"its fields end at byte {at}, its length at byte {end}")


def _trailing(count: int, size: int) -> InvalidBatchError:
    return InvalidBatchError(
        ErrorCode.INVALID_RECORD, f"{size} bytes follow the last of the batch's {count} records"
    )
