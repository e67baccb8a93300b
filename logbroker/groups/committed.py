"""The offsets of one shard, whatever the kinds of its groups: committed, committed in transactions, expired and dropped.

Memory changes at once, records go through the shard, and a refused write is taken back. What a transaction commits is pending
(`pending_offsets`) until its marker is written, and counts or is forgotten with that: the marker goes to the log in the same order as
everything else, so a replay comes to the same end. A marker needs no group: transactions end by producer id.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import (
    OffsetCommitValue,
    offset_commit_key,
    offset_commit_value,
    read_offset_commit_key,
    read_offset_commit_value,
)
from logbroker.coordination.machine import Done, LoadedRecord, Record
from logbroker.coordination.shard import Shard
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.kind import GroupTable, Kind
from logbroker.groups.offsets import OffsetStore, belongs_to, is_expired
from logbroker.groups.pending_offsets import OffsetKey, PendingOffset, PendingOffsets

DROPS_PER_WRITE: Final = 500
"""Tombstones in one write: far below what a batch may hold."""

DROPS_AT_ONCE: Final = 1000
"""Offsets of topics that are gone dropped in one tick: about ten milliseconds of work."""

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class OffsetServices:
    """What offsets need to know.

    Attributes:
        topic_id: The id of the topic of that name, None if there is none: offsets of another topic are stale.
        retention_ms: `offsets.retention.minutes`, in milliseconds, as it is now.
        defer: Calls back in the next tick of the loop.

    """

    clock: Clock
    topic_id: Callable[[str], UUID | None]
    retention_ms: Callable[[], int]
    defer: Callable[[Callable[[], None]], object]


class NewOffset(NamedTuple):
    """An offset to commit; the topic exists and has the partition."""

    topic: str
    partition: int
    value: OffsetCommitValue


class CommittedOffsets:
    """Offsets of all groups of a shard.

    Attributes:
        store: What is committed.
        pending: What open transactions committed.

    """

    __slots__ = ("_kind_of", "_services", "_shard", "_table", "pending", "store")

    def __init__(
        self,
        shard: Shard[Any],
        table: GroupTable,
        services: OffsetServices,
        kind_of: Callable[[Any], Kind[Any]],
    ) -> None:
        self.store = OffsetStore()
        self.pending = PendingOffsets()
        self._shard = shard
        self._table = table
        self._services = services
        self._kind_of = kind_of

    # ---- commits

    def commit(self, group_id: str, commits: Sequence[NewOffset], done: Done) -> None:
        """Commit offsets that may be; `done` when they are durable, or are not to be.

        Raises:
            BrokerError: They don't fit into a batch; nothing was changed.
            ValueError: A name is longer than the format can say; nothing was changed.

        """
        store, pending = self.store, self.pending
        records = _records(group_id, commits)
        previous: list[OffsetCommitValue | None] = []
        superseded: list[PendingOffset] = []
        is_new = group_id not in self._table.groups

        def undo() -> None:
            for (topic, partition, _), old in zip(reversed(commits), reversed(previous), strict=True):
                if old is None:
                    store.remove(group_id, topic, partition)
                else:
                    store.put(group_id, topic, partition, old)
            for each in superseded:
                each.is_superseded = False
            if is_new:
                self._forget_unused(group_id)

        self._shard.write(records, done, undo)
        # The shard takes records now and appends them later: until then nobody can see one without the other.
        if is_new:
            self._new_group(group_id)
        for topic, partition, value in commits:
            previous.append(store.put(group_id, topic, partition, value))
            if pending.transactions:
                superseded += pending.supersede((group_id, topic, partition))

    def commit_transactional(
        self,
        group_id: str,
        producer_id: int,
        producer_epoch: int,
        commits: Sequence[NewOffset],
        done: Done,
    ) -> None:
        """Commit offsets in a producer's transaction: they are pending until its marker comes.

        Raises:
            BrokerError: The log refuses them (the producer is fenced, they don't fit into a batch); nothing was changed.
            ValueError: A name is longer than the format can say; nothing was changed.

        """
        records = _records(group_id, commits)
        self._shard.flush()
        is_new = group_id not in self._table.groups
        if is_new:
            self._new_group(group_id)
        previous = [
            (key, self.pending.put(producer_id, producer_epoch, key, value))
            for topic, partition, value in commits
            for key in ((group_id, topic, partition),)
        ]
        try:
            self._shard.write_transactional(producer_id, producer_epoch, records, done)
        except Exception:
            for key, old in reversed(previous):
                self.pending.take_back(producer_id, key, old)
            if is_new:
                self._forget_unused(group_id)
            raise

    def complete(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        *,
        commit: bool,
        transaction_version: int,
        done: Done,
    ) -> None:
        """Write a transaction's marker; what it committed counts from now on, or is forgotten. `done` when that is durable.

        Raises:
            BrokerError: The log refuses the marker; nothing was changed.

        """
        self._shard.flush()
        store, pending = self.store, self.pending
        ended = pending.end(producer_id)
        replaced: list[tuple[str, str, int, OffsetCommitValue | None]] = []
        superseded: list[PendingOffset] = []
        if ended is not None and commit:
            for key, offset in ended.offsets.items():
                if not offset.is_superseded:
                    replaced.append((*key, store.put(*key, offset.value)))
                    superseded += pending.supersede(key, offset.order)
        try:
            self._shard.write_marker(
                producer_id,
                producer_epoch,
                coordinator_epoch,
                commit=commit,
                transaction_version=transaction_version,
                done=done,
            )
        except Exception:
            for group_id, topic, partition, old in reversed(replaced):
                if old is None:
                    store.remove(group_id, topic, partition)
                else:
                    store.put(group_id, topic, partition, old)
            for each in superseded:
                each.is_superseded = False
            if ended is not None:
                pending.reopen(producer_id, ended)
            raise

    # ---- drops

    def delete(self, group_id: str, partitions: Sequence[tuple[str, int]], done: Done) -> None:
        """Delete offsets, those of open transactions too; `done` when it is durable, or taken back."""
        found = [
            key
            for key in partitions
            if self.store.get(group_id, *key) is not None or self.pending.is_pending(group_id, *key)
        ]
        self._when_dropped(self._drop(group_id, found), done)

    def delete_group(self, group: Any, done: Done) -> None:
        """Delete a group and everything it has; `done` when it is durable, or taken back."""
        self._when_dropped(self._drop(group.group_id, self._all_of(group.group_id), group=group), done)

    def drop_topic(self, topic: str, topic_id: UUID) -> None:
        """The topic is gone: so are its offsets. Many go tick by tick; what a crash leaves is found by `loaded`."""
        stale = {
            (group_id, topic, partition)
            for group_id, partition, value in self.store.of_topic(topic)
            if belongs_to(value, topic_id)
        }
        for group_id, partition, values in self.pending.of_topic(topic):
            if any(belongs_to(value, topic_id) for value in values):
                stale.add((group_id, topic, partition))
        self._drop_stale(sorted(stale), lambda _, value: belongs_to(value, topic_id))

    def drop_expired(self) -> None:
        """Forget offsets past their retention, and groups that are empty and have none."""
        now_ms = self._services.clock.wall_ms()
        retention_ms = self._services.retention_ms()
        for group_id, group in list(self._table.groups.items()):
            kind = self._kind_of(group)
            kept = self.pending.has_group(group_id)
            expired: list[tuple[str, int]] = []
            for topic, partition, value in self.store.of_group(group_id):
                if not self.pending.is_pending(group_id, topic, partition) and is_expired(
                    kind, group, topic, value, now_ms, retention_ms
                ):
                    expired.append((topic, partition))
                else:
                    kept = True
            unused = not kept and kind.is_unused(group)
            if expired or unused:
                self._drop(group_id, expired, group=group if unused else None)

    # ---- the shard's life

    def replay(self, record: LoadedRecord) -> None:
        """Take over a committed offset."""
        group, topic, partition = read_offset_commit_key(record.key)
        self.store.put(group, topic, partition, read_offset_commit_value(record.value))
        if group not in self._table.groups:
            self._new_group(group)

    def replay_open(
        self, producer_id: int, producer_epoch: int, record: LoadedRecord, *, is_superseded: bool
    ) -> None:
        """Take over an offset of a transaction that has no marker in the log."""
        key = read_offset_commit_key(record.key)
        self.pending.put(producer_id, producer_epoch, key, read_offset_commit_value(record.value))
        if is_superseded:
            self.pending.transactions[producer_id].offsets[key].is_superseded = True
        if key[0] not in self._table.groups:
            self._new_group(key[0])

    def loaded(self) -> None:
        """Forget the offsets of topics that are gone."""

        def is_stale(topic: str, value: OffsetCommitValue) -> bool:
            topic_id = self._services.topic_id(topic)
            return topic_id is None or not belongs_to(value, topic_id)

        stale = {
            (group_id, topic, partition)
            for group_id, topics in self.store.groups.items()
            for topic, partitions in topics.items()
            for partition, value in partitions.items()
            if is_stale(topic, value)
        }
        for transaction in self.pending.transactions.values():
            stale |= {key for key, pending in transaction.offsets.items() if is_stale(key[1], pending.value)}
        self._drop_stale(sorted(stale), is_stale)

    def unloaded(self) -> None:
        """Forget everything."""
        self.store = OffsetStore()
        self.pending = PendingOffsets()

    # ---- behind it

    def _new_group(self, group_id: str) -> None:
        """Nobody was ever a member of it: it only stores offsets."""
        self._table.put(ClassicGroup(group_id, self._services.clock.wall_ms()))

    def _all_of(self, group_id: str) -> list[tuple[str, int]]:
        """Everything there is to delete of a group, committed or pending."""
        found = {(topic, partition): None for topic, partition, _ in self.store.of_group(group_id)}
        found.update(dict.fromkeys(self.pending.of_group(group_id)))
        return list(found)

    def _when_dropped(self, error: ErrorCode, done: Done) -> None:
        if error is ErrorCode.NONE:
            self._shard.after_writes(done)
        else:
            done(error)

    def _drop_stale(
        self, stale: list[OffsetKey], is_stale: Callable[[str, OffsetCommitValue], bool], first: int = 0
    ) -> None:
        """Drop these offsets from the `first` on: some now, the others in the next ticks, if they are stale still by then."""
        end = first + DROPS_AT_ONCE
        by_group: dict[str, list[tuple[str, int]]] = {}
        for group_id, topic, partition in stale[first:end]:
            committed = self.store.get(group_id, topic, partition)
            # What is committed for a topic that is there came later than anything of one that is gone.
            values = self.pending.values(group_id, topic, partition) if committed is None else [committed]
            if any(is_stale(topic, value) for value in values):
                by_group.setdefault(group_id, []).append((topic, partition))
        for group_id, partitions in by_group.items():
            self._drop(group_id, partitions)
        if end < len(stale):
            self._services.defer(partial(self._drop_stale, stale, is_stale, end))

    def _drop(
        self, group_id: str, partitions: Sequence[tuple[str, int]], *, group: Any | None = None
    ) -> ErrorCode:
        """Write tombstones for offsets, a batch's worth at a time, and for the group itself if it goes too.

        Returns:
            NONE: they are on their way to the log. Else what they met: this one and those behind it are as they were.

        """
        for first in range(0, len(partitions), DROPS_PER_WRITE):
            error = self._drop_some(group_id, partitions[first : first + DROPS_PER_WRITE])
            if error is not ErrorCode.NONE:
                return error
        if group is None:
            return ErrorCode.NONE
        tombstones = self._kind_of(group).tombstones(group)
        self._table.remove(group)
        return self._write(group_id, tombstones, lambda: self._put_back(group))

    def _put_back(self, group: Any) -> None:
        if group.group_id not in self._table.groups:
            self._table.put(group)

    def _drop_some(self, group_id: str, partitions: Sequence[tuple[str, int]]) -> ErrorCode:
        dropped = [
            (
                (group_id, topic, partition),
                self.store.remove(group_id, topic, partition),
                self.pending.drop((group_id, topic, partition)),
            )
            for topic, partition in partitions
        ]

        def undo() -> None:
            for key, value, pending in reversed(dropped):
                if value is not None:
                    self.store.put(*key, value)
                self.pending.restore(key, pending)

        tombstones = [(offset_commit_key(*key), None) for key, _, _ in dropped]
        error = self._write(group_id, tombstones, undo)
        half = len(partitions) // 2
        if error is not ErrorCode.RECORD_LIST_TOO_LARGE or not half:
            return error
        # Ids as long as these fill a batch sooner.
        return self._drop_some(group_id, partitions[:half]) or self._drop_some(group_id, partitions[half:])

    def _write(self, group_id: str, tombstones: Sequence[Record], undo: Callable[[], object]) -> ErrorCode:
        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                _log.warning("offsets could not be dropped", group=group_id, error=error.name)

        try:
            self._shard.write(tombstones, done, undo)
        except BrokerError as error:
            undo()
            return error.code
        return ErrorCode.NONE

    def _forget_unused(self, group_id: str) -> None:
        group = self._table.groups.get(group_id)
        if (
            isinstance(group, ClassicGroup)
            and group.protocol_type is None
            and self._kind_of(group).is_unused(group)
            and group_id not in self.store.groups
            and not self.pending.has_group(group_id)
        ):
            self._table.remove(group)


def _records(group_id: str, commits: Sequence[NewOffset]) -> list[Record]:
    return [
        (offset_commit_key(group_id, topic, partition), offset_commit_value(value))
        for topic, partition, value in commits
    ]
