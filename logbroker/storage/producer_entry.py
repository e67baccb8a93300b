"""What a partition knows of one producer, and how a checkpoint keeps it. Values and pure functions; any thread."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import NO_SEQUENCE, SEQUENCE_MASK

NO_COORDINATOR_EPOCH = -1
NO_OFFSET = -1


class RememberedBatch(NamedTuple):
    """A batch that was appended. Sequences are `NO_SEQUENCE` for a coordinator's batch, which has none."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp: int
    """The batch's max timestamp: its append time, on a LogAppendTime topic."""


class ProducerEntry(NamedTuple):
    """All that is known of one producer."""

    epoch: int
    last_sequence: int
    """`NO_SEQUENCE`: nothing of this epoch yet, the next is 0."""
    batches: tuple[RememberedBatch, ...]
    """Of this epoch, oldest first, at most `REMEMBERED_BATCHES`."""
    last_timestamp_ms: int
    """When it last wrote; decides when it is forgotten."""
    coordinator_epoch: int
    """Epoch of the coordinator that wrote its last transaction marker."""
    transaction_first_offset: int
    """First offset of its open transaction; `NO_OFFSET`: none is open."""


_VERSION = 1
_HEAD = struct.Struct(">BI")
_ENTRY = struct.Struct(">qhiqiqB")
_BATCH = struct.Struct(">iqiq")
_CRC = struct.Struct(">I")


def encode_entries(entries: Mapping[int, ProducerEntry]) -> bytes:
    """One partition's producers as bytes, for the checkpoint.

        version u8 = 1, entry count u32
        entry: producer id i64, epoch i16, last sequence i32, last timestamp i64 (ms), coordinator epoch i32,
               transaction's first offset i64, batch count u8
        batch: last sequence i32, last offset i64, offset delta i32, timestamp i64 (ms)
        CRC-32C u32 over everything before it

    Offsets of a batch are as far apart as its sequences, so one delta serves both. Any thread.
    """
    parts = [_HEAD.pack(_VERSION, len(entries))]
    for producer_id, entry in entries.items():
        epoch, last_sequence, batches, last_timestamp_ms, coordinator_epoch, transaction = entry
        parts.append(
            _ENTRY.pack(
                producer_id,
                epoch,
                last_sequence,
                last_timestamp_ms,
                coordinator_epoch,
                transaction,
                len(batches),
            )
        )
        for _, last, base_offset, last_offset, timestamp in batches:
            parts.append(_BATCH.pack(last, last_offset, last_offset - base_offset, timestamp))
    body = b"".join(parts)
    return body + _CRC.pack(crc32c(body))


def decode_entries(data: Buffer, *, path: str, position: int = 0) -> dict[int, ProducerEntry]:
    """What `encode_entries` wrote.

    Args:
        data: All of it and nothing else.
        path: The file it comes from, for the error.
        position: Where in that file it begins.

    Raises:
        CorruptionError: the bytes are not what was written.

    """
    size = len(data)
    if size < _HEAD.size + _CRC.size:
        raise CorruptionError(path, position, f"{size} bytes are no producer state")
    end = size - _CRC.size
    stored = _CRC.unpack_from(data, end)[0]
    computed = crc32c(memoryview(data)[:end])
    if stored != computed:
        raise CorruptionError(
            path, position, f"producer state: CRC is {stored:#010x}, its bytes give {computed:#010x}"
        )
    version, count = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise CorruptionError(
            path, position, f"producer state of version {version}, this broker reads {_VERSION}"
        )
    entries: dict[int, ProducerEntry] = {}
    at = _HEAD.size
    try:
        for _ in range(count):
            (
                producer_id,
                epoch,
                last_sequence,
                last_timestamp_ms,
                coordinator_epoch,
                transaction,
                batch_count,
            ) = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            batches = []
            for _ in range(batch_count):
                last, last_offset, delta, timestamp = _BATCH.unpack_from(data, at)
                at += _BATCH.size
                first = (last - delta) & SEQUENCE_MASK if last >= 0 else NO_SEQUENCE
                batches.append(RememberedBatch(first, last, last_offset - delta, last_offset, timestamp))
            entries[producer_id] = ProducerEntry(
                epoch, last_sequence, tuple(batches), last_timestamp_ms, coordinator_epoch, transaction
            )
    except struct.error:
        at = size
    if at != end:
        raise CorruptionError(path, position, f"producer state: {count} entries don't end at byte {end}")
    return entries
