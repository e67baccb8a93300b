"""AlterShareGroupOffsets (API key 91): AlterShareGroupOffsetsRequest v0 to v0 (flexible from v0); AlterShareGroupOffsetsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class AlterShareGroupOffsetsRequestPartition:
    """An element of `AlterShareGroupOffsetsRequestTopic.partitions`. Version 0."""

    partition_index: int = 0
    start_offset: int = 0


@dataclass(slots=True)
class AlterShareGroupOffsetsRequestTopic:
    """An element of `AlterShareGroupOffsetsRequest.topics`. Version 0."""

    topic_name: str = ""
    partitions: list[AlterShareGroupOffsetsRequestPartition] = field(default_factory=list)


@dataclass(slots=True)
class AlterShareGroupOffsetsRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[AlterShareGroupOffsetsRequestTopic] = field(default_factory=list)


@dataclass(slots=True)
class AlterShareGroupOffsetsResponsePartition:
    """An element of `AlterShareGroupOffsetsResponseTopic.partitions`. Version 0."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class AlterShareGroupOffsetsResponseTopic:
    """An element of `AlterShareGroupOffsetsResponse.responses`. Version 0."""

    topic_name: str = ""
    topic_id: UUID = ZERO_UUID
    partitions: list[AlterShareGroupOffsetsResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class AlterShareGroupOffsetsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    responses: list[AlterShareGroupOffsetsResponseTopic] = field(default_factory=list)


STRUCTS: Structs = {
    AlterShareGroupOffsetsRequestPartition: (
        Field("partition_index", "int32", 0, 0),
        Field("start_offset", "int64", 0, 0),
    ),
    AlterShareGroupOffsetsRequestTopic: (
        Field("topic_name", "string", 0, 0, default=""),
        Field(
            "partitions", "struct", 0, 0, array=True, item=AlterShareGroupOffsetsRequestPartition, default=()
        ),
    ),
    AlterShareGroupOffsetsRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=AlterShareGroupOffsetsRequestTopic, default=()),
    ),
    AlterShareGroupOffsetsResponsePartition: (
        Field("partition_index", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
    AlterShareGroupOffsetsResponseTopic: (
        Field("topic_name", "string", 0, 0, default=""),
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field(
            "partitions", "struct", 0, 0, array=True, item=AlterShareGroupOffsetsResponsePartition, default=()
        ),
    ),
    AlterShareGroupOffsetsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("responses", "struct", 0, 0, array=True, item=AlterShareGroupOffsetsResponseTopic, default=()),
    ),
}

REQUEST = Message(
    "AlterShareGroupOffsetsRequest", AlterShareGroupOffsetsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "AlterShareGroupOffsetsResponse", AlterShareGroupOffsetsResponse, 0, 0, flexible=0, structs=STRUCTS
)
