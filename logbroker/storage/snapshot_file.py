"""Kafka's producer snapshot, `<20-digit offset>.snapshot`: the producers of a partition as of that offset, for its tools.

    version i16 = 1
    CRC-32C u32 over everything behind it
    entry count i32, then 46 bytes each:
        producer id i64, epoch i16, last sequence i32, last offset i64, offset delta i32 (of the last batch),
        timestamp i64 (ms, when it last wrote), coordinator epoch i32, first offset of the open transaction i64 (-1: none)

A snapshot knows only the last batch of each producer, where our checkpoint keeps five, so nothing here is recovered
from it: it is written so that Kafka's DumpLogSegments, and a Kafka broker that is given the directory, find what they
expect. The format is that of Kafka 4.3.1's ProducerStateManager.

Crash story: the file is replaced atomically and is durable when `write` returns; a lost or damaged one costs nothing
here. Any thread.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from crc32c import crc32c

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import NO_SEQUENCE, SEQUENCE_MASK
from logbroker.storage.producer_state import NO_OFFSET, ProducerEntry, RememberedBatch
from logbroker.storage.vfs import Vfs, read_whole, write_atomically

VERSION = 1
SUFFIX = ".snapshot"

_HEAD = struct.Struct(">hIi")
_ENTRY = struct.Struct(">qhiqiqiq")
_CRC_END = 6


def file_name(offset: int) -> str:
    """The name of the snapshot taken at `offset`."""
    return f"{offset:020d}{SUFFIX}"


def encode(entries: Mapping[int, ProducerEntry]) -> bytes:
    """The bytes of a snapshot of these producers, by producer id."""
    data = bytearray(_HEAD.size)
    for producer_id, entry in entries.items():
        last_offset, delta = NO_OFFSET, 0
        if entry.batches:
            _, _, base_offset, last_offset, _ = entry.batches[-1]
            delta = last_offset - base_offset
        data += _ENTRY.pack(
            producer_id,
            entry.epoch,
            entry.last_sequence,
            last_offset,
            delta,
            entry.last_timestamp_ms,
            entry.coordinator_epoch,
            entry.transaction_first_offset,
        )
    _HEAD.pack_into(data, 0, VERSION, 0, len(entries))
    _HEAD.pack_into(data, 0, VERSION, crc32c(memoryview(data)[_CRC_END:]), len(entries))
    return bytes(data)


def decode(data: Buffer, path: str) -> dict[int, ProducerEntry]:
    """The producers in a snapshot, each with its last batch only.

    Raises:
        CorruptionError: the bytes are no snapshot of version 1, or not what was written.

    """
    size = len(data)
    if size < _HEAD.size:
        raise CorruptionError(path, 0, f"{size} bytes are no producer snapshot")
    version, stored, count = _HEAD.unpack_from(data)
    if version != VERSION:
        raise CorruptionError(path, 0, f"producer snapshot of version {version}, this broker reads {VERSION}")
    computed = crc32c(memoryview(data)[_CRC_END:])
    if stored != computed:
        raise CorruptionError(path, 2, f"CRC is {stored:#010x}, the bytes give {computed:#010x}")
    if count < 0 or size != _HEAD.size + count * _ENTRY.size:
        raise CorruptionError(path, _CRC_END, f"{count} entries don't fill {size - _HEAD.size} bytes")
    entries: dict[int, ProducerEntry] = {}
    for (
        producer_id,
        epoch,
        sequence,
        offset,
        delta,
        timestamp,
        coordinator_epoch,
        transaction,
    ) in _ENTRY.iter_unpack(memoryview(data)[_HEAD.size :]):
        batches: tuple[RememberedBatch, ...] = ()
        if offset >= 0:
            first = (sequence - delta) & SEQUENCE_MASK if sequence >= 0 else NO_SEQUENCE
            batches = (RememberedBatch(first, sequence, offset - delta, offset, timestamp),)
        entries[producer_id] = ProducerEntry(
            epoch,
            sequence,
            batches,
            timestamp,
            coordinator_epoch,
            transaction if transaction >= 0 else NO_OFFSET,
        )
    return entries


def write(vfs: Vfs, path: str, entries: Mapping[int, ProducerEntry]) -> None:
    """Replace the snapshot at `path`, durably. Blocks. Raises OSError."""
    write_atomically(vfs, path, encode(entries))


def read(vfs: Vfs, path: str) -> dict[int, ProducerEntry]:
    """The producers in the snapshot at `path`. Blocks.

    Raises:
        CorruptionError: see `decode`.
        OSError: the file can't be read; FileNotFoundError when there is none.

    """
    return decode(read_whole(vfs, path), path)
