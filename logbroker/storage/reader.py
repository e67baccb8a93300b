"""How the event loop reads segment files: without ever waiting for the disk.

A read that the page cache can't answer raises `WouldBlockError` with the range that is missing. Whoever can wait fetches
the range on a lane and tries again with a `Reader` that knows it. Loop thread only.
"""

from __future__ import annotations

from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import MapCache


class WouldBlockError(Exception):
    """The bytes are not in the page cache: read (path, size, position) on a lane and come again."""

    def __init__(self, path: str, size: int, position: int) -> None:
        super().__init__(path, size, position)
        self.key = (path, size, position)


class Reader:
    """How the loop reads files: what the page cache holds, and what a lane has fetched meanwhile."""

    __slots__ = ("_fetched", "maps", "nowait", "pool")

    def __init__(
        self, pool: FilePool, maps: MapCache, fetched: dict[tuple[str, int, int], bytes] | None = None
    ) -> None:
        self.pool = pool
        self.maps = maps
        self.nowait = fetched is not None
        self._fetched = fetched or {}

    def read(self, path: str, size: int, position: int) -> bytes:
        """The bytes at `position`. Raises WouldBlockError (only when made with `fetched`) and OSError."""
        file = self.pool.get(path)
        if not self.nowait:
            return file.pread(size, position)
        data = file.pread_nowait(size, position)
        if data is not None and len(data) == size:
            return data
        # Fewer bytes may mean the end of the file, or of what the page cache holds: only a read that waits can tell.
        data = self._fetched.get((path, size, position))
        if data is None:
            raise WouldBlockError(path, size, position)
        return data
