"""Deleting partitions, and creating new ones under a name that is still on its way out.

    quiet      no direct write of the partition is under way
    announce   a DELETE entry in the journal (the metadata has decided already; the entry tells recovery that the folder may go)
    rename     lane `writer`: `t-0` becomes `t-0.<topic id>-0-delete`, the directory synced
    remove     lane `trash`: files, then the folder; a crash leaves the rest for the next start

A partition created meanwhile under the same name has no folder yet: its appends are held, and it is in no checkpoint, until the
rename is durable. One that is deleted again while it waits never had anything to delete. Loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.storage.append import JournalItem
from logbroker.storage.executor import Steps
from logbroker.storage.folders import remove_folder_steps
from logbroker.storage.journal_format import DELETE
from logbroker.storage.recovery import doomed_path

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory


class Deletions:
    """The deletions of one directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._leaving: dict[str, list[Log]] = {}
        """By folder that is on its way out: the partition that waits for its name."""

    @property
    def idle(self) -> bool:
        """Whether no folder waits for its new name."""
        return not self._leaving

    def holds(self, log: Log) -> bool:
        """Whether the partition's folder can't be made yet."""
        return log in self._leaving.get(log.path, ())

    def created(self, log: Log) -> None:
        """A new partition: hold its appends if its folder's name isn't free."""
        waiting = self._leaving.get(log.path)
        if waiting is not None:
            log.held = []
            waiting.append(log)

    def delete(self, log: Log, on_done: Callable[[], None]) -> None:
        """Forget a partition and remove its folder; `on_done()` when it is gone, or never will be."""
        directory = self._directory
        if directory.logs.pop((log.topic_id_bytes, log.index), None) is None:
            return
        log.deleted = True
        log.refuse(BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"{log.name} was deleted"))
        directory.checkpointer.forget(log)
        for segment in log.segments:
            segment.dropped = True
        if self.holds(log):
            self._leaving[log.path].remove(log)
            held, log.held = log.held or [], None
            directory.commit_path.refuse(held, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            directory.commit_path.run_quiet(log)
            on_done()
            return
        self._leaving[log.path] = []

        def announced(item: JournalItem) -> None:
            if item.error:
                self._release(log.path)
                on_done()
            else:
                directory.executor.submit("writer", directory.guarded(self._rename_steps(log)), renamed)

        def renamed(target: str | None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
            self._release(log.path)
            if target is None:
                on_done()
            else:
                directory.executor.submit("trash", remove_folder_steps(directory.vfs, target), removed)

        def removed(_: None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
            on_done()

        directory.commit_path.when_quiet(
            log, lambda: directory.enqueue(JournalItem(DELETE, log, -1, 0, 0, 0, 0, 0, 0, on_done=announced))
        )

    def fail(self) -> None:
        """The directory is offline: whoever waits for a name gets none."""
        for path in list(self._leaving):
            self._release(path)

    def _release(self, path: str) -> None:
        """The folder's name is free: its next partition may go on."""
        for successor in self._leaving.pop(path, []):
            self._directory.mark_dirty(successor)
            self._directory.commit_path.release(successor)
        self._directory.settle()

    def _rename_steps(self, log: Log) -> Steps[str | None]:
        directory = self._directory
        vfs = directory.vfs
        if not vfs.exists(log.path):
            return None
        target = doomed_path(directory.path, log.name, log.topic_id, log.index)
        vfs.rename(log.path, target)
        directory.pool.forget_under(log.path)
        yield
        vfs.sync_dir(directory.path)
        yield
        return target
