"""DescribeProducers (API key 61): DescribeProducersRequest v0 to v0 (flexible from v0); DescribeProducersResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class TopicRequest:
    """An element of `DescribeProducersRequest.topics`. Version 0."""

    name: str = ""
    partition_indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class DescribeProducersRequest:
    """The whole request. Version 0."""

    topics: list[TopicRequest] = field(default_factory=list)


@dataclass(slots=True)
class ProducerState:
    """An element of `PartitionResponse.active_producers`. Version 0."""

    producer_id: int = 0
    producer_epoch: int = 0
    last_sequence: int = -1
    last_timestamp: int = -1
    coordinator_epoch: int = 0
    current_txn_start_offset: int = -1


@dataclass(slots=True)
class PartitionResponse:
    """An element of `TopicResponse.partitions`. Version 0."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    active_producers: list[ProducerState] = field(default_factory=list)


@dataclass(slots=True)
class TopicResponse:
    """An element of `DescribeProducersResponse.topics`. Version 0."""

    name: str = ""
    partitions: list[PartitionResponse] = field(default_factory=list)


@dataclass(slots=True)
class DescribeProducersResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    topics: list[TopicResponse] = field(default_factory=list)


STRUCTS: Structs = {
    TopicRequest: (
        Field("name", "string", 0, 0, default=""),
        Field("partition_indexes", "int32", 0, 0, array=True, default=()),
    ),
    DescribeProducersRequest: (Field("topics", "struct", 0, 0, array=True, item=TopicRequest, default=()),),
    ProducerState: (
        Field("producer_id", "int64", 0, 0),
        Field("producer_epoch", "int32", 0, 0),
        Field("last_sequence", "int32", 0, 0, default=-1),
        Field("last_timestamp", "int64", 0, 0, default=-1),
        Field("coordinator_epoch", "int32", 0, 0),
        Field("current_txn_start_offset", "int64", 0, 0, default=-1),
    ),
    PartitionResponse: (
        Field("partition_index", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("active_producers", "struct", 0, 0, array=True, item=ProducerState, default=()),
    ),
    TopicResponse: (
        Field("name", "string", 0, 0, default=""),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionResponse, default=()),
    ),
    DescribeProducersResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("topics", "struct", 0, 0, array=True, item=TopicResponse, default=()),
    ),
}

REQUEST = Message("DescribeProducersRequest", DescribeProducersRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("DescribeProducersResponse", DescribeProducersResponse, 0, 0, flexible=0, structs=STRUCTS)
