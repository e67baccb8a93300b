"""From an append to its acknowledgement: which route makes it durable, and in which order.

Appends of one loop tick are handed over together. Three routes:

- **journal** (the usual one): one entry in the directory's next commit; the segment file is written later, by the writer lane.
- **direct sync**, where much waits for one partition (`log.direct.sync.bytes`): the partition's segment is written and synced on a
  lane of its own, then a SYNCED entry in the journal says so, then the appends are acknowledged. Halves what is written.
- **page cache**, for topics with `flush.messages` > 1: written to the segment, acknowledged, synced later.

Order: while a direct or page-cache write of a partition is under way, its later appends are *held*; they are routed again when the file is
written and the SYNCED entry is queued, so that a partition's durable end is one contiguous prefix over all
routes, and its journal entries chain without a gap.

All of this runs on the loop; `*_steps` run on lanes. Any error on a lane takes the whole directory offline (`fail`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.journal import CommitReport
from logbroker.storage.journal_format import BATCH, FLUSHED, SYNCED
from logbroker.storage.segment import Segment, WriteJob

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

DIRECT_LANES = 4


class CommitPath:
    """The routes of one log directory."""

    def __init__(
        self,
        directory: LogDirectory,
        *,
        direct_sync_bytes: int,
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._directory = directory
        self._direct_sync_bytes = direct_sync_bytes
        self._call_soon = call_soon
        self._queued: list[JournalItem] = []
        self._scheduled = False

    def enqueue(self, item: JournalItem) -> None:
        """Queue an append or a control entry; everything queued in this tick goes over together."""
        self._queued.append(item)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        queued, self._queued = self._queued, []
        self._route(queued)

    def _route(self, items: list[JournalItem]) -> None:
        directory = self._directory
        if directory.offline_reason is not None:
            self.refuse(items)
            return
        threshold = self._direct_sync_bytes
        journaled: list[JournalItem] = []
        direct: dict[Log, list[JournalItem]] = {}
        for item in items:
            log = item.log
            if log.held is not None:
                log.held.append(item)
            elif item.kind != BATCH:
                if item.kind > _LAST_JOURNALED_KIND:
                    log.settle_duplicates()
                elif log in direct:
                    direct[log].append(item)
                else:
                    journaled.append(item)
            elif log.queued_bytes >= threshold or log.page_cache:
                group = direct.get(log)
                if group is None:
                    direct[log] = [item]
                else:
                    group.append(item)
            else:
                journaled.append(item)
        for item in items:
            item.log.queued_bytes = 0
            if not item.log.dirty:
                directory.mark_dirty(item.log)
        if journaled:
            directory.note_appended(journaled)
            directory.journal.submit(journaled)
        for log, group in direct.items():
            self._start_direct(log, group)

    # Direct sync and page cache

    def _start_direct(self, log: Log, group: list[JournalItem]) -> None:
        """Write (and sync) everything of the partition that its files lack; later appends wait in `held`."""
        directory = self._directory
        controls = [item for item in group if item.kind != BATCH]
        batches = [item for item in group if item.kind == BATCH]
        if not batches:
            directory.journal.submit(controls)
            return
        log.held = []
        jobs = [job for segment in log.segments if (job := segment.unwritten(with_indexes=False)) is not None]
        sync = not log.page_cache or self._flush_due(log, batches)
        lane = f"direct-{hash(log.name) % DIRECT_LANES}" if directory.parallel_direct else "direct-0"
        directory.note_direct(sum(item.size for item in batches))
        directory.executor.submit(
            lane,
            self._direct_steps(log, jobs, sync=sync),
            lambda _, error: self._direct_done(log, batches, controls, jobs, sync=sync, error=error),
        )

    def _flush_due(self, log: Log, batches: list[JournalItem]) -> bool:
        log.unflushed_records += sum(item.next_offset - item.base_offset for item in batches)
        if log.unflushed_records < log.config.flush_messages:
            return False
        log.unflushed_records = 0
        return True

    def _direct_steps(self, log: Log, jobs: list[WriteJob], *, sync: bool) -> Steps[None]:
        directory = self._directory
        if not log.created:
            yield from directory.create_folder_steps(log)
        for job in jobs:
            segment = job.segment
            yield from segment.write_steps(job, directory.pool)
            if sync:
                directory.pool.get(segment.path).datasync()
                directory.count_sync()
                yield
        if sync and any(not job.segment.name_durable for job in jobs):
            directory.vfs.sync_dir(log.path)
            yield
            directory.vfs.sync_dir(directory.path)
            yield

    def _direct_done(
        self,
        log: Log,
        batches: list[JournalItem],
        controls: list[JournalItem],
        jobs: list[WriteJob],
        *,
        sync: bool,
        error: BaseException | None,
    ) -> None:
        directory = self._directory
        held, log.held = log.held or [], None
        if error is not None:
            directory.fail(error)
        if directory.offline_reason is not None:
            self.refuse(batches + controls + held)
            return
        for job in jobs:
            directory.written(job)
            if sync:
                job.segment.synced = max(job.segment.synced, job.end)
                job.segment.name_durable = True
        if log.page_cache:
            last = batches[-1]
            log.made_durable(last.next_offset, last.segment_base, last.position + last.size)
            self._acknowledge(batches)
            if log.on_advance is not None:
                log.on_advance(log)
            entries = controls
        else:
            entries = [*_synced_entries(batches), *controls]
        if entries:
            directory.journal.submit(entries)
        self._resume(log, held)

    def release(self, log: Log) -> None:
        """Route what was held."""
        held, log.held = log.held or [], None
        self._resume(log, held)

    def _resume(self, log: Log, held: list[JournalItem]) -> None:
        if held:
            log.queued_bytes = sum(item.size for item in held if item.kind == BATCH)
            self._route(held)
        while log.held is None and log.on_quiet:
            log.on_quiet.pop(0)()

    def when_quiet(self, log: Log, then: Callable[[], None]) -> None:
        """Call `then` when no direct write of the partition is under way: now, or soon."""
        if log.held is None:
            then()
        else:
            log.on_quiet.append(then)

    def flush(self, log: Log, then: Callable[[], None] | None = None) -> None:
        """Sync everything that a page-cache topic has in its segments.

        With `then` the topic leaves that policy: appends are held, the end is synced, a FLUSHED entry in the journal says
        so, `then()` runs, and what was held goes on by its new route.
        """
        self.when_quiet(log, lambda: self._flush(log, then))

    def _flush(self, log: Log, then: Callable[[], None] | None) -> None:
        directory = self._directory
        if directory.offline_reason is not None:
            return
        log.held = []
        log.unflushed_records = 0
        log.last_flush_ms = directory.clock.wall_ms()
        jobs = [job for segment in log.segments if (job := segment.unwritten(with_indexes=False)) is not None]
        targets = [(segment, segment.size) for segment in log.segments if segment.synced < segment.size]
        active = log.segments[-1]
        end = log.end_offset
        entry = JournalItem(
            FLUSHED, log, log.epochs.latest, active.base_offset, active.size, end, end, end, 0
        )

        def announced(item: JournalItem) -> None:
            if not item.error and then is not None:
                log.made_durable(end, item.segment_base, item.position)
                then()
            self.release(log)

        def flushed(_: None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
            else:
                for job in jobs:
                    directory.written(job)
                for segment, size in targets:
                    segment.synced = max(segment.synced, size)
                    segment.name_durable = True
            if then is not None and directory.offline_reason is None:
                entry.on_done = announced
                directory.journal.submit([entry])
            else:
                self.release(log)

        directory.executor.submit("direct-0", self._flush_steps(log, jobs, targets), flushed)

    def _flush_steps(self, log: Log, jobs: list[WriteJob], targets: list[tuple[Segment, int]]) -> Steps[None]:
        directory = self._directory
        yield from self._direct_steps(log, jobs, sync=False)
        for segment, _ in targets:
            directory.pool.get(segment.path, create=True).datasync()
            directory.count_sync()
            yield
        if targets:
            directory.vfs.sync_dir(log.path)
            yield
            directory.vfs.sync_dir(directory.path)
            yield

    def tick(self, now_ms: int) -> None:
        """Page-cache topics: sync what is older than `flush.ms`."""
        for log in list(self._directory.checkpointer.dirty):
            if log.page_cache and log.unflushed_records and now_ms - log.last_flush_ms >= log.config.flush_ms:
                self.flush(log)

    # Back from the journal

    def committed(self, report: CommitReport) -> None:
        """A commit is durable: move the partitions' durable ends and answer whoever waits."""
        self._directory.note_commit(report)
        if self._directory.offline_reason is not None:
            self.refuse(report.items)
            return
        touched: dict[Log, None] = {}
        for item in report.items:
            kind = item.kind
            log = item.log
            if kind == BATCH:
                log.made_durable(item.next_offset, item.segment_base, item.position + item.size)
                touched[log] = None
                if item.on_done is not None:
                    item.on_done(item)
            elif kind == SYNCED:
                log.made_durable(item.next_offset, item.segment_base, item.position + item.size)
                touched[log] = None
                self._acknowledge(item.waiter)
            elif item.on_done is not None:
                item.on_done(item)
        for log in touched:
            if log.on_advance is not None:
                log.on_advance(log)

    def _acknowledge(self, items: list[JournalItem]) -> None:
        for item in items:
            if item.on_done is not None:
                item.on_done(item)

    def refuse(self, items: list[JournalItem]) -> None:
        """None of these will ever be durable: tell whoever waits."""
        for item in items:
            item.error = ErrorCode.KAFKA_STORAGE_ERROR
            if item.kind == SYNCED:
                self.refuse(item.waiter)
            elif item.on_done is not None:
                item.on_done(item)

    def refuse_queued(self) -> None:
        """The directory is offline: nothing that was queued will become durable."""
        queued, self._queued = self._queued, []
        self.refuse(queued)


_LAST_JOURNALED_KIND = 6


def _synced_entries(batches: list[JournalItem]) -> list[JournalItem]:
    """One SYNCED entry for each segment that the batches went to, carrying those to be acknowledged."""
    entries: list[JournalItem] = []
    for item in batches:
        last = entries[-1] if entries else None
        if last is not None and last.segment_base == item.segment_base:
            last.next_offset = item.next_offset
            last.size += item.size
            last.waiter.append(item)
        else:
            entry = JournalItem(
                SYNCED,
                item.log,
                item.leader_epoch,
                item.segment_base,
                item.position,
                item.previous_end,
                item.base_offset,
                item.next_offset,
                item.size,
            )
            entry.waiter = [item]
            entries.append(entry)
    return entries
