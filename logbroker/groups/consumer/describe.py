"""ConsumerGroupDescribe: what there is to see of groups under the consumer protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.groups.consumer.member import ConsumerMember
from logbroker.groups.consumer.topics import Topics
from logbroker.wire.messages.consumer_group_describe import (
    Assignment,
    DescribedGroup,
    Member,
    TopicPartitions,
)

CLASSIC_MEMBER: Final = 0
CONSUMER_MEMBER: Final = 1
"""Member types (KIP-1099)."""


def describe_group(group: ConsumerGroup, topics: Topics, default_assignor: str) -> DescribedGroup:
    """The group as it is now."""
    return DescribedGroup(
        group_id=group.group_id,
        group_state=group.state.value,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.preferred_assignor(default_assignor),
        members=[_member(group, member, topics) for member in group.members.values()],
    )


def _member(group: ConsumerGroup, member: ConsumerMember, topics: Topics) -> Member:
    return Member(
        member_id=member.member_id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=sorted(member.topics),
        subscribed_topic_regex=member.regex or "",
        assignment=_assignment(_owned(member), topics),
        target_assignment=_assignment(group.target_of(member.member_id), topics),
        member_type=CONSUMER_MEMBER if member.classic is None else CLASSIC_MEMBER,
    )


def _owned(member: ConsumerMember) -> dict[UUID, list[int]]:
    """What it has, and what it has still to give up."""
    owned: dict[UUID, list[int]] = {}
    for part in (member.assigned, member.revoking):
        for topic_id, partitions in part.items():
            owned.setdefault(topic_id, []).extend(partitions)
    return owned


def _assignment(partitions: Mapping[UUID, Iterable[int]], topics: Topics) -> Assignment:
    """Partitions of topics that exist, by name too."""
    return Assignment(
        [
            TopicPartitions(topic_id, name, sorted(indexes))
            for topic_id, indexes in partitions.items()
            if (name := topics.name_of(topic_id)) is not None
        ]
    )
