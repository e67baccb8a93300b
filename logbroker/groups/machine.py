"""The group coordinator's state in one partition of `__consumer_offsets`: its groups and their offsets.

Requests change memory at once and go through the shard to the log (`coordination.shard`); what they are told waits for
that. A group is moved by its kind (`kind.Kind`), which is looked up by the group's class; offsets are kept alike for all
(`committed.CommittedOffsets`).

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.coordination.formats.consumer_offsets import LEGACY_OFFSET_COMMIT, OFFSET_COMMIT
from logbroker.coordination.formats.record import leading_int16
from logbroker.coordination.machine import Done, LoadedRecord
from logbroker.coordination.shard import Shard
from logbroker.coordination.timers import Timers
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.kind import ClassicKind
from logbroker.groups.classic.protocol import ClassicProtocol, Origin
from logbroker.groups.classic.replies import sync_refusal
from logbroker.groups.committed import CommittedOffsets, NewOffset, OffsetServices
from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.groups.consumer.kind import ConsumerKind, ConsumerServices
from logbroker.groups.consumer.migration import ClassicSide
from logbroker.groups.kind import Committer, GroupTable, Kind, PartitionCheck
from logbroker.groups.offsets import OffsetStore
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

__all__ = ["GroupMachine", "GroupServices", "NewOffset"]

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class GroupServices:
    """What a machine is handed.

    Attributes:
        topic_id: The id of the topic of that name, None if there is none.
        retention_ms: `offsets.retention.minutes`, in milliseconds, as it is now.
        consumer: What groups under the consumer protocol are handed.

    """

    protocol: ClassicProtocol
    clock: Clock
    timers: Timers
    topic_id: Callable[[str], UUID | None]
    retention_ms: Callable[[], int]
    consumer: ConsumerServices


class GroupMachine:
    """Groups and offsets of one shard.

    Attributes:
        groups: By group id; none of them is dead.
        classic: The kind of a group that nobody has heard of.
        consumer: The kind of groups under the consumer protocol.
        committed: All offsets.

    """

    __slots__ = (
        "_ignored",
        "_kinds",
        "_replays",
        "_shard",
        "_table",
        "classic",
        "committed",
        "consumer",
        "groups",
    )

    def __init__(self, shard: Shard[GroupMachine], services: GroupServices) -> None:
        self._shard = shard
        self._table = GroupTable(services.clock, services.timers)
        self._table.on_due = self._due
        self.groups = self._table.groups
        self.classic = ClassicKind(services.protocol, self._table, shard)
        self.consumer = ConsumerKind(
            self._table,
            shard,
            services.consumer,
            ClassicSide(services.protocol, self.classic.carry_out, self.classic.join_new),
        )
        self._kinds: dict[type[Any], Kind[Any]] = {ClassicGroup: self.classic, ConsumerGroup: self.consumer}
        self._replays = {kind: each for each in self._kinds.values() for kind in each.record_types}
        self.committed = CommittedOffsets(
            shard,
            self._table,
            OffsetServices(services.clock, services.topic_id, services.retention_ms, services.consumer.defer),
            self.kind_of,
        )
        self._ignored = 0

    def kind_of(self, group: Any) -> Kind[Any]:
        """The kind of one of this shard's groups."""
        return self._kinds[type(group)]

    @property
    def offsets(self) -> OffsetStore:
        """What is committed."""
        return self.committed.store

    # ---- membership

    def join(self, request: JoinGroupRequest, origin: Origin) -> Completion[JoinGroupResponse]:
        """JoinGroup: the reply comes when the join phase ends, or at once if it is a refusal."""
        group = self.groups.get(request.group_id)
        if group is None:
            return self.classic.join_new(request, origin)
        return self.kind_of(group).join(group, request, origin)

    def sync(self, request: SyncGroupRequest) -> Completion[SyncGroupResponse]:
        """SyncGroup: the reply comes when the leader's assignment is durable, or at once if there is one or none to come."""
        group = self.groups.get(request.group_id)
        if group is None:
            waiter: Completion[SyncGroupResponse] = Completion()
            waiter.set(sync_refusal(ErrorCode.UNKNOWN_MEMBER_ID))
            return waiter
        return self.kind_of(group).sync(group, request)

    def heartbeat(self, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat."""
        group = self.groups.get(request.group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return self._kinds[type(group)].heartbeat(group, request)

    def leave(
        self, group_id: str, members: list[tuple[str, str | None]], done: Callable[[ErrorCode], None]
    ) -> list[ErrorCode]:
        """LeaveGroup: a result for each (member id, instance id); `done` when what it changed is durable."""
        group = self.groups.get(group_id)
        if group is None:
            done(ErrorCode.NONE)
            return [ErrorCode.UNKNOWN_MEMBER_ID] * len(members)
        return self.kind_of(group).leave(group, members, done)

    def release_waiting(self, error: ErrorCode) -> None:
        """Answer everybody who waits for a rebalance or an assignment, ahead of the shard's end."""
        for group in list(self.groups.values()):
            self.kind_of(group).release(group, error)

    # ---- offsets

    def check_commit(self, group_id: str, who: Committer) -> ErrorCode | PartitionCheck:
        """Whether they may commit; members can't if there is no such group."""
        group = self.groups.get(group_id)
        if group is not None:
            return self._kinds[type(group)].check_commit(group, who)
        if who.generation_id < 0:
            return ErrorCode.NONE
        return ErrorCode.ILLEGAL_GENERATION if who.is_transactional else ErrorCode.GROUP_ID_NOT_FOUND

    def check_fetch(self, group_id: str, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Whether they may read offsets; a group that does not exist has none."""
        group = self.groups.get(group_id)
        return (
            ErrorCode.NONE
            if group is None
            else self.kind_of(group).check_fetch(group, member_id, member_epoch)
        )

    def commit(self, group_id: str, commits: Sequence[NewOffset], done: Done) -> None:
        """Commit offsets that `check_commit` allowed: see `CommittedOffsets.commit`."""
        self.committed.commit(group_id, commits, done)

    def after_writes(self, done: Done) -> None:
        """Call `done` when everything that a reader can see now is durable."""
        self._shard.after_writes(done)

    def delete_group(self, group_id: str, done: Done) -> None:
        """DeleteGroups: `done` when it is gone for good, or with why it isn't."""
        group = self.groups.get(group_id)
        error = ErrorCode.GROUP_ID_NOT_FOUND if group is None else self.kind_of(group).check_delete(group)
        if error is not ErrorCode.NONE:
            done(error)
        else:
            self.committed.delete_group(group, done)

    def drop_topic(self, topic: str, topic_id: UUID) -> None:
        """The topic is gone: so are its offsets."""
        self.committed.drop_topic(topic, topic_id)

    def drop_expired(self) -> None:
        """Forget offsets past their retention, and groups that are empty and have none."""
        self.committed.drop_expired()

    # ---- the shard's life

    def replay(self, record: LoadedRecord) -> None:
        """Take over a record; kinds of groups that this release doesn't know are passed over."""
        record_type = leading_int16(record.key)
        kind = self._replays.get(record_type)
        if kind is not None:
            kind.replay(record_type, record)
        elif record_type in (OFFSET_COMMIT, LEGACY_OFFSET_COMMIT):
            self.committed.replay(record)
        else:
            self._ignored += 1

    def replay_open(
        self, producer_id: int, producer_epoch: int, record: LoadedRecord, *, is_superseded: bool
    ) -> None:
        """Take over a record of a transaction that has no marker in the log."""
        if leading_int16(record.key) in (OFFSET_COMMIT, LEGACY_OFFSET_COMMIT):
            self.committed.replay_open(producer_id, producer_epoch, record, is_superseded=is_superseded)
        else:
            self._ignored += 1

    def loaded(self) -> None:
        """Start every member's session, and forget the offsets of topics that are gone."""
        if self._ignored:
            _log.warning(
                "records of other kinds of groups are ignored",
                topic=self._shard.topic,
                partition=self._shard.index,
                records=self._ignored,
            )
        for group in list(self.groups.values()):
            self.kind_of(group).loaded(group)
        self.committed.loaded()

    def unloaded(self, error: ErrorCode) -> None:
        """Tell everybody who waits, stop all timers, forget everything."""
        groups = list(self.groups.values())
        self._table.clear()
        self.committed.unloaded()
        for group in groups:
            self.kind_of(group).kill(group, error)

    def _due(self, group: Any) -> None:
        self.kind_of(group).expire(group)
