"""Which transactions were aborted: Kafka's `.txnindex`, one beside each segment that holds an abort marker.

34 bytes an entry, big-endian, in the order of the markers: version i16 = 0, producer id i64, the transaction's first offset i64, its
last offset i64 (the marker's), and the last stable offset once it had ended i64 (the first offset of the earliest transaction
that was still open, else what follows the marker).

Consumers that read committed records are told of every entry that overlaps what they read, and pass over that producer's batches.
An entry that is lost would show them aborted records. So, unlike the sparse indexes, an entry is as durable as its marker: a marker
that a checkpoint vouches for has its entry synced first, the checkpoint counts the entries, and those of later markers are
found again when the journal is replayed. Where the file isn't what the checkpoint says, the whole log is read for it.

All entries are in memory, 34 bytes each, as long as their segment is in the log. Loop thread only, but for bytes that were taken.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import IndexWrite

if TYPE_CHECKING:
    from logbroker.storage.segment import Segment

ENTRY: Final = struct.Struct(">hqqqq")
VERSION: Final = 0
_LAST_OFFSET: Final = struct.Struct(">q")
_LAST_OFFSET_AT: Final = 18


class AbortedTransaction(NamedTuple):
    """One aborted transaction of one producer, in one partition."""

    producer_id: int
    first_offset: int
    last_offset: int
    """The marker's."""
    last_stable_offset: int


class TransactionIndex:
    """The aborted transactions whose markers lie in one segment."""

    __slots__ = ("_data", "trim", "written")

    def __init__(self, data: Buffer = b"", *, written: int | None = None) -> None:
        """`data` is what the file begins with, proven by `decode`; `written`: so many will be in it."""
        self._data = bytearray(data)
        self.written = len(self) if written is None else written
        """How many entries the file has."""
        self.trim = False
        """Whether the file may be longer than that: the next write cuts it."""

    def __len__(self) -> int:
        return len(self._data) // ENTRY.size

    @property
    def is_written(self) -> bool:
        """Whether the file holds just these entries."""
        return self.written == len(self) and not self.trim

    def append(self, aborted: AbortedTransaction) -> None:
        """Add an entry; its marker lies behind all others here."""
        self._data += ENTRY.pack(VERSION, *aborted)

    def __iter__(self) -> Iterator[AbortedTransaction]:
        return self.ending_from(0)

    def ending_from(self, offset: int) -> Iterator[AbortedTransaction]:
        """Those whose marker lies at `offset` or behind it, in order."""
        data = self._data
        for at in range(self._find(offset) * ENTRY.size, len(data), ENTRY.size):
            yield AbortedTransaction._make(ENTRY.unpack_from(data, at)[1:])

    def _find(self, offset: int) -> int:
        data = self._data
        return bisect_left(
            range(len(self)),
            offset,
            key=lambda at: _LAST_OFFSET.unpack_from(data, at * ENTRY.size + _LAST_OFFSET_AT)[0],
        )

    def truncate(self, end_offset: int) -> None:
        """The log ends at `end_offset` now: forget the markers from there on."""
        kept = self._find(end_offset)
        del self._data[kept * ENTRY.size :]
        if kept < self.written:
            self.written = kept
            self.trim = True

    def take_unwritten(self) -> IndexWrite:
        """What the file lacks; counts it as written."""
        first, self.written = self.written, len(self)
        trim, self.trim = self.trim, False
        return IndexWrite(first * ENTRY.size, bytes(self._data[first * ENTRY.size :]), trim)

    @classmethod
    def replacing(cls, entries: Iterable[AbortedTransaction]) -> TransactionIndex:
        """These entries, in the place of whatever the file holds: the next write writes it whole."""
        index = cls()
        for entry in entries:
            index.append(entry)
        index.trim = True
        return index


def decode(data: Buffer, path: str, *, base_offset: int, end_offset: int) -> list[AbortedTransaction]:
    """The entries of a file, or of its front.

    Args:
        data: Whole entries.
        path: The file, for the error.
        base_offset: Of its segment: no marker lies before.
        end_offset: No marker lies at it or behind.

    Raises:
        CorruptionError: these bytes index nothing in that range, or not in order.

    """
    size = len(data)
    if size % ENTRY.size:
        raise CorruptionError(
            path, size - size % ENTRY.size, f"{size % ENTRY.size} bytes are no aborted transaction"
        )
    found: list[AbortedTransaction] = []
    least = base_offset
    for at, (version, *fields) in zip(range(0, size, ENTRY.size), ENTRY.iter_unpack(data), strict=True):
        entry = AbortedTransaction._make(fields)
        if version != VERSION:
            what = f"an aborted transaction of version {version}, this broker reads {VERSION}"
        elif entry.producer_id < 0 or not 0 <= entry.first_offset < entry.last_offset:
            what = f"no aborted transaction: {entry}"
        elif not least <= entry.last_offset < end_offset:
            what = f"a marker at offset {entry.last_offset} where {least} to {end_offset - 1} is possible"
        elif not 0 <= entry.last_stable_offset <= entry.last_offset + 1:
            what = (
                f"a last stable offset of {entry.last_stable_offset} behind a marker at {entry.last_offset}"
            )
        else:
            what = ""
        if what:
            raise CorruptionError(path, at, what)
        least = entry.last_offset + 1
        found.append(entry)
    return found


def write_aborted_steps(pool: FilePool, segment: Segment, write: IndexWrite) -> Steps[None]:
    """Lane: put entries into the segment's file and make them durable; the file's name isn't yet. Raises OSError."""
    path = segment.transaction_index_path
    file = pool.get(path, create=True, pin=True)
    if write.data:
        file.pwritev([write.data], write.position)
        yield
    if write.trim:
        file.truncate(write.position + len(write.data))
        yield
    file.datasync()
    pool.unpin(path)
    yield
