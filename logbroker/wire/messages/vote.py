"""Vote (API key 52): VoteRequest v0 to v2 (flexible from v0); VoteResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class VoteRequestPartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 2."""

    partition_index: int = 0
    replica_epoch: int = 0
    replica_id: int = 0
    replica_directory_id: UUID = ZERO_UUID  # v1+
    voter_directory_id: UUID = ZERO_UUID  # v1+
    last_offset_epoch: int = 0
    last_offset: int = 0
    pre_vote: bool = False  # v2+


@dataclass(slots=True)
class VoteRequestTopicData:
    """An element of `VoteRequest.topics`. Versions 0 to 2."""

    topic_name: str = ""
    partitions: list[VoteRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class VoteRequest:
    """The whole request. Versions 0 to 2."""

    cluster_id: str | None = None
    voter_id: int = -1  # v1+
    topics: list[VoteRequestTopicData] = field(default_factory=list)


@dataclass(slots=True)
class VoteResponsePartitionData:
    """An element of `TopicData.partitions`. Versions 0 to 2."""

    partition_index: int = 0
    error_code: int = 0
    leader_id: int = 0
    leader_epoch: int = 0
    vote_granted: bool = False


@dataclass(slots=True)
class VoteResponseTopicData:
    """An element of `VoteResponse.topics`. Versions 0 to 2."""

    topic_name: str = ""
    partitions: list[VoteResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `VoteResponse.node_endpoints`. Versions 1 to 2."""

    node_id: int = 0
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class VoteResponse:
    """The whole response. Versions 0 to 2."""

    error_code: int = 0
    topics: list[VoteResponseTopicData] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v1+


STRUCTS: Structs = {
    VoteRequestPartitionData: (
        Field("partition_index", "int32", 0, 2),
        Field("replica_epoch", "int32", 0, 2),
        Field("replica_id", "int32", 0, 2),
        Field("replica_directory_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("voter_directory_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("last_offset_epoch", "int32", 0, 2),
        Field("last_offset", "int64", 0, 2),
        Field("pre_vote", "bool", 2, 2, default=False),
    ),
    VoteRequestTopicData: (
        Field("topic_name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=VoteRequestPartitionData, default=()),
    ),
    VoteRequest: (
        Field("cluster_id", "string", 0, 2, nullable=(0, 2), default=None),
        Field("voter_id", "int32", 1, 2, default=-1),
        Field("topics", "struct", 0, 2, array=True, item=VoteRequestTopicData, default=()),
    ),
    VoteResponsePartitionData: (
        Field("partition_index", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("leader_id", "int32", 0, 2),
        Field("leader_epoch", "int32", 0, 2),
        Field("vote_granted", "bool", 0, 2, default=False),
    ),
    VoteResponseTopicData: (
        Field("topic_name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=VoteResponsePartitionData, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 2),
        Field("host", "string", 1, 2, default=""),
        Field("port", "uint16", 1, 2),
    ),
    VoteResponse: (
        Field("error_code", "int16", 0, 2),
        Field("topics", "struct", 0, 2, array=True, item=VoteResponseTopicData, default=()),
        Field(
            "node_endpoints", "struct", 1, 2, array=True, item=NodeEndpoint, tag=0, tagged=(1, 2), default=()
        ),
    ),
}

REQUEST = Message("VoteRequest", VoteRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("VoteResponse", VoteResponse, 0, 2, flexible=0, structs=STRUCTS)
