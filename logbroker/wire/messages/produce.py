"""Produce (API key 0): ProduceRequest v3 to v13 (flexible from v9); ProduceResponse v3 to v13 (flexible from v9).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PartitionProduceData:
    """An element of `TopicProduceData.partition_data`. Versions 3 to 13."""

    index: int = 0
    records: Buffer | None = None


@dataclass(slots=True)
class TopicProduceData:
    """An element of `ProduceRequest.topic_data`. Versions 3 to 13."""

    name: str = ""  # v3-v12
    topic_id: UUID = ZERO_UUID  # v13+
    partition_data: list[PartitionProduceData] = field(default_factory=list)


@dataclass(slots=True)
class ProduceRequest:
    """The whole request. Versions 3 to 13."""

    transactional_id: str | None = None
    acks: int = 0
    timeout_ms: int = 0
    topic_data: list[TopicProduceData] = field(default_factory=list)


@dataclass(slots=True)
class BatchIndexAndErrorMessage:
    """An element of `PartitionProduceResponse.record_errors`. Versions 8 to 13."""

    batch_index: int = 0
    batch_index_error_message: str | None = None


@dataclass(slots=True)
class LeaderIdAndEpoch:
    """The value of `PartitionProduceResponse.current_leader`. Versions 10 to 13."""

    leader_id: int = -1
    leader_epoch: int = -1


@dataclass(slots=True)
class PartitionProduceResponse:
    """An element of `TopicProduceResponse.partition_responses`. Versions 3 to 13."""

    index: int = 0
    error_code: int = 0
    base_offset: int = 0
    log_append_time_ms: int = -1
    log_start_offset: int = -1  # v5+
    record_errors: list[BatchIndexAndErrorMessage] = field(default_factory=list)  # v8+
    error_message: str | None = None  # v8+
    current_leader: LeaderIdAndEpoch | None = None  # v10+


@dataclass(slots=True)
class TopicProduceResponse:
    """An element of `ProduceResponse.responses`. Versions 3 to 13."""

    name: str = ""  # v3-v12
    topic_id: UUID = ZERO_UUID  # v13+
    partition_responses: list[PartitionProduceResponse] = field(default_factory=list)


@dataclass(slots=True)
class NodeEndpoint:
    """An element of `ProduceResponse.node_endpoints`. Versions 10 to 13."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


@dataclass(slots=True)
class ProduceResponse:
    """The whole response. Versions 3 to 13."""

    responses: list[TopicProduceResponse] = field(default_factory=list)
    throttle_time_ms: int = 0
    node_endpoints: list[NodeEndpoint] = field(default_factory=list)  # v10+


STRUCTS: Structs = {
    PartitionProduceData: (
        Field("index", "int32", 3, 13),
        Field("records", "records", 3, 13, nullable=(3, 13), default=None),
    ),
    TopicProduceData: (
        Field("name", "string", 3, 12, default=""),
        Field("topic_id", "uuid", 13, 13, default=ZERO_UUID),
        Field("partition_data", "struct", 3, 13, array=True, item=PartitionProduceData, default=()),
    ),
    ProduceRequest: (
        Field("transactional_id", "string", 3, 13, nullable=(3, 13), default=None),
        Field("acks", "int16", 3, 13),
        Field("timeout_ms", "int32", 3, 13),
        Field("topic_data", "struct", 3, 13, array=True, item=TopicProduceData, default=()),
    ),
    BatchIndexAndErrorMessage: (
        Field("batch_index", "int32", 8, 13),
        Field("batch_index_error_message", "string", 8, 13, nullable=(8, 13), default=None),
    ),
    LeaderIdAndEpoch: (
        Field("leader_id", "int32", 10, 13, default=-1),
        Field("leader_epoch", "int32", 10, 13, default=-1),
    ),
    PartitionProduceResponse: (
        Field("index", "int32", 3, 13),
        Field("error_code", "int16", 3, 13),
        Field("base_offset", "int64", 3, 13),
        Field("log_append_time_ms", "int64", 3, 13, default=-1),
        Field("log_start_offset", "int64", 5, 13, default=-1),
        Field("record_errors", "struct", 8, 13, array=True, item=BatchIndexAndErrorMessage, default=()),
        Field("error_message", "string", 8, 13, nullable=(8, 13), default=None),
        Field(
            "current_leader", "struct", 10, 13, item=LeaderIdAndEpoch, tag=0, tagged=(10, 13), default=None
        ),
    ),
    TopicProduceResponse: (
        Field("name", "string", 3, 12, default=""),
        Field("topic_id", "uuid", 13, 13, default=ZERO_UUID),
        Field("partition_responses", "struct", 3, 13, array=True, item=PartitionProduceResponse, default=()),
    ),
    NodeEndpoint: (
        Field("node_id", "int32", 10, 13),
        Field("host", "string", 10, 13, default=""),
        Field("port", "int32", 10, 13),
        Field("rack", "string", 10, 13, nullable=(10, 13), default=None),
    ),
    ProduceResponse: (
        Field("responses", "struct", 3, 13, array=True, item=TopicProduceResponse, default=()),
        Field("throttle_time_ms", "int32", 3, 13),
        Field(
            "node_endpoints",
            "struct",
            10,
            13,
            array=True,
            item=NodeEndpoint,
            tag=0,
            tagged=(10, 13),
            default=(),
        ),
    ),
}

REQUEST = Message("ProduceRequest", ProduceRequest, 3, 13, flexible=9, structs=STRUCTS)
RESPONSE = Message("ProduceResponse", ProduceResponse, 3, 13, flexible=9, structs=STRUCTS)
