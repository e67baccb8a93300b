"""What a log must hold after a crash, and why what it holds is wrong.

The life of one log (one topic id, one partition) is a list of *changes*, in order: append, truncate, restart at an offset. What
recovery may leave is the state after some prefix of them: never a mix, never a gap. Which prefix is bounded from below by
what was *promised* (acknowledged, or served to a consumer) and from above by what had been begun when the disk stopped. The log
start is bounded in the same way by the moves that were promised and those that were begun.

Everything is stamped with `now()`, the number of disk operations so far (`SimDisk.operations`), so that one recorded run can be checked
at any moment in it: `check(at, ...)` counts only what had happened by operation `at`. Begin a change *before* the engine may touch the
disk for it; promise when the engine's callback says so.

A promise made from the page cache (`to_disk=False`: flush.messages above 1, acks=0) binds when the process is killed, not when
the power is cut.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logbroker.testing.model_compaction import check_compacted, is_left_of

LogKey = Hashable
"""Which log: usually (topic id, partition)."""

NO_SEQUENCE = -1
MARKER = -2
"""Last sequence of a transaction marker, which has none: it leaves its producer's, or forgets it when it brings a new epoch."""


class Batch(NamedTuple):
    """One batch as it must be read back: its offsets (`end_offset` is one past the last) and all that must be equal.

    `payload` is compared byte for byte: make it unique (the whole batch as appended is best). `producer` is (id, epoch, last sequence).
    """

    base_offset: int
    end_offset: int
    payload: bytes
    producer: tuple[int, int, int] | None = None


@dataclass(slots=True)
class RecoveredLog:
    """What a recovered log shows: every batch it serves from `start_offset` on.

    `refused` is the reason if the log (or its directory) won't serve. `producers`, where given, maps producer id to (epoch,
    last sequence).
    """

    start_offset: int
    end_offset: int
    batches: Sequence[Batch] = ()
    refused: str = ""
    producers: Mapping[int, tuple[int, int]] | None = None


class Violation(NamedTuple):
    """A broken promise: whose, and what exactly."""

    log: LogKey
    reason: str

    def __str__(self) -> str:
        return f"{self.log}: {self.reason}"


class _Change(NamedTuple):
    begun: int
    kind: str  # "append", "truncate", "restart"
    offset: int
    batch: Batch | None


class _Promise(NamedTuple):
    made: int
    changes: int  # how many changes, from the first, have to be there
    to_disk: bool


@dataclass(slots=True)
class LogModel:
    """One log's changes and promises; made by `Model.create`."""

    key: LogKey
    now: Callable[[], int]
    created_begun: int
    first_offset: int = 0
    created: int | None = None
    compacted: bool = False
    """Records that a later one of their key has made superfluous may be gone (`model_compaction.py`)."""
    _changes: list[_Change] = field(default_factory=list)
    _end_after: list[int] = field(default_factory=list)
    _promises: list[_Promise] = field(default_factory=list)
    _starts_begun: list[tuple[int, int]] = field(default_factory=list)
    _starts_promised: list[tuple[int, int]] = field(default_factory=list)
    _cuts: list[tuple[int, int]] = field(default_factory=list)
    _deletion_begun: int | None = None
    _deletion_promised: int | None = None

    # What the workload tells.

    def promise_creation(self) -> None:
        """The creation was acknowledged."""
        self.created = self.now()

    def append(self, batch: Batch) -> int:
        """An append is about to happen; returns the number of the change, for `promise`."""
        end = self.end_offset()
        if batch.base_offset < end:
            raise ValueError(f"append at {batch.base_offset} to a log that ends at {end}")
        return self._change("append", batch.base_offset, batch)

    def truncate(self, offset: int) -> int:
        """Everything from `offset` on is about to be cut; returns the number of the change."""
        return self._change("truncate", offset, None)

    def restart(self, offset: int) -> int:
        """All content is about to go, and the log to start again at `offset`; returns the number of the change."""
        self.begin_start_move(offset)
        return self._change("restart", offset, None)

    def promise(self, change: int, *, to_disk: bool = True) -> None:
        """This change, and with it all before it, was acknowledged."""
        self._promises.append(_Promise(self.now(), change + 1, to_disk))

    def promise_cut(self, change: int) -> None:
        """What this truncation took never comes back, though what it left may be lost (a cut of a page-cache topic)."""
        self._cuts.append((self.now(), change + 1))

    def promise_up_to(self, end_offset: int, *, to_disk: bool = True) -> None:
        """A consumer was served, or a mark published, up to this offset: the appends below it stay."""
        below = [
            number
            for number, change in enumerate(self._changes)
            if change.batch is not None and change.batch.end_offset <= end_offset
        ]
        if below:
            self.promise(below[-1], to_disk=to_disk)

    def begin_start_move(self, offset: int) -> None:
        """The log start may move to `offset` (delete-records, retention)."""
        self._starts_begun.append((self.now(), offset))

    def promise_start(self, offset: int) -> None:
        """A log start was acknowledged or shown: it never moves back."""
        self._starts_promised.append((self.now(), offset))

    def begin_deletion(self) -> None:
        """The topic is about to be deleted."""
        self._deletion_begun = self.now()

    def promise_deletion(self) -> None:
        """The deletion was acknowledged."""
        self._deletion_promised = self.now()

    def end_offset(self) -> int:
        """The log end offset after everything begun so far."""
        return self._end_after[-1] if self._changes else self.first_offset

    def boundary(self, offset: int) -> int:
        """The end of the last batch that ends at or below `offset`, of those that are there now."""
        limit = offset
        for change in reversed(self._changes):
            if change.batch is None:
                limit = min(limit, change.offset)
            elif change.batch.end_offset <= limit:
                return change.batch.end_offset
        return min(self.first_offset, limit)

    def knows(self, batch: Batch) -> bool:
        """Whether this batch was ever appended here: a read may show nothing else."""
        return any(
            change.batch == batch
            or (self.compacted and change.batch is not None and is_left_of(batch, change.batch))
            for change in self._changes
        )

    # What recovery shows.

    def check(self, at: int, found: RecoveredLog | None, *, power_cut: bool = True) -> str:
        """Why `found` breaks a promise that held by operation `at`; "" if it doesn't."""
        if found is None:
            if self.created is None or self.created > at:
                return ""
            if self._deletion_begun is not None and self._deletion_begun <= at:
                return ""
            return "the log is gone although its creation was acknowledged and nobody deleted it"
        if self.created_begun > at:
            return "the log is there before anyone created it"
        if self._deletion_promised is not None and self._deletion_promised <= at:
            return "the log came back after its deletion was acknowledged"
        if found.refused:
            return f"refused: {found.refused}"
        return self._check_start(at, found) or self._check_content(at, found, power_cut=power_cut)

    def _check_start(self, at: int, found: RecoveredLog) -> str:
        promised = max(
            [offset for made, offset in self._starts_promised if made <= at], default=self.first_offset
        )
        begun = max([offset for made, offset in self._starts_begun if made <= at], default=self.first_offset)
        if found.start_offset < promised:
            return f"log start {found.start_offset} moved back: {promised} was acknowledged"
        if found.start_offset > max(begun, promised):
            return f"log start {found.start_offset} is above {max(begun, promised)}, the highest anyone asked for"
        return ""

    def _check_content(self, at: int, found: RecoveredLog, *, power_cut: bool) -> str:
        error = _check_order(found)
        if error:
            return error
        begun = bisect.bisect_right(self._changes, at, key=lambda change: change.begun)
        promised = max(
            [
                promise.changes
                for promise in self._promises
                if promise.made <= at and (promise.to_disk or not power_cut)
            ],
            default=0,
        )
        cut = max([number for made, number in self._cuts if made <= at], default=0)
        # The states that recovery may have chosen, grouped by the last truncation they include: (its number, kept batches).
        content: list[Batch] = []
        groups: list[tuple[int, list[Batch]]] = [(0, [])]
        for number, change in enumerate(self._changes[:begun]):
            if change.batch is not None:
                content.append(change.batch)
                continue
            content = (
                []
                if change.kind == "restart"
                else [batch for batch in content if batch.end_offset <= change.offset]
            )
            groups.append((number + 1, content.copy()))
        reasons = []
        for index, (first, kept) in enumerate(groups):
            last = groups[index + 1][0] - 1 if index + 1 < len(groups) else begun
            if last < promised or first < cut:
                continue
            reason = self._check_group(first, last, kept, promised, found, lossy=cut > 0)
            if not reason:
                return ""
            reasons.append(reason)
        return reasons[-1] if len(set(reasons)) == 1 else " | ".join(reasons)

    def _check_group(
        self,
        first: int,
        last: int,
        kept: list[Batch],
        promised: int,
        found: RecoveredLog,
        *,
        lossy: bool,
    ) -> str:
        """Compare with the states after `first`..`last` changes, all appends but the first, and at least the `promised`.

        With `lossy` what a truncation left may have been lost as well, as far as nobody was told of it.
        """
        appended = [change.batch for change in self._changes[first:last] if change.batch is not None]
        history = [batch for batch in [*kept, *appended] if batch.end_offset > found.start_offset]
        if self.compacted:
            reason = check_compacted(found.batches, history, found.start_offset, found.end_offset)
            if reason:
                return reason
        for index, batch in enumerate(() if self.compacted else found.batches):
            if index >= len(history):
                return f"{_name(batch)} is served but was never appended in this state of the log"
            expected = history[index]
            if batch[:2] != expected[:2]:
                return f"{_name(batch)} stands where {_name(expected)} belongs"
            if batch.payload != expected.payload:
                return f"{_name(batch)} holds other bytes than were appended ({_difference(batch.payload, expected.payload)})"
        served_to = found.batches[-1].end_offset if found.batches else found.start_offset
        ends = {self.first_offset}
        if self._changes:
            ends = set(self._end_after[max(promised, first) : last + 1])
            if lossy and promised < first:
                least = self._end_after[promised]
                ends |= {batch.end_offset for batch in kept if batch.end_offset >= least}
                ends |= {offset for offset in (least, found.start_offset) if offset <= self._end_after[first]}
        if found.end_offset not in ends:
            lost = [batch for batch in history if found.end_offset < batch.end_offset <= min(ends)]
            if lost:
                return f"lost {_name(lost[0])} and {len(lost) - 1} more: the log ends at {found.end_offset}, {min(ends)} was promised"
            return f"log end {found.end_offset} is none of those the log had ({min(ends)} to {max(ends)})"
        if any(served_to < batch.end_offset <= found.end_offset for batch in history):
            return f"the log ends at {found.end_offset}, but reading it ends at {served_to}"
        return _check_producers(found, history)

    def _change(self, kind: str, offset: int, batch: Batch | None) -> int:
        if not self._changes:
            self._end_after = [self.first_offset]
        end = self._end_after[-1]
        if batch is not None:
            end = batch.end_offset
        elif kind == "restart" or offset < end:
            end = offset
        self._end_after.append(end)
        self._changes.append(_Change(self.now(), kind, offset, batch))
        return len(self._changes) - 1

    # For `Model`.

    def as_of(self, at: int, now: Callable[[], int], *, power_cut: bool) -> LogModel | None:
        """The same promises on the disk that a crash at `at` left; None if the log wasn't begun by then."""
        if self.created_begun > at:
            return None
        other = LogModel(self.key, now, 0, self.first_offset)
        other.created = _stamp(self.created, at)
        other.compacted = self.compacted
        other._deletion_begun = _stamp(self._deletion_begun, at)
        other._deletion_promised = _stamp(self._deletion_promised, at)
        other._changes = [change._replace(begun=0) for change in self._changes if change.begun <= at]
        other._end_after = self._end_after[: len(other._changes) + 1]
        other._promises = [
            promise._replace(made=0)
            for promise in self._promises
            if promise.made <= at and (promise.to_disk or not power_cut)
        ]
        other._cuts = [(0, number) for made, number in self._cuts if made <= at]
        other._starts_begun = [(0, offset) for begun, offset in self._starts_begun if begun <= at]
        other._starts_promised = [(0, offset) for made, offset in self._starts_promised if made <= at]
        return other


class Model:
    """Every log of a disk. `now` gives the number of disk operations so far."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.logs: dict[LogKey, LogModel] = {}

    def create(self, key: LogKey, first_offset: int = 0) -> LogModel:
        """A log is about to be created; its keys are never used twice (a topic id makes them so)."""
        if key in self.logs:
            raise ValueError(f"log {key} exists")
        log = self.logs[key] = LogModel(key, self.now, self.now(), first_offset)
        return log

    def check(
        self, at: int, found: Mapping[LogKey, RecoveredLog], *, power_cut: bool = True
    ) -> list[Violation]:
        """Every promise that held by operation `at` and that what was found breaks."""
        violations = [Violation(key, "nobody created this log") for key in found if key not in self.logs]
        for key, log in self.logs.items():
            reason = log.check(at, found.get(key), power_cut=power_cut)
            if reason:
                violations.append(Violation(key, reason))
        return violations

    def as_of(self, at: int, now: Callable[[], int], *, power_cut: bool) -> Model:
        """What held at `at`, to be checked against the disk that a crash there left (`now` is of that disk).

        For a second crash while recovery was at work.
        """
        other = Model(now)
        for key, log in self.logs.items():
            kept = log.as_of(at, now, power_cut=power_cut)
            if kept is not None:
                other.logs[key] = kept
        return other

    def adopt(
        self,
        found: Mapping[LogKey, RecoveredLog],
        now: Callable[[], int],
        *,
        to_disk: Callable[[LogKey], bool] = lambda _: True,
    ) -> Model:
        """A model that starts from what recovery showed and promises all of it: from now on it is served.

        Where `to_disk(key)` is false a power cut may take it again. A deletion that was begun or promised stays so.
        """
        other = Model(now)
        for key, shown in found.items():
            first = shown.batches[0].base_offset if shown.batches else shown.end_offset
            log = other.create(key, first)
            log.created_begun = log.created = 0
            log.begin_start_move(shown.start_offset)
            log.promise_start(shown.start_offset)
            for batch in shown.batches:
                log.append(batch)
            if shown.batches:
                log.promise(len(shown.batches) - 1, to_disk=to_disk(key))
            older = self.logs.get(key)
            if older is not None:
                log.compacted = older.compacted
                log._deletion_begun = None if older._deletion_begun is None else 0
        for key, gone in self.logs.items():
            if key not in other.logs:
                log = other.create(key, gone.first_offset)
                log.created_begun = 0
                log._deletion_begun = log._deletion_promised = 0
        return other


def _stamp(moment: int | None, at: int) -> int | None:
    return None if moment is None or moment > at else 0


def _name(batch: Batch) -> str:
    return f"batch {batch.base_offset}..{batch.end_offset - 1}"


def _difference(found: bytes, expected: bytes) -> str:
    if len(found) != len(expected):
        return f"{len(found)} bytes instead of {len(expected)}"
    first = next(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
    return f"first at byte {first} of {len(expected)}"


def _check_order(found: RecoveredLog) -> str:
    if found.end_offset < found.start_offset:
        return f"log end {found.end_offset} is below log start {found.start_offset}"
    previous = None
    for batch in found.batches:
        if previous is not None and batch.base_offset < previous.end_offset:
            return f"{_name(batch)} comes after {_name(previous)}"
        previous = batch
    return ""


def _check_producers(found: RecoveredLog, history: list[Batch]) -> str:
    """Every producer with a batch in the log is remembered by its last one."""
    if found.producers is None:
        return ""
    last: dict[int, tuple[int, int]] = {}
    for batch in history:
        if batch.producer is None or batch.end_offset > found.end_offset:
            continue
        producer, epoch, sequence = batch.producer
        if sequence != MARKER:
            last[producer] = (epoch, sequence)
        elif producer in last and last[producer][0] != epoch:
            last[producer] = (epoch, NO_SEQUENCE)
    for producer, expected in last.items():
        state = found.producers.get(producer)
        if state != expected:
            return f"producer {producer} is remembered as {state}, its last batch says {expected}"
    return ""
