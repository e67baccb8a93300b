"""The bytes of the journal: commits, entries, and what makes each of them believable.

A journal file is `FILE_BLOCK`-aligned commits, one after the other. One commit:

    +0   header, 64 bytes (`_HEADER`): magic "LBJ1", CRC-32C of everything from byte 8 to the table's end, generation, salt,
         sequence, entry count, payload bytes
    +64  the entry table: `ENTRY_SIZE` bytes an entry (`_ENTRY`), so that the header's CRC vouches for every partition it
         names and for the end offset of each, even when a batch behind it is torn
    ...  the payloads (whole record batches) in table order, then zeros up to the next block

A batch's payload needs no second checksum: bytes 21.. are covered by the batch's own CRC-32C, which is repeated in the table, and
bytes 0..20 must equal what the table says (base offset, length, epoch, magic, CRC).

`generation` is given anew, durably, at each start and `salt` is random (SQLite's WAL does the same): bytes left
from an earlier life of the file, or forged inside a record, never look valid. `sequence` grows by one a commit, for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.types import Buffer

FILE_BLOCK = 4096
"""A commit starts on a multiple of this, so that a torn write can't reach an earlier commit."""

MAGIC = b"LBJ1"
_HEADER = struct.Struct(">4sIQQQII24x")
HEADER_SIZE = _HEADER.size
_ENTRY = struct.Struct(">16siBxxxiqIqqqII")
ENTRY_SIZE = _ENTRY.size
pack_entry = _ENTRY.pack
"""(topic id, partition, kind, leader epoch, segment base, position, previous end, base, next, length, batch CRC)"""

BATCH = 0
"""A record batch, to be written at its position."""
SYNCED = 1
"""Direct sync: `length` bytes at this position, offsets base..next, are durable in the segment itself."""
TRUNCATE = 2
"""The log ends at `next` from here on; what lay above it is void."""
LOG_START = 3
"""The log starts at `next`: retention or DeleteRecords."""
DELETE = 4
"""The partition is gone."""
FLUSHED = 5
"""The topic left the page-cache policy: everything up to `next` is durable in the segments, though it was never journaled."""
START = 6
"""First entry of a generation: the generation before it ended, for ever, before sequence `base`."""
PAGE_CACHE = 7
"""The topic is acknowledged from the page cache from here on: whole batches behind the journaled end may be promises."""
COMPACTED = 8
"""One segment of `position` bytes stands in the place of all that began at offsets base up to `next`: `swap.py`."""

_BATCH_PREFIX = struct.Struct(">qiibI")
_CRC_START = _BATCH_PREFIX.size
_BATCH_LEAST_BYTES = 61
_new = tuple.__new__


class Entry(NamedTuple):
    """One row of a commit's table; offsets are Kafka offsets, `position` and `length` bytes of the segment file."""

    topic_id: bytes
    partition: int
    kind: int
    leader_epoch: int
    segment_base: int
    position: int
    previous_end: int
    base_offset: int
    next_offset: int
    length: int
    batch_crc: int


class Commit(NamedTuple):
    """A commit whose header and table are proven; `payload_error` says which batch is torn, if one is."""

    generation: int
    sequence: int
    entries: list[Entry]
    payloads: list[memoryview | None]
    size_bytes: int
    payload_error: str | None


class CommitHead(NamedTuple):
    """What the first 64 bytes claim (the CRC isn't checked yet)."""

    crc: int
    generation: int
    salt: int
    sequence: int
    entry_count: int
    payload_bytes: int


_ZEROS = bytes(FILE_BLOCK)


def encode_commit(
    generation: int, salt: int, sequence: int, table: list[bytes], payloads: list[Buffer], payload_bytes: int
) -> list[Buffer]:
    """The buffers of one commit, padded to whole blocks, ready for one gathering write.

    `table` holds packed entries; `payloads` the batches of its BATCH entries, in the same order.
    """
    rows = b"".join(table)
    body = struct.pack(">QQQII24x", generation, salt, sequence, len(table), payload_bytes) + rows
    head = MAGIC + crc32c(body).to_bytes(4, "big")
    padding = -(len(body) + 8 + payload_bytes) % FILE_BLOCK
    if payload_bytes <= len(payloads) * 8192:  # one copy of small batches beats a thousand I/O vectors
        return [b"".join((head, body, *payloads, _ZEROS[:padding]))]
    return [head + body, *payloads, _ZEROS[:padding]]


def commit_size(entry_count: int, payload_bytes: int) -> int:
    """Bytes that a commit takes in its file."""
    return -(-(HEADER_SIZE + entry_count * ENTRY_SIZE + payload_bytes) // FILE_BLOCK) * FILE_BLOCK


def read_head(data: Buffer, position: int) -> CommitHead | None:
    """The claims of a commit header at `position`, or None where there is no magic."""
    if len(data) - position < HEADER_SIZE:
        return None
    magic, crc, generation, salt, sequence, count, payload_bytes = _HEADER.unpack_from(data, position)
    if magic != MAGIC:
        return None
    return CommitHead(crc, generation, salt, sequence, count, payload_bytes)


def read_commit(data: memoryview, position: int) -> Commit | None:
    """The commit at `position`; None unless its header and table are whole and their CRC holds."""
    head = read_head(data, position)
    if head is None:
        return None
    table_end = position + HEADER_SIZE + head.entry_count * ENTRY_SIZE
    if table_end > len(data) or crc32c(data[position + 8 : table_end]) != head.crc:
        return None
    # Without `Entry._make`: a full ring has hundreds of thousands.
    entries = [_new(Entry, row) for row in _ENTRY.iter_unpack(data[position + HEADER_SIZE : table_end])]
    payloads, error = _read_payloads(data, table_end, entries, head)
    size = commit_size(head.entry_count, head.payload_bytes)
    return Commit(head.generation, head.sequence, entries, payloads, size, error)


def _read_payloads(
    data: memoryview, at: int, entries: list[Entry], head: CommitHead
) -> tuple[list[memoryview | None], str | None]:
    payloads: list[memoryview | None] = []
    if at + head.payload_bytes > len(data):
        return payloads, "the commit is longer than its file"
    prefix_of = _BATCH_PREFIX.unpack_from
    for entry in entries:
        _, _, kind, leader_epoch, _, _, _, base_offset, _, length, crc = entry
        if kind != BATCH:
            payloads.append(None)
            continue
        end = at + length
        batch = data[at:end]
        payloads.append(batch)
        if (
            length < _BATCH_LEAST_BYTES
            or end > len(data)
            or crc32c(batch[_CRC_START:]) != crc
            or prefix_of(batch) != (base_offset, length - 12, leader_epoch, 2, crc)
        ):
            return payloads, f"the batch at offset {base_offset} is damaged"
        at = end
    return payloads, None


def scan_heads(data: memoryview, position: int = 0) -> Iterator[tuple[int, CommitHead]]:
    """Every block from `position` on that carries the magic: (position, claims)."""
    for block in range(position, len(data) - HEADER_SIZE + 1, FILE_BLOCK):
        if data[block : block + 4] == MAGIC:
            head = read_head(data, block)
            if head is not None:
                yield block, head
