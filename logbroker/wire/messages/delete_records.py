"""DeleteRecords (API key 21): DeleteRecordsRequest v0 to v2 (flexible from v2); DeleteRecordsResponse v0 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DeleteRecordsPartition:
    """An element of `DeleteRecordsTopic.partitions`. Versions 0 to 2."""

    partition_index: int = 0
    offset: int = 0


@dataclass(slots=True)
class DeleteRecordsTopic:
    """An element of `DeleteRecordsRequest.topics`. Versions 0 to 2."""

    name: str = ""
    partitions: list[DeleteRecordsPartition] = field(default_factory=list)


@dataclass(slots=True)
class DeleteRecordsRequest:
    """The whole request. Versions 0 to 2."""

    topics: list[DeleteRecordsTopic] = field(default_factory=list)
    timeout_ms: int = 0


@dataclass(slots=True)
class DeleteRecordsPartitionResult:
    """An element of `DeleteRecordsTopicResult.partitions`. Versions 0 to 2."""

    partition_index: int = 0
    low_watermark: int = 0
    error_code: int = 0


@dataclass(slots=True)
class DeleteRecordsTopicResult:
    """An element of `DeleteRecordsResponse.topics`. Versions 0 to 2."""

    name: str = ""
    partitions: list[DeleteRecordsPartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class DeleteRecordsResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    topics: list[DeleteRecordsTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    DeleteRecordsPartition: (
        Field("partition_index", "int32", 0, 2),
        Field("offset", "int64", 0, 2),
    ),
    DeleteRecordsTopic: (
        Field("name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=DeleteRecordsPartition, default=()),
    ),
    DeleteRecordsRequest: (
        Field("topics", "struct", 0, 2, array=True, item=DeleteRecordsTopic, default=()),
        Field("timeout_ms", "int32", 0, 2),
    ),
    DeleteRecordsPartitionResult: (
        Field("partition_index", "int32", 0, 2),
        Field("low_watermark", "int64", 0, 2),
        Field("error_code", "int16", 0, 2),
    ),
    DeleteRecordsTopicResult: (
        Field("name", "string", 0, 2, default=""),
        Field("partitions", "struct", 0, 2, array=True, item=DeleteRecordsPartitionResult, default=()),
    ),
    DeleteRecordsResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("topics", "struct", 0, 2, array=True, item=DeleteRecordsTopicResult, default=()),
    ),
}

REQUEST = Message("DeleteRecordsRequest", DeleteRecordsRequest, 0, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message("DeleteRecordsResponse", DeleteRecordsResponse, 0, 2, flexible=2, structs=STRUCTS)
