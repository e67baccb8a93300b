"""Heartbeats of the consumer protocol: joining, staying, leaving, for static members too.

One request does it all: it says what changed about the member, and is answered with the member's epoch and, when that
changed, with the partitions it is to own. Rules follow Kafka 4.3.1's GroupMetadataManager.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import replace
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.engine import Engine
from logbroker.groups.consumer.group import ConsumerGroup, ResolvedRegex
from logbroker.groups.consumer.limits import Limits
from logbroker.groups.consumer.member import (
    JOINING_EPOCH,
    NOTHING_OWNED,
    STATIC_LEAVING_EPOCH,
    UNSET_TIMEOUT,
    ConsumerMember,
    Owned,
)
from logbroker.groups.consumer.topics import Topics, metadata_hash
from logbroker.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatResponseTopicPartitions,
)

CLIENT_MEMBER_ID_FROM = 1
"""ConsumerGroupHeartbeat version from which members bring their own id."""


def check_heartbeat(request: ConsumerGroupHeartbeatRequest, version: int, assignors: tuple[str, ...]) -> None:
    """Refuse what can't be right whatever the group's state.

    Raises:
        BrokerError: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.

    """
    epoch = request.member_epoch
    if (version >= CLIENT_MEMBER_ID_FROM or epoch > 0 or epoch == -1) and not request.member_id.strip():
        raise _invalid("MemberId can't be empty.")
    if not request.group_id.strip():
        raise _invalid("GroupId can't be empty.")
    if request.instance_id is not None and not request.instance_id.strip():
        raise _invalid("InstanceId can't be empty.")
    if request.rack_id is not None and not request.rack_id.strip():
        raise _invalid("RackId can't be empty.")
    if epoch == JOINING_EPOCH:
        if request.rebalance_timeout_ms == UNSET_TIMEOUT:
            raise _invalid("RebalanceTimeoutMs must be provided in first request.")
        if request.topic_partitions is None or request.topic_partitions:
            raise _invalid("TopicPartitions must be empty when (re-)joining.")
        if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
            raise _invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
            )
    elif epoch == STATIC_LEAVING_EPOCH and request.instance_id is None:
        raise _invalid("InstanceId can't be null.")
    elif epoch < STATIC_LEAVING_EPOCH:
        raise _invalid("MemberEpoch is invalid.")
    if request.server_assignor is not None and request.server_assignor not in assignors:
        raise BrokerError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {request.server_assignor} is not supported. Supported assignors: {', '.join(assignors)}.",
        )


def new_member_id() -> str:
    """An id for a member that brings none: random, in Kafka's notation of a uuid."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


class ConsumerProtocol:
    """Answers heartbeats of the consumer protocol."""

    __slots__ = ("_limits", "engine")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.engine = Engine(limits)

    def heartbeat(
        self,
        changes: Changes,
        request: ConsumerGroupHeartbeatRequest,
        origin: Origin,
        at: Moment,
        topics: Topics,
    ) -> tuple[ConsumerGroupHeartbeatResponse, bool]:
        """A member joins (epoch 0) or says that it lives.

        Returns:
            The reply, true when the changes are durable; and whether the group's regular expressions are to be looked up.

        Raises:
            BrokerError: Nothing of it happened once the changes are undone.

        """
        engine, group = self.engine, changes.group
        engine.check_room(group, request.member_id)
        member_id = request.member_id or new_member_id()
        owned = (
            None
            if request.topic_partitions is None
            else {each.topic_id: each.partitions for each in request.topic_partitions}
        )
        is_new = False
        if request.member_epoch == JOINING_EPOCH:
            member, is_new = engine.joining_member(changes, member_id, request.instance_id, classic=False)
        else:
            member = engine.known_member(group, member_id, request.instance_id)
            _check_epoch(member, request.member_epoch, owned)
        described = _described(member, request, origin)
        other_names = engine.describe_member(changes, member, described, is_new=is_new)
        other_regex, resolved, lookup = engine.follow_regex(changes, member, described, at)
        engine.bump(changes, topics, needed=other_names or resolved)
        engine.assign(changes, topics, at)
        moved = engine.reconcile(
            changes,
            described,
            topics,
            at,
            owned=owned,
            subscription_changed=other_names or other_regex,
        )
        engine.keep_alive(group, moved, at)
        response = ConsumerGroupHeartbeatResponse(
            member_id=moved.member_id,
            member_epoch=moved.epoch,
            heartbeat_interval_ms=self._limits.times(group.group_id).heartbeat_interval_ms,
        )
        if (
            request.member_epoch == JOINING_EPOCH
            or _is_full(request)
            or (
                moved.assigned is not member.assigned
                and _partitions(moved.assigned) != _partitions(member.assigned)
            )
        ):
            response.assignment = Assignment(
                [
                    ConsumerGroupHeartbeatResponseTopicPartitions(topic_id, sorted(partitions))
                    for topic_id, partitions in moved.assigned.items()
                ]
            )
        return response, lookup

    def leaving(self, group: ConsumerGroup, request: ConsumerGroupHeartbeatRequest) -> ConsumerMember:
        """The member that a heartbeat of epoch -1 or -2 is of.

        Raises:
            BrokerError: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.

        """
        return self.engine.known_member(group, request.member_id, request.instance_id)

    @staticmethod
    def step_out(changes: Changes, member: ConsumerMember) -> None:
        """A static member leaves to come back: it keeps what it has until its session ends (epoch -2)."""
        changes.assignment(replace(member, epoch=STATIC_LEAVING_EPOCH, revoking=NOTHING_OWNED))

    @staticmethod
    def resolved(changes: Changes, found: dict[str, ResolvedRegex], topics: Topics) -> None:
        """The group's regular expressions were looked up: they may stand for other topics now."""
        group = changes.group
        needed = False
        for regex, resolved in found.items():
            if not group.regex_members[regex]:
                continue
            old = group.regexes.get(regex)
            if (old.topics if old is not None else frozenset()) != resolved.topics:
                needed = True
            changes.regex(regex, resolved)
        current = metadata_hash(group.subscribed_names(), topics)
        if needed or current != group.metadata_hash:
            changes.group_epoch(group.epoch + 1, current)


def _described(
    member: ConsumerMember, request: ConsumerGroupHeartbeatRequest, origin: Origin
) -> ConsumerMember:
    """What the member says of itself; what a request leaves out stays as it was."""
    topics = member.topics
    if request.subscribed_topic_names is not None and (
        len(request.subscribed_topic_names) != len(topics)
        or not topics.issuperset(request.subscribed_topic_names)
    ):
        topics = frozenset(request.subscribed_topic_names)
    regex = request.subscribed_topic_regex
    timeout_ms = request.rebalance_timeout_ms
    return replace(
        member,
        instance_id=member.instance_id if request.instance_id is None else request.instance_id,
        rack_id=member.rack_id if request.rack_id is None else request.rack_id,
        client_id=origin.client_id,
        client_host=origin.client_host,
        topics=topics,
        regex=member.regex if regex is None else regex,
        rebalance_timeout_ms=member.rebalance_timeout_ms if timeout_ms == UNSET_TIMEOUT else timeout_ms,
        server_assignor=member.server_assignor
        if request.server_assignor is None
        else request.server_assignor,
        classic=None,
    )


def _check_epoch(member: ConsumerMember, epoch: int, owned: dict[UUID, list[int]] | None) -> None:
    """Fence a member whose epoch isn't its own: FENCED_MEMBER_EPOCH.

    The epoch before is let pass where the member owns nothing but what it is known to have: then the reply that would have
    told it the new one was lost.
    """
    if epoch == member.epoch:
        return
    if (
        epoch < member.epoch
        and epoch == member.previous_epoch
        and owned is not None
        and all(
            topic_id in member.assigned and member.assigned[topic_id].keys() >= set(partitions)
            for topic_id, partitions in owned.items()
        )
    ):
        return
    relation = "greater" if epoch > member.epoch else "smaller"
    raise BrokerError(
        ErrorCode.FENCED_MEMBER_EPOCH,
        f"The consumer group member has a {relation} member epoch ({epoch}) than the one known by the group coordinator "
        f"({member.epoch}). The member must abandon all its partitions and rejoin.",
    )


def _is_full(request: ConsumerGroupHeartbeatRequest) -> bool:
    """Whether the member says everything, as after an error: then it is told everything."""
    return (
        request.rebalance_timeout_ms != UNSET_TIMEOUT
        and (request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None)
        and request.topic_partitions is not None
    )


def _partitions(owned: Owned) -> dict[UUID, frozenset[int]]:
    return {topic_id: frozenset(partitions) for topic_id, partitions in owned.items()}


def _invalid(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, message)
