"""DescribeTopicPartitions (API key 75): DescribeTopicPartitionsRequest v0 to v0 (flexible from v0); DescribeTopicPartitionsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class TopicRequest:
    """An element of `DescribeTopicPartitionsRequest.topics`. Version 0."""

    name: str = ""


@dataclass(slots=True)
class DescribeTopicPartitionsRequestCursor:
    """The value of `DescribeTopicPartitionsRequest.cursor`. Version 0."""

    topic_name: str = ""
    partition_index: int = 0


@dataclass(slots=True)
class DescribeTopicPartitionsRequest:
    """The whole request. Version 0."""

    topics: list[TopicRequest] = field(default_factory=list)
    response_partition_limit: int = 2000
    cursor: DescribeTopicPartitionsRequestCursor | None = None


@dataclass(slots=True)
class DescribeTopicPartitionsResponsePartition:
    """An element of `DescribeTopicPartitionsResponseTopic.partitions`. Version 0."""

    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1
    replica_nodes: list[int] = field(default_factory=list)
    isr_nodes: list[int] = field(default_factory=list)
    eligible_leader_replicas: list[int] | None = None
    last_known_elr: list[int] | None = None
    offline_replicas: list[int] = field(default_factory=list)


@dataclass(slots=True)
class DescribeTopicPartitionsResponseTopic:
    """An element of `DescribeTopicPartitionsResponse.topics`. Version 0."""

    error_code: int = 0
    name: str | None = None
    topic_id: UUID = ZERO_UUID
    is_internal: bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition] = field(default_factory=list)
    topic_authorized_operations: int = -2147483648


@dataclass(slots=True)
class DescribeTopicPartitionsResponseCursor:
    """The value of `DescribeTopicPartitionsResponse.next_cursor`. Version 0."""

    topic_name: str = ""
    partition_index: int = 0


@dataclass(slots=True)
class DescribeTopicPartitionsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    topics: list[DescribeTopicPartitionsResponseTopic] = field(default_factory=list)
    next_cursor: DescribeTopicPartitionsResponseCursor | None = None


STRUCTS: Structs = {
    TopicRequest: (Field("name", "string", 0, 0, default=""),),
    DescribeTopicPartitionsRequestCursor: (
        Field("topic_name", "string", 0, 0, default=""),
        Field("partition_index", "int32", 0, 0),
    ),
    DescribeTopicPartitionsRequest: (
        Field("topics", "struct", 0, 0, array=True, item=TopicRequest, default=()),
        Field("response_partition_limit", "int32", 0, 0, default=2000),
        Field(
            "cursor", "struct", 0, 0, item=DescribeTopicPartitionsRequestCursor, nullable=(0, 0), default=None
        ),
    ),
    DescribeTopicPartitionsResponsePartition: (
        Field("error_code", "int16", 0, 0),
        Field("partition_index", "int32", 0, 0),
        Field("leader_id", "int32", 0, 0),
        Field("leader_epoch", "int32", 0, 0, default=-1),
        Field("replica_nodes", "int32", 0, 0, array=True, default=()),
        Field("isr_nodes", "int32", 0, 0, array=True, default=()),
        Field("eligible_leader_replicas", "int32", 0, 0, array=True, nullable=(0, 0), default=None),
        Field("last_known_elr", "int32", 0, 0, array=True, nullable=(0, 0), default=None),
        Field("offline_replicas", "int32", 0, 0, array=True, default=()),
    ),
    DescribeTopicPartitionsResponseTopic: (
        Field("error_code", "int16", 0, 0),
        Field("name", "string", 0, 0, nullable=(0, 0), default=None),
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("is_internal", "bool", 0, 0, default=False),
        Field(
            "partitions",
            "struct",
            0,
            0,
            array=True,
            item=DescribeTopicPartitionsResponsePartition,
            default=(),
        ),
        Field("topic_authorized_operations", "int32", 0, 0, default=-2147483648),
    ),
    DescribeTopicPartitionsResponseCursor: (
        Field("topic_name", "string", 0, 0, default=""),
        Field("partition_index", "int32", 0, 0),
    ),
    DescribeTopicPartitionsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("topics", "struct", 0, 0, array=True, item=DescribeTopicPartitionsResponseTopic, default=()),
        Field(
            "next_cursor",
            "struct",
            0,
            0,
            item=DescribeTopicPartitionsResponseCursor,
            nullable=(0, 0),
            default=None,
        ),
    ),
}

REQUEST = Message(
    "DescribeTopicPartitionsRequest", DescribeTopicPartitionsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "DescribeTopicPartitionsResponse", DescribeTopicPartitionsResponse, 0, 0, flexible=0, structs=STRUCTS
)
