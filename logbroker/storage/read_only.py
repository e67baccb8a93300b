"""Files opened for reading only: what tools use.

So nothing can be changed, and a file system that is mounted read-only can be looked at.
"""

from __future__ import annotations

import os

from logbroker.storage.vfs import OsFile, OsVfs


class ReadOnlyVfs(OsVfs):
    """See `storage.vfs.Vfs`; every `open` is for reading."""

    def open(self, path: str, *, create: bool = False) -> OsFile:
        """See `Vfs`; nothing is created. Raises FileNotFoundError."""
        return OsFile(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
