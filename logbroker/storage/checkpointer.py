"""Write-back and checkpoints: how bytes leave memory and the journal for the segments, in the background.

*Write-back* puts tails into their files (page cache only) when they hold `log.writeback.bytes`: bounded memory, few
large writes instead of one an append.

A *checkpoint* makes segments durable so that the journal's ring can be used again:

1. capture (loop, one instant): the journal's next sequence S first, then of every dirty partition its tail, its end, its
   producers' state. Whatever is journaled later has a sequence of S or more.
2. write (lane `writer`): folders, tails, index entries.
3. sync (lanes `sync-N`): every file with unsynced bytes; then the names (lane `writer`): partition folders, log directory.
4. publish (lane `writer`): the checkpoint file, atomically, last.
5. recycle (loop): ring files below S are free.

A crash between any two steps leaves the old checkpoint and the whole ring it needs. Any error takes the directory offline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import Point, encode_point
from logbroker.storage.executor import Steps
from logbroker.storage.segment import Segment, WriteJob
from logbroker.storage.vfs import write_unsynced

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

SYNC_LANES = 4


class _Capture:
    """What one checkpoint carries from step to step."""

    __slots__ = (
        "clean",
        "data",
        "error",
        "folders",
        "jobs",
        "lanes_left",
        "logs",
        "sequence",
        "started",
        "syncs",
    )

    def __init__(self, sequence: int, *, clean: bool) -> None:
        self.sequence = sequence
        self.clean = clean
        self.logs: list[Log] = []
        self.jobs: list[WriteJob] = []
        self.folders: list[Log] = []
        self.syncs: list[tuple[Segment, int]] = []
        self.data = b""
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
        self.points: dict[tuple[bytes, int], bytes] = {}
        """The encoded point of every partition, as of its last capture."""
        self.tail_bytes = 0
        self.bytes_since = 0
        self.running = False
        self._writing_back = False
        self._last_ms = directory.clock.wall_ms()
        self._wanted = False

    # When

    def appended(self, size_bytes: int, *, in_tail: bool) -> None:
        """Note appended bytes, and start what they make due."""
        self.bytes_since += size_bytes
        if in_tail:
            self.tail_bytes += size_bytes
        if self.running or self._writing_back:
            return
        if self.bytes_since >= self._checkpoint_bytes:
            self.start()
        elif self.tail_bytes >= self._writeback_bytes:
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
        logs = list(self.dirty)
        folders = [log for log in logs if not log.created]
        jobs = [
            job
            for log in logs
            for segment in log.segments
            if segment.tail and (job := segment.unwritten(with_indexes=False)) is not None
        ]
        directory.executor.submit(
            "writer", self._write_steps(folders, jobs), lambda _, error: self._written_back(jobs, error)
        )

    def _written_back(self, jobs: list[WriteJob], error: BaseException | None) -> None:
        self._writing_back = False
        if error is not None:
            self._directory.fail(error)
            return
        self._directory.stats.writebacks += 1
        for job in jobs:
            self._directory.written(job)
        if self._wanted:
            self.start()

    def _write_steps(self, folders: list[Log], jobs: list[WriteJob]) -> Steps[None]:
        directory = self._directory
        for log in folders:
            yield from directory.create_folder_steps(log)
        for job in jobs:
            yield from job.segment.write_steps(job, directory.pool)

    # Checkpoint

    def start(self, *, clean: bool = False) -> None:
        """Begin a checkpoint, or remember to begin one when the running work is done."""
        directory = self._directory
        if directory.offline_reason is not None:
            return
        if self.running or self._writing_back:
            self._wanted = True
            return
        self._wanted = False
        self.running = True
        capture = self._capture(clean=clean)
        directory.executor.submit(
            "writer",
            self._write_steps(capture.folders, capture.jobs),
            lambda _, error: self._sync(capture, error),
        )

    def _capture(self, *, clean: bool) -> _Capture:
        directory = self._directory
        capture = _Capture(directory.journal.sequence, clean=clean)
        self._last_ms = directory.clock.wall_ms()
        self.bytes_since = 0
        for log in self.dirty:
            capture.logs.append(log)
            log.dirty = False
            if not log.created:
                capture.folders.append(log)
            for segment in log.segments:
                job = segment.unwritten(with_indexes=True)
                if job is not None:
                    capture.jobs.append(job)
                if segment.synced < segment.size or (segment.size and not segment.name_durable):
                    capture.syncs.append((segment, segment.size))
            self.points[(log.topic_id_bytes, log.index)] = encode_point(point_of(log))
        self.dirty = {}
        generation, salt = directory.journal.generation
        capture.data = checkpoint_file.encode(
            generation, salt, capture.sequence, list(self.points.values()), clean=clean
        )
        return capture

    def _sync(self, capture: _Capture, error: BaseException | None) -> None:
        if error is not None:
            self._finish(capture, error)
            return
        for job in capture.jobs:
            self._directory.written(job)
        if len(capture.syncs) > self._directory.options.sync_filesystem_files:
            capture.lanes_left = 1
            self._directory.executor.submit(
                "sync-0", self._sync_all_steps(capture), lambda _, error: self._synced(capture, error)
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
                f"sync-{lane}", self._sync_steps(part), lambda _, error: self._synced(capture, error)
            )

    def _sync_all_steps(self, capture: _Capture) -> Steps[None]:
        """Many files: one sync of the whole file system costs it one commit instead of one a file."""
        directory = self._directory
        if directory.vfs.sync_filesystem(directory.path):
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
        folders = {log.path for log in capture.folders}
        for segment, _ in capture.syncs:
            if not segment.name_durable:
                folders.add(segment.path.rpartition("/")[0])
        for folder in sorted(folders):
            if vfs.exists(folder):  # or its topic was deleted meanwhile
                vfs.sync_dir(folder)
                yield
        if capture.folders or folders:
            vfs.sync_dir(directory.path)
            yield
        for log in capture.logs:
            if log.epochs.shown != log.epochs.latest and vfs.exists(log.path):
                write_unsynced(vfs, f"{log.path}/leader-epoch-checkpoint", log.epochs.text())
                log.epochs.shown = log.epochs.latest
                yield
        checkpoint_file.write(vfs, directory.path, capture.data)

    def _finish(self, capture: _Capture, error: BaseException | None) -> None:
        self.running = False
        directory = self._directory
        if error is not None:
            directory.fail(error)
            return
        for segment, size in capture.syncs:
            segment.synced = max(segment.synced, size)
            segment.name_durable = True
            if segment.synced == segment.size:
                directory.pool.unpin(segment.path)
                if segment.sealed:
                    segment.index.drop_memory()
                    segment.time_index.drop_memory()
        stats = directory.stats
        stats.checkpoints += 1
        stats.checkpoint_us.observe(int((time.perf_counter() - capture.started) * 1e6))
        directory.journal.recycle(capture.sequence)
        if self._wanted or directory.journal.blocked:
            self.start(clean=directory.closing)
        elif directory.closing and not self.dirty and not capture.clean:
            self.start(clean=True)
        elif capture.clean:
            directory.closed_cleanly()


def point_of(log: Log) -> Point:
    """The point a checkpoint publishes for a log as it is now."""
    return Point(
        log.topic_id_bytes,
        log.index,
        max(log.start_offset, log.announced_start),
        log.end_offset,
        [(segment.base_offset, segment.size) for segment in log.segments],
        list(log.epochs.entries),
        log.producers.encode(),
        log.refused,
    )
