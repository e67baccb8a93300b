"""Offsets committed in transactions that have no marker yet.

They count when the transaction's commit marker is there, and then as of where their records stand in the log: a plain commit,
or another transaction's, whose record came later has won already. A tombstone takes them with it. Until the marker, readers
that ask for stable offsets are told to wait.

The same order is kept in memory: everything is noted in the order in which it is written, and on replay in that of offsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue

OffsetKey: TypeAlias = tuple[str, str, int]
"""Group, topic and partition."""


@dataclass(slots=True)
class PendingOffset:
    """An offset without a marker.

    Attributes:
        order: Grows with the place of its record in the log.
        is_superseded: A later record for the same key counts already.

    """

    value: OffsetCommitValue
    order: int
    is_superseded: bool = False


@dataclass(slots=True)
class OpenTransaction:
    """A producer's offsets in this shard."""

    producer_epoch: int
    offsets: dict[OffsetKey, PendingOffset] = field(default_factory=dict)


class PendingOffsets:
    """Open transactions of one shard, by producer id."""

    __slots__ = ("_by_group", "_holders", "_order", "transactions")

    def __init__(self) -> None:
        self.transactions: dict[int, OpenTransaction] = {}
        self._holders: dict[OffsetKey, dict[int, PendingOffset]] = {}
        self._by_group: Counter[str] = Counter()
        self._order = 0

    def __bool__(self) -> bool:
        return bool(self.transactions)

    def is_open(self, producer_id: int, producer_epoch: int) -> bool:
        """Whether this transaction has offsets here."""
        known = self.transactions.get(producer_id)
        return known is not None and known.producer_epoch == producer_epoch

    def is_pending(self, group: str, topic: str, partition: int) -> bool:
        """Whether a transaction will decide about this offset."""
        return (group, topic, partition) in self._holders

    def values(self, group: str, topic: str, partition: int) -> list[OffsetCommitValue]:
        """What transactions have committed of this offset; a copy."""
        return [pending.value for pending in self._holders.get((group, topic, partition), {}).values()]

    def has_group(self, group: str) -> bool:
        """Whether a transaction has offsets of this group."""
        return group in self._by_group

    def of_group(self, group: str) -> list[tuple[str, int]]:
        """Topics and partitions of which transactions have offsets."""
        if group not in self._by_group:
            return []
        return [(topic, partition) for name, topic, partition in self._holders if name == group]

    def of_topic(self, topic: str) -> Iterator[tuple[str, int, list[OffsetCommitValue]]]:
        """All (group, partition, offsets) of a topic; a copy."""
        found = [
            (group, partition, [pending.value for pending in holders.values()])
            for (group, name, partition), holders in self._holders.items()
            if name == topic
        ]
        return iter(found)

    def put(
        self, producer_id: int, producer_epoch: int, key: OffsetKey, value: OffsetCommitValue
    ) -> PendingOffset | None:
        """Note an offset; returns the one of the same transaction that it takes the place of."""
        transaction = self.transactions.get(producer_id)
        if transaction is None:
            transaction = self.transactions[producer_id] = OpenTransaction(producer_epoch)
        transaction.producer_epoch = producer_epoch
        old = transaction.offsets.get(key)
        self._order += 1
        self._hold(producer_id, transaction, key, PendingOffset(value, self._order))
        return old

    def take_back(self, producer_id: int, key: OffsetKey, old: PendingOffset | None) -> None:
        """Undo a `put`."""
        transaction = self.transactions[producer_id]
        if old is not None:
            self._hold(producer_id, transaction, key, old)
        else:
            self._release(producer_id, transaction, key)

    def supersede(self, key: OffsetKey, before: int | None = None) -> list[PendingOffset]:
        """A later record (than those of an order below `before`) counts; returns what no longer will."""
        found = [
            pending
            for pending in self._holders.get(key, {}).values()
            if not pending.is_superseded and (before is None or pending.order < before)
        ]
        for pending in found:
            pending.is_superseded = True
        return found

    def drop(self, key: OffsetKey) -> list[tuple[int, int, PendingOffset]]:
        """A tombstone: forget the key's offsets. Returns them with producer ids and epochs, for `restore`."""
        dropped = []
        for producer_id, pending in list(self._holders.get(key, {}).items()):
            transaction = self.transactions[producer_id]
            dropped.append((producer_id, transaction.producer_epoch, pending))
            self._release(producer_id, transaction, key)
        return dropped

    def restore(self, key: OffsetKey, dropped: list[tuple[int, int, PendingOffset]]) -> None:
        """Undo a `drop`."""
        for producer_id, producer_epoch, pending in dropped:
            transaction = self.transactions.setdefault(producer_id, OpenTransaction(producer_epoch))
            self._hold(producer_id, transaction, key, pending)

    def end(self, producer_id: int) -> OpenTransaction | None:
        """The transaction is over; returns it."""
        transaction = self.transactions.get(producer_id)
        if transaction is None:
            return None
        ended = OpenTransaction(transaction.producer_epoch, dict(transaction.offsets))
        for key in ended.offsets:
            self._release(producer_id, transaction, key)
        return ended

    def reopen(self, producer_id: int, ended: OpenTransaction) -> None:
        """Undo an `end`."""
        transaction = self.transactions.setdefault(producer_id, OpenTransaction(ended.producer_epoch))
        for key, pending in ended.offsets.items():
            self._hold(producer_id, transaction, key, pending)

    def _hold(
        self, producer_id: int, transaction: OpenTransaction, key: OffsetKey, pending: PendingOffset
    ) -> None:
        transaction.offsets[key] = pending
        holders = self._holders.get(key)
        if holders is None:
            holders = self._holders[key] = {}
            self._by_group[key[0]] += 1
        holders[producer_id] = pending

    def _release(self, producer_id: int, transaction: OpenTransaction, key: OffsetKey) -> None:
        del transaction.offsets[key]
        if not transaction.offsets:
            del self.transactions[producer_id]
        holders = self._holders[key]
        del holders[producer_id]
        if not holders:
            del self._holders[key]
            self._by_group[key[0]] -= 1
            if not self._by_group[key[0]]:
                del self._by_group[key[0]]
