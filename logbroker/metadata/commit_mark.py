"""A durable hint of how far the metadata had come: it tells a lost commit from one that never was.

SQLite's write-ahead log ends, for SQLite, at the first frame that doesn't check: right for a frame that a crash tore,
wrong for one that rotted, since the commits behind it then vanish without a word. So after every commit its sequence
number goes into this small file beside the database, 16 bytes overwritten in place:

    magic "LBMK" | sequence u64, big endian | CRC-32C of both, u32

The file is never synced on purpose. It is written only after the commit it names was, so whichever version of it
survives a crash is true: the database must have come at least so far. If it has not, a commit that somebody was told
about is gone, and the broker refuses to start.

A file that is missing, empty or torn proves nothing and is written anew. Store's thread only.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from crc32c import crc32c

_LAYOUT: Final = struct.Struct(">4sQI")
_MAGIC: Final = b"LBMK"


class CommitMark:
    """The mark in one file, which is made if it isn't there."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def read(self) -> int:
        """The sequence number last written; 0 where there is none to be trusted. Raises OSError."""
        data = os.pread(self._fd, _LAYOUT.size, 0)
        if len(data) < _LAYOUT.size:
            return 0
        magic, sequence, checksum = _LAYOUT.unpack(data)
        if magic != _MAGIC or checksum != crc32c(data[:-4]):
            return 0
        return int(sequence)

    def write(self, sequence: int) -> None:
        """Say that this commit is durable. Raises OSError."""
        head = _LAYOUT.pack(_MAGIC, sequence, 0)[:-4]
        os.pwrite(self._fd, head + crc32c(head).to_bytes(4, "big"), 0)

    def close(self) -> None:
        """Let the file go; harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
