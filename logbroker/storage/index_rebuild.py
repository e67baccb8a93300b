"""Makes the indexes of a segment anew when they are missing, cut short or wrong.

A lookup that finds an index lying, or walks far because there is none, puts the segment among the suspects
(`MapCache.suspects`); until the index is there again, lookups walk. Each tick of the directory takes one suspect and reads its segment
on the lane `index`, batch by batch, under Kafka's rule for entries. A sealed segment's files are replaced as a whole (not synced: what
a crash leaves of them is checked like every index); an active one's entries go back to memory, before those that were added meanwhile,
and to the files with the next checkpoint.

A segment is rebuilt once in its life here: where the result is as far-spaced as the index before, batches are large or
`index.interval.bytes` is.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from logbroker.base import logs
from logbroker.records.batch import BatchHeader
from logbroker.storage.executor import Steps
from logbroker.storage.segment import MAX_RELATIVE_OFFSET
from logbroker.storage.segment_check import BatchWalk
from logbroker.storage.vfs import write_unsynced

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory
    from logbroker.storage.segment import Segment
    from logbroker.storage.segment_reading import ReadableSegment

_log = logs.get("storage")


class RebuiltIndexes(NamedTuple):
    """Entries of both indexes as key, value, key, value, ...; relative to the segment's base offset."""

    offsets: array[int]
    times: array[int]
    end: int
    """Bytes of the segment that they cover."""


class IndexBuilder:
    """Entries for batches as they pass, by the rule of `Segment.note`."""

    __slots__ = (
        "_base_offset",
        "_bytes_since",
        "_interval_bytes",
        "_last_relative",
        "_max_timestamp",
        "_max_timestamp_offset",
        "offsets",
        "times",
    )

    def __init__(self, base_offset: int, interval_bytes: int) -> None:
        self._base_offset = base_offset
        self._interval_bytes = interval_bytes
        self._bytes_since = 0
        self._last_relative = -1
        self._max_timestamp = -1
        self._max_timestamp_offset = base_offset
        self.offsets: array[int] = array("q")
        self.times: array[int] = array("q")

    def batch(self, position: int, header: BatchHeader) -> None:
        """Hear of the next batch; one that can't be where it is gets no entry."""
        relative = header.last_offset - self._base_offset
        if not self._last_relative < relative <= MAX_RELATIVE_OFFSET:
            return
        self._last_relative = relative
        if header.max_timestamp > self._max_timestamp:
            self._max_timestamp = header.max_timestamp
            self._max_timestamp_offset = header.last_offset
        if self._bytes_since > self._interval_bytes:
            self.offsets.extend((relative, position))
            self.note_time()
            self._bytes_since = 0
        self._bytes_since += header.size_bytes

    def note_time(self) -> None:
        """Add the largest timestamp so far, unless it is there."""
        if self._max_timestamp > (self.times[-2] if self.times else -1):
            self.times.extend((self._max_timestamp, self._max_timestamp_offset - self._base_offset))


class IndexRebuilder:
    """Works off the suspects of one log directory, one at a time. Loop thread only, but for `_steps`."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._busy = False

    def tick(self) -> None:
        """Begin with the next suspect, if nothing is under way."""
        suspects = self._directory.maps.suspects
        if not suspects or self._busy or self._directory.offline_reason is not None:
            return
        owned = self._owned(suspects.popitem()[0])
        if owned is None:
            return
        log, segment = owned
        if segment.dropped or not segment.written or segment.index_rebuilt:
            return
        if not segment.placed:  # its name leads to its predecessor's file
            suspects[segment] = None
            return
        self._busy = True
        sealed = segment.sealed
        self._directory.executor.submit(
            "index",
            self._steps(segment, log.config.index_interval_bytes, segment.written, sealed=sealed),
            lambda found, error: self._rebuilt(log, segment, found, error, sealed=sealed),
        )

    def _owned(self, suspect: ReadableSegment) -> tuple[Log, Segment] | None:
        """The log that it belongs to, and itself; None if it was taken out."""
        folder = suspect.path.rpartition("/")[0]
        for log in self._directory.logs.values():
            if log.path == folder:
                return next(((log, segment) for segment in log.segments if segment is suspect), None)
        return None

    def _steps(
        self, segment: Segment, interval_bytes: int, end: int, *, sealed: bool
    ) -> Steps[RebuiltIndexes | None]:
        """Lane: read the segment; the entries, or None if there is no file any more."""
        directory = self._directory
        builder = IndexBuilder(segment.base_offset, interval_bytes)
        try:
            file = directory.vfs.open(segment.path)
        except FileNotFoundError:
            return None
        try:
            walk = BatchWalk(segment.path, file.pread, 0, end, gaps_allowed=True, on_batch=builder.batch)
            yield from walk.steps()
        finally:
            file.close()
        if sealed:
            builder.note_time()
            for path, index, entries in (
                (segment.index_path, segment.index, builder.offsets),
                (segment.time_index_path, segment.time_index, builder.times),
            ):
                if segment.dropped:
                    return None
                write_unsynced(directory.vfs, path, index.encode(entries))
                yield
        return RebuiltIndexes(builder.offsets, builder.times, end)

    def _rebuilt(
        self,
        log: Log,
        segment: Segment,
        found: RebuiltIndexes | None,
        error: BaseException | None,
        *,
        sealed: bool,
    ) -> None:
        directory = self._directory
        self._busy = False
        if error is not None:
            _log.warning(
                "an index can't be rebuilt", partition=log.name, segment=segment.path, reason=str(error)
            )
            return
        successor = next(
            (other for other in log.segments if other.path == segment.path and other is not segment), None
        )
        if (
            successor is not None
        ):  # compaction made it meanwhile, and its index files may be the old one's now
            directory.maps.suspects[successor] = None
            return
        if segment.dropped:  # maybe just now, and its files have other names already
            leftover = self._unlink_steps([segment.index_path, segment.time_index_path])
            directory.executor.submit("writer", leftover, lambda *_: None)
            return
        if found is None or segment.written < found.end:
            return
        for path in (segment.index_path, segment.time_index_path):
            directory.maps.forget(path)
            directory.pool.forget(path)
        segment.adopt_indexes(found.offsets, found.times, in_files=sealed and segment.sealed)
        if not sealed:
            directory.mark_dirty(log)
        _log.warning(
            "the indexes of a segment were missing or wrong and have been rebuilt",
            partition=log.name,
            segment=segment.path,
            entries=len(found.offsets) // 2,
        )

    def _unlink_steps(self, paths: list[str]) -> Steps[None]:
        for path in paths:
            self._directory.vfs.unlink(path)
            yield
