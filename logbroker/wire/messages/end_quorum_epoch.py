"""EndQuorumEpoch (API key 54): EndQuorumEpochRequest v0 to v1 (flexible from v1); EndQuorumEpochResponse v0 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ReplicaInfo:
    """An element of `PartitionData.preferred_candidates`. Version 1."""

    candidate_id: int = 0
    candidate_directory_id: UUID = ZERO_UUID


@dataclass(slots=True)
class EndQuorumEpochRequestPartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = 0
    preferred_successors: list[int] = field(default_factory=list)  # v0
    preferred_candidates: list[ReplicaInfo] = field(default_factory=list)  # v1+


@dataclass(slots=True)
class EndQuorumEpochRequestTopicData:
    """An element of `EndQuorumEpochRequest.topics`. Versions 0 to 1."""

    topic_name: str = ""
    partitions: list[EndQuorumEpochRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class LeaderEndpoint:
    """An element of `EndQuorumEpochRequest.leader_endpoints`. Version 1."""

    name: str = ""
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class EndQuorumEpochRequest:
    """The whole request. Versions 0 to 1."""

    cluster_id: str | None = None
    topics: list[EndQuorumEpochRequestTopicData] = field(default_factory=list)
    leader_endpoints: list[LeaderEndpoint] = field(default_factory=list)  # v1+


@dataclass(slots=True)
class EndQuorumEpochResponsePartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    error_code: int = 0
    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class EndQuorumEpochResponseTopicData:
    """An element of `EndQuorumEpochResponse.topics`. Versions 0 to 1."""

    topic_name: str = ""
    partitions: list[EndQuorumEpochResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `EndQuorumEpochResponse.node_endpoints`. Version 1."""

    node_id: int = 0
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class EndQuorumEpochResponse:
    """The whole response. Versions 0 to 1."""

    error_code: int = 0
    topics: list[EndQuorumEpochResponseTopicData] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v1+


STRUCTS: Structs = {
    ReplicaInfo: (
        Field("candidate_id", "int32", 1, 1),
        Field("candidate_directory_id", "uuid", 1, 1, default=ZERO_UUID),
    ),
    EndQuorumEpochRequestPartitionData: (
        Field("partition_index", "int32", 0, 1),
        Field("leader_id", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
        Field("preferred_successors", "int32", 0, 0, array=True, default=()),
        Field("preferred_candidates", "struct", 1, 1, array=True, item=ReplicaInfo, default=()),
    ),
    EndQuorumEpochRequestTopicData: (
        Field("topic_name", "string", 0, 1, default=""),
        Field("partitions", "struct", 0, 1, array=True, item=EndQuorumEpochRequestPartitionData, default=()),
    ),
    LeaderEndpoint: (
        Field("name", "string", 1, 1, default=""),
        Field("host", "string", 1, 1, default=""),
        Field("port", "uint16", 1, 1),
    ),
    EndQuorumEpochRequest: (
        Field("cluster_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("topics", "struct", 0, 1, array=True, item=EndQuorumEpochRequestTopicData, default=()),
        Field("leader_endpoints", "struct", 1, 1, array=True, item=LeaderEndpoint, default=()),
    ),
    EndQuorumEpochResponsePartitionData: (
        Field("partition_index", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("leader_id", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
    ),
    EndQuorumEpochResponseTopicData: (
        Field("topic_name", "string", 0, 1, default=""),
        Field("partitions", "struct", 0, 1, array=True, item=EndQuorumEpochResponsePartitionData, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 1),
        Field("host", "string", 1, 1, default=""),
        Field("port", "uint16", 1, 1),
    ),
    EndQuorumEpochResponse: (
        Field("error_code", "int16", 0, 1),
        Field("topics", "struct", 0, 1, array=True, item=EndQuorumEpochResponseTopicData, default=()),
        Field(
            "node_endpoints", "struct", 1, 1, array=True, item=NodeEndpoint, tag=0, tagged=(1, 1), default=()
        ),
    ),
}

REQUEST = Message("EndQuorumEpochRequest", EndQuorumEpochRequest, 0, 1, flexible=1, structs=STRUCTS)
RESPONSE = Message("EndQuorumEpochResponse", EndQuorumEpochResponse, 0, 1, flexible=1, structs=STRUCTS)
