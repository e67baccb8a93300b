"""One segment of a log: a file of record batches and its two sparse indexes.

    00000000000000000042.log         batches, back to back (Kafka's format; the name is the base offset)
    00000000000000000042.index       offset -> position
    00000000000000000042.timeindex   timestamp -> offset
    00000000000000000042.txnindex    aborted transactions, where there are any (`transaction_index.py`)

A batch that was just appended lies in the segment's *tail*, in memory, until the writer lane has put it into the file:
its durability is the journal's business (`journal.py`), and many appends to one partition cost one write. Three marks in bytes:

    synced <= written <= size        durable in this file; in this file; appended

What is read of them is in `segment_reading.py`. Loop thread only, but for `write_steps`. Crash story: after a crash the file may hold anything above `synced`; recovery
writes every journaled batch to its position again and cuts the rest (`recovery.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from logbroker.records.batch import BatchHeader
from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import (
    NO_INDEX_WRITE,
    OFFSET_ENTRY,
    TIME_ENTRY,
    IndexWrite,
    MapCache,
    SparseIndex,
)
from logbroker.storage.reader import Reader, WouldBlockError
from logbroker.storage.segment_files import (
    LOG_SUFFIX,
    SUFFIXES,
    TXN_INDEX_SUFFIX,
)
from logbroker.storage.segment_reading import MAX_RELATIVE_OFFSET, ReadableSegment
from logbroker.storage.transaction_index import AbortedTransaction, TransactionIndex

__all__ = ["MAX_RELATIVE_OFFSET", "Reader", "Segment", "WouldBlockError", "WriteJob"]

_MAX_SIZE_BYTES = (1 << 31) - 1

INDEX_WRITE_ENTRIES = 64
"""Index entries that wait in memory while their segment is active; at most so many intervals aren't indexed after a crash."""
UNCACHED_BYTES_MIN = 65_536
"""A smaller write stays in the page cache: the next one has to read its last page back, which is more than it saves."""


class WriteJob(NamedTuple):
    """What one lane step writes: tail batches, contiguous, and index entries."""

    segment: Segment
    position: int
    items: list[JournalItem]
    offset_entries: IndexWrite
    time_entries: IndexWrite
    end: int
    cached: bool
    """Whether the page cache should keep the batches, for readers."""


class Segment(ReadableSegment):
    """A contiguous piece of a partition's log, in one file."""

    __slots__ = (
        "_bytes_since_index",
        "_index_entries_max",
        "aborted",
        "created_ms",
        "dropped",
        "first_timestamp",
        "indexes_durable",
        "name_durable",
        "placed",
        "roll_after",
        "roll_at",
        "sealed",
        "synced",
    )

    def __init__(self, directory: str, base_offset: int, *, size: int = 0, created_ms: int = 0) -> None:
        self.base_offset = base_offset
        self.stem = f"{directory}/{base_offset:020d}"
        self.path = self.stem + LOG_SUFFIX
        self.size = size
        self.written = size
        self.synced = size
        self.tail = []
        self.index = SparseIndex(OFFSET_ENTRY)
        self.time_index = SparseIndex(TIME_ENTRY)
        self.index_rebuilt = False
        """Whether the indexes were made anew since the start."""
        self.indexed_timestamp = -1
        """The last timestamp in the time index."""
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self._times_from = -1
        self.times_known = size == 0
        """Whether `max_timestamp` speaks of every batch (a reopened segment learns it when it is first asked)."""
        self.first_timestamp = -1
        self.created_ms = created_ms
        self.name_durable = size > 0
        self.indexes_durable = False
        """Whether a checkpoint has synced the indexes since the segment was sealed."""
        self.aborted: TransactionIndex | None = None
        """Transactions that were aborted by a marker in this segment; None while there is none."""
        self.sealed = False
        self.damage = ()
        """Bytes that the scrubber found damaged; they aren't served."""
        self.dropped = False
        """Retention, deletion or compaction took it: its files may be gone at any moment."""
        self.placed = True
        """Whether the names of its files lead to them: not yet, while compaction puts it in the place of others."""
        self.roll_at = 0
        """Size that the segment may not pass; 0 once an index is full."""
        self.roll_after = 1 << 62
        """Timestamp (ms) from which the segment's age counts: its first record's, or when it was made."""
        self._bytes_since_index = 0
        self._index_entries_max = 0

    def limit(self, size_bytes: int, index_entries: int) -> None:
        """Bound the segment by size, and by what fits into its indexes."""
        self._index_entries_max = index_entries
        full = len(self.index) >= index_entries or len(self.time_index) >= index_entries
        self.roll_at = 0 if full else min(size_bytes, _MAX_SIZE_BYTES)

    @property
    def transaction_index_path(self) -> str:
        """Path of the index of aborted transactions."""
        return self.stem + TXN_INDEX_SUFFIX

    def note(
        self, header: BatchHeader, base_offset: int, position: int, size: int, interval_bytes: int
    ) -> None:
        """Account for a batch at `position`: timestamps and, every `interval_bytes`, index entries (Kafka's rule)."""
        last_offset = base_offset + header.last_offset_delta
        timestamp = header.max_timestamp
        if timestamp > self.max_timestamp:
            self.max_timestamp = timestamp
            self.max_timestamp_offset = last_offset
        if self.first_timestamp < 0:
            self.first_timestamp = timestamp
            self.roll_after = timestamp if timestamp >= 0 else self.created_ms
        if self._bytes_since_index > interval_bytes:
            self.index.append(last_offset - self.base_offset, position)
            self.note_time()
            self._bytes_since_index = 0
            if len(self.index) >= self._index_entries_max:
                self.roll_at = 0
        self._bytes_since_index += size

    def note_time(self) -> None:
        """Add the largest timestamp so far to the time index, unless it is there.

        While nobody has looked what a reopened segment's largest timestamp is, nothing is added: keys must not fall.
        """
        if self.times_known and self.max_timestamp > self.indexed_timestamp:
            self.time_index.append(self.max_timestamp, self.max_timestamp_offset - self.base_offset)
            self.indexed_timestamp = self.max_timestamp

    def note_aborted(self, aborted: AbortedTransaction | None) -> None:
        """Remember what the marker that was just appended aborted."""
        if aborted is not None:
            if self.aborted is None:
                self.aborted = TransactionIndex()
            self.aborted.append(aborted)

    def adopt_aborted(self, entries: Sequence[AbortedTransaction]) -> None:
        """Take what a scan of the log has found in the place of all entries."""
        if entries or self.aborted is not None:
            self.aborted = TransactionIndex.replacing(entries)

    def seal(self) -> None:
        """No more appends: the next segment has begun."""
        self.sealed = True
        if self.size:
            self.note_time()

    # Writing

    @property
    def indexes_due(self) -> bool:
        """Whether a checkpoint should write index entries: not for a few of a segment that is still appended to.

        Lookups find them in memory, and after a crash a reader walks a little further.
        """
        return (
            self.sealed
            or self.index.trim
            or self.time_index.trim
            or self.index.unwritten_entries >= INDEX_WRITE_ENTRIES
        )

    def unwritten(self, *, with_indexes: bool, cached: bool = True) -> WriteJob | None:
        """The tail and the index entries that the files lack, or None."""
        if not self.tail and not with_indexes:
            return None
        index = self.index.take_unwritten() if with_indexes else NO_INDEX_WRITE
        times = self.time_index.take_unwritten() if with_indexes else NO_INDEX_WRITE
        if not self.tail and not (index.data or index.trim or times.data or times.trim):
            return None
        start = self.tail[0].position if self.tail else self.written
        return WriteJob(self, start, self.tail[:], index, times, self.size, cached)

    def write_steps(self, job: WriteJob, pool: FilePool) -> Steps[None]:
        """Lane: put a job into the files (page cache)."""
        if job.items:
            file = pool.get(self.path, create=True, pin=True)
            cached = job.cached or job.end - job.position < UNCACHED_BYTES_MIN
            file.pwritev([item.buffer for item in job.items], job.position, cached=cached)
            pool.keep(self.path, file)
            yield
        yield from self.write_index_steps(job, pool)

    def write_index_steps(self, job: WriteJob, pool: FilePool) -> Steps[None]:
        """Lane: put a job's index entries into their files."""
        for path, (position, data, trim) in (
            (self.index_path, job.offset_entries),
            (self.time_index_path, job.time_entries),
        ):
            if data:
                pool.get(path, create=True).pwritev([data], position)
                yield
            if trim and pool.vfs.exists(path):
                pool.get(path).truncate(position + len(data))
                yield

    def written_to(self, position: int) -> int:
        """The file now holds everything below `position`; returns how many bytes left the tail."""
        self.written = max(self.written, position)
        tail = self.tail
        count = 0
        freed = 0
        for item in tail:
            if item.position >= position:
                break
            count += 1
            freed += item.size
        del tail[:count]
        return freed

    def cut(self, position: int, end_offset: int, maps: MapCache) -> None:
        """The segment ends at `position` now, before `end_offset`; the file is cut by the caller's lane."""
        self.size = position
        self.written = min(self.written, position)
        self.synced = min(self.synced, position)
        self.tail = [item for item in self.tail if item.position < position]
        self.sealed = self.indexes_durable = False
        if self.aborted is not None:
            self.aborted.truncate(end_offset)
        relative = end_offset - self.base_offset
        for index, path, field in (
            (self.index, self.index_path, 0),
            (self.time_index, self.time_index_path, 1),
        ):
            try:
                index.truncate(relative, maps, path, field=field)
            except FileNotFoundError:
                index.reset()
            maps.forget(path)
        self.indexed_timestamp = -1
        if position == 0:
            self.first_timestamp = -1
            self.roll_after = 1 << 62
        self.max_timestamp = -1
        self.max_timestamp_offset = self.base_offset
        self._times_from = -1
        self.times_known = position == 0

    def adopt_indexes(self, offsets: array[int], times: array[int], *, in_files: bool) -> None:
        """Take rebuilt entries (key, value, ...): those in memory that come behind them stay, all others go."""
        self.index_rebuilt = True
        self.index.replace(offsets, in_files=in_files)
        self.time_index.replace(times, in_files=in_files)
        memory = self.time_index.memory
        self.indexed_timestamp = memory[-2] if memory else times[-2] if times else -1
        self._times_from = -1

    def file_paths(self) -> list[str]:
        """Every file that may belong to the segment."""
        return [self.stem + suffix for suffix in SUFFIXES]

    def __repr__(self) -> str:
        return f"<segment {self.path} synced {self.synced} written {self.written} size {self.size}>"
