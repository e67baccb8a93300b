"""FetchSnapshot (API key 59): FetchSnapshotRequest v0 to v1 (flexible from v0); FetchSnapshotResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class FetchSnapshotRequestSnapshotId:
    """The value of `PartitionSnapshot.snapshot_id`. Versions 0 to 1."""

    end_offset: int = 0
    epoch: int = 0


@dataclass(slots=True)
class FetchSnapshotRequestPartitionSnapshot:
    """An element of `TopicSnapshot.partitions`. Versions 0 to 1."""

    partition: int = 0
    current_leader_epoch: int = 0
    snapshot_id: FetchSnapshotRequestSnapshotId = field(default_factory=FetchSnapshotRequestSnapshotId)
    position: int = 0
    replica_directory_id: UUID = ZERO_UUID  # v1+


@dataclass(slots=True)
class FetchSnapshotRequestTopicSnapshot:
    """An element of `FetchSnapshotRequest.topics`. Versions 0 to 1."""

    name: str = ""
    partitions: list[FetchSnapshotRequestPartitionSnapshot] = field(default_factory=list)


@dataclass(slots=True)
class FetchSnapshotRequest:
    """The whole request. Versions 0 to 1."""

    cluster_id: str | None = None
    replica_id: int = -1
    max_bytes: int = 2147483647
    topics: list[FetchSnapshotRequestTopicSnapshot] = field(default_factory=list)


@dataclass(slots=True)
class FetchSnapshotResponseSnapshotId:
    """The value of `PartitionSnapshot.snapshot_id`. Versions 0 to 1."""

    end_offset: int = 0
    epoch: int = 0


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """The value of `PartitionSnapshot.current_leader`. Versions 0 to 1."""

    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class FetchSnapshotResponsePartitionSnapshot:
    """An element of `TopicSnapshot.partitions`. Versions 0 to 1."""

    index: int = 0
    error_code: int = 0
    snapshot_id: FetchSnapshotResponseSnapshotId = field(default_factory=FetchSnapshotResponseSnapshotId)
    current_leader: LeaderIdAndEpoch | None = None
    size: int = 0
    position: int = 0
    unaligned_records: Buffer | list[Buffer] | None = None


@dataclass(slots=True)
class FetchSnapshotResponseTopicSnapshot:
    """An element of `FetchSnapshotResponse.topics`. Versions 0 to 1."""

    name: str = ""
    partitions: list[FetchSnapshotResponsePartitionSnapshot] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `FetchSnapshotResponse.node_endpoints`. Version 1."""

    node_id: int = 0
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class FetchSnapshotResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    topics: list[FetchSnapshotResponseTopicSnapshot] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v1+


STRUCTS: Structs = {
    FetchSnapshotRequestSnapshotId: (
        Field("end_offset", "int64", 0, 1),
        Field("epoch", "int32", 0, 1),
    ),
    FetchSnapshotRequestPartitionSnapshot: (
        Field("partition", "int32", 0, 1),
        Field("current_leader_epoch", "int32", 0, 1),
        Field("snapshot_id", "struct", 0, 1, item=FetchSnapshotRequestSnapshotId, default=None),
        Field("position", "int64", 0, 1),
        Field("replica_directory_id", "uuid", 1, 1, tag=0, tagged=(1, 1), default=ZERO_UUID),
    ),
    FetchSnapshotRequestTopicSnapshot: (
        Field("name", "string", 0, 1, default=""),
        Field(
            "partitions", "struct", 0, 1, array=True, item=FetchSnapshotRequestPartitionSnapshot, default=()
        ),
    ),
    FetchSnapshotRequest: (
        Field("cluster_id", "string", 0, 1, nullable=(0, 1), tag=0, tagged=(0, 1), default=None),
        Field("replica_id", "int32", 0, 1, default=-1),
        Field("max_bytes", "int32", 0, 1, default=2147483647),
        Field("topics", "struct", 0, 1, array=True, item=FetchSnapshotRequestTopicSnapshot, default=()),
    ),
    FetchSnapshotResponseSnapshotId: (
        Field("end_offset", "int64", 0, 1),
        Field("epoch", "int32", 0, 1),
    ),
    LeaderIdAndEpoch: (
        Field("leader_id", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
    ),
    FetchSnapshotResponsePartitionSnapshot: (
        Field("index", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("snapshot_id", "struct", 0, 1, item=FetchSnapshotResponseSnapshotId, default=None),
        Field("current_leader", "struct", 0, 1, item=LeaderIdAndEpoch, tag=0, tagged=(0, 1), default=None),
        Field("size", "int64", 0, 1),
        Field("position", "int64", 0, 1),
        Field("unaligned_records", "records", 0, 1, default=None),
    ),
    FetchSnapshotResponseTopicSnapshot: (
        Field("name", "string", 0, 1, default=""),
        Field(
            "partitions", "struct", 0, 1, array=True, item=FetchSnapshotResponsePartitionSnapshot, default=()
        ),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 1),
        Field("host", "string", 1, 1, default=""),
        Field("port", "uint16", 1, 1),
    ),
    FetchSnapshotResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("topics", "struct", 0, 1, array=True, item=FetchSnapshotResponseTopicSnapshot, default=()),
        Field(
            "node_endpoints", "struct", 1, 1, array=True, item=NodeEndpoint, tag=0, tagged=(1, 1), default=()
        ),
    ),
}

REQUEST = Message("FetchSnapshotRequest", FetchSnapshotRequest, 0, 1, flexible=0, structs=STRUCTS)
RESPONSE = Message("FetchSnapshotResponse", FetchSnapshotResponse, 0, 1, flexible=0, structs=STRUCTS)
