"""A consumer group's state as records, and records as state, as Kafka's GroupCoordinatorRecordHelpers has them.

A member is on two records, and a third says what it is to have. Tombstones come in the order in which Kafka's readers
want them: what a member has, what it is to have, the member; the group's epoch last. Our own replay takes records in any
order, since compaction may have left any of them behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final
from uuid import UUID

from logbroker.coordination.formats import consumer_groups as formats
from logbroker.coordination.formats.consumer_groups import VALUE_VERSION
from logbroker.coordination.machine import Record
from logbroker.groups.consumer.group import ConsumerGroup, ResolvedRegex
from logbroker.groups.consumer.member import (
    ClassicMetadata,
    ConsumerMember,
    MemberState,
    Owned,
    Target,
)


def group_metadata(group_id: str, epoch: int, metadata_hash: int) -> Record:
    """The group epoch."""
    return (
        formats.group_metadata.encode_key(formats.GroupKey(group_id)),
        formats.group_metadata.encode_value(
            formats.ConsumerGroupMetadataValue(epoch, metadata_hash), VALUE_VERSION
        ),
    )


def member_metadata(group_id: str, member: ConsumerMember) -> Record:
    """What a member says of itself."""
    classic = member.classic
    value = formats.ConsumerGroupMemberMetadataValue(
        member.instance_id,
        member.rack_id,
        member.client_id,
        member.client_host,
        sorted(member.topics),
        member.regex,
        member.rebalance_timeout_ms,
        member.server_assignor,
        None
        if classic is None
        else formats.ClassicMemberMetadata(
            classic.session_timeout_ms,
            [formats.ClassicProtocol(name, metadata) for name, metadata in classic.protocols],
        ),
    )
    return (
        formats.member_metadata.encode_key(formats.MemberKey(group_id, member.member_id)),
        formats.member_metadata.encode_value(value, VALUE_VERSION),
    )


def current_assignment(group_id: str, member: ConsumerMember) -> Record:
    """What a member has, and must give up."""
    value = formats.ConsumerGroupCurrentMemberAssignmentValue(
        member.epoch,
        member.previous_epoch,
        member.state.value,
        _owned_list(member.assigned),
        _owned_list(member.revoking),
    )
    return (
        formats.current_assignment.encode_key(formats.MemberKey(group_id, member.member_id)),
        formats.current_assignment.encode_value(value, VALUE_VERSION),
    )


def target_member(group_id: str, member_id: str, target: Target) -> Record:
    """What a member is to have."""
    value = formats.ConsumerGroupTargetAssignmentMemberValue(
        [
            formats.TargetTopicPartitions(topic_id, sorted(partitions))
            for topic_id, partitions in target.items()
        ]
    )
    return (
        formats.target_member.encode_key(formats.MemberKey(group_id, member_id)),
        formats.target_member.encode_value(value, VALUE_VERSION),
    )


def target_metadata(group_id: str, epoch: int, now_ms: int) -> Record:
    """Which group epoch the target assignment is for."""
    return (
        formats.target_metadata.encode_key(formats.GroupKey(group_id)),
        formats.target_metadata.encode_value(
            formats.ConsumerGroupTargetAssignmentMetadataValue(epoch, now_ms), VALUE_VERSION
        ),
    )


def regular_expression(group_id: str, regex: str, resolved: ResolvedRegex | None) -> Record:
    """What a regular expression stands for; None: nobody subscribes to it any more."""
    key = formats.regular_expression.encode_key(formats.RegularExpressionKey(group_id, regex))
    if resolved is None:
        return key, None
    value = formats.ConsumerGroupRegularExpressionValue(
        sorted(resolved.topics), resolved.version, resolved.timestamp_ms
    )
    return key, formats.regular_expression.encode_value(value, VALUE_VERSION)


def partition_metadata_tombstone(group_id: str) -> Record:
    """Deletes what Kafka before 4.1 kept."""
    return formats.partition_metadata.encode_key(formats.GroupKey(group_id)), None


def member_tombstones(group_id: str, member_id: str) -> list[Record]:
    """Delete everything about a member."""
    key = formats.MemberKey(group_id, member_id)
    return [
        (formats.current_assignment.encode_key(key), None),
        (formats.target_member.encode_key(key), None),
        (formats.member_metadata.encode_key(key), None),
    ]


def group_tombstones(group_id: str, members: Iterable[str], regexes: Iterable[str]) -> list[Record]:
    """Delete everything about a group."""
    keys = [formats.MemberKey(group_id, member_id) for member_id in members]
    group_key = formats.GroupKey(group_id)
    return [
        *((formats.current_assignment.encode_key(key), None) for key in keys),
        *((formats.target_member.encode_key(key), None) for key in keys),
        (formats.target_metadata.encode_key(group_key), None),
        *((formats.member_metadata.encode_key(key), None) for key in keys),
        *(regular_expression(group_id, regex, None) for regex in regexes),
        partition_metadata_tombstone(group_id),
        (formats.group_metadata.encode_key(group_key), None),
    ]


def group_records(group: ConsumerGroup, now_ms: int) -> list[Record]:
    """Everything about a group, in the order in which Kafka writes it for a group that was converted."""
    group_id = group.group_id
    return [
        *(member_metadata(group_id, member) for member in group.members.values()),
        group_metadata(group_id, group.epoch, group.metadata_hash),
        *(target_member(group_id, member_id, group.target_of(member_id)) for member_id in group.members),
        target_metadata(group_id, group.assignment_epoch, now_ms),
        *(current_assignment(group_id, member) for member in group.members.values()),
    ]


# ---- back


def group_of(kind: int, key: bytes) -> str:
    """The group that a record of one of `REPLAYED`'s kinds is about.

    Raises:
        ValueError: The key can't be read.

    """
    if kind in _MEMBER_KINDS:
        return formats.member_metadata.decode_key(key).group_id
    if kind == formats.CONSUMER_GROUP_REGULAR_EXPRESSION:
        return formats.regular_expression.decode_key(key).group_id
    return formats.group_metadata.decode_key(key).group_id


def replay(group: ConsumerGroup, kind: int, key: bytes, value: bytes) -> None:
    """Take over one record of the group, the last of its key.

    Raises:
        ValueError: It can't be read.

    """
    REPLAYED[kind](group, key, value)


def _group_metadata(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    stored = formats.group_metadata.decode_value(value)
    group.epoch = stored.epoch
    group.metadata_hash = stored.metadata_hash


def _partition_metadata(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    group.has_partition_metadata = True


def _member_metadata(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    member_id = formats.member_metadata.decode_key(key).member_id
    stored = formats.member_metadata.decode_value(value)
    classic = stored.classic_member_metadata
    group.put_member(
        replace(
            group.members.get(member_id) or ConsumerMember(member_id),
            instance_id=stored.instance_id,
            rack_id=stored.rack_id,
            client_id=stored.client_id,
            client_host=stored.client_host,
            topics=frozenset(stored.subscribed_topic_names),
            regex=stored.subscribed_topic_regex,
            rebalance_timeout_ms=stored.rebalance_timeout_ms,
            server_assignor=stored.server_assignor,
            classic=None
            if classic is None
            else ClassicMetadata(
                classic.session_timeout_ms,
                tuple((protocol.name, bytes(protocol.metadata)) for protocol in classic.supported_protocols),
            ),
        )
    )


def _target_metadata(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    stored = formats.target_metadata.decode_value(value)
    group.assignment_epoch = stored.assignment_epoch
    group.assignment_ms = stored.assignment_timestamp


def _target_member(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    member_id = formats.target_member.decode_key(key).member_id
    stored = formats.target_member.decode_value(value)
    group.target[member_id] = {
        each.topic_id: frozenset(each.partitions) for each in stored.topic_partitions if each.partitions
    }


def _current_assignment(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    member_id = formats.current_assignment.decode_key(key).member_id
    stored = formats.current_assignment.decode_value(value)
    state = MemberState(stored.state) if stored.state in _STATES else MemberState.UNKNOWN
    group.put_member(
        replace(
            group.members.get(member_id) or ConsumerMember(member_id),
            epoch=stored.member_epoch,
            previous_epoch=stored.previous_member_epoch,
            state=state,
            assigned=_owned_map(stored.assigned_partitions, stored.member_epoch),
            revoking=_owned_map(stored.partitions_pending_revocation, stored.member_epoch),
        )
    )


def _regular_expression(group: ConsumerGroup, key: bytes, value: bytes) -> None:
    regex = formats.regular_expression.decode_key(key).regular_expression
    stored = formats.regular_expression.decode_value(value)
    group.put_regex(regex, ResolvedRegex(frozenset(stored.topics), stored.version, stored.timestamp))


def _owned_list(owned: Owned) -> list[formats.CurrentTopicPartitions]:
    return [
        formats.CurrentTopicPartitions(topic_id, list(partitions), list(partitions.values()))
        for topic_id, partitions in owned.items()
    ]


def _owned_map(stored: list[formats.CurrentTopicPartitions], member_epoch: int) -> Owned:
    """By topic; partitions whose epoch isn't on record (before Kafka 4.3) count as got in the member's epoch."""
    found: dict[UUID, dict[int, int]] = {}
    for each in stored:
        epochs = each.assignment_epochs
        if epochs is None or len(epochs) != len(each.partitions):
            epochs = [member_epoch] * len(each.partitions)
        found[each.topic_id] = dict(zip(each.partitions, epochs, strict=True))
    return found


_STATES = frozenset(state.value for state in MemberState)

_MEMBER_KINDS = frozenset(
    {
        formats.CONSUMER_GROUP_MEMBER_METADATA,
        formats.CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER,
        formats.CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT,
    }
)

REPLAYED: Final[dict[int, Callable[[ConsumerGroup, bytes, bytes], None]]] = {
    formats.CONSUMER_GROUP_METADATA: _group_metadata,
    formats.CONSUMER_GROUP_PARTITION_METADATA: _partition_metadata,
    formats.CONSUMER_GROUP_MEMBER_METADATA: _member_metadata,
    formats.CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: _target_metadata,
    formats.CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: _target_member,
    formats.CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: _current_assignment,
    formats.CONSUMER_GROUP_REGULAR_EXPRESSION: _regular_expression,
}
"""Kinds of records that consumer groups are kept in, and what takes each over."""
