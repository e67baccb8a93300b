"""Consumer groups from outside: which there are, who is in them, and what they have committed; for `Admin`.

Each question goes to the group's coordinator (`coordinators.py`). Questions are repeated after a lost connection. So is what sets offsets to given values, as doing
that twice is doing it once; deletions are sent once.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.client.cluster import Cluster
from logbroker.client.coordinators import check, until_found, with_coordinator
from logbroker.client.errors import UnsupportedByBrokerError, error_code_of
from logbroker.client.types import (
    CommittedOffset,
    Group,
    GroupListing,
    GroupMember,
    TopicPartition,
)
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.messages import consumer_group_describe, describe_groups
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from logbroker.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from logbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
)

__all__ = [
    "commit_offsets",
    "committed_offsets",
    "delete_group",
    "delete_offsets",
    "describe_group",
    "list_groups",
]

CONSUMER_PROTOCOL: Final = "consumer"
"""The protocol type of groups whose members are consumers, and whose assignments can be read."""

_LAST_VERSION_WITH_NAMES: Final = 9
"""From the next on OffsetFetch and OffsetCommit name topics by id only."""
_FIRST_VERSION_WITH_GROUPS: Final = 8
_ASSIGNMENT: Final = "consumer_protocol_assignment"


async def list_groups(
    cluster: Cluster, states: Iterable[str] = (), types: Iterable[str] = ()
) -> list[GroupListing]:
    """Return the groups of every broker, by id; only those in `states` and of `types`, where any are given.

    Raises:
        RefusedError: a broker refused.
        UnsupportedByBrokerError: it is too old for what was asked.

    """
    request = ListGroupsRequest(states_filter=list(states), types_filter=list(types))

    async def of(node_id: int) -> ListGroupsResponse:
        async def attempt() -> ListGroupsResponse:
            response: ListGroupsResponse = await cluster.ask(ApiKey.LIST_GROUPS, request, node_id=node_id)
            check(response.error_code, f"the groups of broker {node_id}")
            return response

        return await until_found(cluster, attempt)

    answers = await asyncio.gather(*(of(node_id) for node_id in cluster.brokers))
    found = [
        GroupListing(group.group_id, group.protocol_type, group.group_state, group.group_type)
        for answer in answers
        for group in answer.groups
    ]
    return sorted(found)


async def describe_group(cluster: Cluster, group_id: str) -> Group:
    """Return a group with its members, whichever of the two protocols it speaks; state `Dead` where there is none.

    Raises:
        RefusedError: the coordinator refused.

    """

    async def attempt(node_id: int) -> Group:
        try:
            answer: consumer_group_describe.ConsumerGroupDescribeResponse = await cluster.ask(
                ApiKey.CONSUMER_GROUP_DESCRIBE,
                consumer_group_describe.ConsumerGroupDescribeRequest(group_ids=[group_id]),
                node_id=node_id,
            )
        except UnsupportedByBrokerError:
            pass  # no broker that lacks the API has a group of that protocol
        else:
            group = answer.groups[0]
            if group.error_code not in {ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.UNSUPPORTED_VERSION}:
                check(group.error_code, f"group {group_id!r}", group.error_message)
                return _consumer_group(group, node_id)
        classic: describe_groups.DescribeGroupsResponse = await cluster.ask(
            ApiKey.DESCRIBE_GROUPS, describe_groups.DescribeGroupsRequest(groups=[group_id]), node_id=node_id
        )
        found = classic.groups[0]
        if found.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
            return Group(group_id, "Dead", "", "", "", node_id, ())
        check(found.error_code, f"group {group_id!r}", found.error_message)
        return _classic_group(found, node_id)

    return await with_coordinator(cluster, group_id, attempt)


async def committed_offsets(cluster: Cluster, group_id: str) -> dict[TopicPartition, CommittedOffset]:
    """Return every offset that the group has committed; none for a group that doesn't exist.

    Raises:
        RefusedError: the coordinator refused.

    """

    async def attempt(node_id: int) -> dict[TopicPartition, CommittedOffset]:
        connection = await cluster.connection(node_id)
        version = connection.version(ApiKey.OFFSET_FETCH, at_most=_LAST_VERSION_WITH_NAMES)
        request = OffsetFetchRequest(
            group_id=group_id, topics=None, groups=[OffsetFetchRequestGroup(group_id, topics=None)]
        )
        response: OffsetFetchResponse = await connection.request(
            ApiKey.OFFSET_FETCH, request, version=version
        )
        topics: Sequence[Any]
        if version < _FIRST_VERSION_WITH_GROUPS:
            topics, code = response.topics, response.error_code
        else:
            topics, code = response.groups[0].topics, response.groups[0].error_code
        check(code, f"the offsets of group {group_id!r}")
        found = {}
        for topic in topics:
            for partition in topic.partitions:
                name = TopicPartition(topic.name, partition.partition_index)
                check(
                    partition.error_code, f"the offset of group {group_id!r} in {name.topic}-{name.partition}"
                )
                if partition.committed_offset >= 0:
                    found[name] = CommittedOffset(
                        partition.committed_offset, partition.committed_leader_epoch, partition.metadata or ""
                    )
        return found

    return await with_coordinator(cluster, group_id, attempt)


async def commit_offsets(cluster: Cluster, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Set what a group without active members has committed, in each of these partitions.

    Raises:
        RefusedError: UNKNOWN_MEMBER_ID where the group has members, UNKNOWN_TOPIC_OR_PARTITION, ...

    """

    async def attempt(node_id: int) -> None:
        topics: dict[str, OffsetCommitRequestTopic] = {}
        for (name, index), offset in offsets.items():
            topic = topics.setdefault(name, OffsetCommitRequestTopic(name=name))
            topic.partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=index, committed_offset=offset, committed_metadata=""
                )
            )
        request = OffsetCommitRequest(group_id=group_id, topics=list(topics.values()))
        connection = await cluster.connection(node_id)
        response: OffsetCommitResponse = await connection.request(
            ApiKey.OFFSET_COMMIT,
            request,
            version=connection.version(ApiKey.OFFSET_COMMIT, at_most=_LAST_VERSION_WITH_NAMES),
        )
        for answered in response.topics:
            for partition in answered.partitions:
                check(
                    partition.error_code,
                    f"the offset of group {group_id!r} in {answered.name}-{partition.partition_index}",
                )

    await with_coordinator(cluster, group_id, attempt)


async def delete_offsets(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, ErrorCode]:
    """Forget what a group has committed in these partitions; returns how that went for each.

    Raises:
        RefusedError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, ...

    """
    wanted = list(partitions)

    async def attempt(node_id: int) -> dict[TopicPartition, ErrorCode]:
        topics: dict[str, OffsetDeleteRequestTopic] = {}
        for name, index in wanted:
            topic = topics.setdefault(name, OffsetDeleteRequestTopic(name=name))
            topic.partitions.append(OffsetDeleteRequestPartition(index))
        response: OffsetDeleteResponse = await cluster.ask(
            ApiKey.OFFSET_DELETE,
            OffsetDeleteRequest(group_id=group_id, topics=list(topics.values())),
            node_id=node_id,
            retry=False,
        )
        check(response.error_code, f"group {group_id!r}")
        return {
            TopicPartition(answered.name, partition.partition_index): error_code_of(partition.error_code)
            for answered in response.topics
            for partition in answered.partitions
        }

    return await with_coordinator(cluster, group_id, attempt)


async def delete_group(cluster: Cluster, group_id: str) -> None:
    """Delete a group without active members, with all that it has committed.

    Raises:
        RefusedError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, ...

    """

    async def attempt(node_id: int) -> None:
        response: DeleteGroupsResponse = await cluster.ask(
            ApiKey.DELETE_GROUPS, DeleteGroupsRequest(groups_names=[group_id]), node_id=node_id, retry=False
        )
        check(response.results[0].error_code, f"group {group_id!r}")

    await with_coordinator(cluster, group_id, attempt)


# ---- descriptions


def _classic_group(group: describe_groups.DescribedGroup, node_id: int) -> Group:
    is_consumer = group.protocol_type == CONSUMER_PROTOCOL
    return Group(
        group_id=group.group_id,
        state=group.group_state,
        type="classic",
        protocol_type=group.protocol_type,
        assignor=group.protocol_data,
        coordinator=node_id,
        members=tuple(
            GroupMember(
                member_id=member.member_id,
                instance_id=member.group_instance_id,
                client_id=member.client_id,
                host=member.client_host,
                assignment=_read_assignment(member.member_assignment) if is_consumer else (),
            )
            for member in group.members
        ),
    )


def _consumer_group(group: consumer_group_describe.DescribedGroup, node_id: int) -> Group:
    return Group(
        group_id=group.group_id,
        state=group.group_state,
        type="consumer",
        protocol_type=CONSUMER_PROTOCOL,
        assignor=group.assignor_name,
        coordinator=node_id,
        epoch=group.group_epoch,
        members=tuple(
            GroupMember(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                host=member.client_host,
                epoch=member.member_epoch,
                assignment=tuple(
                    TopicPartition(topic.topic_name, index)
                    for topic in member.assignment.topic_partitions
                    for index in topic.partitions
                ),
            )
            for member in group.members
        ),
    )


def _read_assignment(assignment: Buffer) -> tuple[TopicPartition, ...]:
    """The partitions of a consumer; none where its bytes aren't what consumers write: they are the member's own business."""
    if len(assignment) < 2:
        return ()
    (version,) = struct.unpack_from(">h", assignment)
    newest = codec.stored_schema(_ASSIGNMENT).last
    try:
        read = codec.decode_stored(_ASSIGNMENT, min(max(version, 0), newest), assignment, 2)
    except ProtocolError:
        return ()
    return tuple(
        TopicPartition(topic.topic, index) for topic in read.assigned_partitions for index in topic.partitions
    )
