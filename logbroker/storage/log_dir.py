"""One log directory: its partitions, its journal, and the rule that a failed disk stays failed.

    <log.dirs entry>/
        .lock  meta.properties  checkpoint
        journal/generations  journal/00000000.ring ...
        <topic>-<partition>/partition.metadata  00000000000000000000.log ...

The directory owns one `CommitPath` (appends), one `Journal`, one `Checkpointer`, and the table of logs. It lives on the event loop;
all blocking work runs on lanes of its executor.

After any failed sync, EIO, ENOSPC or short write anywhere on this path the directory goes offline (`fail`): every waiting and every later
request to it, reads too, gets KAFKA_STORAGE_ERROR, nothing un-synced is acknowledged, and no sync is tried again. Other
directories go on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, LogbrokerError, StorageOfflineError
from logbroker.config.topic import TopicConfig
from logbroker.storage import cleaner_offsets, snapshot_file
from logbroker.storage.checkpointer import Checkpointer
from logbroker.storage.cleaner import Cleaner
from logbroker.storage.commit_path import CommitPath
from logbroker.storage.deletion import Deletions
from logbroker.storage.descriptors import patient
from logbroker.storage.executor import Executor, Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.flush_policy import FlushPolicy
from logbroker.storage.folders import make_folders_steps
from logbroker.storage.index import MapCache
from logbroker.storage.index_rebuild import IndexRebuilder
from logbroker.storage.journal import CommitReport, Journal
from logbroker.storage.log import Log
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.storage.producer_state import ProducerEntry
from logbroker.storage.recovery import (
    KnownPartition,
    RecoveryReport,
    recover_steps,
)
from logbroker.storage.segment import Reader, Segment, WriteJob
from logbroker.storage.stats import StorageStats
from logbroker.storage.trimming import Trimming
from logbroker.storage.truncation import Truncations
from logbroker.storage.vfs import Vfs, write_unsynced

_log = logs.get("storage")

_REMEDY = (
    "its partitions answer KAFKA_STORAGE_ERROR until the broker is restarted; look at the disk first (dmesg, df, mount): "
    "the next start recovers what was acknowledged"
)

T = TypeVar("T")


class LogDirectory:
    """See the module; implements `LogHost`."""

    def __init__(
        self,
        vfs: Vfs,
        executor: Executor,
        path: str,
        clock: Clock,
        options: LogDirectoryOptions,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        on_offline: Callable[[LogDirectory], None] = lambda _: None,
    ) -> None:
        wait_s = options.descriptor_wait_s
        self.pool = FilePool(vfs, options.open_files_max, on_sync_failed=self._sync_failed, wait_s=wait_s)
        self.vfs = patient(vfs, self.pool.give_back, wait_s)
        self.executor = executor
        self.path = path
        self.clock = clock
        self.options = options
        self.parallel_direct = options.parallel_direct
        self.offline_reason: str | None = None
        self.broken: BaseException | None = None
        """The first error of a lane that writes or syncs; `offline_reason` follows as soon as the loop hears of it."""
        self.closing = False
        self._opening = False
        """Recovery is under way on its lane."""
        self._forgetting = True
        """Whether checkpoints may forget what recovery found: see `open`."""
        self.stats = StorageStats()
        self.logs: dict[tuple[bytes, int], Log] = {}
        self.maps = MapCache(self.pool, options.open_files_max)
        self._on_offline = on_offline
        self._on_closed: Callable[[], None] | None = None
        self._device = -1
        self._reserve_reached = False
        self.disk_reserve_bytes = options.disk_reserve_bytes
        self._room_bytes = 0
        """What may be appended before the disk is down to its reserve; looked up at every tick, counted down in between."""
        # What doesn't fit into the journal with room to spare goes direct, whatever the setting says.
        direct_sync_bytes = min(options.direct_sync_bytes, options.journal_file_bytes // 4)
        self.commit_path = CommitPath(self, direct_sync_bytes=direct_sync_bytes, call_soon=call_soon)
        self.policy = FlushPolicy(self)
        self.deletions = Deletions(self)
        self.truncations = Truncations(self)
        self.trimming = Trimming(self)
        self.journal = Journal(
            self.vfs,
            executor,
            path,
            files=options.journal_files,
            file_bytes=options.journal_file_bytes,
            group_max_bytes=options.journal_group_max_bytes,
            on_committed=self.commit_path.committed,
            on_settled=self.settle,
            on_failed=self.fail,
            on_refused=self.commit_path.refuse,
            on_file_full=self._ring_pressed,
            random_bytes=options.random_bytes,
        )
        self.checkpointer = Checkpointer(
            self,
            writeback_bytes=options.writeback_bytes,
            interval_ms=options.checkpoint_interval_ms,
            checkpoint_bytes=options.checkpoint_bytes,
        )
        self.index_rebuilder = IndexRebuilder(self)
        self.cleaner = Cleaner(self)
        self.enqueue = self.commit_path.enqueue

    # Life

    def open(
        self,
        known: list[KnownPartition],
        on_done: Callable[[RecoveryReport | None, BaseException | None], None],
        *,
        deleted: frozenset[UUID] = frozenset(),
        hold_checkpoint: bool = False,
    ) -> None:
        """Recover on the writer lane, then `on_done(report, error)`; after that the logs may be used.

        The first checkpoint forgets what the stop left, and so which partitions must begin a new leader epoch. With
        `hold_checkpoint` it waits for `recovery_noted`. Folders of `deleted` topics are removed, and don't come back.
        """

        def recovered(report: RecoveryReport | None, error: BaseException | None) -> None:
            self._opening = False
            if error is not None:
                self.offline_reason = str(error)
            if self._on_closed is not None:  # the start was given up meanwhile
                self.closed_cleanly()
            elif error is None:
                self.journal.grow()
                if hold_checkpoint:
                    self._forgetting = False
                    self.checkpointer.exclusively(lambda: None)
                else:
                    self.checkpointer.start()
                for log in self.logs.values():
                    if not log.refused:
                        self.policy.recovered(log)
            on_done(report, error)

        self._opening = True
        self.executor.submit("writer", self._open_steps(known, deleted), recovered)

    def recovery_noted(self) -> None:
        """What recovery reported is durable elsewhere, after an `open` with `hold_checkpoint`: let the first checkpoint begin."""
        self._forgetting = True
        self.checkpointer.release()
        self.checkpointer.start()

    def _open_steps(self, known: list[KnownPartition], deleted: frozenset[UUID]) -> Steps[RecoveryReport]:
        self._device = self.vfs.device(self.path)
        yield
        self._room_bytes = self.vfs.free_bytes(self.path) - self.disk_reserve_bytes
        yield
        report: RecoveryReport = yield from recover_steps(self, known, deleted)
        for key, offset in cleaner_offsets.load(self.vfs, self.path).items():
            log = self.logs.get(key)
            if log is not None and offset <= log.end_offset:
                log.first_dirty = offset
        return report

    def check_mounted(self) -> None:
        """Whether the directory's path still leads to the directory; any thread. Raises OSError: its file system is gone.

        Files that are open go on working without their mount, while every new name would be another file system's.
        """
        if self.vfs.device(self.path) != self._device:
            raise OSError(errno.ENODEV, "the file system was unmounted", self.path)

    def adopt(self, log: Log, *, changed: bool) -> None:
        """Recovery's result for one partition."""
        self.logs[(log.topic_id_bytes, log.index)] = log
        if changed and not log.refused:
            log.dirty = True
            self.checkpointer.dirty[log] = None

    def close(self, on_closed: Callable[[], None]) -> None:
        """Checkpoint everything, mark the directory clean, then `on_closed()`. No appends may come any more.

        After a start that was given up before `recovery_noted` all stays as recovery left it, for the next one.
        """
        self._on_closed = on_closed
        if self._opening:
            return  # recovery does no harm by coming to its end, and what it holds can't be taken from it
        if self.offline_reason is not None or not self._forgetting:
            self.closed_cleanly()
            return
        self.closing = True
        self.settle()

    def settle(self) -> None:
        """Something came to an end: if the directory is closing and nothing else is under way, take the last checkpoint."""
        if not self.closing or self.offline_reason is not None or self._on_closed is None:
            return
        busy = (
            self.journal.outstanding
            or not self.commit_path.idle
            or not self.deletions.idle
            or any(log.held is not None or log.truncating or log.swapping for log in self.logs.values())
        )
        if not busy:
            self.checkpointer.close()

    def closed_cleanly(self) -> None:
        """The last checkpoint is published (or never will be)."""
        if self._on_closed is not None:
            on_closed, self._on_closed = self._on_closed, None
            self.journal.stop()
            self.pool.close()
            on_closed()

    def fail(self, error: BaseException) -> None:
        """Take the directory offline, for ever: what was promised stands, nothing more is."""
        if self.offline_reason is not None:
            return
        self.stats.disk_errors += 1
        self.offline_reason = f"log directory {self.path} is offline: {error}"
        ours = None if isinstance(error, OSError | LogbrokerError) else error
        _log.error(
            "a log directory went offline", directory=self.path, reason=str(error), remedy=_REMEDY, error=ours
        )
        for log in list(self.logs.values()):
            if not log.refused:
                log.refuse(StorageOfflineError(f"{log.name}: {self.offline_reason}"))
            if log.on_advance is not None:
                log.on_advance(log)  # whoever waits for records learns that none will come
        self.journal.stop()
        self.commit_path.refuse_all()
        self.truncations.fail()
        self.deletions.fail()
        self._on_offline(self)
        self.closed_cleanly()

    # LogHost

    def refuse_append(self, log: Log) -> BrokerError | None:
        """See `LogHost`."""
        if log.truncating:
            return BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{log.name} is being cut")
        if self._reserve_reached:
            return StorageOfflineError(
                f"log directory {self.path} has less than log.disk.reserve.bytes left; free some space or lower retention"
            )
        return None

    def rolled(self, log: Log) -> None:
        """See `LogHost`: leave Kafka's producer snapshot beside the new segment, for its tools."""
        if len(log.producers) and not self.deletions.holds(log):
            self.executor.submit(
                "writer",
                self._snapshot_steps(log, log.end_offset, log.producers.capture()),
                lambda _, error: self._snapshot_done(log, error),
            )

    def _snapshot_steps(self, log: Log, offset: int, producers: dict[int, ProducerEntry]) -> Steps[None]:
        if self.broken is not None:
            return
        yield from self.guarded(self.create_folder_steps(log))
        path = f"{log.path}/{snapshot_file.file_name(offset)}"
        write_unsynced(self.vfs, path, snapshot_file.encode(producers))
        yield

    def _snapshot_done(self, log: Log, error: BaseException | None) -> None:
        if error is not None and error is self.broken:
            self.fail(error)  # the folder, on which everything depends
        elif error is not None and not log.deleted:  # nothing of ours depends on the snapshot
            _log.warning("a producer snapshot can't be written", partition=log.name, reason=str(error))

    def advance_start(self, log: Log, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """See `LogHost`, and `trimming.py`."""
        self.trimming.advance_start(log, offset, on_done)

    def create_log(self, partition: KnownPartition, *, leader_epoch: int = 0) -> Log:
        """A new, empty partition; its folder is made in the background (its existence is the metadata's to decide)."""
        path = f"{self.path}/{partition.topic}-{partition.partition}"
        log = Log(self, path, *partition)
        log.fresh = True
        self.logs[(log.topic_id_bytes, log.index)] = log
        if self.offline_reason is not None:
            log.refuse(StorageOfflineError(f"{log.name}: {self.offline_reason}"))
            return log
        self.deletions.created(log)
        self.mark_dirty(log)
        self.policy.follow(log)
        return log

    def delete_log(self, log: Log, on_done: Callable[[], None] = lambda: None) -> None:
        """Forget a partition and remove its folder: see `deletion.py`."""
        self.deletions.delete(log, on_done)

    def truncate_to(self, log: Log, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """Cut the log's end off at `offset`, durably: see `truncation.py`. Appends are refused meanwhile."""
        self.truncations.truncate_to(log, offset, on_done)

    # What lanes tell at once, and what the commit path and the checkpointer tell

    def guarded(self, steps: Steps[T]) -> Steps[T]:
        """Lane: these steps, whose error stops the other lanes before the loop hears of it.

        A kernel tells a failed sync once. Another lane's sync of the same file, or directory, may succeed right after it,
        and must not be believed.
        """
        try:
            return (yield from steps)
        except Exception as error:
            self.broken = self.broken or error
            raise

    def _sync_failed(self, error: OSError) -> None:
        self.broken = self.broken or error
        self.executor.post(self.fail, error)

    def mark_dirty(self, log: Log) -> None:
        """The partition changed: the next checkpoint captures it."""
        if log.dirty or log.refused or self.deletions.holds(log):
            return
        if (log.topic_id_bytes, log.index) in self.logs:
            log.dirty = True
            self.checkpointer.dirty[log] = None

    def note_appended(self, size_bytes: int) -> None:
        """Bytes on their way to the journal."""
        self._takes(size_bytes)
        self.checkpointer.appended(size_bytes, in_tail=True)

    def note_direct(self, size_bytes: int) -> None:
        """Bytes on their way to a segment."""
        self._takes(size_bytes)
        self.stats.direct_bytes += size_bytes
        self.checkpointer.appended(size_bytes, in_tail=True)

    def note_commit(self, report: CommitReport) -> None:
        """A commit is durable."""
        stats = self.stats
        stats.journal_bytes += report.size_bytes
        stats.commit_bytes.observe(report.size_bytes)
        stats.commit_us.observe(int(report.seconds * 1e6))

    def count_sync(self) -> None:
        """A segment was synced (any lane; a lost count in a race does no harm)."""
        self.stats.segment_syncs += 1

    def written(self, job: WriteJob) -> None:
        """A job's bytes are in the files: they leave memory."""
        if job.items:
            self.checkpointer.tail_bytes -= job.segment.written_to(job.end)

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much can be written without the disk's reserve."""
        return self._room_bytes >= size_bytes

    def _ring_pressed(self) -> None:
        self.checkpointer.ring_pressed()
        self.journal.grow()

    # Reading

    def reader(self, fetched: dict[tuple[str, int, int], bytes] | None = None) -> Reader:
        """A reader for the loop: with `fetched` it never blocks (see `Reader`), without it may."""
        return Reader(self.pool, self.maps, fetched)

    def fetch_steps(self, keys: list[tuple[str, int, int]]) -> Steps[dict[tuple[str, int, int], bytes]]:
        """Lane `read`: what the loop could not read without blocking."""
        found = {}
        for path, size, position in keys:
            found[(path, size, position)] = self.pool.get(path).pread(size, position)
            yield
        return found

    # Files and folders, on lanes

    def create_folder_steps(self, log: Log) -> Steps[None]:
        """Make a partition's folder; its name is synced by the next checkpoint or direct sync."""
        yield from self.create_folders_steps([log])

    def create_folders_steps(self, logs: list[Log]) -> Steps[bool]:
        """Make those that are missing; whether their names are durable already."""
        missing = [log for log in logs if not log.created]
        named = yield from make_folders_steps(self, [(log.path, log.topic_id) for log in missing])
        for log in missing:
            log.created = True
        return named

    def remove_segment_steps(self, segment: Segment) -> Steps[None]:
        """Remove a segment's files now."""
        for path in segment.file_paths():
            self.vfs.unlink(path)
            self.pool.forget(path)
        yield
        self.vfs.sync_dir(segment.path.rpartition("/")[0])
        yield

    # Time

    def tick(self, now_ms: int) -> None:
        """Once a second or so: due checkpoints, due deletions, the disk's reserve, page-cache flushes."""
        if self.offline_reason is not None:
            return
        self.checkpointer.tick(now_ms)
        self.index_rebuilder.tick()
        self.trimming.tick(now_ms)
        try:
            self.check_mounted()
            # What waits in memory for its segment will take its room yet.
            free = self.vfs.free_bytes(self.path) - self.checkpointer.tail_bytes
            self._room_bytes = free - self.disk_reserve_bytes
        except OSError as error:
            self.fail(error)
            return
        self._watch_reserve()
        self.policy.tick(now_ms)

    def _watch_reserve(self) -> None:
        reached = self._room_bytes < 0
        if reached and not self._reserve_reached:
            _log.error(
                "the disk is nearly full: appends are refused",
                directory=self.path,
                free_bytes=self._room_bytes + self.disk_reserve_bytes,
            )
        self._reserve_reached = reached

    def _takes(self, size_bytes: int) -> None:
        """The disk will have so much less: a fast producer may use up the reserve between two ticks."""
        self._room_bytes -= size_bytes
        if self._room_bytes < 0 and not self._reserve_reached:
            self._watch_reserve()

    def apply_retention(self, now_ms: int, decide: Callable[[Log, int], int]) -> None:
        """`retain` every log."""
        for log in list(self.logs.values()):
            self.retain(log, now_ms, decide)

    def retain(self, log: Log, now_ms: int, decide: Callable[[Log, int], int]) -> None:
        """Roll the active segment if it is old, and move the log's start to where `decide(log, now_ms)` says."""
        if log.refusal is not None or log.truncating:
            return
        if log.roll_if_due(now_ms):
            self.mark_dirty(log)
        start = decide(log, now_ms)
        if start > max(log.start_offset, log.announced_start):
            if start > log.segments[-1].base_offset:
                log.roll()
            _log.info("retention", partition=log.name, log_start_offset=start)
            self.advance_start(log, start, lambda _: None)
        elif len(log.segments) > 1 and log.segments[1].base_offset <= log.start_offset:
            self.trimming.drop(log)  # it was the active one when the start was moved behind all of it

    def configure(self, log: Log, config: TopicConfig) -> None:
        """Follow a changed topic configuration; the flush policy follows as `flush_policy.py` tells."""
        log.configure(config)
        self.policy.follow(log)
        self.mark_dirty(log)
