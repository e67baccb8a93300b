"""An open file of a simulated disk: `storage.vfs.File` over the disk's cache."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from logbroker.base.types import Buffer
from logbroker.testing.sim_faults import call_label
from logbroker.testing.sim_image import FileNode

if TYPE_CHECKING:
    from logbroker.testing.sim_disk import SimDisk


class SimFile:
    """See `storage.vfs.File`. Stays readable after its name is gone, reports a write-back error once, as Linux does."""

    __slots__ = ("_disk", "_inode", "_seen_errors", "path")

    def __init__(self, disk: SimDisk, inode: int, path: str) -> None:
        self.path = path
        self._disk = disk
        self._inode = inode
        self._seen_errors = disk.file_opened(inode)

    def pread(self, size: int, position: int) -> bytes:
        """See `File`."""
        node = self._node()
        if position < 0:
            raise _error(errno.EINVAL)
        self._disk.check("pread", self.path)
        return node.read(size, position)

    def pread_nowait(self, size: int, position: int) -> bytes | None:
        """See `File`; `SimDisk.cached_bytes` says how much of it is in the cache."""
        node = self._node()
        if position < 0:
            raise _error(errno.EINVAL)
        self._disk.check("pread_nowait", self.path)
        if self._disk.cached_bytes is not None:
            cached = self._disk.cached_bytes(size)
            if cached is None:
                return None
            size = min(size, cached)
        return node.read(size, position)

    def pwritev(self, buffers: Sequence[Buffer], position: int, *, cached: bool = True) -> int:
        """See `File`."""
        node = self._node()
        if position < 0:
            raise _error(errno.EINVAL)
        disk = self._disk
        data = bytes(buffers[0]) if len(buffers) == 1 else b"".join(buffers)
        fault = disk.strike("pwritev", self.path)
        if fault is not None:
            if fault.short_bytes:
                disk.write(self._inode, self.path, data[: fault.short_bytes], position)
            raise fault.exception(self.path)
        disk.check_writable(self.path)
        end = position + len(data)
        if data and end > node.size:
            fits = disk.free_space_bytes() + node.size - position
            if fits <= 0:
                raise _error(errno.ENOSPC, self.path)
            if fits < len(data):
                disk.write(self._inode, self.path, data[:fits], position)
                raise OSError(errno.EIO, f"short write: {fits} of {len(data)} bytes", self.path)
        if data:
            disk.write(self._inode, self.path, data, position)
        return len(data)

    def datasync(self) -> None:
        """See `File`."""
        self._node()
        label = call_label("datasync")
        try:
            self._disk.sync_file(self._inode, self.path, label)
        finally:
            seen, self._seen_errors = self._seen_errors, self._disk.writeback_errors(self._inode)
        if seen != self._seen_errors:
            raise _error(errno.EIO, self.path)

    def write_durably(self, buffers: Sequence[Buffer], position: int) -> bool:
        """See `File`: two calls here, as a kill may come between what they do."""
        return False

    def truncate(self, size: int) -> None:
        """See `File`."""
        self._node()
        if size < 0:
            raise _error(errno.EINVAL)
        self._disk.check("truncate", self.path)
        self._disk.check_writable(self.path)
        self._disk.resize(self._inode, self.path, size)

    def size(self) -> int:
        """See `File`."""
        return self._node().size

    def map_readonly(self, size: int) -> Buffer:
        """See `File`; a copy."""
        node = self._node()
        if not size:
            return b""
        if size > node.size:
            raise ValueError("mmap length is greater than file size")
        return memoryview(node.read(size, 0))

    def close(self) -> None:
        """See `File`."""
        inode, self._inode = self._inode, -1
        if inode >= 0:
            self._disk.file_closed(inode)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the constructor failed
            self.close()

    def _node(self) -> FileNode:
        if self._inode < 0 or self._disk.dead:
            raise _error(errno.EBADF)
        return self._disk.cache.file(self._inode)


def _error(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))
