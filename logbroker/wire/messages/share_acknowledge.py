"""ShareAcknowledge (API key 79): ShareAcknowledgeRequest v1 to v2 (flexible from v1); ShareAcknowledgeResponse v1 to v2 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class AcknowledgementBatch:
    """An element of `AcknowledgePartition.acknowledgement_batches`. Versions 1 to 2."""

    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: list[int] = field(default_factory=list)


@dataclass(slots=True)
class AcknowledgePartition:
    """An element of `AcknowledgeTopic.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    acknowledgement_batches: list[AcknowledgementBatch] = field(default_factory=list)


@dataclass(slots=True)
class AcknowledgeTopic:
    """An element of `ShareAcknowledgeRequest.topics`. Versions 1 to 2."""

    topic_id: UUID = ZERO_UUID
    partitions: list[AcknowledgePartition] = field(default_factory=list)


@dataclass(slots=True)
class ShareAcknowledgeRequest:
    """The whole request. Versions 1 to 2."""

    group_id: str | None = None
    member_id: str | None = None
    share_session_epoch: int = 0
    is_renew_ack: bool = False  # v2+
    topics: list[AcknowledgeTopic] = field(default_factory=list)


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """The value of `PartitionData.current_leader`. Versions 1 to 2."""

    leader_id: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class PartitionData:
    """An element of `ShareAcknowledgeTopicResponse.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    current_leader: LeaderIdAndEpoch = field(default_factory=LeaderIdAndEpoch)


@dataclass(slots=True)
class ShareAcknowledgeTopicResponse:
    """An element of `ShareAcknowledgeResponse.responses`. Versions 1 to 2."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `ShareAcknowledgeResponse.node_endpoints`. Versions 1 to 2."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


@dataclass(slots=True)
class ShareAcknowledgeResponse:
    """The whole response. Versions 1 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0  # v2+
    responses: list[ShareAcknowledgeTopicResponse] = field(default_factory=list)
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)


STRUCTS: Structs = {
    AcknowledgementBatch: (
        Field("first_offset", "int64", 1, 2),
        Field("last_offset", "int64", 1, 2),
        Field("acknowledge_types", "int8", 1, 2, array=True, default=()),
    ),
    AcknowledgePartition: (
        Field("partition_index", "int32", 1, 2),
        Field("acknowledgement_batches", "struct", 1, 2, array=True, item=AcknowledgementBatch, default=()),
    ),
    AcknowledgeTopic: (
        Field("topic_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("partitions", "struct", 1, 2, array=True, item=AcknowledgePartition, default=()),
    ),
    ShareAcknowledgeRequest: (
        Field("group_id", "string", 1, 2, nullable=(1, 2), default=None),
        Field("member_id", "string", 1, 2, nullable=(1, 2), default=None),
        Field("share_session_epoch", "int32", 1, 2),
        Field("is_renew_ack", "bool", 2, 2, default=False),
        Field("topics", "struct", 1, 2, array=True, item=AcknowledgeTopic, default=()),
    ),
    LeaderIdAndEpoch: (
        Field("leader_id", "int32", 1, 2),
        Field("leader_epoch", "int32", 1, 2),
    ),
    PartitionData: (
        Field("partition_index", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
        Field("error_message", "string", 1, 2, nullable=(1, 2), default=None),
        Field("current_leader", "struct", 1, 2, item=LeaderIdAndEpoch, default=None),
    ),
    ShareAcknowledgeTopicResponse: (
        Field("topic_id", "uuid", 1, 2, default=ZERO_UUID),
        Field("partitions", "struct", 1, 2, array=True, item=PartitionData, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 1, 2),
        Field("host", "string", 1, 2, default=""),
        Field("port", "int32", 1, 2),
        Field("rack", "string", 1, 2, nullable=(1, 2), default=None),
    ),
    ShareAcknowledgeResponse: (
        Field("throttle_time_ms", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
        Field("error_message", "string", 1, 2, nullable=(1, 2), default=None),
        Field("acquisition_lock_timeout_ms", "int32", 2, 2),
        Field("responses", "struct", 1, 2, array=True, item=ShareAcknowledgeTopicResponse, default=()),
        Field("node_endpoints", "struct", 1, 2, array=True, item=NodeEndpoint, default=()),
    ),
}

REQUEST = Message("ShareAcknowledgeRequest", ShareAcknowledgeRequest, 1, 2, flexible=1, structs=STRUCTS)
RESPONSE = Message("ShareAcknowledgeResponse", ShareAcknowledgeResponse, 1, 2, flexible=1, structs=STRUCTS)
