"""ListOffsets (API key 2): ListOffsetsRequest v1 to v11 (flexible from v6); ListOffsetsResponse v1 to v11 (flexible from v6).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ListOffsetsPartition:
    """An element of `ListOffsetsTopic.partitions`. Versions 1 to 11."""

    partition_index: int = 0
    current_leader_epoch: int = -1  # v4+
    timestamp: int = 0


@dataclass(slots=True)
class ListOffsetsTopic:
    """An element of `ListOffsetsRequest.topics`. Versions 1 to 11."""

    name: str = ""
    partitions: list[ListOffsetsPartition] = field(default_factory=list)


@dataclass(slots=True)
class ListOffsetsRequest:
    """The whole request. Versions 1 to 11."""

    replica_id: int = 0
    isolation_level: int = 0  # v2+
    topics: list[ListOffsetsTopic] = field(default_factory=list)
    timeout_ms: int = 0  # v10+


@dataclass(slots=True)
class ListOffsetsPartitionResponse:
    """An element of `ListOffsetsTopicResponse.partitions`. Versions 1 to 11."""

    partition_index: int = 0
    error_code: int = 0
    timestamp: int = -1
    offset: int = -1
    leader_epoch: int = -1  # v4+


@dataclass(slots=True)
class ListOffsetsTopicResponse:
    """An element of `ListOffsetsResponse.topics`. Versions 1 to 11."""

    name: str = ""
    partitions: list[ListOffsetsPartitionResponse] = field(default_factory=list)


@dataclass(slots=True)
class ListOffsetsResponse:
    """The whole response. Versions 1 to 11."""

    throttle_time_ms: int = 0  # v2+
    topics: list[ListOffsetsTopicResponse] = field(default_factory=list)


STRUCTS: Structs = {
    ListOffsetsPartition: (
        Field("partition_index", "int32", 1, 11),
        Field("current_leader_epoch", "int32", 4, 11, default=-1),
        Field("timestamp", "int64", 1, 11),
    ),
    ListOffsetsTopic: (
        Field("name", "string", 1, 11, default=""),
        Field("partitions", "struct", 1, 11, array=True, item=ListOffsetsPartition, default=()),
    ),
    ListOffsetsRequest: (
        Field("replica_id", "int32", 1, 11),
        Field("isolation_level", "int8", 2, 11),
        Field("topics", "struct", 1, 11, array=True, item=ListOffsetsTopic, default=()),
        Field("timeout_ms", "int32", 10, 11),
    ),
    ListOffsetsPartitionResponse: (
        Field("partition_index", "int32", 1, 11),
        Field("error_code", "int16", 1, 11),
        Field("timestamp", "int64", 1, 11, default=-1),
        Field("offset", "int64", 1, 11, default=-1),
        Field("leader_epoch", "int32", 4, 11, default=-1),
    ),
    ListOffsetsTopicResponse: (
        Field("name", "string", 1, 11, default=""),
        Field("partitions", "struct", 1, 11, array=True, item=ListOffsetsPartitionResponse, default=()),
    ),
    ListOffsetsResponse: (
        Field("throttle_time_ms", "int32", 2, 11),
        Field("topics", "struct", 1, 11, array=True, item=ListOffsetsTopicResponse, default=()),
    ),
}

REQUEST = Message("ListOffsetsRequest", ListOffsetsRequest, 1, 11, flexible=6, structs=STRUCTS)
RESPONSE = Message("ListOffsetsResponse", ListOffsetsResponse, 1, 11, flexible=6, structs=STRUCTS)
