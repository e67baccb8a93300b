"""Cutting the end off a log, as a follower does whose leader never had those batches (KIP-101).

    quiet      no direct or page-cache write of the partition is under way; from here on appends are refused
    announce   a TRUNCATE entry in the journal, with segment and position of the cut: from when it is durable, the cut counts
    wait       for a running checkpoint or write-back to end: what they captured may lie above the cut. No new one begins.
    cut        in memory, at once; then on the writer lane later files are removed, highest first, the last one is cut and synced
    go on      a page-cache topic says PAGE_CACHE again first, so that recovery takes nothing from a file that was not yet cut

Where the cut took all that is remembered of a producer, or there are transactions, the state is built anew from the headers of the
whole log, on the lane.

Crash story: before the entry is durable nothing happened; after it recovery finishes the cut (`replay.py` takes out what it
made void). Loop only, but for `*_steps`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError
from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.journal_format import PAGE_CACHE, TRUNCATE
from logbroker.storage.producer_scan import Scanned, scan_producers
from logbroker.storage.segment import Segment, WouldBlockError, WriteJob

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

Done = Callable[[ErrorCode], None]


class Truncations:
    """The truncations of one directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._active: dict[Log, deque[Done]] = {}

    def truncate_to(self, log: Log, offset: int, on_done: Done) -> None:
        """Cut the log at `offset`, or at the base of the batch that holds it; then `on_done(code)`.

        Raises BrokerError: the log's refusal, OFFSET_OUT_OF_RANGE below the log's start.
        """
        if log.refusal is not None:
            raise log.refusal
        if offset < log.announced_start:
            raise BrokerError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"{log.name} can't be cut at {offset}: it starts at {log.announced_start}",
            )
        if offset >= log.end_offset and not log.truncating:
            on_done(ErrorCode.NONE)
            return
        waiting = self._active.setdefault(log, deque())
        waiting.append(on_done)
        self._directory.commit_path.when_quiet(log, lambda: self._begin(log, offset))

    def fail(self) -> None:
        """The directory is offline: none of them will end."""
        active, self._active = self._active, {}
        for log, waiting in active.items():
            log.truncating = False
            for on_done in waiting:
                on_done(ErrorCode.KAFKA_STORAGE_ERROR)
            self._directory.commit_path.run_quiet(log)

    def _begin(self, log: Log, offset: int) -> None:
        if log not in self._active:  # the directory failed meanwhile
            return
        log.truncating = True
        if offset < log.announced_start or log.deleted:
            self._end(log, ErrorCode.OFFSET_OUT_OF_RANGE)
        elif offset >= log.end_offset:
            self._end(log, ErrorCode.NONE)
        else:
            self._locate(log, offset, {})

    def _locate(self, log: Log, offset: int, fetched: dict[tuple[str, int, int], bytes]) -> None:
        """Find the cut's place, reading on a lane what isn't in the page cache."""
        directory = self._directory
        if log not in self._active:
            return
        try:
            base, position, end = log.locate_cut(offset, directory.reader(fetched))
        except WouldBlockError as wanted:

            def arrived(found: dict[tuple[str, int, int], bytes] | None, error: BaseException | None) -> None:
                if found is None:
                    directory.fail(error or OSError("a read failed"))
                else:
                    self._locate(log, offset, {**fetched, **found})

            directory.executor.submit("read", directory.fetch_steps([wanted.key]), arrived)
            return
        except (OSError, CorruptionError) as error:
            directory.fail(error)
            return

        def announced(item: JournalItem) -> None:
            if not item.error and log in self._active:
                directory.checkpointer.exclusively(lambda: self._cut(log, base, position, end))

        directory.enqueue(
            JournalItem(TRUNCATE, log, log.epochs.latest, base, position, end, end, end, 0, on_done=announced)
        )

    def _cut(self, log: Log, base: int, position: int, end: int) -> None:
        directory = self._directory
        if log not in self._active:
            directory.checkpointer.release()
            return
        try:
            segment, removed, freed_bytes, complete = log.cut_to(base, position, end, directory.maps)
        except OSError as error:  # an index that can't be read
            directory.fail(error)
            directory.checkpointer.release()
            return
        directory.pool.replacements += 1
        directory.cleaner.save_offsets()
        for gone in removed:
            for path in gone.file_paths():
                directory.maps.forget(path)
        directory.checkpointer.tail_bytes -= freed_bytes
        scan = None
        jobs: list[WriteJob] = []
        if not complete:
            jobs = [job for part in log.segments if (job := part.unwritten(with_indexes=False)) is not None]
            scan = [(part.base_offset, part.path, part.size) for part in log.segments]

        def done(scanned: Scanned | None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
                directory.checkpointer.release()
                return
            for job in jobs:
                directory.written(job)
            if scanned is not None:
                scanned.states.limits = log.producers.limits
                log.producers = scanned.states
                for part in log.segments:
                    part.adopt_aborted(scanned.aborted.get(part.base_offset, ()))
            directory.mark_dirty(log)
            directory.checkpointer.release()
            if log in self._active:
                self._go_on(log)

        directory.executor.submit(
            "writer", directory.guarded(self._cut_steps(log, segment, removed, jobs, scan)), done
        )

    def _cut_steps(
        self,
        log: Log,
        segment: Segment,
        removed: list[Segment],
        jobs: list[WriteJob],
        scan: list[tuple[int, str, int]] | None,
    ) -> Steps[Scanned | None]:
        directory = self._directory
        vfs = directory.vfs
        for gone in reversed(removed):
            yield from directory.remove_segment_steps(gone)
        if vfs.exists(segment.path):
            file = directory.pool.get(segment.path, pin=True)
            if file.size() > segment.size:
                file.truncate(segment.size)
                yield
                file.datasync()
                yield
        if scan is None:
            return None
        if not log.created:
            yield from directory.create_folder_steps(log)
        for job in jobs:
            yield from job.segment.write_steps(job, directory.pool)
        return (yield from scan_producers(directory.pool, scan))

    def _go_on(self, log: Log) -> None:
        if not log.page_cache:
            self._end(log, ErrorCode.NONE)
            return
        active = log.segments[-1]
        end = log.end_offset

        def announced(item: JournalItem) -> None:
            if not item.error and log in self._active:
                self._end(log, ErrorCode.NONE)

        self._directory.enqueue(
            JournalItem(
                PAGE_CACHE,
                log,
                log.epochs.latest,
                active.base_offset,
                active.size,
                end,
                end,
                end,
                0,
                on_done=announced,
            )
        )

    def _end(self, log: Log, code: ErrorCode) -> None:
        waiting = self._active[log]
        on_done = waiting.popleft()
        if not waiting:
            del self._active[log]
        log.truncating = False
        on_done(code)
        self._directory.commit_path.run_quiet(log)
