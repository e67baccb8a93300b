"""Reads every sealed segment again and checks its CRCs, before somebody needs it and finds that the disk has forgotten.

A *pass* goes through the partitions in the order of their folders and is planned to take half of `log.scrub.interval.ms`; so each segment
is read within the interval, however it falls between two passes. Each `tick` grants the bytes of one second: as many as the plan
needs, never more than `log.scrub.max.bytes.per.second`. They are read on a lane of their own, past the page cache
(`uncached.py`), in small pieces with pauses between them, so that neither the disk nor the interpreter is held up. Where the pass
stands is kept in the file `scrub` (not synced: what a crash takes from it is read once more), so restarts don't begin anew.

What a finding does: it is logged as an error with partition, file, byte and offset, counted (`scrub_findings`), and the byte range is
*fenced off* (`Segment.damage`): whoever reads into it gets CORRUPT_MESSAGE instead of bytes that were never appended; what lies before
and behind is served, and appends go on. A range that can't be read at all (EIO) is fenced off, too: an old sector that fails must not
take the whole directory down, as an error on the way to durability does. Fenced segments are read first after a restart.

Loop thread only, but for `*_steps`. Nothing here takes a directory offline.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from logbroker.base import logs
from logbroker.storage.executor import Steps
from logbroker.storage.scrub_progress import ScrubProgress, load_progress, save_progress
from logbroker.storage.segment_check import BatchWalk, Finding
from logbroker.storage.uncached import UncachedFile, open_uncached

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory
    from logbroker.storage.segment import Segment
    from logbroker.storage.vfs import Vfs

T = TypeVar("T")

_log = logs.get("scrubber")

CHUNK_BYTES = 128 << 10
"""Bytes per read: with one-record batches about a millisecond of the interpreter."""
RATE_MIN_BYTES = 1 << 20
"""A pass is never planned slower than this, so that small directories are through soon."""
SEGMENTS_PER_TICK = 256
TICK_MAX_MS = 2000
"""Reads granted at a time, at most: those of so much time."""
PAUSE_MAX_S = 1.0
SAVE_INTERVAL_MS = 30_000
"""How often the progress is written down."""

_PASSES_PER_INTERVAL = 2
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class _Job:
    """One segment's walk; it may take several ticks."""

    __slots__ = ("again", "error", "file", "log", "missing", "read_bytes", "segment", "walk")

    def __init__(self, log: Log, segment: Segment, *, again: bool = False) -> None:
        self.log = log
        self.segment = segment
        self.again = again
        """Whether it is out of turn, because it was damaged before."""
        self.file: UncachedFile | None = None
        self.missing = False
        self.error: OSError | None = None
        self.read_bytes = 0
        self.walk = BatchWalk(
            segment.path,
            self._read,
            0,
            segment.size,
            expected_offset=segment.base_offset,
            gaps_allowed=log.compacted or "compact" in log.config.cleanup_policy,
            chunk_bytes=CHUNK_BYTES,
        )

    @property
    def place(self) -> tuple[str, int]:
        """Where it stands in the order of a pass."""
        return self.log.name, self.segment.base_offset

    @property
    def left_bytes(self) -> int:
        """Bytes not yet checked."""
        return self.walk.end - self.walk.position

    @property
    def over(self) -> bool:
        """Whether nothing is left to read."""
        return self.missing or self.walk.stopped or self.left_bytes <= 0

    def steps(self, vfs: Vfs, limit_bytes: int) -> Steps[None]:
        """Lane: read on; what goes wrong is noted, not raised."""
        try:
            if self.file is None:
                self.file = open_uncached(vfs, self.segment.path)
            yield from self.walk.steps(limit_bytes)
        except FileNotFoundError:
            self.missing = True
        except OSError as error:
            self.error = error
        if self.over or self.error is not None:
            self.close()

    def _read(self, size: int, position: int) -> bytes:
        if self.file is None:
            raise OSError(errno.EBADF, "the file is closed", self.segment.path)
        data = self.file.pread(size, position)
        self.read_bytes += len(data)
        return data

    def close(self) -> None:
        """Let go of the file; no step may be running."""
        if self.file is not None:
            self.file.close()
            self.file = None


class Scrubber:
    """The scrubber of one log directory.

    Args:
        directory: Its logs are read; its `stats` show what was done.
        pause: How the lane waits between two reads, in seconds; a simulation doesn't.

    """

    def __init__(self, directory: LogDirectory, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._pause = pause
        self._progress: ScrubProgress | None = None
        self._queue: deque[tuple[str, tuple[bytes, int]]] = deque()
        self._again: deque[tuple[str, int]] = deque()
        self._jobs: deque[_Job] = deque()
        self._busy = False
        self._closing = False
        self._allowance = 0
        self._ticked_ms = 0
        self._saved_ms = 0
        self._warned = False

    # When

    def tick(self, now_ms: int, *, interval_ms: int, max_bytes_per_second: int) -> None:
        """Grant the reads of the time since the last call; call it about once a second.

        Args:
            now_ms: The wall clock.
            interval_ms: `log.scrub.interval.ms`: every segment is read within it; 0 stops scrubbing.
            max_bytes_per_second: `log.scrub.max.bytes.per.second`.

        """
        if self._busy or self._closing or interval_ms <= 0 or self._directory.offline_reason is not None:
            return
        progress = self._progress
        if progress is None:
            self._submit(load_progress_steps(self._directory.vfs, self._directory.path, now_ms), self._loaded)
            return
        pass_ms = max(interval_ms // _PASSES_PER_INTERVAL, 1)
        if progress.over and now_ms - progress.started_ms >= pass_ms:
            progress.begin(now_ms)
            self._line_up()
        if progress.over and not self._again and not self._jobs:
            return
        rate = self._rate(progress.started_ms + pass_ms - now_ms, max_bytes_per_second)
        elapsed_ms, self._ticked_ms = min(max(now_ms - self._ticked_ms, 0), TICK_MAX_MS), now_ms
        self._allowance = min(self._allowance + rate * elapsed_ms // 1000, rate * TICK_MAX_MS // 1000)
        if now_ms - progress.started_ms > interval_ms and not progress.over:
            self._warn()
        if self._allowance <= 0:
            return  # a batch larger than a grant was read whole
        self._choose(self._allowance)
        if self._jobs:
            steps = self._read_steps(list(self._jobs), self._allowance, rate)
            self._submit(steps, lambda _, error: self._read_done(now_ms, error))
        else:
            self._pass_over(now_ms)

    def _submit(self, steps: Steps[T], on_done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run steps on the lane; one at a time."""

        def done(result: T | None, error: BaseException | None) -> None:
            self._busy = False
            on_done(result, error)
            if self._closing and not self._busy:
                self._drop_jobs()

        self._busy = True
        self._directory.executor.submit("scrub", steps, done)

    def _rate(self, left_ms: int, max_bytes_per_second: int) -> int:
        """Bytes a second that bring the pass to its end in time, within the bounds."""
        stats = self._directory.stats
        left_bytes = max(stats.scrub_pass_bytes - stats.scrub_pass_done_bytes, 0)
        wanted = left_bytes * 1000 // left_ms if left_ms > 0 else max_bytes_per_second
        return min(max(wanted, RATE_MIN_BYTES), max_bytes_per_second)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "scrubbing doesn't read everything within log.scrub.interval.ms; "
                "raise log.scrub.max.bytes.per.second",
                directory=self._directory.path,
            )

    def _loaded(self, progress: ScrubProgress | None, error: BaseException | None) -> None:
        now_ms = self._directory.clock.wall_ms()
        if progress is None:
            _log.warning(
                "the scrubber's progress can't be read; it begins anew",
                directory=self._directory.path,
                reason=str(error),
            )
            progress = ScrubProgress(now_ms)
        self._progress = progress
        self._ticked_ms = now_ms
        self._directory.stats.scrub_last_pass_ms = progress.last_pass_ms
        self._again.extend(progress.damaged)
        self._line_up()

    # What

    @property
    def _current(self) -> ScrubProgress:
        if self._progress is None:
            raise RuntimeError("the progress isn't loaded yet")
        return self._progress

    def _line_up(self) -> None:
        """Find the partitions that this pass hasn't read."""
        progress, stats = self._current, self._directory.stats
        self._warned = False
        ahead: list[tuple[str, tuple[bytes, int]]] = []
        total = 0
        for key, log in self._directory.logs.items():
            total += sum([segment.size for segment in log.segments if segment.sealed])
            if log.name >= progress.partition and not progress.over:
                ahead.append((log.name, key))
        self._queue = deque(sorted(ahead))
        stats.scrub_pass_bytes = max(total, progress.done_bytes)
        stats.scrub_pass_done_bytes = stats.scrub_pass_bytes if progress.over else progress.done_bytes

    def _choose(self, budget_bytes: int) -> None:
        """Add segments until there is enough to read."""
        waiting = sum(job.left_bytes for job in self._jobs)
        while waiting < budget_bytes and len(self._jobs) < SEGMENTS_PER_TICK:
            job = self._next_again() or self._next_job()
            if job is None:
                return
            self._jobs.append(job)
            waiting += job.left_bytes

    def _next_again(self) -> _Job | None:
        """A segment that was damaged before the restart."""
        while self._again:
            name, base = self._again.popleft()
            for log in self._directory.logs.values():
                if log.name == name and log.refusal is None:
                    for segment in log.segments:
                        if segment.base_offset == base and _readable(segment):
                            return _Job(log, segment, again=True)
            self._current.forget_damaged(name, base)
        return None

    def _next_job(self) -> _Job | None:
        progress = self._current
        cursor = (progress.partition, progress.base_offset)
        for job in self._jobs:
            if not job.again:
                cursor = max(cursor, job.place)
        while self._queue:
            name, key = self._queue[0]
            log = self._directory.logs.get(key)
            if log is not None and log.refusal is None:
                for segment in log.segments:
                    if (name, segment.base_offset) > cursor and _readable(segment):
                        return _Job(log, segment)
            self._queue.popleft()
        return None

    def _read_steps(self, jobs: list[_Job], allowance: int, rate: int) -> Steps[None]:
        """Lane: read about `allowance` bytes, at `rate` bytes a second."""
        left = allowance
        for job in jobs:
            seen = job.read_bytes
            for _ in job.steps(self._directory.vfs, left):
                yield
                if self._closing:
                    return
                read = job.read_bytes - seen
                seen += read
                left -= read
                self._pause(min(read / rate, PAUSE_MAX_S))
            if left <= 0:
                return

    # Afterwards

    def _read_done(self, now_ms: int, error: BaseException | None) -> None:
        """The lane has read what it was granted."""
        stats, progress = self._directory.stats, self._current
        if error is not None and self._jobs:  # a fault of ours: the next segment may fare better
            _log.error("the scrubber failed at a segment", file=self._jobs[0].segment.path, error=error)
            self._jobs[0].walk.stopped = True
        while self._jobs:
            job = self._jobs[0]
            stats.scrubbed_bytes += job.read_bytes
            self._allowance -= job.read_bytes
            job.read_bytes = 0
            self._note_error(job)
            if not job.over:
                break
            self._jobs.popleft()
            job.close()
            self._judge(job)
            if not job.again:
                progress.partition, progress.base_offset = job.place
                progress.done_bytes += job.walk.end
        under_way = self._jobs[0].walk.position if self._jobs and not self._jobs[0].again else 0
        stats.scrub_pass_done_bytes = progress.done_bytes + under_way
        stats.scrub_pass_bytes = max(stats.scrub_pass_bytes, stats.scrub_pass_done_bytes)
        if now_ms - self._saved_ms >= SAVE_INTERVAL_MS and not self._closing:
            self._save(now_ms)

    def _note_error(self, job: _Job) -> None:
        """What can't be read is damaged; running out of descriptors or memory says nothing about the disk."""
        error, job.error = job.error, None
        if error is not None and error.errno not in _NO_ROOM:
            walk = job.walk
            what = f"{job.left_bytes} bytes from here on can't be read: {error.strerror or error}"
            walk.findings.append(Finding(walk.path, walk.position, walk.next_offset, what))
            walk.damaged.append((walk.position, walk.end))
            walk.stopped = True

    def _judge(self, job: _Job) -> None:
        """A segment is through."""
        segment, walk, stats = job.segment, job.walk, self._directory.stats
        if not _readable(segment) or segment.size != walk.end:
            return  # retention, deletion or a truncation was quicker
        stats.scrubbed_segments += 1
        if job.missing:
            walk.findings.append(Finding(walk.path, 0, segment.base_offset, "the segment's file is missing"))
            walk.damaged.append((0, walk.end))
        self._check_seam(job)
        for finding in walk.findings:
            stats.scrub_findings += 1
            _log.error(
                "damage: a sealed segment is not what was written",
                partition=job.log.name,
                file=finding.path,
                position=finding.position,
                offset=finding.offset,
                reason=finding.what,
            )
        segment.damage = tuple(sorted(walk.damaged))
        if walk.damaged:
            self._current.note_damaged(*job.place)
        else:
            self._current.forget_damaged(*job.place)

    def _check_seam(self, job: _Job) -> None:
        """The next segment begins where this one ends."""
        walk, base = job.walk, job.segment.base_offset
        gaps_allowed = job.log.compacted or "compact" in job.log.config.cleanup_policy
        if walk.findings or walk.next_offset is None or gaps_allowed:
            return
        following = next((other.base_offset for other in job.log.segments if other.base_offset > base), None)
        if following is not None and following != walk.next_offset:
            what = f"the segment ends at offset {walk.next_offset}, the next begins at {following}"
            walk.findings.append(Finding(walk.path, walk.end, walk.next_offset, what))

    def _pass_over(self, now_ms: int) -> None:
        progress, stats = self._current, self._directory.stats
        if progress.over:
            return
        progress.over = True
        stats.scrub_last_pass_ms = progress.last_pass_ms = now_ms
        stats.scrub_pass_bytes = stats.scrub_pass_done_bytes = progress.done_bytes
        if progress.done_bytes:
            _log.info(
                "every sealed segment was read and checked",
                directory=self._directory.path,
                size_bytes=progress.done_bytes,
                took_ms=now_ms - progress.started_ms,
                damaged_segments=len(progress.damaged),
            )
        self._save(now_ms)

    def _save(self, now_ms: int) -> None:
        def saved(_: None, error: BaseException | None) -> None:
            if error is not None:
                _log.warning(
                    "the scrubber's progress can't be saved",
                    directory=self._directory.path,
                    reason=str(error),
                )

        self._saved_ms = now_ms
        self._submit(
            save_progress_steps(self._directory.vfs, self._directory.path, self._current.copy()), saved
        )

    # The end

    def close(self) -> None:
        """Read nothing more; what is under way ends with the read it is at."""
        self._closing = True
        if not self._busy:
            self._drop_jobs()

    def _drop_jobs(self) -> None:
        while self._jobs:
            self._jobs.popleft().close()


def load_progress_steps(vfs: Vfs, directory: str, now_ms: int) -> Steps[ScrubProgress]:
    """Lane: see `scrub_progress.load_progress`."""
    progress = load_progress(vfs, directory, now_ms)
    yield
    return progress


def save_progress_steps(vfs: Vfs, directory: str, progress: ScrubProgress) -> Steps[None]:
    """Lane: see `scrub_progress.save_progress`."""
    save_progress(vfs, directory, progress)
    yield


def _readable(segment: Segment) -> bool:
    """Whether all of it is on the disk and will not change."""
    return (
        segment.sealed
        and segment.placed
        and not segment.dropped
        and not segment.tail
        and 0 < segment.size == segment.written == segment.synced
    )
