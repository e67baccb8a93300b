"""One pass of compaction over one partition: read its sealed segments, write what is left of them beside them.

    index   every key of the dirty range, with its latest offset, goes into a map of bounded size; where the map is full the range ends
    rewrite segments from the log's first on are read again in groups, each small enough for one segment; what the rules of
            `compaction_filter.py` leave of a group goes into `<base>.log.cleaned`, with both indexes and the aborted-transaction index

Nothing here touches a file that anybody reads, so a crash at any moment leaves nothing but `.cleaned` files, which the next start removes.
Making a cleaned file the segment is `swap.py`'s business; for that every file is synced here.

Runs on a lane, or in a process of its own (`cleaner_process.py`): a generator that yields between reads, over any `Vfs`. Memory is bounded by
the map, `log.cleaner.io.buffer.size` (or the largest batch) and a batch's records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.records.batch import HEADER_SIZE, BatchHeader, parse_header
from logbroker.storage.compaction_filter import Rules, filter_batch, index_batch
from logbroker.storage.compaction_transactions import CleanedTransactions
from logbroker.storage.executor import Steps
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY, SparseIndex
from logbroker.storage.index_rebuild import IndexBuilder
from logbroker.storage.offset_map import OffsetMap
from logbroker.storage.segment_files import (
    CLEANED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    file_name,
)
from logbroker.storage.transaction_index import ENTRY as TXN_ENTRY
from logbroker.storage.transaction_index import VERSION as TXN_VERSION
from logbroker.storage.transaction_index import AbortedTransaction
from logbroker.storage.vfs import File, Vfs

WRITE_BYTES = 1 << 20
SEGMENT_BYTES_MAX = (1 << 31) - 1
RELATIVE_OFFSET_MAX = (1 << 31) - 1
RECORD_BYTES_MIN = 20
"""What a record with a key takes at least, nearly; only an idea of how large the map may have to be."""


class Source(msgspec.Struct, array_like=True, frozen=True):
    """A sealed segment that is read."""

    base_offset: int
    size_bytes: int
    next_base: int
    """Where the segment behind it begins."""


class Job(msgspec.Struct, array_like=True, frozen=True):
    """All that a pass has to know."""

    path: str
    """The partition's folder."""
    sources: list[Source]
    """Every segment from the log's first on that may be read, ascending."""
    first_dirty: int
    """Nothing below it has been cleaned less than once."""
    now_ms: int
    delete_retention_ms: int
    index_interval_bytes: int
    segment_bytes: int
    index_bytes: int
    map_bytes: int
    load_factor: float
    read_bytes: int
    max_bytes_per_second: float
    producers: list[tuple[int, int, int]]
    """(producer id, offset of its last data batch's last record or -1, epoch)"""
    aborted: list[tuple[int, int, int, int]]
    """`AbortedTransaction` entries that touch the segments."""


class Indexed(msgspec.Struct, array_like=True, frozen=True):
    """What the first half found."""

    end_offset: int
    """The pass covers the log up to here; below the last segment's end if the map was full."""
    keys: int
    records: int
    bytes_read: int
    groups: list[list[int]]
    """Numbers of the sources that become one segment each, ascending."""


class Cleaned(msgspec.Struct, array_like=True, frozen=True):
    """What became of a group."""

    base_offset: int
    next_base: int
    size_bytes: int
    index_entries: int
    time_entries: int
    indexed_timestamp: int
    first_timestamp: int
    max_timestamp: int
    max_timestamp_offset: int
    aborted: list[tuple[int, int, int, int]]
    """`AbortedTransaction` entries of markers that stay."""
    bytes_read: int
    records_read: int
    records_kept: int
    rebuilt_batches: int
    unchanged: bool
    """The group is one segment and nothing of it went."""


def entry_of(aborted: AbortedTransaction) -> tuple[int, int, int, int]:
    """The fields, for a job or its result."""
    return aborted.producer_id, aborted.first_offset, aborted.last_offset, aborted.last_stable_offset


class Compaction:
    """One pass; see the module.

    Args:
        vfs: Where the files are.
        job: What to do.
        pause: How it waits for its rate, in seconds.

    """

    def __init__(self, vfs: Vfs, job: Job, pause: Callable[[float], None] = time.sleep) -> None:
        self._vfs = vfs
        self._job = job
        self._pause = pause
        self._moved_bytes = 0
        self._began = time.monotonic()
        dirty_bytes = sum(source.size_bytes for source in job.sources if source.next_base > job.first_dirty)
        self._offsets = OffsetMap(job.map_bytes, job.load_factor, dirty_bytes // RECORD_BYTES_MIN)
        self._latest = job.first_dirty - 1
        self._end = job.first_dirty
        aborted = [AbortedTransaction(*entry) for entry in job.aborted]
        self._aborted = aborted
        self._transactions = CleanedTransactions(aborted)
        self._producers = {producer: (last, epoch) for producer, last, epoch in job.producers}

    # The map

    def index_steps(self) -> Steps[Indexed]:
        """Fill the map. Raises CorruptionError, OSError."""
        job = self._job
        records = bytes_read = 0
        transactions = CleanedTransactions(self._aborted)
        full = False
        for source in job.sources:
            if source.next_base <= job.first_dirty:
                continue
            file = self._vfs.open(self._file(source.base_offset))
            try:
                for buffer, at, header in self._batches(file, source):
                    if buffer is None:
                        yield
                        continue
                    try:
                        full = not index_batch(
                            buffer, header, at, self._offsets, job.first_dirty, transactions
                        )
                    except InvalidBatchError as error:
                        raise CorruptionError(
                            file.path, 0, f"offset {header.base_offset}: {error}"
                        ) from error
                    if full:
                        break
                    records += header.record_count
                    bytes_read += header.size_bytes
                    self._latest = max(self._latest, header.last_offset)
            finally:
                file.close()
            if full:
                break
            self._latest = max(self._latest, source.next_base - 1)
        self._end = self._latest + 1
        return Indexed(self._end, self._offsets.size, records, bytes_read, self._groups())

    def _groups(self) -> list[list[int]]:
        """Which sources fit into one segment together, by what they hold now (Kafka's rule)."""
        job = self._job
        groups: list[list[int]] = []
        size = index_bytes = 0
        limit = min(job.segment_bytes, SEGMENT_BYTES_MAX)
        for number, source in enumerate(job.sources):
            if source.base_offset >= self._end:
                break
            path = self._file(source.base_offset, INDEX_SUFFIX)
            entries = self._vfs.file_size(path) if self._vfs.exists(path) else 0
            group = groups[-1] if groups else None
            if (
                group is not None
                and size + source.size_bytes <= limit
                and index_bytes + entries <= job.index_bytes
                and source.next_base - 1 - job.sources[group[0]].base_offset <= RELATIVE_OFFSET_MAX
            ):
                group.append(number)
                size += source.size_bytes
                index_bytes += entries
            else:
                groups.append([number])
                size, index_bytes = source.size_bytes, entries
        return groups

    # Rewriting

    def rewrite_steps(self, numbers: list[int]) -> Steps[Cleaned]:
        """Write what is left of the next group; groups come in order. Raises CorruptionError, OSError."""
        job = self._job
        sources = [job.sources[number] for number in numbers]
        base = sources[0].base_offset
        rules = Rules(
            self._offsets,
            self._latest,
            self._end,
            job.now_ms,
            job.delete_retention_ms,
            self._producers,
            self._transactions,
        )
        self._transactions.kept = []
        output = _Output(self._vfs, f"{job.path}/{file_name(base, '')}", base, job.index_interval_bytes)
        room = SEGMENT_BYTES_MAX - sum(source.size_bytes for source in sources)
        read = kept = bytes_read = rebuilt = lost = 0
        try:
            for source in sources:
                file = self._vfs.open(self._file(source.base_offset))
                try:
                    for buffer, at, header in self._batches(file, source):
                        if buffer is None:
                            if output.waiting_bytes >= WRITE_BYTES:
                                self._throttle(output.flush())
                            yield
                            continue
                        try:
                            left = filter_batch(buffer, header, at, rules)
                        except InvalidBatchError as error:
                            what = f"offset {header.base_offset}: {error}"
                            raise CorruptionError(file.path, 0, what) from error
                        read += header.record_count
                        bytes_read += header.size_bytes
                        batch = left.batch
                        if batch is None:
                            lost += 1
                            room += header.size_bytes
                            continue
                        kept += left.records
                        if left.original:
                            output.add(batch, header)
                            continue
                        growth = len(batch) - header.size_bytes
                        if growth > room:  # a horizon makes small records longer
                            output.add(memoryview(buffer)[at : at + header.size_bytes], header)
                            continue
                        room -= growth
                        rebuilt += 1
                        output.add(batch, left.header)
                finally:
                    file.close()
            self._throttle(output.flush())
            yield
            yield from output.finish_steps(self._transactions.kept)
        finally:
            output.close()
        return output.result(
            sources[-1].next_base,
            bytes_read=bytes_read,
            records_read=read,
            records_kept=kept,
            rebuilt=rebuilt,
            unchanged=len(sources) == 1 and not lost and not rebuilt,
            aborted=[entry_of(entry) for entry in self._transactions.kept],
        )

    # Reading

    def _batches(self, file: File, source: Source) -> Iterator[tuple[bytes | None, int, BatchHeader]]:
        """(buffer, position in it, header) of each batch; a None buffer after each read, for others to have their turn."""
        position, end = 0, source.size_bytes
        least = source.base_offset
        wanted = max(self._job.read_bytes, HEADER_SIZE)
        while position < end:
            data = file.pread(min(wanted, end - position), position)
            self._throttle(len(data))
            at = 0
            size = len(data)
            header = _NOTHING
            while size - at >= HEADER_SIZE:
                try:
                    header = parse_header(data, at)
                except InvalidBatchError as error:
                    raise CorruptionError(file.path, position + at, str(error)) from error
                if header.base_offset < least or header.next_offset > source.next_base:
                    what = f"offsets {header.base_offset} to {header.last_offset} where {least} to {source.next_base} belong"
                    raise CorruptionError(file.path, position + at, what)
                following = at + header.size_bytes
                if following > size:
                    break
                least = header.next_offset
                yield data, at, header
                at = following
            yield None, 0, header
            if at == 0:
                need = header.size_bytes if size >= HEADER_SIZE else HEADER_SIZE
                if need <= wanted or position + need > end or size < min(wanted, end - position):
                    raise CorruptionError(file.path, position, f"no whole batch in the {size} bytes here")
                wanted = need
            else:
                wanted = max(self._job.read_bytes, HEADER_SIZE)
            position += at

    def _throttle(self, size_bytes: int) -> None:
        """Wait until what was read and written fits the rate."""
        self._moved_bytes += size_bytes
        ahead = self._moved_bytes / self._job.max_bytes_per_second - (time.monotonic() - self._began)
        if ahead > 0:
            self._pause(ahead)  # however long: whoever wants no more of it ends the process

    def _file(self, base: int, suffix: str = LOG_SUFFIX) -> str:
        return f"{self._job.path}/{file_name(base, suffix)}"


class _Output:
    """The files of one cleaned segment."""

    def __init__(self, vfs: Vfs, stem: str, base: int, index_interval_bytes: int) -> None:
        self._vfs = vfs
        self._stem = stem
        self._base = base
        for suffix in (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX):
            vfs.unlink(stem + suffix + CLEANED_SUFFIX)
        self._file = vfs.open(stem + LOG_SUFFIX + CLEANED_SUFFIX, create=True)
        self._index = IndexBuilder(base, index_interval_bytes)
        self._parts: list[Buffer] = []
        self.waiting_bytes = 0
        self._size = 0
        self._first_timestamp = -1
        self._max_timestamp = -1
        self._max_timestamp_offset = base

    def add(self, batch: Buffer, header: BatchHeader) -> None:
        """The next batch."""
        self._index.batch(self._size + self.waiting_bytes, header)
        timestamp = header.max_timestamp
        if self._first_timestamp < 0:
            self._first_timestamp = timestamp
        if timestamp > self._max_timestamp:
            self._max_timestamp = timestamp
            self._max_timestamp_offset = header.last_offset
        self._parts.append(batch)
        self.waiting_bytes += len(batch)

    def flush(self) -> int:
        """Write what waits; returns its bytes."""
        written = self.waiting_bytes
        if written:
            self._file.pwritev([b"".join(self._parts)], self._size, cached=False)
            self._size += written
            self._parts = []
            self.waiting_bytes = 0
        return written

    def finish_steps(self, transactions: list[AbortedTransaction]) -> Steps[None]:
        """Write the indexes and sync everything."""
        self._file.datasync()
        yield
        self._index.note_time()
        entries = b"".join([TXN_ENTRY.pack(TXN_VERSION, *entry) for entry in transactions])
        for suffix, data in (
            (INDEX_SUFFIX, SparseIndex(OFFSET_ENTRY).encode(self._index.offsets)),
            (TIME_INDEX_SUFFIX, SparseIndex(TIME_ENTRY).encode(self._index.times)),
            (TXN_INDEX_SUFFIX, entries),  # if it is empty it must yet replace another
        ):
            file = self._vfs.open(self._stem + suffix + CLEANED_SUFFIX, create=True)
            try:
                if data:
                    file.pwritev([data], 0)
                file.datasync()
            finally:
                file.close()
            yield

    def close(self) -> None:
        self._file.close()

    def result(
        self,
        next_base: int,
        *,
        bytes_read: int,
        records_read: int,
        records_kept: int,
        rebuilt: int,
        unchanged: bool,
        aborted: list[tuple[int, int, int, int]],
    ) -> Cleaned:
        times = self._index.times
        return Cleaned(
            self._base,
            next_base,
            self._size,
            len(self._index.offsets) // 2,
            len(times) // 2,
            times[-2] if times else -1,
            self._first_timestamp,
            self._max_timestamp,
            self._max_timestamp_offset,
            aborted,
            bytes_read,
            records_read,
            records_kept,
            rebuilt,
            unchanged,
        )


_NOTHING = BatchHeader(0, 0, 0, 2, 0, 0, 0, 0, 0, -1, -1, -1, 0)
