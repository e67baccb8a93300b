"""ShareFetch (API key 78): ShareFetchRequest v1 to v2 (flexible from v1); ShareFetchResponse v1 to v2 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class AcknowledgementBatch:
    """An element of `FetchPartition.acknowledgement_batches`. Versions 1 to 2."""

    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: list[int] = field(default_factory=list)


@dataclass(slots=True)
class FetchPartition:
    """An element of `FetchTopic.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    acknowledgement_batches: list[AcknowledgementBatch] = field(default_factory=list)


@dataclass(slots=True)
class FetchTopic:
    """An element of `ShareFetchRequest.topics`. Versions 1 to 2."""

    topic_id: UUID = ZERO_UUID
    partitions: list[FetchPartition] = field(default_factory=list)


@dataclass(slots=True)
class ForgottenTopic:
    """An element of `ShareFetchRequest.forgotten_topics_data`. Versions 1 to 2."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ShareFetchRequest:
    """The whole request. Versions 1 to 2."""

    group_id: str | None = None
    member_id: str | None = None
    share_session_epoch: int = 0
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647
    max_records: int = 0
    batch_size: int = 0
    share_acquire_mode: int = 0  # v2+
    is_renew_ack: bool = False  # v2+
    topics: list[FetchTopic] = field(default_factory=list)
    forgotten_topics_data: list[ForgottenTopic] = field(default_factory=list)


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """The value of `PartitionData.current_leader`. Versions 1 to 2."""

    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class AcquiredRecords:
    """An element of `PartitionData.acquired_records`. Versions 1 to 2."""

    first_offset: int = 0
    last_offset: int = 0
    delivery_count: int = 0


@dataclass(slots=True)
class PartitionData:
    """An element of `ShareFetchableTopicResponse.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    acknowledge_error_code: int = 0
    acknowledge_error_message: str | None = None
    current_leader: LeaderIdAndEpoch = field(default_factory=LeaderIdAndEpoch)
    records: Buffer | list[Buffer] | None = None
    acquired_records: list[AcquiredRecords] = field(default_factory=list)


@dataclass(slots=True)
class ShareFetchableTopicResponse:
    """An element of `ShareFetchResponse.responses`. Versions 1 to 2."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `ShareFetchResponse.node_endpoints`. Versions 1 to 2."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


@dataclass(slots=True)
class ShareFetchResponse:
    """The whole response. Versions 1 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0
    responses: list[ShareFetchableTopicResponse] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)


STRUCTS: Structs = {
    AcknowledgementBatch: (
        Field("first_offset", "int64", 1, 2),
        Field("last_offset", "int64", 1, 2),
        Field("acknowledge_types", "int8", 1, 2, array=True, default=()),
    ),
    FetchPartition: (
        Field("partition_index", "int32", 1, 2),
        Field("acknowledgement_batches", "struct", 1, 2, array=True, item=AcknowledgementBatch, default=()),
    ),
    FetchTopic: (
        Field("topic_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("partitions", "struct", 1, 2, array=True, item=FetchPartition, default=()),
    ),
    ForgottenTopic: (
        Field("topic_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("partitions", "int32", 1, 2, array=True, default=()),
    ),
    ShareFetchRequest: (
        Field("group_id", "string", 1, 2, nullable=(1, 2), default=None),
        Field("member_id", "string", 1, 2, nullable=(1, 2), default=None),
        Field("share_session_epoch", "int32", 1, 2),
        Field("max_wait_ms", "int32", 1, 2),
        Field("min_bytes", "int32", 1, 2),
        Field("max_bytes", "int32", 1, 2, default=2147483647),
        Field("max_records", "int32", 1, 2),
        Field("batch_size", "int32", 1, 2),
        Field("share_acquire_mode", "int8", 2, 2),
        Field("is_renew_ack", "bool", 2, 2, default=False),
        Field("topics", "struct", 1, 2, array=True, item=FetchTopic, default=()),
        Field("forgotten_topics_data", "struct", 1, 2, array=True, item=ForgottenTopic, default=()),
    ),
    LeaderIdAndEpoch: (
        Field("leader_id", "int32", 1, 2),
        Field("leader_epoch", "int32", 1, 2),
    ),
    AcquiredRecords: (
        Field("first_offset", "int64", 1, 2),
        Field("last_offset", "int64", 1, 2),
        Field("delivery_count", "int16", 1, 2),
    ),
    PartitionData: (
        Field("partition_index", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
        Field("error_message", "string", 1, 2, nullable=(1, 2), default=None),
        Field("acknowledge_error_code", "int16", 1, 2),
        Field("acknowledge_error_message", "string", 1, 2, nullable=(1, 2), default=None),
        Field("current_leader", "struct", 1, 2, item=LeaderIdAndEpoch, default=None),
        Field("records", "records", 1, 2, default=None),
        Field("acquired_records", "struct", 1, 2, array=True, item=AcquiredRecords, default=()),
    ),
    ShareFetchableTopicResponse: (
        Field("topic_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("partitions", "struct", 1, 2, array=True, item=PartitionData, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 2),
        Field("host", "string", 1, 2, default=""),
        Field("port", "int32", 1, 2),
        Field("rack", "string", 1, 2, nullable=(1, 2), default=None),
    ),
    ShareFetchResponse: (
        Field("throttle_time_ms", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
        Field("error_message", "string", 1, 2, nullable=(1, 2), default=None),
        Field("acquisition_lock_timeout_ms", "int32", 1, 2),
        Field("responses", "struct", 1, 2, array=True, item=ShareFetchableTopicResponse, default=()),
        Field("node_endpoints", "struct", 1, 2, array=True, item=NodeEndpoint, default=()),
    ),
}

REQUEST = Message("ShareFetchRequest", ShareFetchRequest, 1, 2, flexible=1, structs=STRUCTS)
RESPONSE = Message("ShareFetchResponse", ShareFetchResponse, 1, 2, flexible=1, structs=STRUCTS)
