"""The group coordinator's state in one partition of `__consumer_offsets`: its groups and their offsets.

Requests change memory at once and go through the shard to the log (`coordination.shard`); what they are told waits for
that. A group under the classic protocol is moved by `classic.protocol`, whose effects are carried out here; offsets are
this module's own.

Every group has at most one timer, set for the earliest of its time limits. A heartbeat only moves a limit back; the timer
then finds nothing due and is set again.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, NamedTuple
from uuid import UUID

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import (
    GROUP_METADATA,
    LEGACY_OFFSET_COMMIT,
    OFFSET_COMMIT,
    OffsetCommitValue,
    group_metadata,
    group_metadata_key,
    offset_commit,
    offset_commit_key,
    offset_commit_value,
)
from logbroker.coordination.formats.record import leading_int16
from logbroker.coordination.machine import Done, LoadedRecord, Record
from logbroker.coordination.shard import Shard
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.protocol import ClassicProtocol, Moment, Origin
from logbroker.groups.classic.records import decode_group, encode_new_group
from logbroker.groups.classic.replies import join_refusal, sync_refusal
from logbroker.groups.classic.states import State
from logbroker.groups.offsets import OffsetStore, belongs_to, is_expired
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

DROPS_PER_WRITE: Final = 500
"""Tombstones in one write: far below what a batch may hold."""

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class GroupServices:
    """What a machine is handed.

    Attributes:
        topic_id: The id of the topic of that name, None if there is none: offsets of another topic are stale.
        retention_ms: `offsets.retention.minutes`, in milliseconds, as it is now.

    """

    protocol: ClassicProtocol
    clock: Clock
    timers: Timers
    topic_id: Callable[[str], UUID | None]
    retention_ms: Callable[[], int]


class NewOffset(NamedTuple):
    """An offset to commit; the topic exists and has the partition."""

    topic: str
    partition: int
    value: OffsetCommitValue


class GroupMachine:
    """Groups and offsets of one shard.

    Attributes:
        groups: By group id; none of them is dead.

    """

    __slots__ = ("_ignored", "_services", "_shard", "_timers", "groups", "offsets")

    def __init__(self, shard: Shard[GroupMachine], services: GroupServices) -> None:
        self.groups: dict[str, ClassicGroup] = {}
        self.offsets = OffsetStore()
        self._shard = shard
        self._services = services
        self._timers: dict[str, tuple[float, TimerHandle]] = {}
        self._ignored = 0

    # ---- membership

    def join(self, request: JoinGroupRequest, origin: Origin) -> Completion[JoinGroupResponse]:
        """JoinGroup: the reply comes when the join phase ends, or at once if it is a refusal."""
        waiter: Completion[JoinGroupResponse] = Completion()
        at = self._moment()
        group = self.groups.get(request.group_id)
        is_new = group is None
        if group is None:
            if request.member_id:
                waiter.set(join_refusal(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
                return waiter
            group = self.groups[request.group_id] = ClassicGroup(request.group_id, at.now_ms)
        effects = self._services.protocol.join(group, request, origin, waiter, at)
        if is_new:
            if not group.members and not group.pending_members:
                del self.groups[request.group_id]
            elif not effects.stores:
                effects.store(Store(Stored.CREATED, encode_new_group(at.now_ms), 0))
        self._carry_out(group, effects)
        return waiter

    def sync(self, request: SyncGroupRequest) -> Completion[SyncGroupResponse]:
        """SyncGroup: the reply comes when the leader's assignment is durable, or at once if there is one or none to come."""
        waiter: Completion[SyncGroupResponse] = Completion()
        group = self.groups.get(request.group_id)
        if group is None:
            waiter.set(sync_refusal(ErrorCode.UNKNOWN_MEMBER_ID))
        else:
            self._carry_out(group, self._services.protocol.sync(group, request, waiter, self._moment()))
        return waiter

    def heartbeat(self, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat: one look-up, one comparison, one store."""
        group = self.groups.get(request.group_id)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        services = self._services
        return services.protocol.heartbeat(
            group,
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            services.clock.monotonic(),
        )

    def leave(
        self, group_id: str, members: list[tuple[str, str | None]], done: Callable[[ErrorCode], None]
    ) -> list[ErrorCode]:
        """LeaveGroup: a result for each (member id, instance id); `done` when what it changed is durable."""
        group = self.groups.get(group_id)
        if group is None:
            done(ErrorCode.NONE)
            return [ErrorCode.UNKNOWN_MEMBER_ID] * len(members)
        results, effects = self._services.protocol.leave(group, members, self._moment())
        stores = bool(effects.stores)
        self._carry_out(group, effects)
        if stores:
            self._shard.after_writes(done)
        else:
            done(ErrorCode.NONE)
        return results

    def release_waiting(self, error: ErrorCode) -> None:
        """Answer everybody who waits for a rebalance or an assignment, ahead of the shard's end."""
        effects = Effects()
        for group in self.groups.values():
            self._services.protocol.release(group, error, effects)
        for waiter, response in effects.replies:
            waiter.set(response)

    # ---- offsets

    def check_commit(
        self, group_id: str, member_id: str, instance_id: str | None, generation_id: int
    ) -> ErrorCode:
        """Whether these credentials may commit; GROUP_ID_NOT_FOUND for members of a group that does not exist."""
        group = self.groups.get(group_id)
        if group is None:
            return ErrorCode.NONE if generation_id < 0 else ErrorCode.GROUP_ID_NOT_FOUND
        services = self._services
        return services.protocol.check_commit(
            group, member_id, instance_id, generation_id, services.clock.monotonic()
        )

    def commit(self, group_id: str, commits: Sequence[NewOffset], done: Done) -> None:
        """Commit offsets that `check_commit` allowed; `done` when they are durable, or are not to be.

        Raises:
            BrokerError: They don't fit into a batch; nothing was changed.
            ValueError: A name is longer than the format can say; nothing was changed.

        """
        offsets = self.offsets
        records: list[Record] = [
            (offset_commit_key(group_id, topic, partition), offset_commit_value(value))
            for topic, partition, value in commits
        ]
        previous: list[OffsetCommitValue | None] = []
        is_new = group_id not in self.groups

        def undo() -> None:
            for (topic, partition, _), old in zip(reversed(commits), reversed(previous), strict=True):
                if old is None:
                    offsets.remove(group_id, topic, partition)
                else:
                    offsets.put(group_id, topic, partition, old)
            if is_new:
                self._forget_unused(group_id)

        self._shard.write(records, done, undo)
        # The shard takes records now and appends them later: until then nobody can see one without the other.
        if is_new:
            self.groups[group_id] = ClassicGroup(group_id, self._services.clock.wall_ms())
        for topic, partition, value in commits:
            previous.append(offsets.put(group_id, topic, partition, value))

    def after_writes(self, done: Done) -> None:
        """Call `done` when everything that a reader can see now is durable."""
        self._shard.after_writes(done)

    def drop_topic(self, topic: str, topic_id: UUID) -> None:
        """The topic is gone: so are its offsets."""
        for group_id, partition, value in self.offsets.of_topic(topic):
            if belongs_to(value, topic_id):
                self._drop_offsets(group_id, [(topic, partition)], delete_group=False)

    def drop_expired(self) -> None:
        """Forget offsets past their retention, and groups that are empty and have none."""
        now_ms = self._services.clock.wall_ms()
        retention_ms = self._services.retention_ms()
        for group_id, group in list(self.groups.items()):
            kept = False
            expired: list[tuple[str, int]] = []
            for topic, partition, value in self.offsets.of_group(group_id):
                if is_expired(group, topic, value, now_ms, retention_ms):
                    expired.append((topic, partition))
                else:
                    kept = True
            unused = not kept and group.state is State.EMPTY and not group.pending_members
            if expired or unused:
                self._drop_offsets(group_id, expired, delete_group=unused)

    # ---- the shard's life

    def replay(self, record: LoadedRecord) -> None:
        """Take over a record; kinds of groups that this release doesn't know are passed over."""
        kind = leading_int16(record.key)
        if kind == GROUP_METADATA:
            group_id = group_metadata.decode_key(record.key).group
            self.groups[group_id] = decode_group(group_id, record.value)
        elif kind in (OFFSET_COMMIT, LEGACY_OFFSET_COMMIT):
            key = offset_commit.decode_key(record.key)
            value = offset_commit.decode_value(record.value)
            self.offsets.put(key.group, key.topic, key.partition, value)
            if key.group not in self.groups:
                # Nobody was ever a member: it only stores offsets.
                self.groups[key.group] = ClassicGroup(key.group, self._services.clock.wall_ms())
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
        at = self._moment()
        for group in list(self.groups.values()):
            self._carry_out(group, self._services.protocol.restart_sessions(group, at))
        for group_id in list(self.offsets.groups):
            stale = [
                (topic, partition)
                for topic, partition, value in self.offsets.of_group(group_id)
                if (topic_id := self._services.topic_id(topic)) is None or not belongs_to(value, topic_id)
            ]
            if stale:
                self._drop_offsets(group_id, stale, delete_group=False)

    def unloaded(self, error: ErrorCode) -> None:
        """Tell everybody who waits, stop all timers, forget everything."""
        effects = Effects()
        at = self._moment()
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for group in self.groups.values():
            self._services.protocol.kill(group, error, effects, at)
        self.groups.clear()
        self.offsets = OffsetStore()
        for waiter, response in effects.replies:
            waiter.set(response)

    # ---- carrying out

    def _moment(self) -> Moment:
        clock = self._services.clock
        return Moment(clock.monotonic(), clock.wall_ms())

    def _carry_out(self, group: ClassicGroup, effects: Effects) -> None:
        """Do what an event asked for. Replies come last: they may let in the next request."""
        for store in effects.stores:
            record = (group_metadata_key(group.group_id), store.value)
            try:
                self._shard.write((record,), partial(self._stored, group, store))
            except BrokerError as error:
                self._stored(group, store, error.code)
        if group.state is State.DEAD:
            if self.groups.get(group.group_id) is group:
                del self.groups[group.group_id]
            self._set_timer(group.group_id, inf)
        elif self.groups.get(group.group_id) is group:
            armed = self._timers.get(group.group_id)
            if group.wake_at < (inf if armed is None else armed[0]):
                self._set_timer(group.group_id, group.wake_at)
        for waiter, response in effects.replies:
            waiter.set(response)

    def _stored(self, group: ClassicGroup, store: Store, error: ErrorCode) -> None:
        if group.state is not State.DEAD:
            self._carry_out(group, self._services.protocol.stored(group, store, error, self._moment()))

    def _set_timer(self, group_id: str, when: float) -> None:
        armed = self._timers.pop(group_id, None)
        if armed is not None:
            armed[1].cancel()
        if when < inf:
            timer = self._services.timers.call_at(when, partial(self._due, group_id))
            self._timers[group_id] = (when, timer)

    def _due(self, group_id: str) -> None:
        self._timers.pop(group_id, None)
        group = self.groups.get(group_id)
        if group is not None:
            self._carry_out(group, self._services.protocol.expire(group, self._moment()))

    def _drop_offsets(
        self, group_id: str, partitions: Sequence[tuple[str, int]], *, delete_group: bool
    ) -> None:
        """Write tombstones for offsets, a batch's worth at a time, and for the group itself if it goes too."""
        for first in range(0, len(partitions), DROPS_PER_WRITE):
            self._drop_some(group_id, partitions[first : first + DROPS_PER_WRITE])
        group = self.groups.get(group_id) if delete_group else None
        if group is not None:
            del self.groups[group_id]
            self._set_timer(group_id, inf)
            self._drop(
                group_id,
                [(group_metadata_key(group_id), None)],
                lambda: self.groups.setdefault(group_id, group),
            )

    def _drop_some(self, group_id: str, partitions: Sequence[tuple[str, int]]) -> None:
        dropped: list[tuple[str, int, OffsetCommitValue]] = []
        for topic, partition in partitions:
            value = self.offsets.remove(group_id, topic, partition)
            if value is not None:
                dropped.append((topic, partition, value))

        def undo() -> None:
            for topic, partition, value in reversed(dropped):
                self.offsets.put(group_id, topic, partition, value)

        self._drop(
            group_id,
            [(offset_commit_key(group_id, topic, partition), None) for topic, partition, _ in dropped],
            undo,
        )

    def _drop(self, group_id: str, tombstones: Sequence[Record], undo: Callable[[], object]) -> None:
        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                _log.warning("offsets could not be dropped", group=group_id, error=error.name)

        try:
            self._shard.write(tombstones, done, undo)
        except BrokerError as error:
            undo()
            done(error.code)

    def _forget_unused(self, group_id: str) -> None:
        group = self.groups.get(group_id)
        if (
            group is not None
            and group.state is State.EMPTY
            and group.protocol_type is None
            and not group.pending_members
            and group_id not in self.offsets.groups
        ):
            del self.groups[group_id]
