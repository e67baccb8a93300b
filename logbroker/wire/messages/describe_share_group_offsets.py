"""DescribeShareGroupOffsets (API key 90): DescribeShareGroupOffsetsRequest v0 to v1 (flexible from v0); DescribeShareGroupOffsetsResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class DescribeShareGroupOffsetsRequestTopic:
    """An element of `DescribeShareGroupOffsetsRequestGroup.topics`. Versions 0 to 1."""

    topic_name: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class DescribeShareGroupOffsetsRequestGroup:
    """An element of `DescribeShareGroupOffsetsRequest.groups`. Versions 0 to 1."""

    group_id: str = ""
    topics: list[DescribeShareGroupOffsetsRequestTopic] | None = field(default_factory=list)


@dataclass(slots=True)
class DescribeShareGroupOffsetsRequest:
    """The whole request. Versions 0 to 1."""

    groups: list[DescribeShareGroupOffsetsRequestGroup] = field(default_factory=list)


@dataclass(slots=True)
class DescribeShareGroupOffsetsResponsePartition:
    """An element of `DescribeShareGroupOffsetsResponseTopic.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    start_offset: int = 0
    leader_epoch: int = 0
    lag: int = -1  # v1+
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class DescribeShareGroupOffsetsResponseTopic:
    """An element of `DescribeShareGroupOffsetsResponseGroup.topics`. Versions 0 to 1."""

    topic_name: str = ""
    topic_id: UUID = ZERO_UUID
    partitions: list[DescribeShareGroupOffsetsResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class DescribeShareGroupOffsetsResponseGroup:
    """An element of `DescribeShareGroupOffsetsResponse.groups`. Versions 0 to 1."""

    group_id: str = ""
    topics: list[DescribeShareGroupOffsetsResponseTopic] = field(default_factory=list)
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class DescribeShareGroupOffsetsResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    groups: list[DescribeShareGroupOffsetsResponseGroup] = field(default_factory=list)


STRUCTS: Structs = {
    DescribeShareGroupOffsetsRequestTopic: (
        Field("topic_name", "string", 0, 1, default=""),
        Field("partitions", "int32", 0, 1, array=True, default=()),
    ),
    DescribeShareGroupOffsetsRequestGroup: (
        Field("group_id", "string", 0, 1, default=""),
        Field(
            "topics",
            "struct",
            0,
            1,
            array=True,
            item=DescribeShareGroupOffsetsRequestTopic,
            nullable=(0, 1),
            default=(),
        ),
    ),
    DescribeShareGroupOffsetsRequest: (
        Field("groups", "struct", 0, 1, array=True, item=DescribeShareGroupOffsetsRequestGroup, default=()),
    ),
    DescribeShareGroupOffsetsResponsePartition: (
        Field("partition_index", "int32", 0, 1),
        Field("start_offset", "int64", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
        Field("lag", "int64", 1, 1, default=-1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    DescribeShareGroupOffsetsResponseTopic: (
        Field("topic_name", "string", 0, 1, default=""),
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field(
            "partitions",
            "struct",
            0,
            1,
            array=True,
            item=DescribeShareGroupOffsetsResponsePartition,
            default=(),
        ),
    ),
    DescribeShareGroupOffsetsResponseGroup: (
        Field("group_id", "string", 0, 1, default=""),
        Field("topics", "struct", 0, 1, array=True, item=DescribeShareGroupOffsetsResponseTopic, default=()),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    DescribeShareGroupOffsetsResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("groups", "struct", 0, 1, array=True, item=DescribeShareGroupOffsetsResponseGroup, default=()),
    ),
}

REQUEST = Message(
    "DescribeShareGroupOffsetsRequest", DescribeShareGroupOffsetsRequest, 0, 1, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "DescribeShareGroupOffsetsResponse", DescribeShareGroupOffsetsResponse, 0, 1, flexible=0, structs=STRUCTS
)
