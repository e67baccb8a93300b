"""What a segment's file, its tail and its indexes say: batches by offset and by time.

The indexes are sparse and not to be trusted: a lookup begins at the batch that an entry names, if it is there, walks from header to
header, and says so where an entry lies (`MapCache.suspects`). What lies in the tail is served from memory. No header is believed
that can't be true where it lies; damage is an error, never somebody else's bytes.

Reads don't wait for the disk where the `Reader` says so (`WouldBlockError`). Loop thread only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import HEADER_SIZE, LOG_OVERHEAD, BatchHeader, parse_header
from logbroker.storage.append import JournalItem
from logbroker.storage.damage import DamagedRanges, intact_bytes
from logbroker.storage.index import SparseIndex
from logbroker.storage.reader import SCAN_BYTES, Reader, Walk, WouldBlockError
from logbroker.storage.segment_files import INDEX_SUFFIX, TIME_INDEX_SUFFIX

MAX_RELATIVE_OFFSET = (1 << 31) - 1
"""Positions in the offset index are 31 bits (Kafka)."""

_LONG_WALK_BYTES = 2 << 20
"""A lookup that walks further than this suspects the index."""


class ReadableSegment:
    """One segment as its readers see it; `Segment` says what the fields mean, and fills them."""

    __slots__ = (
        "_times_from",
        "base_offset",
        "damage",
        "index",
        "index_rebuilt",
        "indexed_timestamp",
        "max_timestamp",
        "max_timestamp_offset",
        "path",
        "size",
        "stem",
        "tail",
        "time_index",
        "times_known",
        "written",
    )

    _times_from: int
    base_offset: int
    damage: DamagedRanges
    index: SparseIndex
    index_rebuilt: bool
    indexed_timestamp: int
    max_timestamp: int
    max_timestamp_offset: int
    path: str
    size: int
    stem: str
    tail: list[JournalItem]
    time_index: SparseIndex
    times_known: bool
    written: int

    @property
    def index_path(self) -> str:
        """Path of the offset index."""
        return self.stem + INDEX_SUFFIX

    @property
    def time_index_path(self) -> str:
        """Path of the time index."""
        return self.stem + TIME_INDEX_SUFFIX

    def locate(self, offset: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        """(position, header) of the batch that holds `offset` or, in a gap, of the next one; None past the end.

        Raises WouldBlockError, OSError; CorruptionError if the file isn't a chain of batches.
        """
        tail = self.tail
        if tail and offset >= tail[0].base_offset:
            at = bisect_right(tail, offset, key=_base_offset) - 1
            item = tail[at]
            if offset >= item.next_offset:
                if at + 1 == len(tail):
                    return None
                item = tail[at + 1]
            return item.position, parse_header(item.buffer)
        found = self._walk_from(self._floor(offset, reader), offset, reader)
        if found is None and tail:
            return tail[0].position, parse_header(tail[0].buffer)
        return found

    def _floor(self, offset: int, reader: Reader) -> int:
        """A batch boundary at or before `offset`, by the index if it can be believed, else the start."""
        try:
            entry = self.index.floor(offset - self.base_offset, reader.maps, self.index_path)
        except FileNotFoundError:
            self.index.reset()
            reader.maps.suspects[self] = None
            return 0
        if entry is None:
            return 0
        relative, position = entry
        if position + HEADER_SIZE <= self.written and relative <= offset - self.base_offset:
            data = reader.read(self.path, min(SCAN_BYTES, self.written - position), position)
            if len(data) >= HEADER_SIZE:
                try:
                    header = parse_header(data)
                except (
                    Exception
                ):  # not a batch: the index is wrong, and the walk from the start will tell more
                    header = None
                if header is not None and header.last_offset == relative + self.base_offset:
                    return position
        self.index.reset()
        reader.maps.forget(self.index_path)
        reader.maps.suspects[self] = None
        return 0

    def offset_behind(self, position: int, reader: Reader) -> int | None:
        """An offset at or behind `position`, from the offset index: that of its first entry there; None if there is none."""
        try:
            found = self.index.ceiling_value(position, reader.maps, self.index_path)
        except FileNotFoundError:
            self.index.reset()
            reader.maps.suspects[self] = None
            return None
        return None if found is None else found[0] + self.base_offset

    def _walk_from(self, position: int, offset: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        end = self.tail[0].position if self.tail else self.written
        data, floor = b"", position
        position, least = reader.walked(Walk(self.path, position, self.base_offset, offset, end))
        start = position
        while position + HEADER_SIZE <= end:
            if position + HEADER_SIZE > start + len(data):
                if position - floor > _LONG_WALK_BYTES and not self.index_rebuilt:
                    reader.maps.suspects[self] = None
                data = reader.scan(Walk(self.path, position, least, offset, end))
                start = position
                if len(data) < HEADER_SIZE:
                    raise CorruptionError(self.path, position, f"the file ends {end - position} bytes early")
            header = self._believable(data, position - start, position, end, least)
            if header.next_offset > offset:
                return position, header
            least = header.next_offset
            position += header.length + LOG_OVERHEAD
        if position != end:
            raise CorruptionError(self.path, position, f"{end - position} bytes where a batch should be")
        return None

    def _believable(self, data: Buffer, at: int, position: int, end: int, least: int) -> BatchHeader:
        """The header of the batch at `position`, if it can be true of a batch that ends before `end` and begins at offset `least` or later."""
        try:
            header = parse_header(data, at)
        except Exception as error:
            raise CorruptionError(self.path, position, str(error)) from error
        if header.size_bytes > end - position:
            what = f"a batch of {header.size_bytes} bytes where {end - position} are left"
        elif header.base_offset < least:
            what = f"base offset {header.base_offset} where {least} or more is next"
        elif not 0 <= header.last_offset_delta <= self.base_offset + MAX_RELATIVE_OFFSET - header.base_offset:
            what = (
                f"offsets {header.base_offset} to {header.last_offset} in a segment from {self.base_offset}"
            )
        else:
            return header
        raise CorruptionError(self.path, position, what)

    def read(self, position: int, size: int, reader: Reader) -> list[Buffer]:
        """`size` bytes from `position` (a batch boundary) on, from file and tail, without copying the tail."""
        if self.damage:
            size = intact_bytes(self.path, self.damage, position, size)
        parts: list[Buffer] = []
        tail = self.tail
        if not tail or position < tail[0].position:
            in_file = min(size, (tail[0].position if tail else self.written) - position)
            if in_file > 0:
                data = reader.read(self.path, in_file, position)
                if len(data) < in_file:
                    raise CorruptionError(
                        self.path, position + len(data), f"the file ends {in_file - len(data)} bytes early"
                    )
                parts.append(data)
                position += in_file
                size -= in_file
        if size > 0 and tail:
            at = bisect_right(tail, position, key=_position) - 1
            for item in tail[max(at, 0) :]:
                if size <= 0:
                    break
                parts.append(item.buffer if item.size <= size else memoryview(item.buffer)[:size])
                size -= item.size
        return parts

    def find_timestamp(
        self, timestamp_ms: int, reader: Reader, from_offset: int = 0
    ) -> tuple[int, BatchHeader] | None:
        """(position, header) of the first batch whose max timestamp is at least `timestamp_ms`; None if there is none.

        Batches that end before `from_offset` are passed over.
        """
        position = 0
        try:
            entry = self.time_index.floor(timestamp_ms - 1, reader.maps, self.time_index_path)
        except FileNotFoundError:
            self._doubt_times(reader)
            entry = None
        if entry is not None:
            located = self.locate(entry[1] + self.base_offset, reader)
            if (
                located is not None
                and located[1].max_timestamp == entry[0] < timestamp_ms
                and located[1].last_offset == entry[1] + self.base_offset
            ):
                position = located[0]
            else:
                self._doubt_times(reader)
        if from_offset > self.base_offset:
            located = self.locate(from_offset, reader)
            if located is None:
                return None
            position = max(position, located[0])
        found = self._walk_times(position, timestamp_ms, reader)
        if found is None:
            for item in self.tail:
                header = parse_header(item.buffer)
                if header.max_timestamp >= timestamp_ms and item.position >= position:
                    return item.position, header
        return found

    def _walk_times(self, position: int, timestamp_ms: int, reader: Reader) -> tuple[int, BatchHeader] | None:
        for at, header in self._headers(position, reader):
            if header.max_timestamp >= timestamp_ms:
                return at, header
        return None

    def _headers(self, position: int, reader: Reader) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of every batch in the file from `position` on."""
        end = self.tail[0].position if self.tail else self.written
        floor = position
        least = self.base_offset
        while position + HEADER_SIZE <= end:
            if position - floor > _LONG_WALK_BYTES and not self.index_rebuilt:
                reader.maps.suspects[self] = None
            data = reader.read(self.path, min(SCAN_BYTES, end - position), position)
            at = 0
            while at + HEADER_SIZE <= len(data):
                header = self._believable(data, at, position + at, end, least)
                yield position + at, header
                least = header.next_offset
                at += header.length + LOG_OVERHEAD
            if at == 0:
                raise CorruptionError(self.path, position, f"the file ends {end - position} bytes early")
            position += at

    def load_times(self, reader: Reader) -> None:
        """Learn the largest timestamp of a reopened segment: its last time index entry, and what lies behind it.

        What was walked before a WouldBlockError isn't walked again; with a reader that never blocks there is one after
        every `_LONG_WALK_BYTES`, so that the loop gets a turn.
        """
        if self.times_known:
            return
        if self._times_from < 0:
            self._times_from = self._times_floor(reader)
        start = self._times_from
        for position, header in self._headers(start, reader):
            if reader.nowait and position - start > _LONG_WALK_BYTES:
                raise WouldBlockError(self.path, HEADER_SIZE, position)
            timestamp, offset = header.max_timestamp, header.last_offset
            if timestamp > self.max_timestamp or (
                timestamp == self.max_timestamp and offset < self.max_timestamp_offset
            ):
                self.max_timestamp = timestamp
                self.max_timestamp_offset = offset
            self._times_from = position + header.length + LOG_OVERHEAD
        self.times_known = True

    def _times_floor(self, reader: Reader) -> int:
        """Position of the batch that the time index names last, 0 if it can't be believed."""
        try:
            last = self.time_index.last(reader.maps, self.time_index_path)
        except FileNotFoundError:
            self._doubt_times(reader)
            return 0
        if last is None:
            return 0
        located = self.locate(last[1] + self.base_offset, reader)
        if (
            located is not None
            and located[1].max_timestamp == last[0]
            and located[1].last_offset == last[1] + self.base_offset
        ):
            self.indexed_timestamp = last[0]
            return located[0]
        self._doubt_times(reader)
        return 0

    def _doubt_times(self, reader: Reader) -> None:
        """The time index is not to be believed."""
        self.time_index.reset()
        self.indexed_timestamp = -1
        reader.maps.forget(self.time_index_path)
        reader.maps.suspects[self] = None


def _base_offset(item: JournalItem) -> int:
    return item.base_offset


def _position(item: JournalItem) -> int:
    return item.position
