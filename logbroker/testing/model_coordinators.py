"""What clients of the coordinators were told, and what a later start may therefore show.

Everything is noted with the number of disk operations when it was asked (`begun`) and when it was answered (`acked`); a crash behind
operation `at` binds what was answered by then, and may show what was begun by then, and nothing else:

- *Offsets.* Changes of one offset (commits, deletions) take effect in the order in which they were asked. What is found is the last one that was
  answered, or a later one that was begun. One that was refused is never found.
- *Groups.* A group's generation or epoch is never older than one that a member was told, unless the group was deleted since.
- *Transactions.* One that was answered committed is wholly there, offsets included; one that nobody asked to commit, or whose commit was
  refused, not at all; one whose commit is unanswered wholly or not at all.
- *Producers.* Id and epoch of a transactional id never go back.

Pure but for `now`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

NEVER: Final = 1 << 62
"""Not answered."""

OffsetKey: TypeAlias = tuple[str, int]
"""(group, partition of the data topic)"""


@dataclass(slots=True)
class Change:
    """One change of one offset; `value` None: it is deleted."""

    value: int | None
    begun: int
    acked: int = NEVER
    refused: bool = False
    void_from: int = NEVER
    """From here on it is known that it was lost."""


@dataclass(slots=True)
class Promise:
    """An epoch that somebody was told of a group, or, without one, that it was deleted."""

    epoch: int | None
    begun: int
    acked: int = NEVER
    refused: bool = False


@dataclass(slots=True)
class Transaction:
    """One transaction as its producer saw it."""

    transactional_id: str
    begun: int
    number: int
    records: dict[int, int] = field(default_factory=dict)
    """Ticket of a batch that was acknowledged: its records."""
    offsets: dict[OffsetKey, int] = field(default_factory=dict)
    """Offsets that were acknowledged."""
    commit_begun: int = NEVER
    commit_acked: int = NEVER
    refused: bool = False
    lost_from: int = NEVER
    """From here on it was seen that it did not come about."""

    def may_be_committed(self, at: int) -> bool:
        """Whether it may be found committed behind a crash after operation `at`."""
        return self.commit_begun <= at and not self.refused and self.lost_from > at


@dataclass(slots=True)
class Found:
    """What a start shows, once what had been decided is complete.

    Attributes:
        offsets: Committed, by group and partition.
        epochs: Generation or epoch of groups.
        visible: What a consumer of committed records sees: ticket to its records, in all partitions.
        producers: (id, epoch) by transactional id.

    """

    offsets: dict[OffsetKey, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    visible: dict[int, int] = field(default_factory=dict)
    producers: dict[str, tuple[int, int]] = field(default_factory=dict)


class CoordinatorModel:
    """See the module. `now` gives the number of disk operations."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.changes: dict[OffsetKey, list[Change]] = {}
        self.promises: dict[str, list[Promise]] = {}
        self.transactions: list[Transaction] = []
        self.producers: dict[str, list[tuple[int, int, int]]] = {}
        """(acked, producer id, epoch)"""
        self.mixed: set[OffsetKey] = set()
        """Offsets that both plain commits and transactions write: only that somebody wrote what is found."""
        self.touched: dict[str, int] = {}
        """When somebody last asked for something that may begin a group."""
        self.groups_expire = False
        """Empty groups are forgotten by and by."""
        self.replaceable: set[str] = set()
        """Groups that both protocols join: an empty one of the other protocol gives way to a new one, which begins to count anew."""
        self._ticket = 0

    # ---- what is asked and answered

    def ticket(self) -> int:
        """A number that nobody had."""
        self._ticket += 1
        return self._ticket

    def begin_change(self, key: OffsetKey, value: int | None) -> Change:
        """Somebody asks for this."""
        change = Change(value, self.now())
        if value is not None:
            self.touch(key[0])
        self.changes.setdefault(key, []).append(change)
        return change

    def begin_deletion(self, group: str) -> tuple[Promise, list[Change]]:
        """Somebody asks for the deletion of a group, and of its offsets with it."""
        promise = Promise(None, self.now())
        self.promises.setdefault(group, []).append(promise)
        keys = [key for key in self.changes if key[0] == group]
        return promise, [self.begin_change(key, None) for key in keys]

    def touch(self, group: str, at: int | None = None) -> None:
        """Somebody asks for what may begin a group; `at` NEVER: nobody knows when that will be done."""
        self.touched[group] = max(self.touched.get(group, 0), self.now() if at is None else at)

    def promise_epoch(self, group: str, epoch: int) -> None:
        """A member was told."""
        now = self.now()
        self.promises.setdefault(group, []).append(Promise(epoch, now, now))

    def promise_producer(self, transactional_id: str, producer_id: int, epoch: int) -> str:
        """A producer was told; "" or what is wrong with it."""
        told = self.producers.setdefault(transactional_id, [])
        last = max((entry[1:] for entry in told), default=(-1, -1))
        told.append((self.now(), producer_id, epoch))
        if (producer_id, epoch) < last:
            return f"{transactional_id} was given {(producer_id, epoch)} after {last}"
        return ""

    def begin_transaction(self, transactional_id: str) -> Transaction:
        """A producer's first request of a transaction."""
        transaction = Transaction(transactional_id, self.now(), len(self.transactions))
        self.transactions.append(transaction)
        return transaction

    # ---- what is found

    def check(self, at: int, found: Found) -> list[str]:
        """What of `found` can't be, behind a crash after operation `at`."""
        wrong = [self._check_offset(at, key, found.offsets.get(key)) for key in self.changes]
        if not self.groups_expire:
            groups = self.promises.keys() - self.replaceable
            wrong += [self._check_epoch(at, group, found.epochs.get(group)) for group in sorted(groups)]
        wrong += self._check_transactions(at, found)
        for transactional_id, told in self.producers.items():
            last = max((entry[1:] for entry in told if entry[0] <= at), default=None)
            known = found.producers.get(transactional_id)
            if last is not None and (known is None or known < last):
                wrong.append(f"{transactional_id}: its producer was told {last}, found is {known}")
        return [what for what in wrong if what]

    def _check_offset(self, at: int, key: OffsetKey, found: int | None) -> str:
        changes = [change for change in self.changes[key] if change.begun <= at and not change.refused]
        if key in self.mixed:
            written = {change.value for change in changes}
            written |= {entry.offsets.get(key) for entry in self.transactions}
            return "" if found is None or found in written else f"{key}: {found} was never committed"
        first = max((number for number, change in enumerate(changes) if change.acked <= at), default=-1)
        allowed = {change.value for change in changes[max(first, 0) :] if change.void_from > at}
        if first < 0:
            allowed.add(None)
        if found in allowed:
            return ""
        return f"{key}: found is {found}, possible are {sorted(allowed, key=str)} (answered: {first >= 0})"

    def _check_epoch(self, at: int, group: str, found: int | None) -> str:
        promises = [
            promise for promise in self.promises[group] if promise.begun <= at and not promise.refused
        ]
        deletions = [promise for promise in promises if promise.epoch is None]
        told = [
            promise.epoch
            for promise in promises
            if promise.epoch is not None
            and promise.acked <= at
            and all(deletion.acked <= promise.begun for deletion in deletions)
        ]
        least = max(told, default=0)
        if least and (found is None or found < least):
            return f"group {group}: a member was told epoch {least}, found is {found}"
        if not deletions or found is None:
            return ""
        last = deletions[-1]
        if last.acked <= at and self.touched.get(group, 0) < last.begun:
            return f"group {group}: it was deleted, and is there in epoch {found}"
        return ""

    def _check_transactions(self, at: int, found: Found) -> Iterator[str]:
        allowed: dict[OffsetKey, set[int | None]] = {}
        expected: set[int] = set()
        for transaction in self.transactions:
            name = f"transaction {transaction.number} of {transaction.transactional_id}"
            records = transaction.records
            seen = {ticket: found.visible[ticket] for ticket in records if ticket in found.visible}
            may = transaction.may_be_committed(at)
            must = transaction.commit_acked <= at
            if seen and not may:
                yield f"{name} was not committed, but {seen} are visible"
            elif (must or seen) and seen != records:
                yield f"{name} is torn: of its records {records} are visible {seen}"
            expected.update(seen)
            for key, value in transaction.offsets.items():
                if must or (may and seen):
                    allowed[key] = {value}
                elif may and not records:
                    allowed.setdefault(key, {None}).add(value)
                else:
                    allowed.setdefault(key, {None})
        for key in {*allowed, *found.offsets} - self.changes.keys() - self.mixed:
            shown = found.offsets.get(key)
            if shown not in allowed.get(key, {None}):
                yield f"{key}: found is {shown}, transactions have committed {allowed.get(key)}"
        strange = {ticket: count for ticket, count in found.visible.items() if ticket not in expected}
        if strange:
            yield f"visible are {strange}, which no transaction has"

    # ---- a life ends, the next goes on

    def adopt(self, found: Found) -> None:
        """What a start has shown is certain from here on: later starts show that, or what is asked since."""
        now = self.now()
        for key, changes in self.changes.items():
            if key in self.mixed:
                continue
            live = [change for change in changes if not change.refused]
            place = max(
                (number for number, change in enumerate(live) if change.value == found.offsets.get(key)),
                default=-1,
            )
            for number, change in enumerate(live):
                if number == place:
                    change.acked = min(change.acked, now)
                elif number > place:
                    change.void_from = min(change.void_from, now)
        for transaction in self.transactions:
            if not transaction.records:
                continue
            if all(ticket in found.visible for ticket in transaction.records):
                transaction.commit_acked = min(transaction.commit_acked, now)
            elif transaction.commit_begun <= now:
                transaction.lost_from = min(transaction.lost_from, now)
