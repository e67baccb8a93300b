"""Topics that are acknowledged from the page cache (`flush.messages` above 1), and how a topic changes its policy while it runs.

A page-cache topic isn't journaled: its batches are written to the segment, acknowledged, and synced after so many messages or so
much time. So recovery must know which batches behind the journaled end may have been acknowledged. It is told:

    to the page cache      appends are held, everything is written and the files end durably where the log does, a PAGE_CACHE entry
                           in the journal says so, what was held goes on by the new route. (For a log made in this life the entry will do.)
    to durable before ack  appends are held, everything is written and synced, a FLUSHED entry says up to where, what was
                           held goes on by the new route. What the sync covered is acknowledged without being journaled.

Checkpoints repeat the state in each point. `log.page_cache` is the state, the topic's configuration only the wish; the
two may differ across a crash. Loop only, but for `*_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.journal_format import BATCH, FLUSHED, PAGE_CACHE
from logbroker.storage.segment import Segment, WriteJob

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory


class FlushPolicy:
    """The policies of one directory's topics."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._changing: set[Log] = set()

    def recovered(self, log: Log) -> None:
        """After a start: finish what the crash cut short, then follow the configuration."""
        if log.page_cache_unsaid:
            log.page_cache_unsaid = False
            log.held = []
            self._directory.journal.submit(
                [_mark(log, PAGE_CACHE, lambda _: self._directory.commit_path.release(log))]
            )
        self.follow(log)

    def follow(self, log: Log) -> None:
        """Bring the log to the policy that its configuration asks for; a later call overtakes an earlier one."""
        if log not in self._changing and wants_page_cache(log) != log.page_cache:
            self._changing.add(log)
            self._directory.commit_path.when_quiet(log, lambda: self._change(log))

    def _change(self, log: Log) -> None:
        if self._directory.offline_reason is not None or wants_page_cache(log) == log.page_cache:
            self._changing.discard(log)
        elif log.page_cache:
            self._flush(log, self._leave)
        elif not log.fresh:
            self._flush(log, self._enter)
        else:
            self._directory.enqueue(_mark(log, PAGE_CACHE, lambda item: self._entered(log, item)))

    def _enter(self, log: Log, end: int, base: int, position: int) -> None:
        """Nothing lies behind the log's end in its files, whatever a crash undoes: recovery may walk from here."""
        directory = self._directory
        segment = next(segment for segment in log.segments if segment.base_offset == base)

        def cut(_: None, error: BaseException | None) -> None:
            directory.checkpointer.release()
            if error is not None:
                directory.fail(error)
            if directory.offline_reason is not None:
                self._changing.discard(log)
                directory.commit_path.release(log)
                return
            directory.journal.submit([_mark(log, PAGE_CACHE, announced)])

        def announced(item: JournalItem) -> None:
            self._entered(log, item)
            directory.commit_path.release(log)

        def alone() -> None:
            # Neither checkpoint nor write-back is under way, but one may have written what is held here.
            steps = _end_steps(directory, log, segment.path, segment.written)
            directory.executor.submit("writer", directory.guarded(steps), cut)

        directory.checkpointer.exclusively(alone)

    def _entered(self, log: Log, item: JournalItem) -> None:
        self._changing.discard(log)
        if not item.error:
            log.page_cache = True
            log.last_flush_ms = self._directory.clock.wall_ms()
            self._directory.mark_dirty(log)
            self.follow(log)

    def _leave(self, log: Log, end: int, base: int, position: int) -> None:
        """Everything up to `end` is synced and `log.held` holds the rest: say so, then let go."""

        def announced(item: JournalItem) -> None:
            self._changing.discard(log)
            if not item.error:
                log.page_cache = False
                log.made_durable(end, base, position)
                self._directory.mark_dirty(log)
                self._acknowledge_held(log, end)
            self._directory.commit_path.release(log)
            if not item.error:
                self.follow(log)

        entry = _mark(log, FLUSHED, announced)
        entry.segment_base, entry.position = base, position
        entry.previous_end = entry.base_offset = entry.next_offset = end
        self._directory.journal.submit([entry])

    def _acknowledge_held(self, log: Log, end: int) -> None:
        """Appends that waited for their turn while the flush wrote and synced them: journaling them would contradict FLUSHED."""
        held = log.held or []
        done = [item for item in held if item.kind == BATCH and item.next_offset <= end]
        if done:
            log.held = [item for item in held if item.kind != BATCH or item.next_offset > end]
            for item in done:
                if item.on_done is not None:
                    item.on_done(item)
        if log.on_advance is not None:
            log.on_advance(log)

    # Flushing

    def tick(self, now_ms: int) -> None:
        """Sync what is older than `flush.ms`."""
        for log in list(self._directory.checkpointer.dirty):
            if log.page_cache and log.unflushed_records and now_ms - log.last_flush_ms >= log.config.flush_ms:
                log.unflushed_records = 0
                self._directory.commit_path.when_quiet(log, lambda log=log: self._flush(log, None))  # type: ignore[misc]

    def is_due(self, log: Log, batches: list[JournalItem]) -> bool:
        """Count appended records; whether it is time to sync."""
        log.unflushed_records += sum(item.next_offset - item.base_offset for item in batches)
        if log.unflushed_records < log.config.flush_messages:
            return False
        log.unflushed_records = 0
        log.last_flush_ms = self._directory.clock.wall_ms()
        return True

    def _flush(self, log: Log, then: Callable[[Log, int, int, int], None] | None) -> None:
        """Write and sync all that the log has now; appends are held meanwhile, and after it until `then` releases them.

        `then(log, end, base, position)`: the log's end, in offsets and as a place in its active segment.
        """
        directory = self._directory
        if directory.offline_reason is not None or log.deleted:
            self._changing.discard(log)
            return
        log.held = []
        log.unflushed_records = 0
        log.last_flush_ms = directory.clock.wall_ms()
        jobs = [job for segment in log.segments if (job := segment.unwritten(with_indexes=False)) is not None]
        targets = [(segment, segment.size) for segment in log.segments if segment.synced < segment.size]
        active = log.segments[-1]
        end, base, position = log.end_offset, active.base_offset, active.size

        def flushed(_: None, error: BaseException | None) -> None:
            error = error or directory.broken
            if error is not None:
                directory.fail(error)
            else:
                directory.commit_path.note_synced(jobs, targets)
            if then is not None and directory.offline_reason is None:
                then(log, end, base, position)
            else:
                self._changing.discard(log)
                directory.commit_path.release(log)

        directory.executor.submit(
            directory.commit_path.lane_of(log),
            directory.guarded(write_and_sync_steps(directory, log, jobs, targets)),
            flushed,
        )


def wants_page_cache(log: Log) -> bool:
    """Whether the topic's configuration asks for acknowledgement from the page cache."""
    return log.config.flush_messages > 1 and log.config.storage_type == "log"


def write_and_sync_steps(
    directory: LogDirectory, log: Log, jobs: list[WriteJob], targets: list[tuple[Segment, int]]
) -> Steps[None]:
    """Lane: put `jobs` into the files, then make the segments in `targets` durable, names included."""
    if not log.created:
        yield from directory.create_folder_steps(log)
    for job in jobs:
        yield from job.segment.write_steps(job, directory.pool)
    for segment, _ in targets:
        directory.pool.get(segment.path).datasync()
        directory.count_sync()
        yield
    if any(not segment.name_durable for segment, _ in targets):
        directory.vfs.sync_dir(log.path)
        yield
        directory.vfs.sync_dir(directory.path)
        yield


def _end_steps(directory: LogDirectory, log: Log, path: str, position: int) -> Steps[None]:
    """Lane `writer`: let a file end at `position` for good, and let no name come back that was removed."""
    if directory.vfs.exists(path):
        file = directory.pool.get(path)
        file.truncate(position)
        yield
        file.datasync()
        yield
    if directory.vfs.exists(log.path):
        directory.vfs.sync_dir(log.path)
        yield


def _mark(log: Log, kind: int, on_done: Callable[[JournalItem], None]) -> JournalItem:
    active = log.segments[-1]
    end = log.end_offset
    return JournalItem(
        kind, log, log.epochs.latest, active.base_offset, active.size, end, end, end, 0, on_done=on_done
    )
