"""What a broker's machine looks like after its first hour, brought about in a minute: memory full of pages, disks at work.

A broker that leaves its records in the page cache is as fast as memory as long as free memory lasts and nobody writes it
back: for the first gigabytes after a start. (In a virtual machine it depends on the host besides: a free page may have no memory
behind it yet, and then costs several times as much to touch.) Neither says what one can rely on. So before a run the page
cache is filled, and a run lasts until the kernel has had to write back several times what it lets lie.
"""

from __future__ import annotations

import os
import pathlib

THRESHOLDS = 4
"""A run writes so many times what the kernel lets lie before it begins to write back."""
FREE_SHARE_MAX = 0.06
"""Memory of which no larger share is free is full: the kernel keeps a little."""
_PIECE_BYTES = 4 << 20


def written_back_bytes() -> int:
    """Bytes after which the disk work of everybody's pages shows (Linux: vm.dirty_background_ratio and _bytes)."""
    background = int(pathlib.Path("/proc/sys/vm/dirty_background_bytes").read_text())
    if not background:
        ratio = int(pathlib.Path("/proc/sys/vm/dirty_background_ratio").read_text())
        background = _memory("MemAvailable") * ratio // 100
    return THRESHOLDS * background


class PageCache:
    """Fills the page cache with pages that nobody wants: those of a file of nothing but holes, as large as memory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._file = directory / "holes"
        self._size = _memory("MemTotal")
        self._position = 0

    def fill(self) -> None:
        """Read on in the file until hardly any memory is free, or once through it."""
        most = int(_memory("MemTotal") * FREE_SHARE_MAX)
        buffer = bytearray(_PIECE_BYTES)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, self._size)
            for count in range(self._size // _PIECE_BYTES):
                if count % 16 == 0 and _memory("MemFree") <= most:
                    return
                os.preadv(descriptor, [buffer], self._position)
                self._position = (self._position + _PIECE_BYTES) % (self._size - _PIECE_BYTES)
        finally:
            os.close(descriptor)


def _memory(name: str) -> int:
    """A figure of /proc/meminfo, in bytes."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/meminfo has no {name}")
