"""Reads one segment batch by batch and says where it, or an index of it, isn't what was written.

Shared by the scrubber (sealed segments, in the background) and `verify` (a whole directory of a stopped broker). What is
proven of each batch: magic and length, the CRC-32C over what it covers, and by comparison what it doesn't cover: base offsets that
follow one another and leader epochs that never fall. An index is compared with the batches as they pass:

    .index      each entry is (last offset of a batch, that batch's position), both rising
    .timeindex  each entry is (largest timestamp so far, last offset of the batch that has it), both rising

Nothing is written, memory is bounded by `chunk_bytes` however large a length field claims a batch to be, and each step reads once:
the walks run on a lane or straight through. Behind a batch whose header can't be believed nothing more can be found; the finding
says how many bytes that are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.types import Buffer
from logbroker.records.batch import (
    CRC_START,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    BatchHeader,
)
from logbroker.storage.executor import Steps
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY

CHUNK_BYTES = 1 << 20
"""Bytes read at a time where nobody says otherwise."""

ReadAt = Callable[[int, int], Buffer]
"""read(size, position): fewer bytes only at the end of what there is."""

_new = tuple.__new__
_unpack_header = HEADER.unpack_from


class Finding(NamedTuple):
    """One place that isn't as it must be, or (with `problem` False) that is worth knowing and will take care of itself."""

    path: str
    position: int
    """Byte in the file."""
    offset: int | None
    """Kafka offset, where one is concerned."""
    what: str
    problem: bool = True

    def __str__(self) -> str:
        where = f", offset {self.offset}" if self.offset is not None else ""
        return f"{self.path} at byte {self.position}{where}: {self.what}"


OnBatch = Callable[[int, BatchHeader], None]
"""on_batch(position, header) of each batch whose place can be believed, in order; a wrong CRC is no reason to hold it back."""


class BatchWalk:
    """One pass over the batches in a byte range of a segment.

    Args:
        path: Named in findings.
        read: Where the bytes come from.
        start, end: The range; a batch begins at `start`, and one must end at `end`.
        expected_offset: Base offset of the first batch; None: whatever it says.
        gaps_allowed: Compaction leaves holes between batches; otherwise a hole is a finding.
        on_batch: Called for every batch.
        chunk_bytes: Bytes read at a time.

    """

    __slots__ = (
        "_chunk_bytes",
        "_expected",
        "_gaps_allowed",
        "_on_batch",
        "_read",
        "batches",
        "bytes_checked",
        "damaged",
        "end",
        "findings",
        "next_offset",
        "path",
        "position",
        "stopped",
    )

    def __init__(
        self,
        path: str,
        read: ReadAt,
        start: int,
        end: int,
        *,
        expected_offset: int | None = None,
        gaps_allowed: bool = False,
        on_batch: OnBatch | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.path = path
        self.position = start
        """How far the walk came."""
        self.stopped = False
        """Whether it can't go on."""
        self.end = end
        self.findings: list[Finding] = []
        self.damaged: list[tuple[int, int]] = []
        """Byte ranges that hold no intact batch."""
        self.batches = 0
        self.bytes_checked = 0
        self.next_offset = expected_offset
        """Offset behind the last batch; None before the first, unless it was expected."""
        self._expected = expected_offset
        self._read = read
        self._gaps_allowed = gaps_allowed
        self._on_batch = on_batch
        self._chunk_bytes = max(chunk_bytes, HEADER_SIZE)

    def steps(self, limit_bytes: int | None = None) -> Steps[None]:
        """Walk; one read a step. With a limit it pauses after so many bytes, and another call goes on. Raises OSError."""
        stop = self.bytes_checked + limit_bytes if limit_bytes is not None else None
        while self.position < self.end and (stop is None or self.bytes_checked < stop):
            position = self.position
            data = self._read(min(self._chunk_bytes, self.end - position), position)
            yield
            used = self._check_chunk(data, position)
            self.bytes_checked += max(used, 0)
            if used < 0 or (used == 0 and not (yield from self._check_large(data, position))):
                self.stopped = True
                return

    def _check_chunk(self, data: Buffer, position: int) -> int:
        """Check the whole batches at the front of `data`; the bytes they take, -1 if the walk can't go on."""
        view = memoryview(data)
        size = len(view)
        at = 0
        while size - at >= HEADER_SIZE:
            header = _new(BatchHeader, _unpack_header(view, at))
            reason = self._unbelievable(header, position + at)
            if reason is not None:
                self._stop(position + at, reason)
                return -1
            following = at + header.length + LOG_OVERHEAD
            if following > size:
                break
            self._judge(position + at, header, crc32c(view[at + CRC_START : following]))
            at = following
        self.position = position + at
        return at

    def _check_large(self, data: Buffer, position: int) -> Steps[bool]:
        """Check a batch that is longer than a chunk, piece by piece; False if the walk can't go on."""
        if len(data) < HEADER_SIZE:
            left = self.end - position
            if len(data) < left:
                self._stop(position, f"the file ends {left - len(data)} bytes early")
            else:
                self._stop(position, f"{left} bytes where a batch header of {HEADER_SIZE} should be")
            return False
        header = _new(BatchHeader, _unpack_header(data))
        following = position + header.length + LOG_OVERHEAD
        crc = crc32c(memoryview(data)[CRC_START:])
        at = position + len(data)
        while at < following:
            data = self._read(min(self._chunk_bytes, following - at), at)
            yield
            if not data:
                self._stop(position, f"the file ends {following - at} bytes early", header.base_offset)
                return False
            crc = crc32c(data, crc)
            at += len(data)
        self._judge(position, header, crc)
        self.bytes_checked += following - position
        self.position = following
        return True

    def _unbelievable(self, header: BatchHeader, position: int) -> str | None:
        """Why nothing that this header says can be used, or None."""
        if header.magic != MAGIC:
            return f"magic {header.magic} where a batch of format v{MAGIC} should be"
        if header.length < HEADER_SIZE - LOG_OVERHEAD:
            return f"length {header.length} is below {HEADER_SIZE - LOG_OVERHEAD}, a header without records"
        size = header.length + LOG_OVERHEAD
        if position + size > self.end:
            return f"a batch of {size} bytes where {self.end - position} are left"
        if header.base_offset < 0 or header.last_offset_delta < 0:
            return f"base offset {header.base_offset} with last offset delta {header.last_offset_delta}"
        return None

    def _judge(self, position: int, header: BatchHeader, crc: int) -> None:
        """Compare one batch with its CRC and with the batch before it."""
        self.batches += 1
        base_offset = header.base_offset
        expected = self._expected
        if crc != header.crc:
            self._find(
                position,
                base_offset,
                f"CRC is {header.crc:#010x} in the header and {crc:#010x} over the bytes",
            )
            self.damaged.append((position, position + header.length + LOG_OVERHEAD))
            self._expected = None  # the numbers in it prove nothing
            self.next_offset = max(self.next_offset or 0, header.next_offset)
            if self._on_batch is not None:
                self._on_batch(position, header)
            return
        if expected is not None and base_offset != expected:
            if base_offset < expected:
                self._find(position, base_offset, f"base offset {base_offset} where {expected} is next")
                self.damaged.append((position, position + header.length + LOG_OVERHEAD))
                self._expected = expected + header.last_offset_delta + 1
                self.next_offset = self._expected
                return
            if not self._gaps_allowed:
                self._find(
                    position, base_offset, f"offsets {expected} to {base_offset - 1} are missing before it"
                )
        self._expected = self.next_offset = header.next_offset
        if self._on_batch is not None:
            self._on_batch(position, header)

    def _stop(self, position: int, what: str, offset: int | None = None) -> None:
        left = self.end - position
        self._find(
            position,
            self.next_offset if offset is None else offset,
            f"{what} ({left} bytes can't be read from here on)",
        )
        self.damaged.append((position, self.end))
        self.position = position

    def _find(self, position: int, offset: int | None, what: str) -> None:
        self.findings.append(Finding(self.path, position, offset, what))


class IndexCheck:
    """Compares an index with the batches of its segment as `batch` is told of them, in order.

    Args:
        path: Named in findings.
        data: The whole file; a last entry that is cut short is a finding.
        base_offset: Of the segment.
        entry: How an entry is packed.

    """

    __slots__ = (
        "_base_offset",
        "_data",
        "_entry",
        "_last",
        "_next",
        "_position",
        "entry_count",
        "findings",
        "path",
    )

    def __init__(self, path: str, data: Buffer, base_offset: int, entry: struct.Struct) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self._base_offset = base_offset
        self._data = data
        self._entry = entry
        self._position = 0
        self._last: tuple[int, int] | None = None
        self.entry_count = len(data) // entry.size
        whole = self.entry_count * entry.size
        if whole != len(data):
            self._find(whole, f"{len(data) - whole} bytes where an entry of {entry.size} should be")
        self._next = self._peek()

    def batch(self, position: int, header: BatchHeader) -> None:
        """Hear of the next batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """There are no more batches: entries that are left point nowhere."""
        if self._next is not None:
            left = self.entry_count - self._position // self._entry.size
            self._find(self._position, f"{left} entries, from {self._next} on, point past the last batch")

    def _peek(self) -> tuple[int, int] | None:
        if self._position + self._entry.size > len(self._data):
            return None
        key, value = self._entry.unpack_from(self._data, self._position)
        return key, value

    def _advance(self) -> tuple[int, int] | None:
        self._position += self._entry.size
        self._next = self._peek()
        return self._next

    def _rises(self, entry: tuple[int, int]) -> bool:
        """Whether the entry follows the one before it; a finding if not."""
        last = self._last
        if last is not None and (entry[0] <= last[0] or entry[1] <= last[1]):
            self._find(self._position, f"entry {entry} follows {last}")
            return False
        self._last = entry
        return True

    def _find(self, position: int, what: str, offset: int | None = None) -> None:
        self.findings.append(Finding(self.path, position, offset, what))


class OffsetIndexCheck(IndexCheck):
    """The check of an `.index` file."""

    __slots__ = ()

    def __init__(self, path: str, data: Buffer, base_offset: int) -> None:
        super().__init__(path, data, base_offset, OFFSET_ENTRY)

    def batch(self, position: int, header: BatchHeader) -> None:
        """See `IndexCheck`."""
        entry = self._next
        while entry is not None and entry[1] <= position:
            if self._rises(entry):
                offset = self._base_offset + entry[0]
                if entry[1] < position:
                    self._find(self._position, f"no batch starts at position {entry[1]}", offset)
                elif offset != header.last_offset:
                    self._find(
                        self._position,
                        f"the batch at position {position} ends with offset {header.last_offset}",
                        offset,
                    )
            entry = self._advance()


class TimeIndexCheck(IndexCheck):
    """The check of a `.timeindex` file."""

    __slots__ = ("_max_timestamp",)

    def __init__(self, path: str, data: Buffer, base_offset: int) -> None:
        super().__init__(path, data, base_offset, TIME_ENTRY)
        self._max_timestamp = -1

    def batch(self, position: int, header: BatchHeader) -> None:
        """See `IndexCheck`."""
        self._max_timestamp = max(self._max_timestamp, header.max_timestamp)
        entry = self._next
        while entry is not None and entry[1] + self._base_offset <= header.last_offset:
            if self._rises(entry):
                self._compare(entry[0], entry[1] + self._base_offset, header)
            entry = self._advance()

    def _compare(self, timestamp: int, offset: int, header: BatchHeader) -> None:
        if offset != header.last_offset:
            self._find(self._position, "no batch ends with this offset", offset)
        elif timestamp != header.max_timestamp:
            what = f"timestamp {timestamp} where the batch's largest is {header.max_timestamp}"
            self._find(self._position, what, offset)
        elif timestamp < self._max_timestamp:
            what = f"timestamp {timestamp} behind an earlier batch with {self._max_timestamp}"
            self._find(self._position, what, offset)
