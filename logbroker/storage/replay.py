"""What the journal says must be true: pure functions from ring bytes to a plan for each partition.

Two passes, no I/O:

1. `chain`: put the commits of all ring files in order, from the checkpoint's sequence on, and find where they end. The last
   commit of a life may be torn, that is what a crash does. A bad commit with a good one behind it is corruption: the
   partitions that its header names are refused, or the whole directory if the header can't be read.
2. `plan`: fold the entries of each partition, in order, onto its point: the writes that recovery must repeat, the byte ranges that
   it must verify (direct sync), the end and the start of the log, which segments must be there and how long.

What a truncation made void is taken out of the plan and never done: the bytes may lie where a newer, directly synced
batch lies now, and nothing but the file holds that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from logbroker.base.errors import CorruptionError
from logbroker.storage.checkpoint_file import Checkpoint, Point
from logbroker.storage.journal_contents import Generation
from logbroker.storage.journal_format import (
    BATCH,
    COMPACTED,
    DELETE,
    FLUSHED,
    LOG_START,
    PAGE_CACHE,
    START,
    SYNCED,
    TRUNCATE,
    Commit,
    CommitHead,
    Entry,
    read_commit,
    scan_heads,
)

PartitionKey = tuple[bytes, int]
"""(topic id, partition)"""


class Chain(NamedTuple):
    """The commits to replay, in order, and what the ring's files must be kept for."""

    commits: list[Commit]
    next_sequence: int
    last_sequences: dict[str, int]
    refused: dict[PartitionKey, str]
    places: dict[int, tuple[str, int]]
    """File and position of each commit."""


_new = tuple.__new__


class Piece(NamedTuple):
    """One thing to do again, in order: write a batch, or verify a range that was synced."""

    entry: Entry
    payload: memoryview | None


class Plan:
    """What must become of one partition: its point, and every entry behind it."""

    __slots__ = (
        "corrupt",
        "covered",
        "cut",
        "deleted",
        "end",
        "floor",
        "pieces",
        "reach",
        "sizes",
        "start",
        "swaps",
        "touched",
        "walk",
        "walk_end",
    )

    def __init__(self, point: Point | None = None) -> None:
        self.start = point.start_offset if point else 0
        self.covered = point.end_offset if point else 0
        """What the point vouches for ends here."""
        self.end: int | None = None
        """Where the journal's entries end; None while none says so."""
        self.pieces: list[Piece] = []
        self.cut: int | None = None
        """The lowest offset that a truncation cut to."""
        self.walk = point.page_cache if point else False
        """Whether whole batches behind the end may have been acknowledged from the page cache."""
        self.walk_end: int | None = None
        """Not those behind this offset: a truncation was announced, and nothing says that the files were cut."""
        self.sizes: dict[int, int] = {}
        """Segments that the files must hold, by base offset, and bytes that each must have."""
        self.reach: dict[int, int] = {}
        """Offset behind the last batch that is known of each segment."""
        self.floor = 0
        """Segments that begin below this were given up, if they end below the log's start."""
        self.swaps: list[Entry] = []
        """Compactions whose files may not be in their places yet, in order."""
        self.touched = False
        """Whether the journal speaks of the partition."""
        self.deleted = False
        self.corrupt: str | None = None
        if point is not None:
            segments = point.segments
            for at, (base, size) in enumerate(segments):
                self.sizes[base] = size
                self.reach[base] = segments[at + 1][0] if at + 1 < len(segments) else point.end_offset

    def is_dead(self, base: int, *, present: bool) -> bool:
        """Whether the log's start has left this segment behind, so that its file need not be there, nor come back."""
        if self.reach.get(base, self.start + 1) > self.start:
            return False
        return not present or any(base < later <= self.start for later in (*self.reach, self.floor))


def chain(
    files: Mapping[str, memoryview], checkpoint: Checkpoint, generations: Sequence[Generation]
) -> Chain:
    """Order the ring's commits and say which are to be replayed.

    `files` are the ring's files by name. Raises CorruptionError when the directory as a whole can't be trusted.
    """
    salts = {generation.number: generation.salt for generation in generations}
    salts.setdefault(checkpoint.generation, checkpoint.salt)
    lives: dict[int, dict[int, tuple[str, int, CommitHead]]] = {}
    for name, data in files.items():
        for position, head in scan_heads(data):
            known = head.generation >= checkpoint.generation and salts.get(head.generation) == head.salt
            if known and head.sequence >= checkpoint.sequence:
                life = lives.setdefault(head.generation, {})
                other = life.get(head.sequence)  # a damaged head may claim any sequence
                if other is None or read_commit(files[other[0]], other[1]) is None:
                    life[head.sequence] = (name, position, head)
    commits: list[Commit] = []
    refused: dict[PartitionKey, str] = {}
    last: dict[str, int] = {}
    places: dict[int, tuple[str, int]] = {}
    expected = checkpoint.sequence
    numbers = sorted(lives)
    starts = {number: _start_of(files, lives[number]) for number in numbers}
    lives_left = []
    for number in numbers:
        if starts[number] is not None or number == checkpoint.generation:
            lives_left.append(number)
        elif _good_after(files, lives[number], -1, None) is not None:
            # A life's first commit is durable before its second is written.
            raise CorruptionError("journal", 0, f"the first commit of generation {number} is damaged")
    for at, number in enumerate(lives_left):
        life = lives[number]
        end = next((starts[later] for later in lives_left[at + 1 :] if starts[later] is not None), None)
        first = starts[number]
        if first is not None and first > expected:
            raise CorruptionError("journal", 0, f"commits {expected} to {first - 1} are missing")
        while end is None or expected < end:
            found = life.get(expected)
            commit = read_commit(files[found[0]], found[1]) if found else None
            if commit is None or commit.payload_error is not None:
                later = _good_after(files, life, expected, end)
                if end is None and later is None:
                    break  # the torn tail: nobody was told about it
                if commit is None or found is None:
                    where = found[0] if found else "journal"
                    raise CorruptionError(
                        where, found[1] if found else 0, f"commit {expected} is damaged or missing"
                    )
                for entry in commit.entries:
                    reason = f"journal commit {expected} in {found[0]}: {commit.payload_error}"
                    refused.setdefault((entry.topic_id, entry.partition), reason)
            else:
                commits.append(commit)
            if found:
                last[found[0]] = max(last.get(found[0], -1), expected)
                places[expected] = (found[0], found[1])
            expected += 1
    return Chain(commits, expected, last, refused, places)


def _start_of(files: Mapping[str, memoryview], life: dict[int, tuple[str, int, CommitHead]]) -> int | None:
    """The sequence at which a generation begins, if its START commit is in the ring."""
    sequence = min(life)
    name, position, _ = life[sequence]
    commit = read_commit(files[name], position)
    if commit is None or not commit.entries or commit.entries[0].kind != START:
        return None
    return sequence


def _good_after(
    files: Mapping[str, memoryview],
    life: dict[int, tuple[str, int, CommitHead]],
    sequence: int,
    end: int | None,
) -> int | None:
    """A whole commit of this life behind `sequence`, which proves that `sequence` was durable once."""
    for later in sorted(life):
        if later > sequence and (end is None or later < end):
            name, position, _ = life[later]
            commit = read_commit(files[name], position)
            if commit is not None and commit.payload_error is None:
                return later
    return None


def plan(commits: Sequence[Commit], points: Mapping[PartitionKey, Point]) -> dict[PartitionKey, Plan]:
    """Fold every entry onto its partition's point: a plan for each partition that has a point or an entry."""
    plans = {key: Plan(point) for key, point in points.items()}
    for commit in commits:
        for entry, payload in zip(commit.entries, commit.payloads, strict=True):
            topic_id, partition, kind, _, segment_base, _, previous_end, _, next_offset, _, _ = entry
            if kind == START:
                continue
            key = (topic_id, partition)
            current = plans.get(key)
            if current is None:
                current = plans[key] = Plan()
            if kind == BATCH and previous_end == current.end:  # nearly all of them; `_fold` has every case
                current.end = next_offset
                current.pieces.append(_new(Piece, (entry, payload)))
                current.reach[segment_base] = next_offset
            else:
                current.touched = True
                _fold(current, entry, payload)
    return plans


def _fold(current: Plan, entry: Entry, payload: memoryview | None) -> None:
    kind = entry.kind
    if kind in (BATCH, SYNCED):
        # Entries chain. Those behind a checkpoint may begin below what it covers, and skip what it covers and
        # no commit ever held; they never begin above both.
        least = current.end if current.end is not None else 0
        most = max(least, current.covered)
        if not least <= entry.previous_end <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            current.corrupt = (
                f"the journal goes on at offset {entry.previous_end} where {expected} was expected"
            )
        current.end = entry.next_offset
        current.pieces.append(Piece(entry, payload))
        current.reach[entry.segment_base] = entry.next_offset
    elif kind == TRUNCATE:
        _truncate(current, entry)
    elif kind == FLUSHED:
        current.end = entry.next_offset
        current.walk = False
        current.walk_end = None
        current.pieces.append(Piece(entry, None))
        current.reach[entry.segment_base] = entry.next_offset
    elif kind == PAGE_CACHE:
        current.walk = True
        current.walk_end = None
    elif kind == COMPACTED:
        _compact(current, entry)
    elif kind == LOG_START:
        current.start = max(current.start, entry.next_offset)
        current.floor = max(current.floor, entry.segment_base)
    elif kind == DELETE:
        current.deleted = True
        current.pieces = []


def _compact(current: Plan, entry: Entry) -> None:
    """One segment stands for several. What the ring holds for those the point covers, so nothing is lost with it."""
    base, end = entry.segment_base, entry.next_offset
    current.pieces = [
        piece
        for piece in current.pieces
        if piece.entry.kind == FLUSHED or not base <= piece.entry.segment_base < end
    ]
    for table in (current.sizes, current.reach):
        for gone in [gone for gone in table if base <= gone < end]:
            del table[gone]
    current.sizes[base] = entry.position
    current.reach[base] = end
    current.swaps.append(entry)


def _truncate(current: Plan, entry: Entry) -> None:
    """Take out what the truncation made void. A page-cache topic says PAGE_CACHE again once its files are cut."""
    base, position, end = entry.segment_base, entry.position, entry.next_offset
    current.pieces = [
        kept for piece in current.pieces if (kept := _piece_below(piece, base, position, end)) is not None
    ]
    for later in [later for later in current.reach if later > base]:
        del current.reach[later]
    for later in [later for later in current.sizes if later > base]:
        del current.sizes[later]
    current.sizes[base] = min(current.sizes.get(base, 0), position)
    current.reach[base] = end
    current.floor = min(current.floor, base)
    current.covered = min(current.covered, end)
    current.cut = end if current.cut is None else min(current.cut, end)
    current.end = end
    if current.walk:
        current.walk_end = end


def _piece_below(piece: Piece, base: int, position: int, end: int) -> Piece | None:
    entry = piece.entry
    if entry.kind == FLUSHED:  # everything up to its end was synced, so everything up to the cut was
        if entry.next_offset > end:
            entry = entry._replace(segment_base=base, position=position, base_offset=end, next_offset=end)
        return Piece(entry, None)
    if entry.segment_base > base or (entry.segment_base == base and entry.position >= position):
        return None
    if entry.segment_base == base and entry.kind == SYNCED and entry.position + entry.length > position:
        entry = entry._replace(next_offset=end, length=position - entry.position)
    return Piece(entry, piece.payload)
