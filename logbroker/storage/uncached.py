"""Reads that come from the disk and leave nothing behind in the page cache.

The scrubber reads everything once in a while. Through the page cache it would push out what consumers read, and would see the
cache's copy where it wants to know about the disk's. So it reads past the cache (O_DIRECT; F_NOCACHE on macOS). Where a file system
can't do that (tmpfs), or the files aren't the operating system's, it reads as everybody does and tells the kernel that the
pages aren't needed.

A file is for one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from typing import Protocol

from logbroker.storage.vfs import Vfs

ALIGNMENT = 4096
"""Direct reads begin, end and land in memory on multiples of this (the largest logical block in use)."""


class UncachedFile(Protocol):
    """An open file; positions and sizes are bytes."""

    def pread(self, size: int, position: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file. Raises OSError."""
        ...

    def close(self) -> None:
        """Give the descriptor back; harmless when repeated."""
        ...


class DirectFile:
    """A file of the operating system, opened for reading past the page cache."""

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError."""
        self.path = path
        self.direct = hasattr(os, "O_DIRECT")
        self._buffer: mmap.mmap | None = None
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC
            self._fd = os.open(path, flags | (os.O_DIRECT if self.direct else 0))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.direct = False
        if hasattr(fcntl, "F_NOCACHE"):
            fcntl.fcntl(self._fd, fcntl.F_NOCACHE, 1)

    def pread(self, size: int, position: int) -> bytes:
        """See `UncachedFile`."""
        if self.direct:
            try:
                return self._pread_direct(size, position)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # The file system took the flag and can't do it (or not with this alignment).
                fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)
                self.direct = False
        parts = []
        start = position
        while size > 0 and (data := os.pread(self._fd, size, position)):
            parts.append(data)
            position += len(data)
            size -= len(data)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, start, position - start, os.POSIX_FADV_DONTNEED)
        return b"".join(parts)

    def _pread_direct(self, size: int, position: int) -> bytes:
        start = position - position % ALIGNMENT
        wanted = -(-(position + size - start) // ALIGNMENT) * ALIGNMENT
        if self._buffer is None or len(self._buffer) < wanted:
            self._buffer = mmap.mmap(-1, wanted)  # a mapping begins on a page
        with memoryview(self._buffer) as whole, whole[:wanted] as view:
            filled = 0
            while filled < wanted:
                with view[filled:] as rest:
                    count = os.preadv(self._fd, [rest], start + filled)
                filled += count
                if count == 0 or filled % ALIGNMENT:
                    break  # the end of the file
            return bytes(view[position - start : min(position - start + size, filled)])

    def close(self) -> None:
        """See `UncachedFile`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.close()


def open_uncached(vfs: Vfs, path: str) -> UncachedFile:
    """Open a file for reading past the page cache, as far as that goes. Raises OSError."""
    if getattr(vfs, "reads_uncached", False):
        return DirectFile(path)
    return vfs.open(path)
