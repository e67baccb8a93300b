"""Sparse indexes of a segment, in Kafka's formats: offset -> position, and timestamp -> offset.

`.index` is 8 bytes an entry (relative offset u32, position u32), `.timeindex` 12 (timestamp i64, relative offset u32), big-endian,
keys never falling. An entry is added every `index.interval.bytes` at most, so a lookup lands a few batches before its
goal and the reader walks the rest.

Entries of the segment being written stay in memory (`array`), and are appended to the file with plain writes at
checkpoints. Files of sealed segments are looked up through read-only mappings, made lazily and kept in an LRU (the
kernel allows 65,530 mappings a process), and never longer than the file is: a mapping past the end would kill the process
with SIGBUS. Index files carry no checksum and are not trusted: the reader checks every answer against the batch header it points
to, and rebuilds what is wrong (`segment.py`).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections import OrderedDict

from logbroker.base.types import Buffer
from logbroker.storage.file_pool import FilePool

OFFSET_ENTRY = struct.Struct(">II")
TIME_ENTRY = struct.Struct(">qI")


class MapCache:
    """Read-only mappings of index files, least recently used first to go. Loop thread only."""

    def __init__(self, pool: FilePool, max_maps: int = 4096) -> None:
        self._pool = pool
        self._max_maps = max_maps
        self._maps: OrderedDict[str, Buffer] = OrderedDict()

    def get(self, path: str, size: int) -> Buffer:
        """The first `size` bytes of `path`, fewer if the file is shorter. Raises OSError."""
        mapped = self._maps.get(path)
        if mapped is not None and len(mapped) >= size:
            self._maps.move_to_end(path)
            return mapped
        file = self._pool.get(path)
        mapped = file.map_readonly(min(size, file.size()))
        self._maps[path] = mapped
        self._maps.move_to_end(path)
        if len(self._maps) > self._max_maps:
            self._maps.popitem(last=False)
        return mapped

    def forget(self, path: str) -> None:
        """The file changed or is gone."""
        self._maps.pop(path, None)


class SparseIndex:
    """One index: a part that lies in its file, and behind it entries that are still in memory."""

    __slots__ = ("_entry", "file_entries", "memory", "memory_written")

    def __init__(self, entry: struct.Struct, file_entries: int = 0) -> None:
        self._entry = entry
        self.file_entries = file_entries
        """Entries at the front that are read from the file."""
        self.memory: array[int] = array("q")
        """Key, value, key, value, ... of the entries after those."""
        self.memory_written = 0
        """How many of the entries in memory have been written to the file as well."""

    def __len__(self) -> int:
        return self.file_entries + len(self.memory) // 2

    @property
    def size_bytes(self) -> int:
        """The size of the file, once everything is written."""
        return len(self) * self._entry.size

    def append(self, key: int, value: int) -> None:
        """Add an entry at the end; the caller keeps keys in order."""
        self.memory.extend((key, value))

    def last(self, maps: MapCache, path: str) -> tuple[int, int] | None:
        """The last entry, or None."""
        if self.memory:
            return self.memory[-2], self.memory[-1]
        return self._file_floor(maps, path, None)

    def floor(self, key: int, maps: MapCache, path: str) -> tuple[int, int] | None:
        """The last entry whose key is at most `key`; None if there is none. Raises OSError."""
        memory = self.memory
        if memory and memory[0] <= key:
            at = bisect_right(range(len(memory) // 2), key, key=lambda i: memory[2 * i]) - 1
            return memory[2 * at], memory[2 * at + 1]
        return self._file_floor(maps, path, key)

    def _file_floor(self, maps: MapCache, path: str, key: int | None) -> tuple[int, int] | None:
        if not self.file_entries:
            return None
        entry = self._entry
        data = maps.get(path, self.file_entries * entry.size)
        count = min(self.file_entries, len(data) // entry.size)
        if key is None:
            at = count - 1
        else:
            at = bisect_right(range(count), key, key=lambda i: entry.unpack_from(data, i * entry.size)[0]) - 1
        if at < 0:
            return None
        found = entry.unpack_from(data, at * entry.size)
        return found[0], found[1]

    def take_unwritten(self) -> tuple[int, bytes]:
        """(file position, bytes) of the entries that the file lacks; counts them as written."""
        memory = self.memory
        pack = self._entry.pack
        first = self.memory_written
        count = len(memory) // 2
        position = (self.file_entries + first) * self._entry.size
        self.memory_written = count
        return position, b"".join(pack(memory[2 * i], memory[2 * i + 1]) for i in range(first, count))

    def drop_memory(self) -> None:
        """The segment is sealed and everything is in the file: read it from there."""
        self.file_entries += self.memory_written
        del self.memory[: 2 * self.memory_written]
        self.memory_written = 0

    def truncate(self, key: int, maps: MapCache, path: str) -> None:
        """Forget every entry whose key is `key` or more; those in the file count no more, and are overwritten later."""
        memory = self.memory
        keep = bisect_right(range(len(memory) // 2), key - 1, key=lambda i: memory[2 * i])
        del memory[2 * keep :]
        self.memory_written = min(self.memory_written, keep)
        if keep or not self.file_entries:
            return
        entry = self._entry
        data = maps.get(path, self.file_entries * entry.size)
        count = min(self.file_entries, len(data) // entry.size)
        self.file_entries = bisect_right(
            range(count), key - 1, key=lambda i: entry.unpack_from(data, i * entry.size)[0]
        )
        self.memory_written = 0

    def reset(self) -> None:
        """Forget everything: the index is about to be rebuilt."""
        self.file_entries = 0
        self.memory = array("q")
        self.memory_written = 0
