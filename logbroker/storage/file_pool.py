"""Open segment files, fewer than the process may have.

A segment opens when it is first touched. Files that hold bytes not yet synced are *pinned* and stay open until they
are synced: a file that was closed and opened again can miss the write error that its pages met. The others
leave by least recent use once there are more than `max_open`. A thread that works on a file holds the object; dropping it here
closes the descriptor only when the last reference goes.

Running out of descriptors is not a disk error: the pool gives some back, remembers that it may have fewer, and tries again. When
pinned files alone are too many, the oldest of them are synced and let go.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from logbroker.storage.descriptors import NO_DESCRIPTOR, waiting
from logbroker.storage.vfs import File, Vfs

_OPEN_MIN = 16


class FilePool:
    """An LRU of open files by path; may be used from every thread."""

    def __init__(
        self,
        vfs: Vfs,
        max_open: int = 4096,
        on_sync_failed: Callable[[OSError], None] = lambda _: None,
        *,
        wait_s: float = 0.0,
    ) -> None:
        self._wait_s = wait_s
        """How long a lane waits for a descriptor when there is none to give back."""
        self._on_sync_failed = on_sync_failed
        self._failure: OSError | None = None
        self.vfs = vfs
        self.max_open = max_open
        self._files: OrderedDict[str, File] = OrderedDict()
        self._pinned: dict[str, File] = {}
        self._standing_in: dict[str, File] = {}
        self.replacements = 0
        """How often files took the places of others, or were cut; what was read ahead of the last time is worth nothing."""
        self._lock = threading.Lock()

    @property
    def open_count(self) -> int:
        """Files open now."""
        return len(self._files) + len(self._pinned)

    def get(self, path: str, *, create: bool = False, pin: bool = False) -> File:
        """The open file at `path`. With `pin` it stays open until `unpin`.

        Raises FileNotFoundError where it is missing and `create` isn't set; OSError as open does, and for ever once the pool
        had to sync a file and that failed (`on_sync_failed` was told, in whichever thread it happened).
        """
        return waiting(lambda: self._get(path, create=create, pin=pin), path, lambda: False, self._wait_s)

    def _get(self, path: str, *, create: bool, pin: bool) -> File:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            file = self._standing_in.get(path) or self._pinned.get(path)
            if file is not None:
                return file
            file = self._files.get(path)
            if file is None:
                file = self._open(path, create=create)
            if pin:
                self._files.pop(path, None)
                self._pinned[path] = file
            else:
                self._files[path] = file
                self._files.move_to_end(path)
            while len(self._files) > 1 and len(self._files) + len(self._pinned) > self.max_open:
                self._files.popitem(last=False)
            while len(self._pinned) > self.max_open:
                self._let_go(next(iter(self._pinned)))
            return file

    def keep(self, path: str, file: File) -> None:
        """`file`, which the caller got from here, has just been written: pin it, whatever became of its place meanwhile.

        Until now the caller's reference kept it open. Opened anew it might not hear of the write's error.
        """
        with self._lock:
            if path not in self._pinned:
                self._files.pop(path, None)
                self._pinned[path] = file

    def unpin(self, path: str) -> None:
        """The file is synced: it may be closed when others need the room."""
        with self._lock:
            file = self._pinned.pop(path, None)
            if file is not None:
                self._files[path] = file

    def forget(self, path: str) -> None:
        """Drop the file (it was deleted or renamed)."""
        with self._lock:
            self._files.pop(path, None)
            self._pinned.pop(path, None)

    def forget_under(self, directory: str) -> None:
        """Drop every file below a directory."""
        prefix = directory + "/"
        with self._lock:
            for table in (self._files, self._pinned):
                for path in [path for path in table if path.startswith(prefix)]:
                    del table[path]

    def replace(self, files: dict[str, File]) -> None:
        """From now on these are the files of these names, though the names still lead to others on the disk."""
        with self._lock:
            self.replacements += 1
            self._standing_in.update(files)
            for path in files:
                self._files.pop(path, None)
                self._pinned.pop(path, None)

    def replaced(self, paths: Iterable[str]) -> None:
        """The names lead to the new files."""
        with self._lock:
            for path in paths:
                self._files[path] = self._standing_in.pop(path)

    def close(self) -> None:
        """Drop everything."""
        with self._lock:
            self._standing_in.clear()
            self._files.clear()
            self._pinned.clear()

    def give_back(self) -> bool:
        """The process has no descriptor left: close some files, and keep fewer from now on; False if there are none."""
        with self._lock:
            return self._give_back()

    def _give_back(self) -> bool:
        self.max_open = max(_OPEN_MIN, min(self.max_open, self.open_count * 3 // 4))
        if self._files:
            for _ in range(-(-len(self._files) // 2)):
                self._files.popitem(last=False)
            return True
        oldest = list(self._pinned)[: -(-len(self._pinned) // 8)]
        for path in oldest:
            self._let_go(path)
        return bool(oldest)

    def _let_go(self, path: str) -> None:
        """Sync a pinned file and drop it. A failure is everybody's: whoever asked may be a reader, who can't take it back."""
        if self._failure is None:
            try:
                self._pinned[path].datasync()
            except OSError as error:
                self._failure = error
                self._on_sync_failed(error)
        if self._failure is not None:
            raise self._failure
        del self._pinned[path]

    def _open(self, path: str, *, create: bool) -> File:
        while True:
            try:
                return self.vfs.open(path, create=create)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._give_back():
                    raise
