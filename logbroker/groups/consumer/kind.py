"""Consumer groups as a kind of groups: events come in, changes go to the log, replies and timers go out.

The thin shell around the pure parts. Every event works on the live group, then hands its records to the shard; the reply
waits for their durability. What the log refuses is taken back, newest first, and a group that was converted is put back in
its former kind.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from logbroker.base import logs
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.machine import Done, LoadedRecord, Record, RecordWriter
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.member import NO_MEMBER_ID
from logbroker.groups.classic.replies import join_refusal, sync_refusal
from logbroker.groups.consumer import records
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.classic_members import ClassicMembers
from logbroker.groups.consumer.group import CONSUMER_PROTOCOL_TYPE, ConsumerGroup, Deadlines, GroupState
from logbroker.groups.consumer.limits import Limits
from logbroker.groups.consumer.member import (
    JOINING_EPOCH,
    LEAVING_EPOCH,
    STATIC_LEAVING_EPOCH,
    ConsumerMember,
)
from logbroker.groups.consumer.migration import ClassicSide, Migration
from logbroker.groups.consumer.protocol import ConsumerProtocol
from logbroker.groups.consumer.regexes import Lookup, look_up
from logbroker.groups.consumer.topics import Topics
from logbroker.groups.consumer.turns import Turns
from logbroker.groups.errors import write_error
from logbroker.groups.kind import Committer, GroupTable, PartitionCheck, Summary
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from logbroker.wire.messages.describe_groups import DescribedGroup
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

RETRY_S: Final = 1.0
"""How long a member whose removal the log refused stays before it is tried again."""

MEMBER_EPOCH_FROM: Final = 9
"""OffsetCommit version from which it can say a member epoch."""

NOT_FOUND_FROM: Final = 6
"""DescribeGroups version from which an unknown group is an error, and not a dead group."""

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class ConsumerServices:
    """What the kind is handed.

    Attributes:
        topics: The topics as they are now.
        defer: Calls back at the end of the loop tick.
        turns: For what takes long; the same for all shards.
    """

    limits: Limits
    topics: Callable[[], Topics]
    defer: Callable[[Callable[[], None]], object]
    turns: Turns


class ConsumerKind:
    """The consumer groups of a shard, and classic ones that become such. A `groups.kind.Kind`."""

    __slots__ = (
        "_classic",
        "_log",
        "_migration",
        "_protocol",
        "_services",
        "_table",
        "name",
        "record_types",
        "states",
    )

    def __init__(
        self, table: GroupTable, log: RecordWriter, services: ConsumerServices, classic: ClassicSide
    ) -> None:
        self.name = "consumer"
        self.states = tuple(state.value for state in GroupState if state is not GroupState.DEAD)
        self.record_types = frozenset(records.REPLAYED)
        self._table = table
        self._log = log
        self._services = services
        self._protocol = ConsumerProtocol(services.limits)
        self._classic = ClassicMembers(services.limits, self._protocol.engine)
        self._migration = Migration(table, log, services.limits, classic)

    # ---- the consumer protocol

    def consumer_heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, origin: Origin
    ) -> Completion[ConsumerGroupHeartbeatResponse]:
        """ConsumerGroupHeartbeat; what needs no group to be refused was refused (`check_heartbeat`)."""
        waiter: Completion[ConsumerGroupHeartbeatResponse] = Completion()
        try:
            if request.member_epoch in (LEAVING_EPOCH, STATIC_LEAVING_EPOCH):
                self._leave(request, waiter)
            else:
                self._beat(request, origin, waiter)
        except BrokerError as error:
            waiter.set(ConsumerGroupHeartbeatResponse(error_code=error.code, error_message=error.message))
        except ValueError as error:
            # An id or a regular expression is longer than a record's key can say.
            waiter.set(
                ConsumerGroupHeartbeatResponse(error_code=ErrorCode.INVALID_REQUEST, error_message=str(error))
            )
        return waiter

    def _beat(
        self,
        request: ConsumerGroupHeartbeatRequest,
        origin: Origin,
        waiter: Completion[ConsumerGroupHeartbeatResponse],
    ) -> None:
        topics, at = self._services.topics(), self._table.moment()
        changes, former = self._migration.open(
            request.group_id, topics, at, joining=request.member_epoch == JOINING_EPOCH
        )
        group = changes.group
        try:
            response, lookup = self._protocol.heartbeat(changes, request, origin, at, topics)
        except Exception:
            # Whatever it was: memory holds nothing that isn't on its way to the log.
            changes.undo()
            raise
        self._write(changes, partial(_answer, waiter, response))
        if former is not None:
            self._migration.release(former)
        if lookup and self._is_here(group):
            group.resolving = True
            self._services.turns.add(partial(self._look_up, group, self._lookup(group)))

    def _leave(
        self, request: ConsumerGroupHeartbeatRequest, waiter: Completion[ConsumerGroupHeartbeatResponse]
    ) -> None:
        group = self._table.groups.get(request.group_id)
        if group is None:
            raise BrokerError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {request.group_id} not found.")
        if not isinstance(group, ConsumerGroup):
            raise BrokerError(
                ErrorCode.GROUP_ID_NOT_FOUND, f"Group {request.group_id} is not a consumer group."
            )
        member = self._protocol.leaving(group, request)
        response = ConsumerGroupHeartbeatResponse(
            member_id=member.member_id, member_epoch=request.member_epoch
        )
        done = partial(_answer, waiter, response)
        if request.member_epoch == STATIC_LEAVING_EPOCH and request.instance_id is not None:
            changes = Changes(group)
            self._protocol.step_out(changes, member)
            self._write(changes, done)
        else:
            self._remove(group, (member,), done)

    def _lookup(self, group: ConsumerGroup) -> Lookup:
        """What the group's regular expressions stand for when the look-up begins."""
        group.new_topics = False
        return (
            yield from look_up(
                list(group.regex_members),
                dict(group.regexes),
                self._services.topics(),
                self._table.moment().now_ms,
            )
        )

    def _look_up(self, group: ConsumerGroup, steps: Lookup) -> bool:
        """Take a step of looking the group's regular expressions up; after the last, note what they stand for."""
        if not self._is_here(group):
            group.resolving = False
            return True
        try:
            next(steps)
        except StopIteration as end:
            group.resolving = False
            changes = Changes(group)
            self._protocol.resolved(changes, end.value, self._services.topics())
            self._write(changes, partial(self._looked_up, group))
            return True
        return False

    @staticmethod
    def _looked_up(group: ConsumerGroup, error: ErrorCode) -> None:
        if error is not ErrorCode.NONE:
            group.new_topics = True

    # ---- members under the classic protocol

    def join(
        self, group: ConsumerGroup, request: JoinGroupRequest, origin: Origin
    ) -> Completion[JoinGroupResponse]:
        """JoinGroup: a member under the classic protocol; a group without members becomes a classic one."""
        waiter: Completion[JoinGroupResponse] = Completion()
        if not group.members:
            return self._join_empty(group, request, origin, waiter)
        topics, at = self._services.topics(), self._table.moment()
        changes = Changes(group)
        try:
            joined = self._classic.join(changes, request, origin, at, topics)
        except BrokerError as error:
            changes.undo()
            waiter.set(join_refusal(error.code, NO_MEMBER_ID))
            return waiter
        except ValueError:
            changes.undo()
            waiter.set(join_refusal(ErrorCode.UNKNOWN_SERVER_ERROR, NO_MEMBER_ID))
            return waiter
        if isinstance(joined, JoinGroupResponse):
            waiter.set(joined)
            return waiter

        def done(error: ErrorCode) -> None:
            waiter.set(
                joined.response if error is ErrorCode.NONE else join_refusal(write_error(error), NO_MEMBER_ID)
            )

        if not joined.downgrade:
            self._write(changes, done)
            return waiter
        # Who is on the way to a target that nobody follows any more leaves partitions without an owner behind.
        rebalance = joined.subscription_changed or group.state is not GroupState.STABLE
        if not self._migration.downgrade(changes, (), topics, done, rebalance=rebalance):
            changes.undo()
            waiter.set(join_refusal(ErrorCode.GROUP_ID_NOT_FOUND, NO_MEMBER_ID))
        return waiter

    def _join_empty(
        self,
        group: ConsumerGroup,
        request: JoinGroupRequest,
        origin: Origin,
        waiter: Completion[JoinGroupResponse],
    ) -> Completion[JoinGroupResponse]:
        if request.member_id:
            waiter.set(join_refusal(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
            return waiter
        try:
            return self._migration.join_empty(group, self.tombstones(group), request, origin)
        except BrokerError as error:
            waiter.set(join_refusal(write_error(error.code), NO_MEMBER_ID))
            return waiter

    def sync(self, group: ConsumerGroup, request: SyncGroupRequest) -> Completion[SyncGroupResponse]:
        """SyncGroup: what a member under the classic protocol has."""
        waiter: Completion[SyncGroupResponse] = Completion()
        try:
            response = self._classic.sync(group, request, self._table.moment(), self._services.topics())
        except BrokerError as error:
            waiter.set(sync_refusal(error.code))
        else:
            self._log.after_writes(
                lambda error: waiter.set(
                    response if error is ErrorCode.NONE else sync_refusal(write_error(error))
                )
            )
        self._table.wake(group)
        return waiter

    def heartbeat(self, group: ConsumerGroup, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat to a consumer group."""
        error = self._classic.heartbeat(group, request, self._table.moment())
        self._table.wake(group)
        return error

    def leave(
        self, group: ConsumerGroup, members: list[tuple[str, str | None]], done: Done
    ) -> list[ErrorCode]:
        """LeaveGroup to a consumer group."""
        results, leaving = self._classic.leaving(group, members)
        if leaving:
            self._remove(group, tuple(leaving.values()), done)
        else:
            done(ErrorCode.NONE)
        return results

    # ---- offsets

    def check_commit(self, group: ConsumerGroup, who: Committer) -> ErrorCode | PartitionCheck:
        """Whether they may commit; of an epoch that the member has left, it depends on the partition.

        A member that has moved on to another epoch may still commit what it has had since the epoch that it names: its commit
        crossed a heartbeat. What it got later may have been another's in between.
        """
        epoch = who.generation_id
        if epoch < 0 and not group.members:
            return ErrorCode.NONE
        if who.is_transactional and epoch == -1 and not who.member_id and who.instance_id is None:
            return ErrorCode.NONE
        member = group.members.get(who.member_id)
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if not who.is_transactional and member.classic is None and who.version < MEMBER_EPOCH_FROM:
            return ErrorCode.UNSUPPORTED_VERSION
        if epoch == member.epoch:
            return ErrorCode.NONE
        return _stale(member) if epoch > member.epoch else partial(_owned_then, member, epoch)

    def check_fetch(self, group: ConsumerGroup, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Whether they may read committed offsets; anybody may who doesn't say who it is."""
        if member_id is None and member_epoch < 0:
            return ErrorCode.NONE
        member = group.members.get(member_id or "")
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE if member_epoch == member.epoch else _stale(member)

    def check_offset_delete(self, group: ConsumerGroup) -> ErrorCode:
        """Offsets of topics that nobody subscribes to may be deleted, whoever is there."""
        return ErrorCode.NONE

    def is_subscribed_to(self, group: ConsumerGroup, topic: str) -> bool:
        """Whether members consume the topic."""
        return group.is_subscribed_to(topic)

    def offsets_age_from_ms(self, group: ConsumerGroup, commit_timestamp_ms: int) -> int | None:
        """From their commit on, if nobody subscribes to their topic."""
        return commit_timestamp_ms

    # ---- the group as a whole

    def check_delete(self, group: ConsumerGroup) -> ErrorCode:
        """Only a group without members may be deleted."""
        return ErrorCode.NON_EMPTY_GROUP if group.members else ErrorCode.NONE

    def is_unused(self, group: ConsumerGroup) -> bool:
        """Whether it has no members."""
        return not group.members

    def tombstones(self, group: ConsumerGroup) -> list[Record]:
        """What deletes the group's own records."""
        return records.group_tombstones(group.group_id, list(group.members), list(group.regexes))

    def summary(self, group: ConsumerGroup) -> Summary:
        """What it is and how it stands."""
        return Summary(CONSUMER_PROTOCOL_TYPE, group.state.value, len(group.members))

    def describe(self, group: ConsumerGroup, version: int) -> DescribedGroup:
        """DescribeGroups knows only classic groups: to it there is no such group."""
        answer = DescribedGroup(group_id=group.group_id, group_state=GroupState.DEAD.value)
        if version >= NOT_FOUND_FROM:
            answer.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            answer.error_message = f"Group {group.group_id} is not a classic group."
        return answer

    # ---- time, topics and the shard's life

    def expire(self, group: ConsumerGroup) -> None:
        """Remove every member whose time is up."""
        at = self._table.moment()
        while self._is_here(group) and (found := self._protocol.engine.overdue(group, at)) is not None:
            member, reason = found
            _log.info("member removed", group=group.group_id, member=member.member_id, reason=reason)
            # Until the log has taken the removal, the next try is later: it must not go on forever.
            group.deadlines[member.member_id] = Deadlines(session=at.now + RETRY_S)
            self._remove(group, (member,), partial(self._removed, group))
        if self._is_here(group):
            self._table.wake(group)

    def _removed(self, group: ConsumerGroup, error: ErrorCode) -> None:
        if error is not ErrorCode.NONE and self._is_here(group):
            group.wake_at = group.next_deadline()
            self._table.wake(group)

    def topic_changed(self, name: str, *, created: bool) -> None:
        """A topic came, went or grew: its groups look at their subscriptions with the next heartbeat."""
        for group in self._table.groups.values():
            if isinstance(group, ConsumerGroup):
                if created and group.regex_members:
                    group.new_topics = True
                if group.is_subscribed_to(name):
                    group.refresh_due = True

    def replay(self, record_type: int, record: LoadedRecord) -> None:
        """Take over a record of one of `record_types`.

        Raises:
            ValueError: It can't be read.

        """
        group_id = records.group_of(record_type, record.key)
        group = self._table.groups.get(group_id)
        if not isinstance(group, ConsumerGroup):
            # Offsets that came first made a group of their own; a consumer group takes its place.
            group = ConsumerGroup(group_id)
            self._table.put(group)
        records.replay(group, record_type, record.key, record.value)

    def loaded(self, group: ConsumerGroup) -> None:
        """Everything was replayed: members' sessions begin."""
        self._protocol.engine.restart_sessions(group, self._table.moment())
        self._table.wake(group)

    def release(self, group: ConsumerGroup, error: ErrorCode) -> None:
        """Nobody waits but for the log."""

    def kill(self, group: ConsumerGroup, error: ErrorCode) -> None:
        """Whoever waits for the log is told by the shard."""
        group.dead = True

    # ---- behind them

    def _is_here(self, group: ConsumerGroup) -> bool:
        return self._table.groups.get(group.group_id) is group

    def _write(self, changes: Changes, done: Done) -> None:
        """Write what changed; `done` when it is durable, or was taken back."""
        group = changes.group
        if not changes.records:
            self._table.wake(group)
            self._log.after_writes(done)
            return
        try:
            self._log.write(changes.records, done, partial(self._refused, changes))
        except BrokerError as error:
            self._refused(changes)
            done(error.code)
            return
        if self._is_here(group):
            self._table.wake(group)

    def _refused(self, changes: Changes) -> None:
        changes.undo()
        group = changes.group
        if self._is_here(group):
            group.wake_at = group.next_deadline()
            self._table.wake(group)

    def _remove(self, group: ConsumerGroup, members: Collection[ConsumerMember], done: Done) -> None:
        """Members are gone; without them the group may be a classic one."""
        topics = self._services.topics()
        changes = Changes(group)
        staying = len(group.members) - len(members)
        if self._protocol.engine.may_downgrade(group, members, staying):
            leaving = {member.member_id for member in members}
            if self._migration.downgrade(changes, leaving, topics, done, rebalance=True):
                return
        self._protocol.engine.remove(changes, members, topics)
        self._write(changes, done)


def _stale(member: ConsumerMember) -> ErrorCode:
    """How a member is told that the epoch it names isn't its own: classic members know generations."""
    return ErrorCode.STALE_MEMBER_EPOCH if member.classic is None else ErrorCode.ILLEGAL_GENERATION


def _owned_then(member: ConsumerMember, epoch: int, topic: str, topic_id: UUID, partition: int) -> ErrorCode:
    """Whether a member had a partition in `epoch`, and has had it since."""
    since = member.owns_since(topic_id, partition)
    return ErrorCode.NONE if since is not None and epoch >= since else _stale(member)


def _answer(
    waiter: Completion[ConsumerGroupHeartbeatResponse],
    response: ConsumerGroupHeartbeatResponse,
    error: ErrorCode,
) -> None:
    waiter.set(
        response if error is ErrorCode.NONE else ConsumerGroupHeartbeatResponse(error_code=write_error(error))
    )
