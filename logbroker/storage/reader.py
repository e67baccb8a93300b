"""How the event loop reads segment files: without ever waiting for the disk.

A read that the page cache can't answer raises `WouldBlockError` with the range that is missing. Whoever can wait fetches
the range on a lane and tries again with a `Reader` that knows it. What is fetched once is put together with what the page cache holds
by then, so each round gets further, however little of a file stays cached and however fast it grows.

A lookup without an index may have to walk a whole segment, header by header. The error then carries the `Walk`, and the lane
can do all of it in one go (`walk_steps`). Loop thread only, but for that.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from logbroker.records.batch import HEADER_SIZE, parse_header
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import MapCache

FileRange: TypeAlias = tuple[str, int, int]
"""(path, size, position)"""

SCAN_BYTES = 16 * 1024
"""What a walk reads at once: it looks at headers alone, and most batches are smaller."""


class Walk(NamedTuple):
    """A walk from batch to batch that can't go on without the disk."""

    path: str
    position: int
    """Where the next batch begins."""
    least: int
    """The lowest offset that it may have."""
    offset: int
    """The offset looked for."""
    end: int
    """Where the batches in the file end."""


class WouldBlockError(Exception):
    """The bytes are not in the page cache: read (path, size, position) on a lane, or finish `walk` there, and come again."""

    def __init__(self, path: str, size: int, position: int, walk: Walk | None = None) -> None:
        super().__init__(path, size, position)
        self.key = (path, size, position)
        self.walk = walk


class Fetched(dict[FileRange, bytes]):
    """What lanes have read for one request, and how far they have walked. `add` is the way in."""

    __slots__ = ("_pieces", "_replacements", "_walks")

    def __init__(self, ranges: dict[FileRange, bytes] | None = None) -> None:
        super().__init__()
        self._pieces: dict[str, list[tuple[int, int, bytes]]] = {}
        self._walks: dict[str, Walk] = {}
        self._replacements = -1
        self.add(ranges or {})

    def add(self, ranges: dict[FileRange, bytes]) -> None:
        """Take what was read; less than its key asked for means the end of the file."""
        self.update(ranges)
        for (path, size, position), data in ranges.items():
            self._pieces.setdefault(path, []).append((position, size, data))

    def keep_if(self, replacements: int) -> None:
        """Forget everything if files were replaced since it was read (`FilePool.replacements`): it may be of another file."""
        if replacements != self._replacements:
            if self._replacements >= 0:
                self.clear()
                self._pieces.clear()
                self._walks.clear()
            self._replacements = replacements

    def add_walk(self, walk: Walk) -> None:
        """Take a walk that a lane has brought to its goal, or to a place that the loop must judge."""
        self._walks[walk.path] = walk

    def at(self, path: str, position: int, size: int) -> bytes:
        """Bytes from `position` on, at most `size`; b"" where nothing was read."""
        for start, _, data in self._pieces.get(path, ()):
            if start <= position < start + len(data):
                skipped = position - start
                return data if not skipped and len(data) <= size else data[skipped : skipped + size]
        return b""

    def ends(self, path: str, position: int) -> bool:
        """Whether a read has found the file's end at `position`."""
        return any(
            len(data) < size and start + len(data) == position
            for start, size, data in self._pieces.get(path, ())
        )

    def walked(self, walk: Walk) -> tuple[int, int]:
        """Where that walk may begin instead of at its position, and the lowest offset there."""
        done = self._walks.get(walk.path)
        if done is None or done.offset != walk.offset or not walk.position <= done.position <= walk.end:
            return walk.position, walk.least
        return done.position, done.least


class Reader:
    """How the loop reads files: what the page cache holds, and what a lane has fetched meanwhile.

    Args:
        pool: Opens the files.
        maps: Mappings of index files.
        fetched: With it no read waits for the disk; without it they do.

    """

    __slots__ = ("_fetched", "maps", "nowait", "pool")

    def __init__(
        self, pool: FilePool, maps: MapCache, fetched: Fetched | dict[FileRange, bytes] | None = None
    ) -> None:
        self.pool = pool
        self.maps = maps
        self.nowait = fetched is not None
        self._fetched = fetched if isinstance(fetched, Fetched) else Fetched(fetched)
        self._fetched.keep_if(pool.replacements)

    def read(self, path: str, size: int, position: int) -> bytes:
        """The bytes at `position`, fewer at the end of the file.

        Raises WouldBlockError (only when made with `fetched`) and OSError.
        """
        data = self._gather(path, size, position)
        have = len(data)
        if have == size or not self.nowait or self._fetched.ends(path, position + have):
            return data
        # Fewer bytes may mean the end of the file, or of what the page cache holds: only a read that waits can tell.
        raise WouldBlockError(path, size - have, position + have)

    def scan(self, walk: Walk) -> bytes:
        """Some batches from the walk's position on, at least a header unless the file ends. Raises as `read`."""
        path, position = walk.path, walk.position
        size = min(SCAN_BYTES, walk.end - position)
        data = self._gather(path, size, position)
        if len(data) >= HEADER_SIZE or not self.nowait or self._fetched.ends(path, position + len(data)):
            return data
        raise WouldBlockError(path, size, position, walk)

    def walked(self, walk: Walk) -> tuple[int, int]:
        """See `Fetched.walked`."""
        return self._fetched.walked(walk)

    def _gather(self, path: str, size: int, position: int) -> bytes:
        """What can be had at once of a range, from its begin on without a gap."""
        file = self.pool.get(path)
        if not self.nowait:
            return file.pread(size, position)
        parts = []
        have = 0
        cold = False
        while have < size:
            piece = self._fetched.at(path, position + have, size - have)
            if piece:
                cold = False
            elif not cold:
                piece = file.pread_nowait(size - have, position + have) or b""
                cold = True
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def walk_steps(pool: FilePool, walk: Walk) -> Steps[tuple[Walk, dict[FileRange, bytes]]]:
    """Lane: go on with a walk, to the batch that holds its offset or whatever isn't a batch; and what lies there.

    Raises OSError.
    """
    path, position, least, offset, end = walk
    file = pool.get(path)
    while True:
        size = min(SCAN_BYTES, end - position)
        data = file.pread(size, position)
        yield
        at = 0
        while at + HEADER_SIZE <= len(data):
            try:
                header = parse_header(data, at)
            except Exception:  # the loop comes to the same place, and says what is wrong there
                break
            if header.next_offset > offset or header.base_offset < least:
                break
            if header.size_bytes > end - position - at:
                break
            least = header.next_offset
            at += header.size_bytes
        position += at
        if at < HEADER_SIZE or position + HEADER_SIZE > end:
            return walk._replace(position=position, least=least), {(path, size, position - at): data}
