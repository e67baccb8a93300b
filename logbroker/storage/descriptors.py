"""No descriptor left is not a disk error: give some back, wait for others to be closed, and only then say what to do.

    waiting(operation)   give back what may be closed and try again; then wait a while; the error that is raised in the end names
                         `ulimit -n`

Lanes wait so. The event loop never waits: connections, which hold descriptors too, are closed there.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from logbroker.base import logs
from logbroker.storage.vfs import File, Vfs

NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)
REMEDY: Final = "no file descriptor is left; raise `ulimit -n`, or lower max.connections or log.open.files"
_PAUSE_S: Final = 0.02

_log = logs.get("storage")

T = TypeVar("T")


def is_missing(error: BaseException | None) -> bool:
    """Whether the error says that the process, or the system, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in NO_DESCRIPTOR


def waiting(operation: Callable[[], T], path: str, give_back: Callable[[], bool], wait_s: float) -> T:
    """What `operation` returns. Raises what it raises; OSError with the remedy when none came free within `wait_s`."""
    until_s: float | None = None
    while True:
        try:
            return operation()
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
            if give_back():
                continue
            if until_s is None:
                until_s = time.monotonic() + wait_s
                if wait_s and not _on_loop():
                    _log.error("work waits for a file descriptor", path=path, remedy=REMEDY)
            if time.monotonic() >= until_s or _on_loop():
                raise OSError(error.errno, REMEDY, path) from error
        time.sleep(_PAUSE_S)


def patient(vfs: Vfs, give_back: Callable[[], bool], wait_s: float) -> Vfs:
    """`vfs`, whose operations that need a descriptor wait for one."""
    return cast(Vfs, _Patient(vfs, give_back, wait_s))


class _Patient:
    """Everything else is the file system's own."""

    def __init__(self, vfs: Vfs, give_back: Callable[[], bool], wait_s: float) -> None:
        self._vfs = vfs
        self._give_back = give_back
        self._wait_s = wait_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vfs, name)

    def open(self, path: str, *, create: bool = False) -> File:
        return waiting(lambda: self._vfs.open(path, create=create), path, self._give_back, self._wait_s)

    def listdir(self, path: str) -> list[str]:
        return waiting(lambda: self._vfs.listdir(path), path, self._give_back, self._wait_s)

    def sync_dir(self, path: str) -> None:
        waiting(lambda: self._vfs.sync_dir(path), path, self._give_back, self._wait_s)


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
