"""From an append to its acknowledgement: which route makes it durable, and in which order.

Appends of one loop tick are handed over together. Three routes:

- **journal** (the usual one): one entry in the directory's next commit; the segment file is written later, by the writer lane.
- **direct sync**, where much waits for one partition (`log.direct.sync.bytes`): the partition's segment is written and synced on a
  lane of its own, then a SYNCED entry in the journal says so, then the appends are acknowledged. Halves what is written.
- **page cache**, for topics with `flush.messages` > 1: written to the segment, acknowledged, synced later (`flush_policy.py`).

Order: while a direct or page-cache write of a partition is under way, its later appends are *held*; they are routed again when the file is
written and the SYNCED entry is queued, so that a partition's durable end is one contiguous prefix over all
routes, and its journal entries chain without a gap.

All of this runs on the loop; `*_steps` run on lanes. Any error on a lane takes the whole directory offline (`fail`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.storage.append import JournalItem
from logbroker.storage.flush_policy import write_and_sync_steps
from logbroker.storage.journal import CommitReport
from logbroker.storage.journal_format import BATCH, COMPACTED, SYNCED
from logbroker.storage.segment import Segment, WriteJob

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

DIRECT_LANES = 4
_LAST_JOURNALED_KIND = COMPACTED


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
        self._direct: dict[Log, list[JournalItem]] = {}
        """What direct writes carry that are under way."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the end of this tick."""
        return not self._queued

    def enqueue(self, item: JournalItem) -> None:
        """Queue an append or a control entry; everything queued in this tick goes over together."""
        self._queued.append(item)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._hand_over)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        queued, self._queued = self._queued, []
        self._route(queued)
        if self._directory.closing:
            self._directory.settle()

    def _route(self, items: list[JournalItem]) -> None:
        """Send each item on its way. `log.queued_bytes` counts what was appended and not routed yet."""
        directory = self._directory
        if directory.offline_reason is not None:
            self.refuse(items)
            return
        threshold = self._direct_sync_bytes
        journaled: list[JournalItem] = []
        direct: dict[Log, list[JournalItem]] = {}
        size_bytes = 0
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
                size_bytes += item.size
        for item in items:
            log = item.log
            log.queued_bytes -= item.size
            if not log.dirty:
                directory.mark_dirty(log)
        if journaled:
            directory.journal.submit(journaled)
            directory.note_appended(size_bytes)
        for log, group in direct.items():
            self._start_direct(log, group)

    # Direct sync and page cache

    def lane_of(self, log: Log) -> str:
        """The lane on which the partition's direct writes run."""
        if not self._directory.parallel_direct:
            return "direct-0"
        return f"direct-{zlib.crc32(log.name.encode()) % DIRECT_LANES}"

    def _start_direct(self, log: Log, group: list[JournalItem]) -> None:
        """Write (and sync) everything of the partition that its files lack; later appends wait in `held`."""
        directory = self._directory
        controls = [item for item in group if item.kind != BATCH]
        batches = [item for item in group if item.kind == BATCH]
        if log.deleted:
            self.refuse(batches, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            directory.journal.submit(controls)
            return
        log.held = []
        cached = log.page_cache or directory.checkpointer.keeps_cached(log)
        jobs = [
            job
            for segment in log.segments
            if (job := segment.unwritten(with_indexes=False, cached=cached)) is not None
        ]
        # Not only what is written here: a write-back may have put held batches into a file, unsynced.
        if not log.page_cache:
            bases = {item.segment_base for item in batches}
        elif directory.policy.is_due(log, batches):
            bases = {segment.base_offset for segment in log.segments}
        else:
            bases = set()
        targets = [
            (segment, segment.size)
            for segment in log.segments
            if segment.base_offset in bases and (segment.synced < segment.size or not segment.name_durable)
        ]
        self._direct[log] = group
        directory.executor.submit(
            self.lane_of(log),
            directory.guarded(write_and_sync_steps(directory, log, jobs, targets)),
            lambda _, error: self._direct_done(log, batches, controls, jobs, targets, error),
        )
        directory.note_direct(sum(item.size for item in batches))

    def _direct_done(
        self,
        log: Log,
        batches: list[JournalItem],
        controls: list[JournalItem],
        jobs: list[WriteJob],
        targets: list[tuple[Segment, int]],
        error: BaseException | None,
    ) -> None:
        directory = self._directory
        self._direct.pop(log, None)
        error = error or directory.broken
        if error is not None:
            directory.fail(error)
        if directory.offline_reason is not None:
            self.refuse(batches + controls)
            self.release(log)
            return
        self.note_synced(jobs, targets)
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
        self.release(log)

    def note_synced(self, jobs: list[WriteJob], targets: list[tuple[Segment, int]]) -> None:
        """A lane has put `jobs` into the files and made `targets` durable, names included."""
        for job in jobs:
            self._directory.written(job)
        for segment, size in targets:
            segment.synced = max(segment.synced, size)
            segment.name_durable = True

    def release(self, log: Log) -> None:
        """Let those go on who wait for quiet, then what was held, before whatever this tick has queued.

        In that order: under load the next direct write begins at once, and nobody would ever find the partition quiet.
        """
        held, log.held = log.held, None
        if held:
            log.queued_bytes += sum(item.size for item in held)
            self._queued[:0] = held
            self._schedule()
        self.run_quiet(log)

    def when_quiet(self, log: Log, then: Callable[[], None]) -> None:
        """Call `then` when no direct write, flush, truncation or swap of the partition is under way: now, or soon."""
        log.on_quiet.append(then)
        self.run_quiet(log)

    def run_quiet(self, log: Log) -> None:
        """Call who waits for quiet, in order, as long as it is."""
        while log.held is None and not log.truncating and not log.swapping and log.on_quiet:
            log.on_quiet.pop(0)()
        self._directory.settle()

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
                if log.on_advance is not None:
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

    def refuse(self, items: list[JournalItem], code: ErrorCode = ErrorCode.KAFKA_STORAGE_ERROR) -> None:
        """None of these will ever be durable: tell whoever waits. The log itself tells its duplicates."""
        for item in items:
            if item.kind > _LAST_JOURNALED_KIND:
                continue
            item.error = code
            if item.kind == SYNCED:
                self.refuse(item.waiter, code)
            elif item.on_done is not None:
                on_done, item.on_done = item.on_done, None  # its lane may come back with it yet
                on_done(item)

    def refuse_all(self) -> None:
        """The directory is offline: nothing that was queued, is held or is under way will become durable.

        Nobody waits for the lanes: a disk that hangs may never give theirs back.
        """
        queued, self._queued = self._queued, []
        self.refuse(queued)
        self.refuse(self._directory.journal.in_flight())
        for batches in list(self._direct.values()):
            self.refuse(batches)
        for log in {*self._directory.logs.values(), *self._direct}:
            if log.held:
                held, log.held = log.held, []
                self.refuse(held)


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
