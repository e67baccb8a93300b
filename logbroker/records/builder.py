"""Build record batches, format v2: what our client sends and what coordinators write.

    builder = BatchBuilder(codec=Codec.LZ4)
    while builder.size_bytes < limit:
        builder.append(timestamp_ms, key, value, headers)
    batch = builder.build()

The bytes of keys and values are not copied before `build` joins them once: leave mutable ones alone until then. The result
is a `bytearray`, because the leader stamps base offset and epoch into it (`batch.stamp`). Formats: `batch.py`
(header), `iterator.py` (records). One builder belongs to one thread or task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crc32c import crc32c

from logbroker.base.types import Buffer
from logbroker.records.batch import (
    CONTROL_MASK,
    CRC_START,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    TIMESTAMP_TYPE_MASK,
    TRANSACTIONAL_MASK,
    Codec,
)
from logbroker.records.compression import compress

NO_LEADER_EPOCH = -1
MAX_RECORD_BYTES = 0x7FFF_FFFF - HEADER_SIZE
"""Lengths in the format are int32."""

HeaderItems = Sequence[tuple[str, Buffer | None]]

_NULL = b"\x01"  # zigzag of -1
_ZERO = b"\x00"
_CACHED_VARINTS_MAX = 8192


class _Varints(dict[int, bytes]):
    """Non-negative numbers as zigzag varints, remembered while they are small."""

    def __missing__(self, number: int) -> bytes:
        encoded = encode_varint(number)
        if number < _CACHED_VARINTS_MAX:
            self[number] = encoded
        return encoded


def encode_varint(number: int) -> bytes:
    """A zigzag varint; good for 32 and for 64 bits."""
    value = number << 1 if number >= 0 else (-number << 1) - 1
    if value < 0x80:
        return value.to_bytes(1, "big")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_varints = _Varints()


class BatchBuilder:
    """Collects records for one batch.

    Args:
        base_offset: Offset of the first record; 0 in what a producer sends.
        codec: Compression of the payload.
        level: Effort of it, in the codec's own scale; None: a sensible middle.
        producer_id, producer_epoch, base_sequence: Of an idempotent producer; -1 each: none.
        transactional: The records belong to that producer's transaction.
        control: The records are control records (transaction markers).
        log_append_time_ms: Set the timestamp type LogAppendTime with this time; None: CreateTime.
        leader_epoch: Partition leader epoch; -1: not known, the leader stamps it.

    """

    __slots__ = (
        "_base_timestamp",
        "_codec",
        "_last_delta",
        "_level",
        "_log_append_time_ms",
        "_max_timestamp",
        "_parts",
        "base_offset",
        "base_sequence",
        "control",
        "leader_epoch",
        "producer_epoch",
        "producer_id",
        "record_count",
        "size_bytes",
        "transactional",
    )

    def __init__(
        self,
        *,
        base_offset: int = 0,
        codec: Codec = Codec.NONE,
        level: int | None = None,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = NO_PRODUCER_EPOCH,
        base_sequence: int = NO_SEQUENCE,
        transactional: bool = False,
        control: bool = False,
        log_append_time_ms: int | None = None,
        leader_epoch: int = NO_LEADER_EPOCH,
    ) -> None:
        self.base_offset = base_offset
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
        self.transactional = transactional
        self.control = control
        self.leader_epoch = leader_epoch
        self.record_count = 0
        self.size_bytes = HEADER_SIZE
        """What `build` returns without compression, in bytes; with it usually less."""
        self._codec = codec
        self._level = level
        self._log_append_time_ms = log_append_time_ms
        self._parts: list[Buffer] = [bytes(HEADER_SIZE)]
        self._base_timestamp = NO_TIMESTAMP
        self._max_timestamp = NO_TIMESTAMP
        self._last_delta = -1

    def append(
        self,
        timestamp_ms: int,
        key: Buffer | None,
        value: Buffer | None,
        headers: HeaderItems = (),
        *,
        offset: int | None = None,
    ) -> int:
        """Add a record; returns its offset delta.

        Args:
            timestamp_ms: Its time, milliseconds since the epoch; -1: none.
            key: Bytes, or None for null.
            value: Bytes, or None for null (a tombstone on a compacted topic).
            headers: (key, value or None) pairs; a header key may hold surrogates that stand for raw bytes.
            offset: Its offset, above the previous record's; None: the next. Only batches that keep gaps need it.

        Raises:
            ValueError: a record beyond what int32 lengths can say, or an offset out of order.

        """
        varints = _varints
        if offset is None:
            delta = self._last_delta + 1
        else:
            delta = offset - self.base_offset
            if delta <= self._last_delta:
                raise ValueError(f"offset {offset} does not follow {self.base_offset + self._last_delta}")
        if self.record_count:
            timestamp_delta = timestamp_ms - self._base_timestamp
            time = varints[timestamp_delta] if timestamp_delta >= 0 else encode_varint(timestamp_delta)
            self._max_timestamp = max(self._max_timestamp, timestamp_ms)
        else:
            self._base_timestamp = self._max_timestamp = timestamp_ms
            time = _ZERO
        head = b"\x00" + time + varints[delta]
        if key is None:
            key = b""
            head += _NULL
        else:
            head += varints[len(key)]
        if value is None:
            value = b""
            value_length = _NULL
        else:
            value_length = varints[len(value)]
        tail = _encode_headers(headers) if headers else _ZERO
        length = len(head) + len(key) + len(value_length) + len(value) + len(tail)
        prefix = varints[length]
        size = self.size_bytes + len(prefix) + length
        if size > MAX_RECORD_BYTES:
            raise ValueError(f"a batch of {size} bytes is beyond the format's {MAX_RECORD_BYTES}")
        self._parts += (prefix, head, key, value_length, value, tail)
        self.size_bytes = size
        self.record_count += 1
        self._last_delta = delta
        return delta

    def build(self, *, last_offset_delta: int | None = None) -> bytearray:
        """The batch, CRC and all; the builder stays as it is.

        Args:
            last_offset_delta: Where the batch ends, when that is beyond its last record (compaction keeps it).

        Raises:
            ValueError: an empty batch without `last_offset_delta`, or one below the last record.

        """
        last_delta = self._last_delta if last_offset_delta is None else last_offset_delta
        if last_delta < 0 or last_delta < self._last_delta:
            raise ValueError(f"last offset delta {last_delta} of a batch of {self.record_count} records")
        if self._codec == Codec.NONE or not self.record_count:
            codec = Codec.NONE
            batch = bytearray().join(self._parts)
        else:
            codec = self._codec
            payload = compress(codec, b"".join(self._parts[1:]), self._level)
            batch = bytearray().join((self._parts[0], payload))
        attributes = int(codec)
        if self.transactional:
            attributes |= TRANSACTIONAL_MASK
        if self.control:
            attributes |= CONTROL_MASK
        max_timestamp = self._max_timestamp
        if self._log_append_time_ms is not None:
            attributes |= TIMESTAMP_TYPE_MASK
            max_timestamp = self._log_append_time_ms
        write_header(
            batch,
            base_offset=self.base_offset,
            leader_epoch=self.leader_epoch,
            attributes=attributes,
            last_offset_delta=last_delta,
            base_timestamp=self._base_timestamp,
            max_timestamp=max_timestamp,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=self.base_sequence,
            record_count=self.record_count,
        )
        return batch


def build_batch(
    records: Iterable[tuple[int, Buffer | None, Buffer | None, HeaderItems]],
    *,
    base_offset: int = 0,
    codec: Codec = Codec.NONE,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
    leader_epoch: int = NO_LEADER_EPOCH,
) -> bytearray:
    """One batch of (timestamp_ms, key, value, headers) records: see `BatchBuilder`.

    Raises:
        ValueError: no records, or more than the format can hold.

    """
    builder = BatchBuilder(
        base_offset=base_offset,
        codec=codec,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        transactional=transactional,
        control=control,
        leader_epoch=leader_epoch,
    )
    append = builder.append
    for timestamp_ms, key, value, headers in records:
        append(timestamp_ms, key, value, headers)
    return builder.build()


def write_header(
    batch: bytearray,
    *,
    base_offset: int,
    leader_epoch: int,
    attributes: int,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    record_count: int,
) -> None:
    """Write header and CRC into the first 61 bytes of `batch`, which already holds its payload behind them."""
    HEADER.pack_into(
        batch,
        0,
        base_offset,
        len(batch) - LOG_OVERHEAD,
        leader_epoch,
        MAGIC,
        0,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    )
    batch[CRC_START - 4 : CRC_START] = crc32c(memoryview(batch)[CRC_START:]).to_bytes(4, "big")


def _encode_headers(headers: HeaderItems) -> bytes:
    varints = _varints
    parts: list[Buffer] = [varints[len(headers)]]
    for key, value in headers:
        name = key.encode("utf-8", "surrogateescape")
        if value is None:
            parts += (varints[len(name)], name, _NULL)
        else:
            parts += (varints[len(name)], name, varints[len(value)], value)
    return b"".join(parts)
