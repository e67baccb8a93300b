"""Groups under the classic protocol, as one kind of a shard's groups: `protocol` decides, and its effects are carried out here.

A group that nobody was ever a member of is of this kind too: it only stores offsets, and has no protocol type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import GROUP_METADATA, group_metadata, group_metadata_key
from logbroker.coordination.machine import LoadedRecord, Record, RecordWriter
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.protocol import ClassicProtocol
from logbroker.groups.classic.records import decode_group, encode_new_group
from logbroker.groups.classic.replies import join_refusal
from logbroker.groups.classic.states import State
from logbroker.groups.kind import Committer, GroupTable, PartitionCheck, Summary
from logbroker.groups.subscriptions import CONSUMER_PROTOCOL_TYPE
from logbroker.wire.messages.describe_groups import DescribedGroup, DescribedGroupMember
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

CLASSIC_TYPE: Final = "classic"
"""What ListGroups calls groups under the classic protocol."""


class ClassicKind:
    """Groups under the classic protocol in one shard."""

    __slots__ = ("_protocol", "_shard", "_table", "name", "record_types", "states")

    def __init__(self, protocol: ClassicProtocol, table: GroupTable, shard: RecordWriter) -> None:
        self.name = CLASSIC_TYPE
        self.states = tuple(state.value for state in State if state is not State.DEAD)
        self.record_types = frozenset({GROUP_METADATA})
        self._protocol = protocol
        self._table = table
        self._shard = shard

    # ---- membership

    def join_new(self, request: JoinGroupRequest, origin: Origin) -> Completion[JoinGroupResponse]:
        """JoinGroup to a group that does not exist, or takes the place of one whose records the caller has deleted."""
        at = self._table.moment()
        waiter: Completion[JoinGroupResponse] = Completion()
        if request.member_id:
            waiter.set(join_refusal(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
            return waiter
        group = ClassicGroup(request.group_id, at.now_ms)
        self._table.put(group)
        effects = self._protocol.join(group, request, origin, waiter, at)
        if not group.members and not group.pending_members:
            self._table.remove(group)
        elif not effects.stores:
            effects.store(Store(Stored.CREATED, encode_new_group(at.now_ms), 0))
        self.carry_out(group, effects)
        return waiter

    def join(
        self, group: ClassicGroup, request: JoinGroupRequest, origin: Origin
    ) -> Completion[JoinGroupResponse]:
        """JoinGroup: the reply comes when the join phase ends, or at once if it is a refusal."""
        waiter: Completion[JoinGroupResponse] = Completion()
        self.carry_out(group, self._protocol.join(group, request, origin, waiter, self._table.moment()))
        return waiter

    def sync(self, group: ClassicGroup, request: SyncGroupRequest) -> Completion[SyncGroupResponse]:
        """SyncGroup: the reply comes when the leader's assignment is durable, or at once if there is one or none to come."""
        waiter: Completion[SyncGroupResponse] = Completion()
        self.carry_out(group, self._protocol.sync(group, request, waiter, self._table.moment()))
        return waiter

    def heartbeat(self, group: ClassicGroup, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat: two look-ups, one comparison, one store."""
        return self._protocol.heartbeat(
            group,
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            self._table.now(),
        )

    def leave(
        self, group: ClassicGroup, members: list[tuple[str, str | None]], done: Callable[[ErrorCode], None]
    ) -> list[ErrorCode]:
        """LeaveGroup: a result for each (member id, instance id); `done` when what it changed is durable."""
        results, effects = self._protocol.leave(group, members, self._table.moment())
        stores = bool(effects.stores)
        self.carry_out(group, effects)
        if stores:
            self._shard.after_writes(done)
        else:
            done(ErrorCode.NONE)
        return results

    # ---- offsets

    def check_commit(self, group: ClassicGroup, who: Committer) -> ErrorCode | PartitionCheck:
        """Whether they may commit: members of the generation, and anybody while there are no members."""
        return self._protocol.check_commit(group, who, self._table.now())

    def check_fetch(self, group: ClassicGroup, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Anybody may read."""
        return ErrorCode.NONE

    def check_offset_delete(self, group: ClassicGroup) -> ErrorCode:
        """Any group's, except while members of another protocol than the consumers' are in it: who knows what they read."""
        return self._protocol.check_delete_offsets(group)

    def is_subscribed_to(self, group: ClassicGroup, topic: str) -> bool:
        """Whether members consume the topic; a consumer group whose subscriptions aren't known counts as subscribed."""
        return group.is_subscribed_to(topic)

    def offsets_age_from_ms(self, group: ClassicGroup, commit_timestamp_ms: int) -> int | None:
        """From when an offset ages (KIP-211).

        In a group that only stores offsets from the commit; in an empty one from when it became empty (from the commit, if
        that isn't known); in a stable group of consumers from the commit. Nothing else ages.
        """
        if group.protocol_type is None:
            return commit_timestamp_ms
        if group.state is State.EMPTY:
            return commit_timestamp_ms if group.state_since_ms is None else group.state_since_ms
        if (
            group.state is State.STABLE
            and group.protocol_type == CONSUMER_PROTOCOL_TYPE
            and group.topics is not None
        ):
            return commit_timestamp_ms
        return None

    # ---- the group as a whole

    def check_delete(self, group: ClassicGroup) -> ErrorCode:
        """Only while it has no members."""
        return self._protocol.check_delete(group)

    def is_unused(self, group: ClassicGroup) -> bool:
        """Whether it is empty and nobody is about to join."""
        return group.state is State.EMPTY and not group.pending_members

    def tombstones(self, group: ClassicGroup) -> list[Record]:
        """There is one record."""
        return [(group_metadata_key(group.group_id), None)]

    def summary(self, group: ClassicGroup) -> Summary:
        """What it is and how it stands."""
        return Summary(group.protocol_type or "", group.state.value, len(group.members))

    def describe(self, group: ClassicGroup, version: int) -> DescribedGroup:
        """Everybody; metadata only in a stable group, where it is known which protocol's it is to be."""
        stable = group.state is State.STABLE
        return DescribedGroup(
            group_id=group.group_id,
            group_state=group.state.value,
            protocol_type=group.protocol_type or "",
            protocol_data=(group.protocol_name or "") if stable else "",
            members=[
                DescribedGroupMember(
                    member.member_id,
                    member.instance_id,
                    member.client_id,
                    member.client_host,
                    member.metadata(group.protocol_name) if stable else b"",
                    member.assignment,
                )
                for member in group.members.values()
            ],
        )

    # ---- the shard's life

    def replay(self, record_type: int, record: LoadedRecord) -> None:
        """A group as of its last completed rebalance."""
        group_id = group_metadata.decode_key(record.key).group
        self._table.put(decode_group(group_id, record.value))

    def loaded(self, group: ClassicGroup) -> None:
        """Every member has a whole session to show itself in."""
        self.carry_out(group, self._protocol.restart_sessions(group, self._table.moment()))

    def expire(self, group: ClassicGroup) -> None:
        """Do what is due."""
        self.carry_out(group, self._protocol.expire(group, self._table.moment()))

    def release(self, group: ClassicGroup, error: ErrorCode) -> None:
        """Answer everybody who waits for a rebalance or an assignment."""
        effects = Effects()
        self._protocol.release(group, error, effects)
        effects.send()

    def kill(self, group: ClassicGroup, error: ErrorCode) -> None:
        """Answer everybody who waits; the group is dead."""
        effects = Effects()
        self._protocol.kill(group, error, effects, self._table.moment())
        effects.send()

    # ---- carrying out

    def carry_out(self, group: ClassicGroup, effects: Effects) -> None:
        """Do what an event asked for. Replies come last: they may let in the next request."""
        for store in effects.stores:
            record = (group_metadata_key(group.group_id), store.value)
            try:
                self._shard.write((record,), partial(self._stored, group, store))
            except BrokerError as error:
                self._stored(group, store, error.code)
        if group.state is State.DEAD:
            self._table.remove(group)
        else:
            self._table.wake(group)
        effects.send()

    def _stored(self, group: ClassicGroup, store: Store, error: ErrorCode) -> None:
        if group.state is not State.DEAD:
            self.carry_out(group, self._protocol.stored(group, store, error, self._table.moment()))
