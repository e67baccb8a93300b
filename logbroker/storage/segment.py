"""One segment of a log: a file of record batches and its two sparse indexes.

    00000000000000000042.log         batches, back to back (Kafka's format; the name is the base offset)
    00000000000000000042.index       offset -> position
    00000000000000000042.timeindex   timestamp -> offset
    00000000000000000042.txnindex    aborted transactions, where there are any (`transaction_index.py`)

A batch that was just appended lies in the segment's *tail*, in memory, until the writer lane has put it into the file:
its durability is the journal's business (`journal.py`), and many appends to one partition cost one write. Three marks in bytes:

    synced <= written <= size        durable in this file; in this file; appended

Loop thread only, but for `write_steps`. Crash story: after a crash the file may hold anything above `synced`; recovery
writes every journaled batch to its position again and cuts the rest (`recovery.py`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import HEADER_SIZE, LOG_OVERHEAD, BatchHeader, parse_header
from logbroker.storage.append import JournalItem
from logbroker.storage.damage import DamagedRanges, intact_bytes
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
from logbroker.storage.reader import SCAN_BYTES, Reader, Walk, WouldBlockError
from logbroker.storage.segment_files import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SUFFIXES,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
)
from logbroker.storage.transaction_index import AbortedTransaction, TransactionIndex

__all__ = ["MAX_RELATIVE_OFFSET", "Reader", "Segment", "WouldBlockError", "WriteJob"]

_LONG_WALK_BYTES = 2 << 20
"""A lookup that walks further than this suspects the index."""
_MAX_SIZE_BYTES = (1 << 31) - 1
MAX_RELATIVE_OFFSET = (1 << 31) - 1
"""Positions in the offset index are 31 bits (Kafka)."""

INDEX_WRITE_ENTRIES = 64
"""Index entries that wait in memory while their segment is active; at most so many intervals aren't indexed after a crash."""
UNCACHED_BYTES_MIN = 262_144
"""A smaller write stays in the page cache: the next one would have to read its last page back."""


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


class Segment:
    """A contiguous piece of a partition's log, in one file."""

    __slots__ = (
        "_bytes_since_index",
        "_index_entries_max",
        "_times_from",
        "aborted",
        "base_offset",
        "created_ms",
        "damage",
        "dropped",
        "first_timestamp",
        "index",
        "index_rebuilt",
        "indexed_timestamp",
        "indexes_durable",
        "max_timestamp",
        "max_timestamp_offset",
        "name_durable",
        "path",
        "placed",
        "roll_after",
        "roll_at",
        "sealed",
        "size",
        "stem",
        "synced",
        "tail",
        "time_index",
        "times_known",
        "written",
    )

    def __init__(self, directory: str, base_offset: int, *, size: int = 0, created_ms: int = 0) -> None:
        self.base_offset = base_offset
        self.stem = f"{directory}/{base_offset:020d}"
        self.path = self.stem + LOG_SUFFIX
        self.size = size
        self.written = size
        self.synced = size
        self.tail: list[JournalItem] = []
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
        self.damage: DamagedRanges = ()
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
    def index_path(self) -> str:
        """Path of the offset index."""
        return self.stem + INDEX_SUFFIX

    @property
    def time_index_path(self) -> str:
        """Path of the time index."""
        return self.stem + TIME_INDEX_SUFFIX

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

    # Reading

    def locate(self, offset: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        """(position, header) of the batch that holds `offset` or, in a gap, of the next one; None past the end.

        Raises WouldBlockError, OSError; CorruptionError if the file isn't a chain of batches.
        """
        tail = self.tail
        if tail and offset >= tail[0].base_offset:
            at = bisect_right(tail, offset, key=_base_offset) - 1
            item = tail[at]
            if offset >= item.next_offset:
                if at + 1 == len(tail):
                    return None
                item = tail[at + 1]
            return item.position, parse_header(item.buffer)
        found = self._walk_from(self._floor(offset, reader), offset, reader)
        if found is None and tail:
            return tail[0].position, parse_header(tail[0].buffer)
        return found

    def _floor(self, offset: int, reader: Reader) -> int:
        """A batch boundary at or before `offset`, by the index if it can be believed, else the start."""
        try:
            entry = self.index.floor(offset - self.base_offset, reader.maps, self.index_path)
        except FileNotFoundError:
            self.index.reset()
            reader.maps.suspects[self] = None
            return 0
        if entry is None:
            return 0
        relative, position = entry
        if position + HEADER_SIZE <= self.written and relative <= offset - self.base_offset:
            data = reader.read(self.path, min(SCAN_BYTES, self.written - position), position)
            if len(data) >= HEADER_SIZE:
                try:
                    header = parse_header(data)
                except (
                    Exception
                ):  # not a batch: the index is wrong, and the walk from the start will tell more
                    header = None
                if header is not None and header.last_offset == relative + self.base_offset:
                    return position
        self.index.reset()
        reader.maps.forget(self.index_path)
        reader.maps.suspects[self] = None
        return 0

    def offset_behind(self, position: int, reader: Reader) -> int | None:
        """An offset at or behind `position`, from the offset index: that of its first entry there; None if there is none."""
        try:
            found = self.index.ceiling_value(position, reader.maps, self.index_path)
        except FileNotFoundError:
            self.index.reset()
            reader.maps.suspects[self] = None
            return None
        return None if found is None else found[0] + self.base_offset

    def _walk_from(self, position: int, offset: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        end = self.tail[0].position if self.tail else self.written
        data, floor = b"", position
        position, least = reader.walked(Walk(self.path, position, self.base_offset, offset, end))
        start = position
        while position + HEADER_SIZE <= end:
            if position + HEADER_SIZE > start + len(data):
                if position - floor > _LONG_WALK_BYTES and not self.index_rebuilt:
                    reader.maps.suspects[self] = None
                data = reader.scan(Walk(self.path, position, least, offset, end))
                start = position
                if len(data) < HEADER_SIZE:
                    raise CorruptionError(self.path, position, f"the file ends {end - position} bytes early")
            header = self._believable(data, position - start, position, end, least)
            if header.next_offset > offset:
                return position, header
            least = header.next_offset
            position += header.length + LOG_OVERHEAD
        if position != end:
            raise CorruptionError(self.path, position, f"{end - position} bytes where a batch should be")
        return None

    def _believable(self, data: Buffer, at: int, position: int, end: int, least: int) -> BatchHeader:
        """The header of the batch at `position`, if it can be true of a batch that ends before `end` and begins at offset `least` or later."""
        try:
            header = parse_header(data, at)
        except Exception as error:
            raise CorruptionError(self.path, position, str(error)) from error
        if header.size_bytes > end - position:
            what = f"a batch of {header.size_bytes} bytes where {end - position} are left"
        elif header.base_offset < least:
            what = f"base offset {header.base_offset} where {least} or more is next"
        elif not 0 <= header.last_offset_delta <= self.base_offset + MAX_RELATIVE_OFFSET - header.base_offset:
            what = (
                f"offsets {header.base_offset} to {header.last_offset} in a segment from {self.base_offset}"
            )
        else:
            return header
        raise CorruptionError(self.path, position, what)

    def read(self, position: int, size: int, reader: Reader) -> list[Buffer]:
        """`size` bytes from `position` (a batch boundary) on, from file and tail, without copying the tail."""
        if self.damage:
            size = intact_bytes(self.path, self.damage, position, size)
        parts: list[Buffer] = []
        tail = self.tail
        if not tail or position < tail[0].position:
            in_file = min(size, (tail[0].position if tail else self.written) - position)
            if in_file > 0:
                data = reader.read(self.path, in_file, position)
                if len(data) < in_file:
                    raise CorruptionError(
                        self.path, position + len(data), f"the file ends {in_file - len(data)} bytes early"
                    )
                parts.append(data)
                position += in_file
                size -= in_file
        if size > 0 and tail:
            at = bisect_right(tail, position, key=_position) - 1
            for item in tail[max(at, 0) :]:
                if size <= 0:
                    break
                parts.append(item.buffer if item.size <= size else memoryview(item.buffer)[:size])
                size -= item.size
        return parts

    def find_timestamp(
        self, timestamp_ms: int, reader: Reader, from_offset: int = 0
    ) -> tuple[int, BatchHeader] | None:
        """(position, header) of the first batch whose max timestamp is at least `timestamp_ms`; None if there is none.

        Batches that end before `from_offset` are passed over.
        """
        position = 0
        try:
            entry = self.time_index.floor(timestamp_ms - 1, reader.maps, self.time_index_path)
        except FileNotFoundError:
            self._doubt_times(reader)
            entry = None
        if entry is not None:
            located = self.locate(entry[1] + self.base_offset, reader)
            if (
                located is not None
                and located[1].max_timestamp == entry[0] < timestamp_ms
                and located[1].last_offset == entry[1] + self.base_offset
            ):
                position = located[0]
            else:
                self._doubt_times(reader)
        if from_offset > self.base_offset:
            located = self.locate(from_offset, reader)
            if located is None:
                return None
            position = max(position, located[0])
        found = self._walk_times(position, timestamp_ms, reader)
        if found is None:
            for item in self.tail:
                header = parse_header(item.buffer)
                if header.max_timestamp >= timestamp_ms and item.position >= position:
                    return item.position, header
        return found

    def _walk_times(self, position: int, timestamp_ms: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        for at, header in self._headers(position, reader):
            if header.max_timestamp >= timestamp_ms:
                return at, header
        return None

    def _headers(self, position: int, reader: Reader) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of every batch in the file from `position` on."""
        end = self.tail[0].position if self.tail else self.written
        floor = position
        least = self.base_offset
        while position + HEADER_SIZE <= end:
            if position - floor > _LONG_WALK_BYTES and not self.index_rebuilt:
                reader.maps.suspects[self] = None
            data = reader.read(self.path, min(SCAN_BYTES, end - position), position)
            at = 0
            while at + HEADER_SIZE <= len(data):
                header = self._believable(data, at, position + at, end, least)
                yield position + at, header
                least = header.next_offset
                at += header.length + LOG_OVERHEAD
            if at == 0:
                raise CorruptionError(self.path, position, f"the file ends {end - position} bytes early")
            position += at

    def load_times(self, reader: Reader) -> None:
        """Learn the largest timestamp of a reopened segment: its last time index entry, and what lies behind it.

        What was walked before a WouldBlockError isn't walked again; with a reader that never blocks there is one after
        every `_LONG_WALK_BYTES`, so that the loop gets a turn.
        """
        if self.times_known:
            return
        if self._times_from < 0:
            self._times_from = self._times_floor(reader)
        start = self._times_from
        for position, header in self._headers(start, reader):
            if reader.nowait and position - start > _LONG_WALK_BYTES:
                raise WouldBlockError(self.path, HEADER_SIZE, position)
            timestamp, offset = header.max_timestamp, header.last_offset
            if timestamp > self.max_timestamp or (
                timestamp == self.max_timestamp and offset < self.max_timestamp_offset
            ):
                self.max_timestamp = timestamp
                self.max_timestamp_offset = offset
            self._times_from = position + header.length + LOG_OVERHEAD
        self.times_known = True

    def _times_floor(self, reader: Reader) -> int:
        """Position of the batch that the time index names last, 0 if it can't be believed."""
        try:
            last = self.time_index.last(reader.maps, self.time_index_path)
        except FileNotFoundError:
            self._doubt_times(reader)
            return 0
        if last is None:
            return 0
        located = self.locate(last[1] + self.base_offset, reader)
        if (
            located is not None
            and located[1].max_timestamp == last[0]
            and located[1].last_offset == last[1] + self.base_offset
        ):
            self.indexed_timestamp = last[0]
            return located[0]
        self._doubt_times(reader)
        return 0

    def _doubt_times(self, reader: Reader) -> None:
        """The time index is not to be believed."""
        self.time_index.reset()
        self.indexed_timestamp = -1
        reader.maps.forget(self.time_index_path)
        reader.maps.suspects[self] = None

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


def _base_offset(item: JournalItem) -> int:
    return item.base_offset


def _position(item: JournalItem) -> int:
    return item.position
