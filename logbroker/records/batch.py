"""The record batch header, format v2: parse it, prove it, stamp it.

Records travel and lie on disk in batches. A batch is a 61-byte header, all integers big-endian, and a payload
that is opaque here (records, compressed or not: `iterator.py`):

    position  size  field
           0     8  base offset             assigned by the leader
           8     4  length                  bytes after this field: batch size - 12
          12     4  partition leader epoch  assigned by the leader
          16     1  magic                   2
          17     4  CRC-32C                 over bytes 21..end
          21     2  attributes              bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
          23     4  last offset delta       last offset - base offset; kept by compaction, so the count may be smaller
          27     8  base timestamp          ms; records hold deltas to it (a delete horizon when bit 6 is set)
          35     8  max timestamp           ms; the append time when bit 3 is set
          43     8  producer id             -1: not idempotent
          51     2  producer epoch
          53     4  base sequence           sequences are 31 bits and wrap to 0
          57     4  record count

The CRC starts after base offset and leader epoch, so the leader stamps those two into the bytes it received, and nothing
is recomputed or copied. The cost of a produce is the cost of `validate_from_client`: one unpack, one CRC,
a row of comparisons; what is wrong is worked out only after something is.

Pure functions over caller-owned bytes: any thread, no state. Only `stamp` and `stamp_log_append_time` write, and only
before anybody else may see the batch. The format is Kafka's (KIP-98, KIP-534 for the delete horizon); which error code
answers what follows Kafka 4.3.1's ProduceRequest, UnifiedLog and LogValidator, in their order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.base.types import Buffer

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Every field, in the order of `BatchHeader`."""

HEADER_SIZE = HEADER.size
LOG_OVERHEAD = 12
"""Base offset and length: what the length field does not count."""

CRC_START = 21
"""First byte the CRC covers."""

MAGIC = 2
MIN_RECORD_SIZE = 7
"""An empty record: one byte each for length, attributes, two deltas, key and value length, header count."""

CODEC_MASK = 0x07
TIMESTAMP_TYPE_MASK = 0x08
TRANSACTIONAL_MASK = 0x10
CONTROL_MASK = 0x20
DELETE_HORIZON_MASK = 0x40

NO_TIMESTAMP = -1
NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
NO_SEQUENCE = -1
SEQUENCE_MASK = 0x7FFF_FFFF

_REFUSED_FROM_CLIENTS = TIMESTAMP_TYPE_MASK | CONTROL_MASK | DELETE_HORIZON_MASK

if HEADER_SIZE != 61 or HEADER.unpack(HEADER.pack(*range(13))) != tuple(range(13)):
    raise RuntimeError("the record batch header is 61 bytes of 13 fields")  # a typo in the format above


class Codec(IntEnum):
    """How a batch's records are compressed; the number is attributes bits 0-2."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


_LAST_CODEC = int(max(Codec))


class BatchHeader(NamedTuple):
    """The 13 fields, as they stand in the bytes; nothing is interpreted before it is asked for."""

    base_offset: int
    length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size_bytes(self) -> int:
        """The whole batch, header included."""
        return self.length + LOG_OVERHEAD

    @property
    def last_offset(self) -> int:
        """Offset of the batch's last record (which compaction may have removed)."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Offset that follows the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the batch's last record; `NO_SEQUENCE` when it has none."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & SEQUENCE_MASK

    @property
    def codec_id(self) -> int:
        """Compression codec, 0-7; 5-7 mean nothing (see `Codec`)."""
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        """Whether `max_timestamp` is the broker's time and stands for every record."""
        return bool(self.attributes & TIMESTAMP_TYPE_MASK)

    @property
    def is_transactional(self) -> bool:
        """Whether the records belong to a transaction."""
        return bool(self.attributes & TRANSACTIONAL_MASK)

    @property
    def is_control(self) -> bool:
        """Whether the batch is a transaction marker, not data."""
        return bool(self.attributes & CONTROL_MASK)

    @property
    def has_delete_horizon(self) -> bool:
        """Whether `base_timestamp` is the time when tombstones in it may go."""
        return bool(self.attributes & DELETE_HORIZON_MASK)

    @property
    def has_producer_id(self) -> bool:
        """Whether an idempotent producer wrote it."""
        return self.producer_id >= 0


_unpack_from = HEADER.unpack_from
_new = tuple.__new__
_pack_offset_into = struct.Struct(">q").pack_into
_pack_int_into = struct.Struct(">i").pack_into
_pack_crc_into = struct.Struct(">I").pack_into
_pack_attributes_into = struct.Struct(">h").pack_into
_unpack_prefix = struct.Struct(">qiib").unpack_from


def parse_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Read the header at `position` and check what makes the rest readable: size, length and magic.

    The payload may be shorter than `length` says: the caller knows how much it holds. No CRC is computed (`check_crc`).

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE; UNSUPPORTED_FOR_MESSAGE_FORMAT for magic 0 and 1.

    """
    available = len(buffer) - position
    if available < HEADER_SIZE or position < 0:
        raise _corrupt(
            position, f"{max(available, 0)} bytes where a {HEADER_SIZE}-byte batch header should be"
        )
    header = _new(BatchHeader, _unpack_from(buffer, position))
    if header.magic != MAGIC:
        raise _bad_magic(position, header.magic)
    if header.length < HEADER_SIZE - LOG_OVERHEAD:
        raise _corrupt(
            position,
            f"length {header.length} is below {HEADER_SIZE - LOG_OVERHEAD}, a header without records",
        )
    return header


def check_crc(buffer: Buffer, header: BatchHeader, position: int = 0) -> None:
    """Compare the CRC of the batch at `position` with its bytes.

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE, also when the batch is cut short.

    """
    end = position + header.length + LOG_OVERHEAD
    if end > len(buffer):
        raise _corrupt(position, f"the batch ends at byte {end}, the data at {len(buffer)}")
    computed = crc32c(memoryview(buffer)[position + CRC_START : end])
    if computed != header.crc:
        raise _corrupt(
            position, f"CRC is {header.crc:#010x} in the header and {computed:#010x} over the bytes"
        )


def iter_batches(
    buffer: Buffer, position: int = 0, *, verify_crc: bool = False
) -> Iterator[tuple[int, BatchHeader]]:
    """Walk concatenated batches, as a fetch answer or a segment holds them; yields (position, header).

    Stops without a word at a last batch that is cut short: a fetch answer ends wherever its byte limit fell.

    Raises:
        InvalidBatchError: as `parse_header`, and as `check_crc` with `verify_crc`.

    """
    end = len(buffer)
    while end - position >= HEADER_SIZE:
        header = parse_header(buffer, position)
        following = position + header.length + LOG_OVERHEAD
        if following > end:
            return
        if verify_crc:
            check_crc(buffer, header, position)
        yield position, header
        position = following


def validate_from_client(
    buffer: bytearray | memoryview | bytes, *, max_message_bytes: int, allow_zstd: bool = True
) -> BatchHeader:
    """Prove by its header alone that `buffer` is one batch that a client may append; records are not looked at.

    Args:
        buffer: The records field of a Produce partition, whole; a memoryview must be of bytes.
        max_message_bytes: `max.message.bytes` of the topic; bounds the whole batch.
        allow_zstd: False for Produce below version 7, which predates the codec.

    Returns:
        The header, for the append that follows. Timestamps are the caller's: see `check_timestamps`.

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE, INVALID_TIMESTAMP or
            UNSUPPORTED_COMPRESSION_TYPE, with the field and the value at fault.

    """
    size = len(buffer)
    if size < HEADER_SIZE:
        raise _explain_short(buffer)
    fields = _unpack_from(buffer)
    (
        base_offset,
        length,
        _,
        magic,
        crc,
        attributes,
        last_offset_delta,
        _,
        _,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    ) = fields
    codec = attributes & CODEC_MASK
    if (
        length != size - LOG_OVERHEAD
        or magic != MAGIC
        or base_offset
        or size > max_message_bytes
        or attributes & _REFUSED_FROM_CLIENTS
        or record_count < 1
        or last_offset_delta != record_count - 1
        or (
            record_count * MIN_RECORD_SIZE > size - HEADER_SIZE
            if codec == 0
            else codec > 4 or (codec == 4 and not allow_zstd)
        )
        or (
            (producer_epoch < 0 or base_sequence < 0) if producer_id >= 0 else attributes & TRANSACTIONAL_MASK
        )
        or crc != crc32c(memoryview(buffer)[CRC_START:])
    ):
        raise _explain(buffer, _new(BatchHeader, fields), max_message_bytes)
    return _new(BatchHeader, fields)


def check_timestamps(header: BatchHeader, now_ms: int, before_max_ms: int, after_max_ms: int) -> None:
    """Hold the two timestamps in the header against a CreateTime topic's bounds.

    Records in between are not looked at (`iterator.check_records` does that). A timestamp of -1 is "none" and passes.

    Args:
        header: As `validate_from_client` returned it.
        now_ms: The broker's wall clock.
        before_max_ms: `message.timestamp.before.max.ms`: how far back a record may lie.
        after_max_ms: `message.timestamp.after.max.ms`: how far ahead.

    Raises:
        InvalidBatchError: INVALID_TIMESTAMP.

    """
    earliest = max(now_ms - before_max_ms, 0)
    latest = now_ms + after_max_ms
    base_timestamp = header.base_timestamp
    max_timestamp = header.max_timestamp
    if earliest <= base_timestamp <= latest and earliest <= max_timestamp <= latest:
        return
    for name, timestamp in (("base", base_timestamp), ("max", max_timestamp)):
        if timestamp != NO_TIMESTAMP and not earliest <= timestamp <= latest:
            raise InvalidBatchError(
                ErrorCode.INVALID_TIMESTAMP,
                f"{name} timestamp {timestamp} of the batch is outside [{earliest}, {latest}], "
                "the range that message.timestamp.before.max.ms and message.timestamp.after.max.ms leave now",
            )


def stamp(buffer: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write what the leader decides, base offset and leader epoch, into the batch at the start of `buffer`.

    The CRC covers neither, so the batch stays valid. The buffer must be writable.
    """
    _pack_offset_into(buffer, 0, base_offset)
    _pack_int_into(buffer, 12, leader_epoch)


def stamp_log_append_time(buffer: bytearray | memoryview, now_ms: int) -> BatchHeader:
    """Give the batch, which must fill `buffer`, the broker's time; returns the new header.

    Sets the timestamp-type bit and the max timestamp, which then counts for every record; base timestamp and
    records stay as they are. Costs a second CRC over the batch.
    """
    _pack_attributes_into(buffer, CRC_START, _unpack_from(buffer)[5] | TIMESTAMP_TYPE_MASK)
    return stamp_max_timestamp(buffer, now_ms)


def stamp_max_timestamp(buffer: bytearray | memoryview, max_timestamp: int) -> BatchHeader:
    """Put the true max timestamp into the batch that fills `buffer`, and the CRC right; returns the new header."""
    _pack_offset_into(buffer, 35, max_timestamp)
    _pack_crc_into(buffer, 17, crc32c(memoryview(buffer)[CRC_START:]))
    return _new(BatchHeader, _unpack_from(buffer))


def next_sequence(sequence: int, count: int = 1) -> int:
    """The sequence `count` after `sequence`: 31 bits, 2147483647 is followed by 0."""
    return (sequence + count) & SEQUENCE_MASK


def _corrupt(position: int, what: str) -> InvalidBatchError:
    return InvalidBatchError(ErrorCode.CORRUPT_MESSAGE, f"record batch at byte {position}: {what}")


def _bad_magic(position: int, magic: int) -> InvalidBatchError:
    if 0 <= magic < MAGIC:
        return InvalidBatchError(
            ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
            f"record batch at byte {position}: message format v{magic} is not read; format v2 came with Kafka 0.11",
        )
    return _corrupt(position, f"magic {magic} is no message format")


def _explain_short(buffer: Buffer) -> InvalidBatchError:
    """What is wrong with records too short for a v2 header."""
    size = len(buffer)
    if size >= 17:
        _, length, _, magic = _unpack_prefix(buffer)
        if magic != MAGIC:
            return _magic_from_client(magic)
        if length < HEADER_SIZE - LOG_OVERHEAD:
            return _corrupt(
                0, f"length {length} is below {HEADER_SIZE - LOG_OVERHEAD}, a header without records"
            )
    return InvalidBatchError(
        ErrorCode.INVALID_RECORD,
        f"a partition must carry exactly one record batch; {size} bytes hold none",
    )


def _magic_from_client(magic: int) -> InvalidBatchError:
    if 0 <= magic < MAGIC:
        return InvalidBatchError(
            ErrorCode.INVALID_RECORD,
            f"message format v{magic} can't be produced; use a client that writes v2 (Kafka 0.11 or newer)",
        )
    return _corrupt(0, f"magic {magic} is no message format")


def _explain(buffer: Buffer, header: BatchHeader, max_message_bytes: int) -> InvalidBatchError:
    """Say what is wrong with a batch, checking in Kafka's order."""
    size = len(buffer)
    attributes = header.attributes
    codec = attributes & CODEC_MASK
    invalid = ErrorCode.INVALID_RECORD
    if header.magic != MAGIC:
        return _magic_from_client(header.magic)
    if header.length < HEADER_SIZE - LOG_OVERHEAD:
        return _corrupt(
            0, f"length {header.length} is below {HEADER_SIZE - LOG_OVERHEAD}, a header without records"
        )
    if header.length > size - LOG_OVERHEAD:
        return InvalidBatchError(
            invalid, f"the record batch says it has {header.size_bytes} bytes, the partition carries {size}"
        )
    if header.length < size - LOG_OVERHEAD:
        return InvalidBatchError(
            invalid,
            f"a partition must carry exactly one record batch; {size - header.size_bytes} bytes follow the first",
        )
    if header.base_offset != 0:
        return InvalidBatchError(
            invalid, f"base offset of a produced batch must be 0, it is {header.base_offset}"
        )
    if size > max_message_bytes:
        return InvalidBatchError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"the record batch has {size} bytes, max.message.bytes allows {max_message_bytes}",
        )
    computed = crc32c(memoryview(buffer)[CRC_START:])
    if computed != header.crc:
        return _corrupt(0, f"CRC is {header.crc:#010x} in the header and {computed:#010x} over the bytes")
    if codec > _LAST_CODEC:
        return InvalidBatchError(
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"compression codec {codec} does not exist; 0 to 4 do"
        )
    if header.record_count < 1:
        return InvalidBatchError(invalid, f"record count is {header.record_count}, it must be at least 1")
    if header.last_offset_delta != header.record_count - 1:
        return InvalidBatchError(
            invalid,
            f"record count {header.record_count} does not agree with last offset delta {header.last_offset_delta}",
        )
    if codec == Codec.NONE and header.record_count * MIN_RECORD_SIZE > size - HEADER_SIZE:
        return InvalidBatchError(
            invalid, f"{header.record_count} records don't fit into {size - HEADER_SIZE} bytes of payload"
        )
    if attributes & CONTROL_MASK:
        return InvalidBatchError(invalid, "clients may not write control batches")
    if attributes & DELETE_HORIZON_MASK:
        return InvalidBatchError(invalid, "clients may not set the delete horizon (attributes bit 6)")
    if header.producer_id >= 0:
        if header.base_sequence < 0:
            return InvalidBatchError(
                invalid,
                f"base sequence {header.base_sequence} of producer id {header.producer_id} is negative",
            )
        if header.producer_epoch < 0:
            return InvalidBatchError(
                invalid, f"epoch {header.producer_epoch} of producer id {header.producer_id} is negative"
            )
    elif attributes & TRANSACTIONAL_MASK:
        return InvalidBatchError(invalid, "a transactional batch needs a producer id")
    if attributes & TIMESTAMP_TYPE_MASK:
        return InvalidBatchError(
            ErrorCode.INVALID_TIMESTAMP,
            "the timestamp type LogAppendTime (attributes bit 3) is the broker's to set",
        )
    return InvalidBatchError(
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
        "zstd needs Produce version 7 or newer; upgrade the client",
    )
