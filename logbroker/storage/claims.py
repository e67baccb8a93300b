"""What the checkpoint and the journal of a stopped directory say that the files of one partition must hold.

`verify` compares the files with this. It is recovery (`rebuild.py`) as arithmetic: nothing is written; the batches that recovery would
write again are laid *over* the file's bytes, so that what is checked is what the next start will serve.

    durable_bytes   the file itself must reach so far, and what isn't laid over must be intact in it
    size_bytes      where the segment will end; what the file holds beyond was never promised to anybody

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.storage.checkpoint_file import Point
from logbroker.storage.journal_format import BATCH, FLUSHED, SYNCED, Entry
from logbroker.storage.replay import Plan
from logbroker.storage.segment_check import ReadAt


@dataclass(slots=True)
class Run:
    """Batches that recovery writes one behind the other; `start` and `end` are bytes of the segment."""

    start: int
    end: int
    batches: list[Buffer]

    def add(self, batch: Buffer) -> None:
        """Go on with `batch`."""
        self.batches.append(batch)
        self.end += len(batch)


@dataclass(slots=True)
class SegmentClaim:
    """What must be true of one segment; all numbers are bytes but `base_offset`."""

    base_offset: int
    size_bytes: int = 0
    durable_bytes: int = 0
    checkpointed_bytes: int = 0
    """How much of it the checkpoint vouches for, index entries included."""
    sealed: bool = False
    """Whether the checkpoint knows it as closed: then its indexes were synced, too."""
    runs: list[Run] = field(default_factory=list)
    """What recovery writes over the file, in that order."""

    def write(self, position: int, batch: Buffer) -> None:
        """Recovery will write `batch` here."""
        if self.runs and self.runs[-1].end == position:
            self.runs[-1].add(batch)
        else:
            self.runs.append(Run(position, position + len(batch), [batch]))
        self.size_bytes = max(self.size_bytes, position + len(batch))

    def reader(self, read: ReadAt) -> ReadAt:
        """`read`, with the runs laid over what it gives."""
        if not self.runs:
            return read
        runs = [(run.start, b"".join(run.batches)) for run in self.runs]

        def overlaid(size: int, position: int) -> Buffer:
            end = min(position + size, self.size_bytes)
            data = bytearray(max(end - position, 0))
            found = read(len(data), position)
            data[: len(found)] = found
            known = position + len(found)
            for start, content in runs:
                low, high = max(start, position), min(start + len(content), end)
                if low < high:
                    data[low - position : high - position] = content[low - start : high - start]
                    known = max(known, high)
            return data[: known - position]

        return overlaid


@dataclass(slots=True)
class PartitionClaim:
    """What must be true of one partition's files."""

    start_offset: int
    end_offset: int
    segments: list[SegmentClaim]
    """Ascending; those that lie wholly below `start_offset` are left out."""
    checkpointed_end: int
    """Below this offset `epochs` has the last word; a replayed batch may bring another epoch."""
    epochs: list[tuple[int, int]]
    """(leader epoch, first offset) as the checkpoint has them."""
    page_cache: bool = False
    """The topic is acknowledged from the page cache: whole batches behind the end are kept by the next start."""


def claim_of(point: Point | None, plan: Plan | None, file_bytes: Mapping[int, int]) -> PartitionClaim:
    """Combine a partition's point and plan; `file_bytes` are the sizes of its `.log` files, by base offset."""
    plan = plan or Plan(point)
    start = plan.start
    epochs = [
        (epoch, first)
        for epoch, first in (point.epochs if point else [])
        if plan.cut is None or first < plan.cut
    ]
    claim = PartitionClaim(start, plan.covered, [], plan.covered, epochs, plan.walk)
    segments: dict[int, SegmentClaim] = {}
    last = max(plan.sizes, default=-1)
    for base, size in plan.sizes.items():
        segments[base] = SegmentClaim(base, size, size, size, base != last)
    for piece in plan.pieces:
        if not plan.is_dead(piece.entry.segment_base, present=piece.entry.segment_base in file_bytes):
            _fold(segments, piece.entry, piece.payload, file_bytes)
    claim.end_offset = max(claim.end_offset, plan.end or 0, start)
    bases = sorted(segments)
    for at, base in enumerate(bases):
        passed = at + 1 < len(bases) and bases[at + 1] <= start
        if not passed and not plan.is_dead(base, present=base in file_bytes):
            claim.segments.append(segments[base])
    return claim


def _fold(
    segments: dict[int, SegmentClaim],
    entry: Entry,
    payload: memoryview | None,
    file_bytes: Mapping[int, int],
) -> None:
    kind = entry.kind
    if kind == BATCH and payload is not None:
        segment = segments.setdefault(entry.segment_base, SegmentClaim(entry.segment_base))
        segment.write(entry.position, payload)
    elif kind == SYNCED:
        segment = segments.setdefault(entry.segment_base, SegmentClaim(entry.segment_base))
        segment.size_bytes = max(segment.size_bytes, entry.position + entry.length)
        segment.durable_bytes = max(segment.durable_bytes, entry.position + entry.length)
    elif kind == FLUSHED:
        # A page-cache topic rolls without a word in the journal: every file in between belongs to the range.
        first = max(segments, default=min(file_bytes, default=entry.segment_base))
        for base in sorted({*file_bytes, entry.segment_base}):
            if first <= base <= entry.segment_base:
                end = entry.position if base == entry.segment_base else file_bytes[base]
                segment = segments.setdefault(base, SegmentClaim(base))
                segment.size_bytes = max(segment.size_bytes, end)
                segment.durable_bytes = max(segment.durable_bytes, end)
