"""The segments that a partition's plan names, as recovery finds their files, before anything is replayed over them.

A segment that is missing or shorter than when it was synced is corruption, unless the log's start has left it behind. Index
files are not trusted: of an active segment's only those entries count that are in order and below what the point covers,
and a `.txnindex` counts as far as the point says, or the log must be scanned.

Runs on a lane. A start asks this of every partition, so each file is asked for once: the folder is listed by the caller.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING

from logbroker.base.errors import CorruptionError
from logbroker.storage.executor import Steps
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY, SparseIndex, rising_entries
from logbroker.storage.replay import Plan
from logbroker.storage.segment import Segment
from logbroker.storage.segment_files import TXN_INDEX_SUFFIX, bases_of
from logbroker.storage.transaction_index import ENTRY as ABORTED_ENTRY
from logbroker.storage.transaction_index import TransactionIndex, decode

if TYPE_CHECKING:
    from logbroker.storage.log_dir import LogDirectory


class KnownSegments:
    """What was found.

    Attributes:
        segments: By base offset; those that the log's start has left behind are not among them.
        file_bytes: The length of each of their files that is there.
        changed: Whether an index is no longer what the point says.
        scan_aborted: Whether an index of aborted transactions isn't what it should be.
    """

    __slots__ = ("_directory", "_path", "_unclean", "changed", "file_bytes", "scan_aborted", "segments")

    def __init__(self, directory: LogDirectory, path: str, *, unclean: bool) -> None:
        self._directory = directory
        self._path = path
        self._unclean = unclean
        self.segments: dict[int, Segment] = {}
        self.file_bytes: dict[int, int] = {}
        self.changed = False
        self.scan_aborted = False

    def open_steps(self, names: list[str], plan: Plan, aborted: Mapping[int, int]) -> Steps[None]:
        """Compare the plan with the folder's `names`; `aborted` counts the entries of each `.txnindex`. Raises CorruptionError, OSError."""
        vfs = self._directory.vfs
        present, there = frozenset(bases_of(names)), frozenset(names)
        last = max(plan.sizes, default=-1)
        for base, size in sorted(plan.sizes.items()):
            if plan.is_dead(base, present=base in present):
                continue  # retention had begun to remove it
            segment = Segment(self._path, base, size=size, created_ms=self._directory.clock.wall_ms())
            if size and base not in present:
                raise CorruptionError(segment.path, 0, f"the segment is missing; it held {size} bytes")
            if base in present:
                actual = self.file_bytes[base] = vfs.file_size(segment.path)
                if actual < size:
                    raise CorruptionError(segment.path, actual, f"the file ends {size - actual} bytes early")
                segment.created_ms = vfs.modified_ms(segment.path)
            segment.sealed = segment.indexes_durable = base != last
            # What is replayed is noted again: of the entries only those count that the point knows.
            self._load_indexes(segment, there, min(plan.reach[base], plan.covered))
            self.segments[base] = segment
            yield
        for name in names:
            if name.endswith(TXN_INDEX_SUFFIX) and name[:20].isdecimal():
                base = int(name[:20])
                if base in self.segments:
                    self._load_aborted(self.segments[base], aborted.get(base, 0), plan.covered)
                    yield
        for base in aborted:
            if base in self.segments and self.segments[base].aborted is None:
                self.scan_aborted = True  # the file is gone

    def _load_indexes(self, segment: Segment, there: frozenset[str], reach: int) -> None:
        limit = reach - segment.base_offset
        if segment.size:
            self._load(segment.index, segment.index_path, there, limit if not segment.sealed else None, 0)
            self._load(
                segment.time_index, segment.time_index_path, there, limit if not segment.sealed else None, 1
            )
        if segment.index.trim or segment.time_index.trim:
            self.changed = True

    def _load(
        self, index: SparseIndex, path: str, there: frozenset[str], limit: int | None, field: int
    ) -> None:
        """Take the file's entries; with a `limit`, those whose relative offset (the entry's `field`) is below it."""
        if path[len(self._path) + 1 :] not in there:
            return
        entry = TIME_ENTRY if field else OFFSET_ENTRY
        if limit is None:
            size = self._directory.vfs.file_size(path)
            index.file_entries = size // entry.size
            index.trim = size % entry.size != 0
            return
        file = self._directory.pool.get(path)
        size = file.size()
        data = file.pread(size, 0)
        count = size // entry.size
        if self._unclean:  # its pages are synced when it is sealed: some may be missing
            count = rising_entries(data, entry.size)
        kept = bisect_left(
            range(count), limit, key=lambda at: entry.unpack_from(data, at * entry.size)[field]
        )
        index.file_entries = kept
        index.trim = kept * entry.size < size

    def _load_aborted(self, segment: Segment, count: int, covered: int) -> None:
        """Aborted transactions whose markers the point vouches for; those of later ones are found again with the markers."""
        path = segment.transaction_index_path
        file = self._directory.pool.get(path)
        size = file.size()
        if count * ABORTED_ENTRY.size > size:
            self.scan_aborted = True
            return
        data = file.pread(count * ABORTED_ENTRY.size, 0)
        try:
            decode(data, path, base_offset=segment.base_offset, end_offset=covered)
        except CorruptionError:
            self.scan_aborted = True
            return
        segment.aborted = TransactionIndex(data)
        if len(data) < size:
            segment.aborted.trim = self.changed = True
