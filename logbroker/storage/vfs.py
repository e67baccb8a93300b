"""The file system as the storage engine sees it: the one seam between the log and the disk.

The engine touches files only through these two classes, so that a simulated disk (logbroker/testing) can take their
place and lose, tear and reorder whatever was not synced. Everything that differs between operating
systems stands here too (macOS: a real flush is F_FULLFSYNC).

Durability rules that callers rely on:

- `File.pwritev` reaches the page cache only. `File.datasync` makes the bytes, and the size needed to read
  them, durable. A *name* (create, rename, unlink, mkdir) is durable only after `Vfs.sync_dir` of its parent.
- Every error is an `OSError`; a write that the kernel cut short raises `OSError(EIO)`. A failed sync is never repeated by
  anyone: the pages it lost are marked clean (see the offline rule in `log_dir.py`).
- Methods block; they may be called from any thread. A `File` must not be closed while another thread uses it: threads
  hold the object, and the last reference closes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from logbroker.base.types import Buffer
from logbroker.storage import many_writes

IOV_MAX = 1024
"""Buffers one system call may gather (Linux UIO_MAXIOV)."""


class File(Protocol):
    """An open file; positions and sizes are bytes."""

    path: str

    def pread(self, size: int, position: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        ...

    def pread_nowait(self, size: int, position: int) -> bytes | None:
        """Read what the page cache holds, without touching the disk; None if that would block at once."""
        ...

    def pwritev(self, buffers: Sequence[Buffer], position: int, *, cached: bool = True) -> int:
        """Write all of `buffers`, one after the other, at `position`; returns the bytes written (all of them).

        Without `cached` the system is asked to begin writing them out now and to keep none of it in the page cache after that.
        """
        ...

    def datasync(self) -> None:
        """Make everything written so far durable."""
        ...

    def write_durably(self, buffers: Sequence[Buffer], position: int) -> bool:
        """`pwritev` and `datasync` in one system call, so that a thread waits for Python's lock once instead of twice.

        False if that can't be done here, and nothing was: the caller then makes the two calls.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cut (or extend with zeros) to `size`."""
        ...

    def size(self) -> int:
        """The file's length now."""
        ...

    def map_readonly(self, size: int) -> Buffer:
        """The first `size` bytes as a read-only mapping (never more than the file holds), or a copy."""
        ...

    def close(self) -> None:
        """Give the descriptor back; harmless when repeated."""
        ...


class Vfs(Protocol):
    """Names: every path is absolute or relative to the process."""

    writes_many: bool
    """Whether `write_many` is worth asking."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; with `create` make it, empty, if it isn't there.

        Raises FileNotFoundError without `create`.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether a file or directory has this name."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def mkdir(self, path: str) -> None:
        """Make one directory; harmless if it is there."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Atomically give `source` the name `target`, replacing a file of that name."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a file's name; harmless if it isn't there."""
        ...

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; harmless if it isn't there."""
        ...

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        ...

    def sync_filesystem(self, path: str) -> bool:
        """Make everything durable that was written to the file system which holds `path`, names too.

        One journal commit of the file system instead of one a file. False if this system can't do that *and* report
        write errors: then each file must be synced. Raises OSError for any write error on that file system since
        this was last called.
        """
        ...

    def file_size(self, path: str) -> int:
        """Length of the named file."""
        ...

    def modified_ms(self, path: str) -> int:
        """When the named file last changed, milliseconds since the epoch."""
        ...

    def write_many(self, writes: Sequence[tuple[File, Sequence[Buffer], int]]) -> bool:
        """`pwritev` of each (file, buffers, position), at most WRITES_MAX of them, in one system call.

        False if that can't be done here: the caller then makes one call a file. Raises OSError if any of them failed or was
        cut short; what became of the others isn't known then.
        """
        ...

    def free_bytes(self, path: str) -> int:
        """Room left for this process on the file system that holds `path`."""
        ...

    def device(self, path: str) -> int:
        """Identity of the file system that holds `path`: it changes when a mount goes away."""
        ...


class OsFile:
    """A file of the operating system."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def pread(self, size: int, position: int) -> bytes:
        """See `File`."""
        data = os.pread(self._fd, size, position)
        if len(data) == size or not data:
            return data
        parts = [data]
        have = len(data)
        while have < size:
            data = os.pread(self._fd, size - have, position + have)
            if not data:
                break
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def pread_nowait(self, size: int, position: int) -> bytes | None:
        """See `File`; RWF_NOWAIT where the kernel and the file system know it."""
        if not _HAS_NOWAIT:
            return None
        buffer = bytearray(size)
        try:
            count = os.preadv(self._fd, [buffer], position, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return None
            raise
        return bytes(memoryview(buffer)[:count]) if count < size else buffer  # type: ignore[return-value]

    def pwritev(self, buffers: Sequence[Buffer], position: int, *, cached: bool = True) -> int:
        """See `File`; RWF_DONTCACHE (Linux 6.14) where the kernel and the file system know it."""
        if len(buffers) <= IOV_MAX:
            try:
                written = (
                    os.pwritev(self._fd, buffers, position)
                    if cached
                    else self._pwritev_uncached(buffers, position)
                )
            except OSError as error:
                error.filename = self.path  # the system call knows a number only
                raise
            self._check_written(written, buffers)
            return written
        total = 0
        for start in range(0, len(buffers), IOV_MAX):
            total += self.pwritev(buffers[start : start + IOV_MAX], position + total, cached=cached)
        return total

    def _pwritev_uncached(self, buffers: Sequence[Buffer], position: int) -> int:
        if sys.platform == "linux":
            try:
                return os.pwritev(self._fd, buffers, position, _RWF_DONTCACHE)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
        return os.pwritev(self._fd, buffers, position)

    def datasync(self) -> None:
        """See `File`."""
        try:
            if sys.platform == "darwin":  # fsync there stops at the drive's own cache
                fcntl.fcntl(self._fd, fcntl.F_FULLFSYNC)
            else:
                os.fdatasync(self._fd)
        except OSError as error:
            error.filename = self.path
            raise

    def write_durably(self, buffers: Sequence[Buffer], position: int) -> bool:
        """See `File`; RWF_DSYNC where there is one (Linux 4.7)."""
        if not _HAS_DSYNC or len(buffers) > IOV_MAX:
            return False
        try:
            written = os.pwritev(self._fd, buffers, position, os.RWF_DSYNC)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # the flag isn't known here; nothing was written
                return False
            error.filename = self.path
            raise
        self._check_written(written, buffers)
        return True

    def _check_written(self, written: int, buffers: Sequence[Buffer]) -> None:
        expected = sum(map(len, buffers))
        if written != expected:
            raise OSError(errno.EIO, f"short write: {written} of {expected} bytes", self.path)

    def truncate(self, size: int) -> None:
        """See `File`."""
        os.ftruncate(self._fd, size)

    def size(self) -> int:
        """See `File`."""
        return os.fstat(self._fd).st_size

    def map_readonly(self, size: int) -> Buffer:
        """See `File`."""
        if self._fd < 0:  # -1 would mean anonymous memory, full of zeros
            raise OSError(errno.EBADF, "the file is closed", self.path)
        return memoryview(mmap.mmap(self._fd, size, prot=mmap.PROT_READ)) if size else b""

    def close(self) -> None:
        """See `File`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


_RWF_DONTCACHE = 0x80
"""include/uapi/linux/fs.h; Python has no name for it yet."""
_HAS_DSYNC = hasattr(os, "RWF_DSYNC") and hasattr(os, "pwritev")
_HAS_NOWAIT = hasattr(os, "RWF_NOWAIT") and hasattr(os, "preadv")


class OsVfs:
    """The operating system's own file system."""

    reads_uncached = True
    """Its files can be read past the page cache (`uncached.py`), whoever wraps it."""
    writes_many = many_writes.AVAILABLE
    """See `Vfs`."""

    def __init__(self) -> None:
        self._roots: dict[str, OsFile] = {}

    def watch_filesystem(self, path: str) -> None:
        """From now on write errors on the file system of `path` are told by `sync_filesystem`."""
        if _syncfs() is not None and path not in self._roots:
            self._roots[path] = OsFile(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def sync_filesystem(self, path: str) -> bool:
        """See `Vfs`."""
        root = self._roots.get(path)
        syncfs = _syncfs()
        if root is None or syncfs is None:
            return False
        if syncfs(root._fd):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), path)
        return True

    def open(self, path: str, *, create: bool = False) -> OsFile:
        """See `Vfs`."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return OsFile(path, os.open(path, flags, 0o644))

    def exists(self, path: str) -> bool:
        """See `Vfs`."""
        return os.path.lexists(path)

    def listdir(self, path: str) -> list[str]:
        """See `Vfs`."""
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        """See `Vfs`."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)

    def rename(self, source: str, target: str) -> None:
        """See `Vfs`."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """See `Vfs`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def rmdir(self, path: str) -> None:
        """See `Vfs`."""
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)

    def sync_dir(self, path: str) -> None:
        """See `Vfs`."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def file_size(self, path: str) -> int:
        """See `Vfs`."""
        return os.stat(path).st_size

    def modified_ms(self, path: str) -> int:
        """See `Vfs`."""
        return os.stat(path).st_mtime_ns // 1_000_000

    def write_many(self, writes: Sequence[tuple[File, Sequence[Buffer], int]]) -> bool:
        """See `Vfs`; io_submit where there is one."""
        pieces: list[tuple[int, int, int]] = []
        parts: list[Buffer] = []
        for file, buffers, position in writes:
            if type(file) is not OsFile:
                return False
            parts.extend(buffers)
            pieces.append((file._fd, position, sum(map(len, buffers))))
        results = many_writes.write_many(pieces, b"".join(parts))
        if results is None:
            return False
        for (file, _, _), (_, _, size), result in zip(writes, pieces, results, strict=True):
            if result < 0:
                raise OSError(-result, os.strerror(-result), file.path)
            if result != size:
                raise OSError(errno.EIO, f"short write: {result} of {size} bytes", file.path)
        return True

    def free_bytes(self, path: str) -> int:
        """See `Vfs`."""
        stats = os.statvfs(path)
        return stats.f_bavail * stats.f_frsize

    def device(self, path: str) -> int:
        """See `Vfs`."""
        return os.stat(path).st_dev


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    """Linux' syncfs, where it reports write errors (since 5.8)."""
    release = os.uname().release.split(".")
    if sys.platform != "linux" or (int(release[0]), int(release[1])) < (5, 8):
        return None
    function = ctypes.CDLL(None, use_errno=True).syncfs
    function.argtypes = [ctypes.c_int]
    return cast(Callable[[int], int], function)


def write_atomically(vfs: Vfs, path: str, data: bytes) -> None:
    """Replace the file at `path` with `data`, durably: a crash leaves the old file or the new one, whole."""
    temporary = path + ".tmp"
    vfs.unlink(temporary)
    file = vfs.open(temporary, create=True)
    try:
        file.pwritev([data], 0)
        file.datasync()
    finally:
        file.close()
    vfs.rename(temporary, path)
    vfs.sync_dir(path.rpartition("/")[0] or ".")


def write_unsynced(vfs: Vfs, path: str, data: bytes) -> None:
    """Replace the file at `path` with `data`, for people and tools: after a crash it may be old, empty or gone."""
    temporary = path + ".tmp"
    vfs.unlink(temporary)
    file = vfs.open(temporary, create=True)
    try:
        file.pwritev([data], 0)
    finally:
        file.close()
    vfs.rename(temporary, path)


def read_whole(vfs: Vfs, path: str) -> bytes:
    """All of a (small) file. Raises FileNotFoundError."""
    file = vfs.open(path)
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()
