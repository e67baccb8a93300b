"""BeginQuorumEpoch (API key 53): BeginQuorumEpochRequest v0 to v1 (flexible from v1); BeginQuorumEpochResponse v0 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class BeginQuorumEpochRequestPartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    voter_directory_id: UUID = ZERO_UUID  # v1+
    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class BeginQuorumEpochRequestTopicData:
    """An element of `BeginQuorumEpochRequest.topics`. Versions 0 to 1."""

    topic_name: str = ""
    partitions: list[BeginQuorumEpochRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class LeaderEndpoint:
    """An element of `BeginQuorumEpochRequest.leader_endpoints`. Version 1."""

    name: str = ""
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class BeginQuorumEpochRequest:
    """The whole request. Versions 0 to 1."""

    cluster_id: str | None = None
    voter_id: int = -1  # v1+
    topics: list[BeginQuorumEpochRequestTopicData] = field(default_factory=list)
    leader_endpoints: list[LeaderEndpoint] = field(default_factory=list)  # v1+


@dataclass(slots=True)
class BeginQuorumEpochResponsePartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    error_code: int = 0
    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class BeginQuorumEpochResponseTopicData:
    """An element of `BeginQuorumEpochResponse.topics`. Versions 0 to 1."""

    topic_name: str = ""
    partitions: list[BeginQuorumEpochResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `BeginQuorumEpochResponse.node_endpoints`. Version 1."""

    node_id: int = 0
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class BeginQuorumEpochResponse:
    """The whole response. Versions 0 to 1."""

    error_code: int = 0
    topics: list[BeginQuorumEpochResponseTopicData] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v1+


STRUCTS: Structs = {
    BeginQuorumEpochRequestPartitionData: (
        Field("partition_index", "int32", 0, 1),
        Field("voter_directory_id", "uuid", 1, 1, default=ZERO_UUID),
        Field("leader_id", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
    ),
    BeginQuorumEpochRequestTopicData: (
        Field("topic_name", "string", 0, 1, default=""),
        Field(
            "partitions", "struct", 0, 1, array=True, item=BeginQuorumEpochRequestPartitionData, default=()
        ),
    ),
    LeaderEndpoint: (
        Field("name", "string", 1, 1, default=""),
        Field("host", "string", 1, 1, default=""),
        Field("port", "uint16", 1, 1),
    ),
    BeginQuorumEpochRequest: (
        Field("cluster_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("voter_id", "int32", 1, 1, default=-1),
        Field("topics", "struct", 0, 1, array=True, item=BeginQuorumEpochRequestTopicData, default=()),
        Field("leader_endpoints", "struct", 1, 1, array=True, item=LeaderEndpoint, default=()),
    ),
    BeginQuorumEpochResponsePartitionData: (
        Field("partition_index", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("leader_id", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
    ),
    BeginQuorumEpochResponseTopicData: (
        Field("topic_name", "string", 0, 1, default=""),
        Field(
            "partitions", "struct", 0, 1, array=True, item=BeginQuorumEpochResponsePartitionData, default=()
        ),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 1),
        Field("host", "string", 1, 1, default=""),
        Field("port", "uint16", 1, 1),
    ),
    BeginQuorumEpochResponse: (
        Field("error_code", "int16", 0, 1),
        Field("topics", "struct", 0, 1, array=True, item=BeginQuorumEpochResponseTopicData, default=()),
        Field(
            "node_endpoints", "struct", 1, 1, array=True, item=NodeEndpoint, tag=0, tagged=(1, 1), default=()
        ),
    ),
}

REQUEST = Message("BeginQuorumEpochRequest", BeginQuorumEpochRequest, 0, 1, flexible=1, structs=STRUCTS)
RESPONSE = Message("BeginQuorumEpochResponse", BeginQuorumEpochResponse, 0, 1, flexible=1, structs=STRUCTS)
