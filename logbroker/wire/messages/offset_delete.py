"""OffsetDelete (API key 47): OffsetDeleteRequest v0 to v0 (never flexible); OffsetDeleteResponse v0 to v0 (never flexible).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class OffsetDeleteRequestPartition:
    """An element of `OffsetDeleteRequestTopic.partitions`. Version 0."""

    partition_index: int = 0


@dataclass(slots=True)
class OffsetDeleteRequestTopic:
    """An element of `OffsetDeleteRequest.topics`. Version 0."""

    name: str = ""
    partitions: list[OffsetDeleteRequestPartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetDeleteRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[OffsetDeleteRequestTopic] = field(default_factory=list)


@dataclass(slots=True)
class OffsetDeleteResponsePartition:
    """An element of `OffsetDeleteResponseTopic.partitions`. Version 0."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class OffsetDeleteResponseTopic:
    """An element of `OffsetDeleteResponse.topics`. Version 0."""

    name: str = ""
    partitions: list[OffsetDeleteResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetDeleteResponse:
    """The whole response. Version 0."""

    error_code: int = 0
    throttle_time_ms: int = 0
    topics: list[OffsetDeleteResponseTopic] = field(default_factory=list)


STRUCTS: Structs = {
    OffsetDeleteRequestPartition: (Field("partition_index", "int32", 0, 0),),
    OffsetDeleteRequestTopic: (
        Field("name", "string", 0, 0, default=""),
        Field("partitions", "struct", 0, 0, array=True, item=OffsetDeleteRequestPartition, default=()),
    ),
    OffsetDeleteRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=OffsetDeleteRequestTopic, default=()),
    ),
    OffsetDeleteResponsePartition: (
        Field("partition_index", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
    ),
    OffsetDeleteResponseTopic: (
        Field("name", "string", 0, 0, default=""),
        Field("partitions", "struct", 0, 0, array=True, item=OffsetDeleteResponsePartition, default=()),
    ),
    OffsetDeleteResponse: (
        Field("error_code", "int16", 0, 0),
        Field("throttle_time_ms", "int32", 0, 0),
        Field("topics", "struct", 0, 0, array=True, item=OffsetDeleteResponseTopic, default=()),
    ),
}

REQUEST = Message("OffsetDeleteRequest", OffsetDeleteRequest, 0, 0, flexible=None, structs=STRUCTS)
RESPONSE = Message("OffsetDeleteResponse", OffsetDeleteResponse, 0, 0, flexible=None, structs=STRUCTS)
