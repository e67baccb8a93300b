"""Write-back and checkpoints: how bytes leave memory and the journal for the segments, in the background.

*Write-back* puts tails into their files (page cache only) when they hold `log.writeback.bytes`: bounded memory, few
large writes instead of one an append. Where few partitions are written to, a quarter of that makes large writes already, and
what they do to the commits beside them is over sooner.

A *checkpoint* makes segments durable so that the journal's ring can be used again:

1. capture (loop, one instant): S, the sequence below which the loop has heard of every commit, and of every dirty partition its
   tail, its end, its producers' state. Whatever these don't show yet has a sequence of S or more.
2. write (lane `writer`): folders, tails, index entries; aborted transactions, which are synced at once.
3. sync (lanes `sync-N`): every file with unsynced bytes; then the names (lane `writer`): partition folders, log directory.
4. publish (lane `writer`): the checkpoint file, atomically, last.
5. recycle (loop): ring files below S are free.

A crash between any two steps leaves the old checkpoint and the whole ring it needs. Any error takes the directory offline.
A truncation takes turns with both (`exclusively`): nothing that was captured before it may be written or believed after it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from logbroker.base import failpoints
from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import Point, encode_point
from logbroker.storage.executor import Steps
from logbroker.storage.index import RECENT_ENTRIES, IndexWrite
from logbroker.storage.producer_state import ProducerEntry, encode_entries
from logbroker.storage.segment import Segment, WriteJob
from logbroker.storage.transaction_index import write_aborted_steps
from logbroker.storage.vfs import write_unsynced
from logbroker.storage.write_jobs import write_jobs_steps

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

SYNC_LANES = 4
EARLY_DIVISOR = 4
"""Write-back begins at this part of `log.writeback.bytes` already, if each dirty partition has enough for a large write."""
LARGE_WRITE_BYTES = 256 << 10
PRESSED_MS = 1000
"""Checkpoints that follow one another so closely mean that writing is all there is time for."""
READ_MS = 60_000
"""A partition that was read within this time has a reader."""

BEFORE_PUBLISH = failpoints.declare(
    "checkpoint.before_publish", "everything is durable in the segments, and the ring is kept still"
)

PartitionKey = tuple[bytes, int]
RawPoint = tuple[Point, dict[int, ProducerEntry]]
"""A point whose producers are not encoded yet: both as they were at one instant; any thread may encode them."""


class _Capture:
    """What one checkpoint carries from step to step."""

    __slots__ = (
        "aborted",
        "clean",
        "error",
        "folders",
        "folders_named",
        "generation",
        "jobs",
        "lanes_left",
        "logs",
        "names_synced",
        "points",
        "sealed",
        "sequence",
        "started",
        "syncs",
    )

    def __init__(self, sequence: int, generation: tuple[int, int], *, clean: bool) -> None:
        self.sequence = sequence
        self.generation = generation
        self.clean = clean
        self.points: dict[PartitionKey, bytes | RawPoint] = {}
        self.logs: list[Log] = []
        self.jobs: list[WriteJob] = []
        self.folders: list[Log] = []
        self.folders_named = False
        """Whether the names of `folders`, and what they say, are durable."""
        self.names_synced = False
        """Whether every name in `syncs` is durable."""
        self.syncs: list[tuple[Segment, int]] = []
        self.sealed: list[Segment] = []
        self.aborted: list[tuple[Segment, IndexWrite]] = []
        """What the indexes of aborted transactions lack."""
        self.lanes_left = 0
        self.error: BaseException | None = None
        self.started = time.perf_counter()


class Checkpointer:
    """Schedules both for one log directory; loop only, but for `*_steps`."""

    def __init__(
        self, directory: LogDirectory, *, writeback_bytes: int, interval_ms: int, checkpoint_bytes: int
    ) -> None:
        self._directory = directory
        self._writeback_bytes = writeback_bytes
        self._interval_ms = interval_ms
        self._checkpoint_bytes = checkpoint_bytes
        self.dirty: dict[Log, None] = {}
        """Partitions that changed since they were last captured."""
        self.points: dict[PartitionKey, bytes | RawPoint] = {}
        """The point of every partition as of its last capture; encoded once it was published."""
        self.tail_bytes = 0
        self.bytes_since = 0
        self.running = False
        self._writing_back = False
        self._last_ms = directory.clock.wall_ms()
        self._wanted = False
        self._exclusive: deque[Callable[[], None]] = deque()
        self._locked = False

    def keeps_cached(self, log: Log) -> bool:
        """Whether what is written to the partition's files now should stay in the page cache.

        Where checkpoints follow one another within a second, new pages of the cache cost more than the disk does,
        and soon push out what others read. There only a partition that somebody reads keeps them.
        """
        now_ms = self._directory.clock.wall_ms()
        if log.reads != log.reads_noted:
            log.reads_noted = log.reads
            log.read_ms = now_ms
        return now_ms - self._last_ms >= PRESSED_MS or now_ms - log.read_ms < READ_MS

    # When

    def exclusively(self, work: Callable[[], None]) -> None:
        """Call `work` when no checkpoint or write-back runs; none begins until it calls `release`."""
        self._exclusive.append(work)
        self._next()

    def release(self) -> None:
        """What `exclusively` began is done."""
        self._locked = False
        self._next()

    def _next(self) -> None:
        if self.running or self._writing_back or self._locked:
            return
        if self._exclusive:
            self._locked = True
            self._exclusive.popleft()()
        elif self._wanted:
            self.start()

    def close(self) -> None:
        """Nothing is under way any more: publish a last checkpoint, marked clean, then tell the directory."""
        self.start(clean=True)

    def appended(self, size_bytes: int, *, in_tail: bool) -> None:
        """Note appended bytes, and start what they make due."""
        self.bytes_since += size_bytes
        if in_tail:
            self.tail_bytes += size_bytes
        if self.running or self._writing_back or self._locked:
            return
        if self.bytes_since >= self._checkpoint_bytes:
            self.start()
        elif self.tail_bytes >= self._writeback_bytes // EARLY_DIVISOR and self.tail_bytes >= min(
            self._writeback_bytes, LARGE_WRITE_BYTES * len(self.dirty)
        ):
            self._start_writeback()

    def ring_pressed(self) -> None:
        """A ring file became full, or appends wait for the ring."""
        if self._directory.journal.pressure:
            self.start()

    def tick(self, now_ms: int) -> None:
        """Checkpoint what has waited for `log.checkpoint.interval.ms`."""
        if self.dirty and now_ms - self._last_ms >= self._interval_ms:
            self.start()

    def forget(self, log: Log) -> None:
        """The partition is gone: no checkpoint speaks of it again."""
        self.dirty.pop(log, None)
        if self.points.pop((log.topic_id_bytes, log.index), None) is not None:
            self._wanted = self._wanted or self.running
        for segment in log.segments:
            self.tail_bytes -= sum(item.size for item in segment.tail)
            segment.tail = []

    # Write-back

    def _start_writeback(self) -> None:
        directory = self._directory
        self._writing_back = True
        logs = {log: self.keeps_cached(log) for log in self.dirty}
        folders = [log for log in logs if not log.created]
        jobs = [
            job
            for log, cached in logs.items()
            for segment in log.segments
            if segment.tail and (job := segment.unwritten(with_indexes=False, cached=cached)) is not None
        ]
        directory.executor.submit(
            "writer",
            directory.guarded(self._write_steps(folders, jobs)),
            lambda _, error: self._written_back(jobs, error),
        )

    def _written_back(self, jobs: list[WriteJob], error: BaseException | None) -> None:
        self._writing_back = False
        if error is not None:
            self._directory.fail(error)
            self._next()
            return
        self._directory.stats.writebacks += 1
        for job in jobs:
            self._directory.written(job)
        self._next()

    def _write_steps(
        self, folders: list[Log], jobs: list[WriteJob], aborted: Sequence[tuple[Segment, IndexWrite]] = ()
    ) -> Steps[bool]:
        directory = self._directory
        named = yield from directory.create_folders_steps(folders)
        yield from write_jobs_steps(jobs, directory.pool)
        for segment, write in aborted:
            yield from write_aborted_steps(directory.pool, segment, write)
            directory.count_sync()
        return named

    # Checkpoint

    def start(self, *, clean: bool = False) -> None:
        """Begin a checkpoint, or remember to begin one when the running work is done."""
        directory = self._directory
        if directory.offline_reason is not None:
            return
        if self.running or self._writing_back or self._locked:
            self._wanted = True
            return
        self._wanted = False
        self.running = True
        capture = self._capture(clean=clean)

        def written(named: bool | None, error: BaseException | None) -> None:
            capture.folders_named = bool(named)
            self._sync(capture, error)

        work = self._write_steps(capture.folders, capture.jobs, capture.aborted)
        directory.executor.submit("writer", directory.guarded(work), written)

    def _capture(self, *, clean: bool) -> _Capture:
        directory = self._directory
        capture = _Capture(directory.journal.settled, directory.journal.generation, clean=clean)
        self.bytes_since = 0
        for log in self.dirty:
            capture.logs.append(log)
            log.dirty = False
            cached = self.keeps_cached(log)
            if not log.created:
                capture.folders.append(log)
            for segment in log.segments:
                job = segment.unwritten(with_indexes=clean or segment.indexes_due, cached=cached)
                if job is not None:
                    capture.jobs.append(job)
                if segment.synced < segment.size or (segment.size and not segment.name_durable):
                    capture.syncs.append((segment, segment.size))
                elif segment.size and segment.sealed and not segment.indexes_durable:
                    # Its batches were durable before it was sealed: what the seal wrote was not.
                    capture.syncs.append((segment, segment.size))
                if segment.sealed:
                    capture.sealed.append(segment)
                if segment.aborted is not None and not segment.aborted.is_written:
                    capture.aborted.append((segment, segment.aborted.take_unwritten()))
            self.points[(log.topic_id_bytes, log.index)] = (point_of(log), log.producers.capture())
        if clean:
            capture.jobs += self._unwritten_indexes()
        self._last_ms = directory.clock.wall_ms()
        self.dirty = {}
        capture.points = self.points.copy()
        return capture

    def _unwritten_indexes(self) -> Iterator[WriteJob]:
        """Index entries that wait in memory for more to come, of partitions that a last checkpoint has no other reason to look at."""
        for log in self._directory.logs.values():
            if log not in self.dirty and not log.refused and not self._directory.deletions.holds(log):
                job = log.segments[-1].unwritten(with_indexes=True)
                if job is not None:
                    yield job

    def _sync(self, capture: _Capture, error: BaseException | None) -> None:
        if error is not None:
            self._finish(capture, error)
            return
        for job in capture.jobs:
            self._directory.written(job)
        if len(capture.syncs) > self._directory.options.sync_filesystem_files:
            capture.lanes_left = 1
            self._directory.executor.submit(
                "sync-0",
                self._directory.guarded(self._sync_all_steps(capture)),
                lambda _, error: self._synced(capture, error),
            )
            return
        lanes = min(SYNC_LANES, len(capture.syncs))
        if lanes == 0:
            self._publish(capture)
            return
        capture.lanes_left = lanes
        for lane in range(lanes):
            part = capture.syncs[lane::lanes]
            self._directory.executor.submit(
                f"sync-{lane}",
                self._directory.guarded(self._sync_steps(part)),
                lambda _, error: self._synced(capture, error),
            )

    def _sync_all_steps(self, capture: _Capture) -> Steps[None]:
        """Many files: one sync of the whole file system costs it one commit instead of one a file."""
        directory = self._directory
        if directory.vfs.sync_filesystem(directory.path):
            capture.names_synced = True
            directory.count_sync()
            yield
        else:
            yield from self._sync_steps(capture.syncs)

    def _sync_steps(self, part: list[tuple[Segment, int]]) -> Steps[None]:
        directory = self._directory
        for segment, _ in part:
            paths = [segment.path]
            if segment.sealed:
                paths += [
                    path
                    for path in (segment.index_path, segment.time_index_path)
                    if directory.vfs.exists(path)
                ]
            for path in paths:
                try:
                    directory.pool.get(path).datasync()
                except FileNotFoundError:
                    if not segment.dropped:
                        raise
                directory.count_sync()
                yield

    def _synced(self, capture: _Capture, error: BaseException | None) -> None:
        capture.error = capture.error or error
        capture.lanes_left -= 1
        if capture.lanes_left == 0:
            if capture.error is not None:
                self._finish(capture, capture.error)
            else:
                self._publish(capture)

    def _publish(self, capture: _Capture) -> None:
        self._directory.executor.submit(
            "writer", self._publish_steps(capture), lambda _, error: self._finish(capture, error)
        )

    def _publish_steps(self, capture: _Capture) -> Steps[None]:
        directory = self._directory
        vfs = directory.vfs
        if BEFORE_PUBLISH.armed:
            BEFORE_PUBLISH.hit()
        folders: set[str] = set()
        if not capture.names_synced:
            if not capture.folders_named:
                folders = {log.path for log in capture.folders}
            for segment, _ in capture.syncs:
                if not segment.name_durable:
                    folders.add(segment.path.rpartition("/")[0])
            for segment, write in capture.aborted:
                if write.position == 0:
                    folders.add(segment.path.rpartition("/")[0])
        for folder in sorted(folders):
            if vfs.exists(folder):  # or its topic was deleted meanwhile
                vfs.sync_dir(folder)
                yield
        if folders:
            vfs.sync_dir(directory.path)
            yield
        for log in capture.logs:
            if log.epochs.shown != log.epochs.latest and not log.deleted and vfs.exists(log.path):
                write_unsynced(vfs, f"{log.path}/leader-epoch-checkpoint", log.epochs.text())
                log.epochs.shown = log.epochs.latest
                yield
        for key, point in capture.points.items():
            if not isinstance(point, bytes):
                capture.points[key] = encode_raw_point(point)
        generation, salt = capture.generation
        encoded = [point for point in capture.points.values() if isinstance(point, bytes)]
        data = checkpoint_file.encode(generation, salt, capture.sequence, encoded, clean=capture.clean)
        # What this checkpoint makes superfluous goes when it is written: it had better be written to this disk.
        directory.check_mounted()
        if (
            directory.broken is not None
        ):  # a sync that failed may have taken what ours could no longer make durable
            raise directory.broken
        checkpoint_file.write(vfs, directory.path, data)
        directory.check_mounted()

    def _finish(self, capture: _Capture, error: BaseException | None) -> None:
        self.running = False
        directory = self._directory
        if error is not None:
            directory.fail(error)
            self._next()
            return
        for segment, size in capture.syncs:
            segment.synced = max(segment.synced, size)
            segment.name_durable = True
            if segment.synced == segment.size:
                directory.pool.unpin(segment.path)
                if segment.sealed:
                    segment.index.drop_memory()
                    segment.time_index.drop_memory()
        for job in capture.jobs:
            if not job.segment.sealed:
                job.segment.index.drop_memory(RECENT_ENTRIES)
                job.segment.time_index.drop_memory(RECENT_ENTRIES)
        for segment in capture.sealed:
            segment.indexes_durable = True
        stats = directory.stats
        stats.checkpoints += 1
        stats.checkpoint_us.observe(int((time.perf_counter() - capture.started) * 1e6))
        for log in capture.logs:  # no need to keep the producers twice, nor to encode them again
            key = (log.topic_id_bytes, log.index)
            encoded = capture.points[key]
            if isinstance(encoded, bytes) and not log.dirty and key in self.points:
                self.points[key] = encoded
        directory.journal.recycle(capture.sequence)
        self._wanted = self._wanted or directory.journal.blocked
        if capture.clean and not self.dirty and not directory.journal.blocked and not self._exclusive:
            directory.closed_cleanly()
            return
        self._next()
        if not self.running:
            directory.settle()


def point_of(log: Log) -> Point:
    """The point a checkpoint publishes for a log as it is now, but for the producers."""
    return Point(
        log.topic_id_bytes,
        log.index,
        log.start_offset,
        log.end_offset,
        [(segment.base_offset, segment.size) for segment in log.segments],
        list(log.epochs.entries),
        b"",
        log.refused,
        page_cache=log.page_cache,
        compacted=log.compacted,
        aborted=tuple(
            (segment.base_offset, len(segment.aborted)) for segment in log.segments if segment.aborted
        ),
    )


def encode_raw_point(raw: RawPoint) -> bytes:
    """The bytes of a captured point; any thread."""
    point, producers = raw
    return encode_point(point._replace(producers=encode_entries(producers)))
