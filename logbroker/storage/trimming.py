"""Moving a log's start: retention and DeleteRecords.

    announce   a LOG_START entry in the journal; when it is durable the start moves, and nobody is shown what lies below
    drop       when no direct write of the partition is under way: segments that lie wholly below leave the log
    rename     lane `writer`: their files get the suffix `.deleted`
    remove     after `file.delete.delay.ms`

A crash leaves files under either name; recovery removes what lies below the start. Loop only, but for `*_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.journal_format import LOG_START
from logbroker.storage.segment_files import DELETED_SUFFIX

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory


class Trimming:
    """The log starts of one directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._condemned: list[tuple[int, list[str], str]] = []
        """(when to remove, paths, their folder)"""

    def advance_start(self, log: Log, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """Move the log's start to `offset`, durably; then `on_done(code)`. `offset` isn't above the durable end."""
        directory = self._directory

        def announced(item: JournalItem) -> None:
            if not item.error:
                log.start_offset = max(log.start_offset, offset)
                directory.mark_dirty(log)
                self.drop(log)
            on_done(item.error)

        if log.truncating:
            on_done(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            return
        log.announced_start = max(log.announced_start, offset)
        base = log.segments[-1].base_offset
        directory.enqueue(
            JournalItem(
                LOG_START, log, log.epochs.latest, base, 0, offset, offset, offset, 0, on_done=announced
            )
        )

    def drop(self, log: Log) -> None:
        """Give up the segments that lie wholly below the log's start, as soon as nothing writes to the partition."""
        self._directory.commit_path.when_quiet(log, lambda: self._drop(log))

    def _drop(self, log: Log) -> None:
        directory = self._directory
        if log.deleted:
            return
        paths = []
        for segment in log.drop_below(log.start_offset):
            directory.checkpointer.tail_bytes -= sum(item.size for item in segment.tail)
            segment.tail = []
            segment.dropped = True
            for path in segment.file_paths():
                directory.maps.forget(path)
                paths.append(path)
        self.condemn(log, paths, rename=True)

    def condemn(self, log: Log, paths: list[str], *, rename: bool = False) -> None:
        """Remove these files after `file.delete.delay.ms`; with `rename` they get the suffix `.deleted` first."""
        directory = self._directory
        if not paths:
            return
        due = directory.clock.wall_ms() + log.config.file_delete_delay_ms

        def renamed(_: None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
            else:
                self._condemned.append((due, [path + DELETED_SUFFIX for path in paths], log.path))

        if rename:
            directory.executor.submit("writer", directory.guarded(self._rename_steps(paths)), renamed)
        else:
            renamed(None, None)

    def tick(self, now_ms: int) -> None:
        """Remove the files that are due."""
        due = [entry for entry in self._condemned if entry[0] <= now_ms]
        if not due:
            return
        self._condemned = [entry for entry in self._condemned if entry[0] > now_ms]

        def removed(_: None, error: BaseException | None) -> None:
            if error is not None:
                self._directory.fail(error)

        self._directory.executor.submit("writer", self._unlink_steps(due), removed)

    def _rename_steps(self, paths: list[str]) -> Steps[None]:
        vfs = self._directory.vfs
        for path in paths:
            if vfs.exists(path):
                vfs.rename(path, path + DELETED_SUFFIX)
                self._directory.pool.forget(path)
                yield

    def _unlink_steps(self, condemned: list[tuple[int, list[str], str]]) -> Steps[None]:
        vfs = self._directory.vfs
        for _, paths, folder in condemned:
            if vfs.exists(folder):
                for path in paths:
                    vfs.unlink(path)
                yield
