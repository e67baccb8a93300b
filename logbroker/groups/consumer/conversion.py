"""A live group of one kind becomes one of the other: upgrade and downgrade, as Kafka's migration does it (KIP-848).

Upgrade: somebody comes with the consumer protocol to a classic group of consumers. Its members stay, under the classic
protocol still, in the generation they are in, with what their leader gave them; from then on the coordinator assigns.
Downgrade: the last member under the consumer protocol goes, or a static member comes back under the classic one. The
others are a classic group in generation *group epoch*, which rebalances at once.

The records of both kinds are in one batch: tombstones of the one, the whole state of the other. Nothing here writes: new
groups and records are handed out, and the former group is left as it was, to be put back if the log refuses.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import group_metadata_key
from logbroker.coordination.machine import Record
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.member import Member
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.classic.records import encode_group
from logbroker.groups.classic.states import State
from logbroker.groups.consumer import records
from logbroker.groups.consumer.embedded import (
    read_assignment,
    read_subscription,
    version_of,
    write_assignment,
)
from logbroker.groups.consumer.group import CONSUMER_PROTOCOL_TYPE, ConsumerGroup
from logbroker.groups.consumer.limits import ConsumerLimits
from logbroker.groups.consumer.member import ClassicMetadata, ConsumerMember, Target
from logbroker.groups.consumer.topics import Topics, metadata_hash

_log = logs.get("groups")


def check_upgrade(group: ClassicGroup, limits: ConsumerLimits) -> None:
    """Refuse to make a consumer group of a classic one that has members.

    Raises:
        BrokerError: GROUP_ID_NOT_FOUND: to clients of the consumer protocol there is no such group.

    """
    reason = ""
    if not limits.upgrades:
        reason = "online upgrade is disabled"
    elif group.protocol_type != CONSUMER_PROTOCOL_TYPE:
        reason = "the group does not use the consumer embedded protocol"
    elif len(group.members) > limits.max_size:
        reason = "the group size exceeds the consumer group maximum size"
    if reason:
        raise _no_upgrade(group, f"because {reason}")


def to_consumer_group(group: ClassicGroup, topics: Topics, at: Moment) -> tuple[ConsumerGroup, list[Record]]:
    """The consumer group that `group` becomes, and the records that make it so.

    Raises:
        BrokerError: GROUP_ID_NOT_FOUND: its members' metadata can't be read, or is of a custom assignor: one that has data of its
            own in assignments, which would be lost, or shares a partition among members, which a consumer group can't.

    """
    upgraded = ConsumerGroup(group.group_id)
    upgraded.epoch = upgraded.assignment_epoch = group.generation_id
    for member in group.members.values():
        try:
            target, subscription = _assigned(member, topics), read_subscription(_metadata(group, member))
        except ValueError as error:
            _log.warning("a classic group can't be upgraded", group=group.group_id, reason=str(error))
            raise _no_upgrade(group, f"because {error}") from None
        if any(
            upgraded.owner(topic_id, partition) is not None
            for topic_id, partitions in target.items()
            for partition in partitions
        ):
            raise _no_upgrade(group, "because its assignment gives a partition to more than one member")
        upgraded.target[member.member_id] = target
        upgraded.put_member(
            ConsumerMember(
                member.member_id,
                member.instance_id,
                subscription.rack_id or None,
                member.client_id,
                member.client_host,
                frozenset(subscription.topics),
                "",
                member.rebalance_timeout_ms,
                classic=ClassicMetadata(member.session_timeout_ms, tuple(member.protocols.items())),
                epoch=group.generation_id,
                previous_epoch=group.generation_id,
                assigned={
                    topic_id: dict.fromkeys(sorted(partitions), group.generation_id)
                    for topic_id, partitions in target.items()
                },
            )
        )
    upgraded.metadata_hash = metadata_hash(upgraded.subscribed_names(), topics)
    for member_id, member in group.members.items():
        upgraded.deadlines_of(member_id).session = at.now + member.session_timeout_ms / 1000
        upgraded.wake(at.now + member.session_timeout_ms / 1000)
    return upgraded, [
        (group_metadata_key(group.group_id), None),
        *records.group_records(upgraded, 0),
    ]


def to_classic_group(
    group: ConsumerGroup, leaving: Collection[str], topics: Topics, at: Moment
) -> tuple[ClassicGroup, list[Record]]:
    """The classic group that `group` becomes without `leaving`, all of whose members speak the classic protocol, and the
    records that make it so.

    The group is stable; whoever asked for it starts the rebalance.
    """  # noqa: D205
    downgraded = ClassicGroup(group.group_id, at.now_ms)
    downgraded.generation_id = group.epoch
    downgraded.state = State.STABLE
    for member in group.members.values():
        classic = member.classic
        if member.member_id in leaving or classic is None:
            continue
        downgraded.add(
            Member(
                member.member_id,
                member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=max(member.rebalance_timeout_ms, 0),
                session_timeout_ms=classic.session_timeout_ms,
                protocol_type=CONSUMER_PROTOCOL_TYPE,
                protocols=dict(classic.protocols),
            )
        )
    downgraded.protocol_type = CONSUMER_PROTOCOL_TYPE
    downgraded.protocol_name = downgraded.select_protocol()
    downgraded.refresh_topics()
    for member_id, former in downgraded.members.items():
        version = version_of(former.metadata(downgraded.protocol_name))
        former.assignment = write_assignment(group.members[member_id].assigned, topics, version)
    assignments = {member_id: member.assignment for member_id, member in downgraded.members.items()}
    return downgraded, [
        *records.group_tombstones(group.group_id, list(group.members), list(group.regexes)),
        (group_metadata_key(group.group_id), encode_group(downgraded, assignments)),
    ]


def _assigned(member: Member, topics: Topics) -> Target:
    """What the leader gave a member of what there is, by topic id; nothing if it hasn't been given anything yet."""
    if not member.assignment:
        return {}
    assignment = read_assignment(member.assignment)
    if assignment.user_data is not None and len(assignment.user_data):
        raise ValueError(
            "an unsupported custom assignor is in use; switch to a default assignor before the upgrade"
        )
    found: dict[UUID, frozenset[int]] = {}
    for each in assignment.assigned_partitions:
        topic_id = topics.id_of(each.topic)
        if topic_id is not None:
            count = topics.partition_count(topic_id)
            partitions = found.get(topic_id, frozenset()).union(p for p in each.partitions if 0 <= p < count)
            if partitions:
                found[topic_id] = partitions
    return found


def _metadata(group: ClassicGroup, member: Member) -> bytes:
    """A member's subscription: under the group's protocol, or any of its own while there is none."""
    name = group.protocol_name
    if name is not None and name in member.protocols:
        return member.protocols[name]
    return next(iter(member.protocols.values()), b"")


def _no_upgrade(group: ClassicGroup, why: str) -> BrokerError:
    return BrokerError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        f"Cannot upgrade classic group {group.group_id} to consumer group {why}.",
    )
