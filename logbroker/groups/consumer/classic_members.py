"""Members of a consumer group that still speak the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

To them the group looks like a classic one whose leader is somebody else: member epochs are generations, a join is answered at
once, nobody is asked to assign, and a heartbeat's REBALANCE_IN_PROGRESS calls the member to join again whenever it must give
up or can get partitions. What it owns it says in its subscription. It must come within its rebalance timeout when it is called,
and ask for its assignment within that time once it joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.member import protocols_of
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.classic.replies import join_refusal
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.embedded import (
    by_id,
    read_subscription,
    version_of,
    write_assignment,
)
from logbroker.groups.consumer.engine import Engine
from logbroker.groups.consumer.group import CONSUMER_PROTOCOL_TYPE, ConsumerGroup
from logbroker.groups.consumer.limits import Limits
from logbroker.groups.consumer.member import ClassicMetadata, ConsumerMember, MemberState
from logbroker.groups.consumer.protocol import new_member_id
from logbroker.groups.consumer.topics import Topics
from logbroker.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


@dataclass(frozen=True, slots=True)
class Joined:
    """A member joined.

    Attributes:
        member: As it is now.
        response: True once the changes are durable.
        downgrade: It took the place of the last member under the consumer protocol: the group is to become a classic one.
        subscription_changed: It subscribes to something else than whom it replaced.
    """

    member: ConsumerMember
    response: JoinGroupResponse
    downgrade: bool = False
    subscription_changed: bool = False


class ClassicMembers:
    """Answers them."""

    __slots__ = ("_engine", "_limits")

    def __init__(self, limits: Limits, engine: Engine) -> None:
        self._limits = limits
        self._engine = engine

    def join(
        self, changes: Changes, request: JoinGroupRequest, origin: Origin, at: Moment, topics: Topics
    ) -> Joined | JoinGroupResponse:
        """JoinGroup: a `JoinGroupResponse` hands out a member id (KIP-394) and changes nothing.

        Raises:
            BrokerError: INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; nothing of
                it happened once the changes are undone.

        """
        engine, group = self._engine, changes.group
        common = self._limits.common()
        if not common.upgrades and not common.downgrades:
            raise BrokerError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"Cannot join the consumer group {group.group_id} with the classic protocol because the group migration is "
                "disabled.",
            )
        instance_id = request.group_instance_id
        member_id = request.member_id or new_member_id()
        engine.check_room(group, member_id)
        if not group.supports_classic(request.protocol_type, [each.name for each in request.protocols]):
            raise BrokerError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"Member {member_id}'s protocols are not supported."
            )
        if not request.member_id and instance_id is None and origin.requires_member_id:
            return join_refusal(ErrorCode.MEMBER_ID_REQUIRED, member_id)
        subscription = _subscription(request)
        replaced = None if instance_id is None else group.static_member(instance_id)
        downgrade = replaced is not None and engine.may_downgrade(group, (replaced,), len(group.members))
        if instance_id is None or not request.member_id:
            member, is_new = engine.joining_member(changes, member_id, instance_id, classic=True)
        else:
            member, is_new = engine.known_member(group, member_id, instance_id), False
        described = _described(member, request, subscription, origin)
        other_names = engine.describe_member(changes, member, described, is_new=is_new)
        other_regex, _, _ = engine.follow_regex(changes, member, described, at)
        changed = other_names or other_regex
        engine.bump(changes, topics, needed=changed)
        owned = _owned(subscription, topics)
        moved = described
        if not downgrade:
            engine.assign(changes, topics, at)
            moved = engine.reconcile(
                changes, described, topics, at, owned=owned, subscription_changed=changed
            )
            self._await_sync(group, moved, at)
        elif not changed:
            moved = engine.reconcile(changes, described, topics, at, owned=owned, subscription_changed=False)
        return Joined(
            moved,
            JoinGroupResponse(
                generation_id=moved.epoch,
                protocol_type=CONSUMER_PROTOCOL_TYPE,
                protocol_name=request.protocols[0].name,
                member_id=moved.member_id,
            ),
            downgrade,
            changed,
        )

    def sync(
        self, group: ConsumerGroup, request: SyncGroupRequest, at: Moment, topics: Topics
    ) -> SyncGroupResponse:
        """SyncGroup: what the member has.

        Raises:
            BrokerError: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL,
                REBALANCE_IN_PROGRESS.

        """
        member, classic = self._classic_member(group, request.member_id, request.group_instance_id)
        _check_generation(member, request.generation_id)
        name, metadata = classic.protocols[0]
        if request.protocol_type not in (None, CONSUMER_PROTOCOL_TYPE) or request.protocol_name not in (
            None,
            name,
        ):
            raise BrokerError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"{request.protocol_type}, {request.protocol_name} is not what member {member.member_id} was told when it "
                "joined",
            )
        if group.epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS:
            self._call_back(group, member, at)
            raise BrokerError(
                ErrorCode.REBALANCE_IN_PROGRESS,
                f"A new rebalance is triggered in group {group.group_id} and member {member.member_id} should rejoin to "
                "catch up.",
            )
        group.deadlines_of(member.member_id).sync = inf
        self._engine.keep_alive(group, member, at)
        return SyncGroupResponse(
            protocol_type=request.protocol_type,
            protocol_name=request.protocol_name,
            assignment=write_assignment(member.assigned, topics, version_of(metadata)),
        )

    def heartbeat(self, group: ConsumerGroup, request: HeartbeatRequest, at: Moment) -> ErrorCode:
        """Heartbeat: the member lives, and learns whether it must join again."""
        try:
            member, _ = self._classic_member(group, request.member_id, request.group_instance_id)
            _check_generation(member, request.generation_id)
        except BrokerError as error:
            return error.code
        self._engine.keep_alive(group, member, at)
        if (
            member.epoch < group.epoch
            or member.state is MemberState.UNREVOKED_PARTITIONS
            or (member.state is MemberState.UNRELEASED_PARTITIONS and not group.waits_for_others(member))
        ):
            self._call_back(group, member, at)
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def leaving(
        self, group: ConsumerGroup, members: list[tuple[str, str | None]]
    ) -> tuple[list[ErrorCode], dict[str, ConsumerMember]]:
        """LeaveGroup: a result for each (member id, instance id), and the members that leave, by id.

        Members under the consumer protocol can be made to leave this way too: that is how administrators remove them.
        """
        results: list[ErrorCode] = []
        found: dict[str, ConsumerMember] = {}
        for member_id, instance_id in members:
            try:
                if instance_id is not None and not member_id:
                    static = group.static_member(instance_id)
                    if static is None:
                        raise BrokerError(ErrorCode.UNKNOWN_MEMBER_ID)
                    member = static
                else:
                    member = self._engine.known_member(group, member_id, instance_id)
            except BrokerError as error:
                results.append(error.code)
            else:
                results.append(ErrorCode.NONE)
                found[member.member_id] = member
        return results, found

    def _classic_member(
        self, group: ConsumerGroup, member_id: str, instance_id: str | None
    ) -> tuple[ConsumerMember, ClassicMetadata]:
        member = self._engine.known_member(group, member_id, instance_id)
        if member.classic is None or not member.classic.protocols:
            raise BrokerError(
                ErrorCode.UNKNOWN_MEMBER_ID, f"Member {member.member_id} does not use the classic protocol."
            )
        return member, member.classic

    def _await_sync(self, group: ConsumerGroup, member: ConsumerMember, at: Moment) -> None:
        deadlines = group.deadlines_of(member.member_id)
        deadlines.join = inf
        deadlines.sync = at.now + max(member.rebalance_timeout_ms, 0) / 1000
        group.wake(deadlines.sync)
        self._engine.keep_alive(group, member, at)

    @staticmethod
    def _call_back(group: ConsumerGroup, member: ConsumerMember, at: Moment) -> None:
        """The member must join again, and has its rebalance timeout for it from the first time it is told."""
        deadlines = group.deadlines_of(member.member_id)
        if deadlines.join == inf:
            deadlines.join = at.now + max(member.rebalance_timeout_ms, 0) / 1000
            group.wake(deadlines.join)


def _subscription(request: JoinGroupRequest) -> ConsumerProtocolSubscription:
    """What the member subscribes to; all its protocols say the same, so the first is read."""
    try:
        return read_subscription(request.protocols[0].metadata)
    except ValueError as error:
        raise BrokerError(
            ErrorCode.UNKNOWN_SERVER_ERROR, f"the subscription can't be read: {error}"
        ) from None


def _described(
    member: ConsumerMember,
    request: JoinGroupRequest,
    subscription: ConsumerProtocolSubscription,
    origin: Origin,
) -> ConsumerMember:
    return replace(
        member,
        instance_id=member.instance_id if request.group_instance_id is None else request.group_instance_id,
        rack_id=subscription.rack_id or member.rack_id,
        client_id=origin.client_id,
        client_host=origin.client_host,
        topics=frozenset(subscription.topics),
        regex="",
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        classic=ClassicMetadata(
            request.session_timeout_ms,
            tuple(protocols_of(request.protocols).items()),
        ),
    )


def _owned(subscription: ConsumerProtocolSubscription, topics: Topics) -> Mapping[UUID, list[int]]:
    return by_id({each.topic: each.partitions for each in subscription.owned_partitions}, topics)


def _check_generation(member: ConsumerMember, generation_id: int) -> None:
    if member.epoch != generation_id:
        raise BrokerError(
            ErrorCode.ILLEGAL_GENERATION,
            f"The request generation id {generation_id} is not equal to the member epoch {member.epoch} of member "
            f"{member.member_id}.",
        )
