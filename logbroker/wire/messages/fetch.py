"""Fetch (API key 1): FetchRequest v4 to v18 (flexible from v12); FetchResponse v4 to v18 (flexible from v12).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ReplicaState:
    """The value of `FetchRequest.replica_state`. Versions 15 to 18."""

    replica_id: int = -1
    replica_epoch: int = -1


@dataclass(slots=True)
class FetchPartition:
    """An element of `FetchTopic.partitions`. Versions 4 to 18."""

    partition: int = 0
    current_leader_epoch: int = -1  # v9+
    fetch_offset: int = 0
    last_fetched_epoch: int = -1  # v12+
    log_start_offset: int = -1  # v5+
    partition_max_bytes: int = 0
    replica_directory_id: UUID = ZERO_UUID  # v17+
    high_watermark: int = 9223372036854775807  # v18+


@dataclass(slots=True)
class FetchTopic:
    """An element of `FetchRequest.topics`. Versions 4 to 18."""

    topic: str = ""  # v4-v12
    topic_id: UUID = ZERO_UUID  # v13+
    partitions: list[FetchPartition] = field(default_factory=list)


@dataclass(slots=True)
class ForgottenTopic:
    """An element of `FetchRequest.forgotten_topics_data`. Versions 7 to 18."""

    topic: str = ""  # v7-v12
    topic_id: UUID = ZERO_UUID  # v13+
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class FetchRequest:
    """The whole request. Versions 4 to 18."""

    cluster_id: str | None = None  # v12+
    replica_id: int = -1  # v4-v14
    replica_state: ReplicaState | None = None  # v15+
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647
    isolation_level: int = 0
    session_id: int = 0  # v7+
    session_epoch: int = -1  # v7+
    topics: list[FetchTopic] = field(default_factory=list)
    forgotten_topics_data: list[ForgottenTopic] = field(default_factory=list)  # v7+
    rack_id: str = ""  # v11+


@dataclass(slots=True)
class EpochEndOffset:
    """The value of `PartitionData.diverging_epoch`. Versions 12 to 18."""

    epoch: int = -1
    end_offset: int = -1


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """The value of `PartitionData.current_leader`. Versions 12 to 18."""

    leader_id: int = -1
    leader_epoch: int = -1


@dataclass(slots=True)
class SnapshotId:
    """The value of `PartitionData.snapshot_id`. Versions 12 to 18."""

    end_offset: int = -1
    epoch: int = -1


@dataclass(slots=True)
class AbortedTransaction:
    """An element of `PartitionData.aborted_transactions`. Versions 4 to 18."""

    producer_id: int = 0
    first_offset: int = 0


@dataclass(slots=True)
class PartitionData:
    """An element of `FetchableTopicResponse.partitions`. Versions 4 to 18."""

    partition_index: int = 0
    error_code: int = 0
    high_watermark: int = 0
    last_stable_offset: int = -1
    log_start_offset: int = -1  # v5+
    diverging_epoch: EpochEndOffset | None = None  # v12+
    current_leader: LeaderIdAndEpoch | None = None  # v12+
    snapshot_id: SnapshotId | None = None  # v12+
    aborted_transactions: list[AbortedTransaction] | None = field(default_factory=list)
    preferred_read_replica: int = -1  # v11+
    records: Buffer | list[Buffer] | None = None


@dataclass(slots=True)
class FetchableTopicResponse:
    """An element of `FetchResponse.responses`. Versions 4 to 18."""

    topic: str = ""  # v4-v12
    topic_id: UUID = ZERO_UUID  # v13+
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `FetchResponse.node_endpoints`. Versions 16 to 18."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


@dataclass(slots=True)
class FetchResponse:
    """The whole response. Versions 4 to 18."""

    throttle_time_ms: int = 0
    error_code: int = 0  # v7+
    session_id: int = 0  # v7+
    responses: list[FetchableTopicResponse] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v16+


STRUCTS: Structs = {
    ReplicaState: (
        Field("replica_id", "int32", 15, 18, default=-1),
        Field("replica_epoch", "int64", 15, 18, default=-1),
    ),
    FetchPartition: (
        Field("partition", "int32", 4, 18),
        Field("current_leader_epoch", "int32", 9, 18, default=-1),
        Field("fetch_offset", "int64", 4, 18),
        Field("last_fetched_epoch", "int32", 12, 18, default=-1),
        Field("log_start_offset", "int64", 5, 18, default=-1),
        Field("partition_max_bytes", "int32", 4, 18),
        Field("replica_directory_id", "uuid", 17, 18, tag=0, tagged=(17, 18), default=ZERO_UUID),
        Field("high_watermark", "int64", 18, 18, tag=1, tagged=(18, 18), default=9223372036854775807),
    ),
    FetchTopic: (
        Field("topic", "string", 4, 12, default=""),
        Field("topic_id", "uuid", 13, 18, default=ZERO_UUID),
        Field("partitions", "struct", 4, 18, array=True, item=FetchPartition, default=()),
    ),
    ForgottenTopic: (
        Field("topic", "string", 7, 12, default=""),
        Field("topic_id", "uuid", 13, 18, default=ZERO_UUID),
        Field("partitions", "int32", 7, 18, array=True, default=()),
    ),
    FetchRequest: (
        Field("cluster_id", "string", 12, 18, nullable=(12, 18), tag=0, tagged=(12, 18), default=None),
        Field("replica_id", "int32", 4, 14, default=-1),
        Field("replica_state", "struct", 15, 18, item=ReplicaState, tag=1, tagged=(15, 18), default=None),
        Field("max_wait_ms", "int32", 4, 18),
        Field("min_bytes", "int32", 4, 18),
        Field("max_bytes", "int32", 4, 18, default=2147483647),
        Field("isolation_level", "int8", 4, 18),
        Field("session_id", "int32", 7, 18),
        Field("session_epoch", "int32", 7, 18, default=-1),
        Field("topics", "struct", 4, 18, array=True, item=FetchTopic, default=()),
        Field("forgotten_topics_data", "struct", 7, 18, array=True, item=ForgottenTopic, default=()),
        Field("rack_id", "string", 11, 18, default=""),
    ),
    EpochEndOffset: (
        Field("epoch", "int32", 12, 18, default=-1),
        Field("end_offset", "int64", 12, 18, default=-1),
    ),
    LeaderIdAndEpoch: (
        Field("leader_id", "int32", 12, 18, default=-1),
        Field("leader_epoch", "int32", 12, 18, default=-1),
    ),
    SnapshotId: (
        Field("end_offset", "int64", 12, 18, default=-1),
        Field("epoch", "int32", 12, 18, default=-1),
    ),
    AbortedTransaction: (
        Field("producer_id", "int64", 4, 18),
        Field("first_offset", "int64", 4, 18),
    ),
    PartitionData: (
        Field("partition_index", "int32", 4, 18),
        Field("error_code", "int16", 4, 18),
        Field("high_watermark", "int64", 4, 18),
        Field("last_stable_offset", "int64", 4, 18, default=-1),
        Field("log_start_offset", "int64", 5, 18, default=-1),
        Field("diverging_epoch", "struct", 12, 18, item=EpochEndOffset, tag=0, tagged=(12, 18), default=None),
        Field(
            "current_leader", "struct", 12, 18, item=LeaderIdAndEpoch, tag=1, tagged=(12, 18), default=None
        ),
        Field("snapshot_id", "struct", 12, 18, item=SnapshotId, tag=2, tagged=(12, 18), default=None),
        Field(
            "aborted_transactions",
            "struct",
            4,
            18,
            array=True,
            item=AbortedTransaction,
            nullable=(4, 18),
            default=(),
        ),
        Field("preferred_read_replica", "int32", 11, 18, default=-1),
        Field("records", "records", 4, 18, nullable=(4, 18), default=None),
    ),
    FetchableTopicResponse: (
        Field("topic", "string", 4, 12, default=""),
        Field("topic_id", "uuid", 13, 18, default=ZERO_UUID),
        Field("partitions", "struct", 4, 18, array=True, item=PartitionData, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 16, 18),
        Field("host", "string", 16, 18, default=""),
        Field("port", "int32", 16, 18),
        Field("rack", "string", 16, 18, nullable=(16, 18), default=None),
    ),
    FetchResponse: (
        Field("throttle_time_ms", "int32", 4, 18),
        Field("error_code", "int16", 7, 18),
        Field("session_id", "int32", 7, 18),
        Field("responses", "struct", 4, 18, array=True, item=FetchableTopicResponse, default=()),
        Field(
            "node_endpoints",
            "struct",
            16,
            18,
            array=True,
            item=NodeEndpoint,
            tag=0,
            tagged=(16, 18),
            default=(),
        ),
    ),
}

REQUEST = Message("FetchRequest", FetchRequest, 4, 18, flexible=12, structs=STRUCTS)
RESPONSE = Message("FetchResponse", FetchResponse, 4, 18, flexible=12, structs=STRUCTS)
