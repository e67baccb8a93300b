"""Sparse indexes of a segment, in Kafka's formats: offset -> position, and timestamp -> offset.

`.index` is 8 bytes an entry (relative offset u32, position u32), `.timeindex` 12 (timestamp i64, relative offset u32), big-endian,
keys never falling. An entry is added every `index.interval.bytes` at most, so a lookup lands a few batches before its
goal and the reader walks the rest.

The last entries of the segment being written are in memory (`array`); they are appended to the file with plain writes at
checkpoints, and those before them are read from there. Files of sealed segments are looked up through read-only mappings, made lazily and kept in an LRU (the
kernel allows 65,530 mappings a process), and never longer than the file is: a mapping past the end would kill the process
with SIGBUS. Index files carry no checksum and are not trusted: the reader checks every answer against the batch header it points
to, and what is missing or wrong is rebuilt (`index_rebuild.py`).
"""

from __future__ import annotations

import operator
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from logbroker.base.types import Buffer
from logbroker.storage.descriptors import NO_DESCRIPTOR
from logbroker.storage.file_pool import FilePool
from logbroker.storage.vfs import File

if TYPE_CHECKING:
    from logbroker.storage.segment_reading import ReadableSegment

OFFSET_ENTRY = struct.Struct(">II")
TIME_ENTRY = struct.Struct(">qI")
_MAPS_MIN = 16
RECENT_ENTRIES = 256
"""So many entries of an active segment stay in memory when they are in the file: where consumers that keep up look."""


class MapCache:
    """Read-only mappings of index files, least recently used first to go. Loop thread only."""

    def __init__(self, pool: FilePool, max_maps: int = 4096) -> None:
        self._pool = pool
        self._max_maps = max_maps
        self._maps: OrderedDict[str, Buffer] = OrderedDict()
        self.suspects: dict[ReadableSegment, None] = {}
        """Segments whose indexes a lookup found missing or wrong."""

    def get(self, path: str, size: int) -> Buffer:
        """The first `size` bytes of `path`, fewer if the file is shorter. Raises OSError."""
        mapped = self._maps.get(path)
        if mapped is not None and len(mapped) >= size:
            self._maps.move_to_end(path)
            return mapped
        file = self._pool.get(path)
        mapped = self._map(file, min(size, file.size()))
        self._maps[path] = mapped
        self._maps.move_to_end(path)
        if len(self._maps) > self._max_maps:
            self._maps.popitem(last=False)
        return mapped

    def _map(self, file: File, size: int) -> Buffer:
        """A mapping; one holds a descriptor, so others may have to go first."""
        while True:
            try:
                return file.map_readonly(size)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not (self._maps or self._pool.give_back()):
                    raise
            self._max_maps = max(_MAPS_MIN, len(self._maps) * 3 // 4)
            for _ in range(-(-len(self._maps) // 2)):
                self._maps.popitem(last=False)

    def forget(self, path: str) -> None:
        """The file changed or is gone."""
        self._maps.pop(path, None)


class IndexWrite(NamedTuple):
    """Entries to be written to an index file."""

    position: int
    data: bytes
    trim: bool
    """Whether the file ends behind them."""


NO_INDEX_WRITE = IndexWrite(0, b"", trim=False)


class SparseIndex:
    """One index: a part that lies in its file, and behind it entries that are still in memory."""

    __slots__ = ("_entry", "file_entries", "memory", "memory_written", "trim")

    def __init__(self, entry: struct.Struct, file_entries: int = 0) -> None:
        self._entry = entry
        self.file_entries = file_entries
        """Entries at the front that are read from the file."""
        self.memory: array[int] = array("q")
        """Key, value, key, value, ... of the entries after those."""
        self.memory_written = 0
        """How many of the entries in memory have been written to the file as well."""
        self.trim = False
        """Whether the file may be longer than the entries: the next write cuts it."""

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

    def ceiling_value(self, value: int, maps: MapCache, path: str) -> tuple[int, int] | None:
        """The first entry whose value is at least `value`; None if there is none. Raises OSError."""
        entry = self._entry
        if self.file_entries:
            data = maps.get(path, self.file_entries * entry.size)
            count = min(self.file_entries, len(data) // entry.size)
            at = bisect_left(range(count), value, key=lambda i: entry.unpack_from(data, i * entry.size)[1])
            if at < count:
                found = entry.unpack_from(data, at * entry.size)
                return found[0], found[1]
        memory = self.memory
        at = bisect_left(range(len(memory) // 2), value, key=lambda i: memory[2 * i + 1])
        return (memory[2 * at], memory[2 * at + 1]) if 2 * at < len(memory) else None

    @property
    def unwritten_entries(self) -> int:
        """How many entries the file lacks."""
        return len(self.memory) // 2 - self.memory_written

    def take_unwritten(self) -> IndexWrite:
        """What the file lacks; counts it as written."""
        memory = self.memory
        first = self.memory_written
        position = (self.file_entries + first) * self._entry.size
        trim, self.trim = self.trim, False
        self.memory_written = len(memory) // 2
        return IndexWrite(position, self.encode(memory[2 * first :]), trim)

    def encode(self, entries: array[int]) -> bytes:
        """Entries (key, value, key, value, ...) as they stand in a file."""
        pack = self._entry.pack
        return b"".join([pack(entries[at], entries[at + 1]) for at in range(0, len(entries), 2)])

    def drop_memory(self, keep: int = 0) -> None:
        """What has been written is read from the file from now on, but for the last `keep` entries of it."""
        dropped = self.memory_written - keep
        if dropped > 0:
            self.file_entries += dropped
            del self.memory[: 2 * dropped]
            self.memory_written = keep

    def truncate(self, limit: int, maps: MapCache, path: str, *, field: int = 0) -> None:
        """Forget every entry whose key (with `field` 1: whose value) is `limit` or more; the file is cut later."""
        memory = self.memory
        keep = bisect_right(range(len(memory) // 2), limit - 1, key=lambda i: memory[2 * i + field])
        del memory[2 * keep :]
        if keep < self.memory_written:
            self.memory_written = keep
            self.trim = True
        if keep or not self.file_entries:
            return
        entry = self._entry
        data = maps.get(path, self.file_entries * entry.size)
        count = min(self.file_entries, len(data) // entry.size)
        kept = bisect_right(
            range(count), limit - 1, key=lambda i: entry.unpack_from(data, i * entry.size)[field]
        )
        self.trim = self.trim or kept < self.file_entries
        self.file_entries = kept
        self.memory_written = 0

    def replace(self, entries: array[int], *, in_files: bool) -> None:
        """Take other entries (key, value, ...), which lie in the file already with `in_files`.

        Entries in memory stay where both their key and their value are beyond the last of the new ones.
        """
        memory = self.memory
        if in_files:
            self.file_entries = len(entries) // 2
            self.memory = array("q")
            self.memory_written = 0
            self.trim = False
            return
        key, value = (entries[-2], entries[-1]) if entries else (-1, -1)
        first = next(
            (at for at in range(0, len(memory), 2) if memory[at] > key and memory[at + 1] > value),
            len(memory),
        )
        self.memory = entries + memory[first:]
        self.file_entries = 0
        self.memory_written = 0
        self.trim = True

    def reset(self) -> None:
        """Forget everything: the index is about to be rebuilt."""
        self.file_entries = 0
        self.memory = array("q")
        self.memory_written = 0


_UNSIGNED = {8: struct.Struct(">Q"), 12: struct.Struct(">QI")}
"""Entries by their width, as numbers that are in the order of their bytes."""


def rising_entries(data: Buffer, width: int) -> int:
    """How many entries at the front of an index file are in order, each above the one before."""
    entries = list(_UNSIGNED[width].iter_unpack(memoryview(data)[: len(data) // width * width]))
    if not entries or not any(entries[0]):  # no entry points to a segment's first batch
        return 0
    rises = list(map(operator.lt, entries, entries[1:]))
    return rises.index(False) + 1 if False in rises else len(entries)
