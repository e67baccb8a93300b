"""What the journal says must be true: pure functions from ring bytes to a plan for each partition.

Two passes, no I/O:

1. `chain`: put the commits of all ring files in order, from the checkpoint's sequence on, and find where they end. The last
   commit of a life may be torn, that is what a crash does. A bad commit with a good one behind it is corruption: the
   partitions that its header names are refused, or the whole directory if the header can't be read.
2. `plan`: fold the entries of each partition, in order, into the writes that recovery must repeat, the byte ranges that
   it must verify (direct sync), the end and the start of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from logbroker.base.errors import CorruptionError
from logbroker.storage.checkpoint_file import Checkpoint, Point
from logbroker.storage.journal import Generation
from logbroker.storage.journal_format import (
    BATCH,
    DELETE,
    FLUSHED,
    LOG_START,
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
    positions: dict[int, int]
    """Where each commit lies in its file."""


class Piece(NamedTuple):
    """One thing to do again, in order: write a batch, verify a synced range, or cut."""

    entry: Entry
    payload: memoryview | None


class Plan:
    """What must become of one partition."""

    __slots__ = ("corrupt", "deleted", "end", "pieces", "start", "truncated")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end: int | None = None
        """Where the journal's entries end; None while none says so."""
        self.pieces: list[Piece] = []
        self.truncated = False
        self.deleted = False
        self.corrupt: str | None = None


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
                lives.setdefault(head.generation, {})[head.sequence] = (name, position, head)
    commits: list[Commit] = []
    refused: dict[PartitionKey, str] = {}
    last: dict[str, int] = {}
    positions: dict[int, int] = {}
    expected = checkpoint.sequence
    numbers = sorted(lives)
    starts = {number: _start_of(files, lives[number]) for number in numbers}
    lives_left = [
        number for number in numbers if starts[number] is not None or number == checkpoint.generation
    ]
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
                positions[expected] = found[1]
            expected += 1
    return Chain(commits, expected, last, refused, positions)


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
    """Fold every entry into its partition's plan. Partitions that the journal doesn't name have none."""
    plans: dict[PartitionKey, Plan] = {}
    for commit in commits:
        for entry, payload in zip(commit.entries, commit.payloads, strict=True):
            if entry.kind == START:
                continue
            key = (entry.topic_id, entry.partition)
            current = plans.get(key)
            if current is None:
                point = points.get(key)
                current = plans[key] = Plan(point.start_offset if point else 0)
            _fold(current, entry, payload, points.get(key))
    return plans


def _fold(current: Plan, entry: Entry, payload: memoryview | None, point: Point | None) -> None:
    kind = entry.kind
    if kind in (BATCH, SYNCED):
        expected = current.end
        if (
            expected is None
        ):  # the first after the checkpoint may lie below what the checkpoint covers, never above
            covered = point.end_offset if point else entry.previous_end
            if entry.previous_end > covered:
                current.corrupt = (
                    f"the journal goes on at offset {entry.previous_end}, the checkpoint ends at {covered}"
                )
        elif entry.previous_end != expected:
            current.corrupt = (
                f"the journal goes on at offset {entry.previous_end} where {expected} was expected"
            )
        current.end = entry.next_offset
        current.pieces.append(Piece(entry, payload))
    elif kind == TRUNCATE:
        current.truncated = True
        current.end = entry.next_offset
        current.pieces.append(Piece(entry, None))
    elif kind == FLUSHED:
        current.end = entry.next_offset
        current.pieces.append(Piece(entry, None))
    elif kind == LOG_START:
        current.start = max(current.start, entry.next_offset)
    elif kind == DELETE:
        current.deleted = True
        current.pieces = []
