"""DescribeQuorum (API key 55): DescribeQuorumRequest v0 to v2 (flexible from v0); DescribeQuorumResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class DescribeQuorumRequestPartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 2."""

    partition_index: int = 0


@dataclass(slots=True)
class DescribeQuorumRequestTopicData:
    """An element of `DescribeQuorumRequest.topics`. Versions 0 to 2."""

    topic_name: str = ""
    partitions: list[DescribeQuorumRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class DescribeQuorumRequest:
    """The whole request. Versions 0 to 2."""

    topics: list[DescribeQuorumRequestTopicData] = field(default_factory=list)


@dataclass(slots=True)
class ReplicaState:
    """An element of `PartitionData.current_voters` and `PartitionData.observers`. Versions 0 to 2."""

    replica_id: int = 0
    replica_directory_id: UUID = ZERO_UUID  # v2+
    log_end_offset: int = 0
    last_fetch_timestamp: int = -1  # v1+
    last_caught_up_timestamp: int = -1  # v1+


@dataclass(slots=True)
class DescribeQuorumResponsePartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 2."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None  # v2+
    leader_id: int = 0
    leader_epoch: int = 0
    high_watermark: int = 0
    current_voters: list[ReplicaState] = field(default_factory=list)
    observers: list[ReplicaState] = field(default_factory=list)


@dataclass(slots=True)
class DescribeQuorumResponseTopicData:
    """An element of `DescribeQuorumResponse.topics`. Versions 0 to 2."""

    topic_name: str = ""
    partitions: list[DescribeQuorumResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class Listener:
    """An element of `Node.listeners`. Version 2."""

    name: str = ""
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class Node:
    """An element of `DescribeQuorumResponse.nodes`. Version 2."""

    node_id: int = 0
    listeners: list[Listener] = field(default_factory=list)


@dataclass(slots=True)
class DescribeQuorumResponse:
    """The whole response. Versions 0 to 2."""

    error_code: int = 0
    error_message: str | None = None  # v2+
    topics: list[DescribeQuorumResponseTopicData] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)  # v2+


STRUCTS: Structs = {
    DescribeQuorumRequestPartitionData: (Field("partition_index", "int32", 0, 2),),
    DescribeQuorumRequestTopicData: (
        Field("topic_name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=DescribeQuorumRequestPartitionData, default=()),
    ),
    DescribeQuorumRequest: (
        Field("topics", "struct", 0, 2, array=True, item=DescribeQuorumRequestTopicData, default=()),
    ),
    ReplicaState: (
        Field("replica_id", "int32", 0, 2),
        Field("replica_directory_id", "uuid", 2, 2, default=ZERO_UUID),
        Field("log_end_offset", "int64", 0, 2),
        Field("last_fetch_timestamp", "int64", 1, 2, default=-1),
        Field("last_caught_up_timestamp", "int64", 1, 2, default=-1),
    ),
    DescribeQuorumResponsePartitionData: (
        Field("partition_index", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 2, 2, nullable=(2, 2), default=None),
        Field("leader_id", "int32", 0, 2),
        Field("leader_epoch", "int32", 0, 2),
        Field("high_watermark", "int64", 0, 2),
        Field("current_voters", "struct", 0, 2, array=True, item=ReplicaState, default=()),
        Field("observers", "struct", 0, 2, array=True, item=ReplicaState, default=()),
    ),
    DescribeQuorumResponseTopicData: (
        Field("topic_name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=DescribeQuorumResponsePartitionData, default=()),
    ),
    Listener: (
        Field("name", "string", 2, 2, default=""),
        Field("host", "string", 2, 2, default=""),
        Field("port", "uint16", 2, 2),
    ),
    Node: (
        Field("node_id", "int32", 2, 2),
        Field("listeners", "struct", 2, 2, array=True, item=Listener, default=()),
    ),
    DescribeQuorumResponse: (
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 2, 2, nullable=(2, 2), default=None),
        Field("topics", "struct", 0, 2, array=True, item=DescribeQuorumResponseTopicData, default=()),
        Field("nodes", "struct", 2, 2, array=True, item=Node, default=()),
    ),
}

REQUEST = Message("DescribeQuorumRequest", DescribeQuorumRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("DescribeQuorumResponse", DescribeQuorumResponse, 0, 2, flexible=0, structs=STRUCTS)
