"""What a broker holds while it is fuzzed: made anew, and looked up, so that frames can name members and transactions that exist.

Each call of `look_around` joins a few members, begins a few transactions, and asks the broker for all that there are: what the frames before have
made of them is the ground the next ones stand on. Any answer will do; only silence is an error.
"""

from __future__ import annotations

from typing import Any, Final

from logbroker.testing.frame_fuzz import World
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.list_transactions import ListTransactionsRequest
from logbroker.wire.messages.metadata import MetadataRequest
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

CONSUMER_GROUPS: Final = ("cg-0", "cg-1")
TOPICS: Final = 12
"""Topics that are made again when frames have deleted them."""
PARTITIONS: Final = 4
KNOWN_MAX: Final = 12
"""Members and transactions of each kind that frames are told of: with fewer, they meet."""

_JOIN_VERSION: Final = 3
"""The last that gives a member its id at once."""


def look_around(client: WireClient, world: World, chunk: int) -> set[str]:
    """Make and look up what frames may name; returns the names of all topics."""
    wanted = [CreatableTopic(name, PARTITIONS, 1) for name in world.topics[:TOPICS]]
    client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=wanted))
    topics = client.call(ApiKey.METADATA, MetadataRequest(topics=None)).topics
    world.topic_ids[:] = [topic.topic_id for topic in topics if topic.name in world.topics]
    for key_type in (0, 1):
        client.call(
            ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key_type=key_type, coordinator_keys=["x"])
        )
    world.memberships[:] = [
        *_classic_members(client, f"jg-{chunk}"),
        *_consumer_members(client, world, chunk),
        *_other_members(client),
    ]
    _begin_transactions(client, world)
    world.transactions[:] = _transactions(client)
    return {topic.name for topic in topics}


def _classic_members(client: WireClient, group: str) -> list[tuple[str, str, int]]:
    """One member of a new group, and it has its assignment."""
    joined = client.call(
        ApiKey.JOIN_GROUP,
        JoinGroupRequest(
            group, 10_000, 10_000, "", None, "consumer", [JoinGroupRequestProtocol("range", b"")]
        ),
        _JOIN_VERSION,
    )
    if joined.error_code:
        return []
    client.call(
        ApiKey.SYNC_GROUP,
        SyncGroupRequest(
            group,
            joined.generation_id,
            joined.member_id,
            assignments=[SyncGroupRequestAssignment(joined.member_id, b"all")],
        ),
        3,
    )
    return [(group, joined.member_id, joined.generation_id)]


def _consumer_members(client: WireClient, world: World, chunk: int) -> list[tuple[str, str, int]]:
    """One more member in each group under the consumer protocol, and all that are there."""
    for group in CONSUMER_GROUPS:
        request = ConsumerGroupHeartbeatRequest(
            group,
            f"member-{chunk}",
            0,
            rebalance_timeout_ms=10_000,
            subscribed_topic_names=world.topics[:4],
            topic_partitions=[],
        )
        client.call(ApiKey.CONSUMER_GROUP_HEARTBEAT, request)
    described = client.call(
        ApiKey.CONSUMER_GROUP_DESCRIBE, ConsumerGroupDescribeRequest(list(CONSUMER_GROUPS))
    )
    return [
        (group.group_id, member.member_id, member.member_epoch)
        for group in described.groups
        for member in group.members[-KNOWN_MAX:]
    ]


def _other_members(client: WireClient) -> list[tuple[str, str, int]]:
    """Members that frames have brought about; what DescribeGroups doesn't tell is their generation."""
    listed = client.call(ApiKey.LIST_GROUPS, ListGroupsRequest()).groups
    names = [group.group_id for group in listed if group.group_type == "classic"]
    described = client.call(ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(names))
    found = [(group.group_id, member.member_id, 1) for group in described.groups for member in group.members]
    return found[-KNOWN_MAX:]


def _begin_transactions(client: WireClient, world: World) -> None:
    for transactional_id in world.transactional_ids:
        answer: Any = client.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(transactional_id, 60_000), 5)
        if not answer.error_code:
            topics = [AddPartitionsToTxnTopic(world.topics[0], [0])]
            request = AddPartitionsToTxnRequest(
                transactional_id, answer.producer_id, answer.producer_epoch, topics
            )
            client.call(ApiKey.ADD_PARTITIONS_TO_TXN, request, 3)


def _transactions(client: WireClient) -> list[tuple[str, int, int]]:
    listed = client.call(ApiKey.LIST_TRANSACTIONS, ListTransactionsRequest()).transaction_states
    names = [each.transactional_id for each in listed][:KNOWN_MAX]
    described = client.call(ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest(names))
    return [
        (each.transactional_id, each.producer_id, each.producer_epoch)
        for each in described.transaction_states
        if not each.error_code
    ]
