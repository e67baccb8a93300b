"""OffsetFetch (API key 9): OffsetFetchRequest v1 to v10 (flexible from v6); OffsetFetchResponse v1 to v10 (flexible from v6).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class OffsetFetchRequestTopic:
    """An element of `OffsetFetchRequest.topics`. Versions 1 to 7."""

    name: str = ""
    partition_indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class OffsetFetchRequestTopics:
    """An element of `OffsetFetchRequestGroup.topics`. Versions 8 to 10."""

    name: str = ""  # v8-v9
    topic_id: UUID = ZERO_UUID  # v10+
    partition_indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class OffsetFetchRequestGroup:
    """An element of `OffsetFetchRequest.groups`. Versions 8 to 10."""

    group_id: str = ""
    member_id: str | None = None  # v9+
    member_epoch: int = -1  # v9+
    topics: list[OffsetFetchRequestTopics] | None = field(default_factory=list)


@dataclass(slots=True)
class OffsetFetchRequest:
    """The whole request. Versions 1 to 10."""

    group_id: str = ""  # v1-v7
    topics: list[OffsetFetchRequestTopic] | None = field(default_factory=list)  # v1-v7
    groups: list[OffsetFetchRequestGroup] = field(default_factory=list)  # v8+
    require_stable: bool = False  # v7+


@dataclass(slots=True)
class OffsetFetchResponsePartition:
    """An element of `OffsetFetchResponseTopic.partitions`. Versions 1 to 7."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1  # v5-v7
    metadata: str | None = None
    error_code: int = 0


@dataclass(slots=True)
class OffsetFetchResponseTopic:
    """An element of `OffsetFetchResponse.topics`. Versions 1 to 7."""

    name: str = ""
    partitions: list[OffsetFetchResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetFetchResponsePartitions:
    """An element of `OffsetFetchResponseTopics.partitions`. Versions 8 to 10."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1
    metadata: str | None = None
    error_code: int = 0


@dataclass(slots=True)
class OffsetFetchResponseTopics:
    """An element of `OffsetFetchResponseGroup.topics`. Versions 8 to 10."""

    name: str = ""  # v8-v9
    topic_id: UUID = ZERO_UUID  # v10+
    partitions: list[OffsetFetchResponsePartitions] = field(default_factory=list)


@dataclass(slots=True)
class OffsetFetchResponseGroup:
    """An element of `OffsetFetchResponse.groups`. Versions 8 to 10."""

    group_id: str = ""
    topics: list[OffsetFetchResponseTopics] = field(default_factory=list)
    error_code: int = 0


@dataclass(slots=True)
class OffsetFetchResponse:
    """The whole response. Versions 1 to 10."""

    throttle_time_ms: int = 0  # v3+
    topics: list[OffsetFetchResponseTopic] = field(default_factory=list)  # v1-v7
    error_code: int = 0  # v2-v7
    groups: list[OffsetFetchResponseGroup] = field(default_factory=list)  # v8+


STRUCTS: Structs = {
    OffsetFetchRequestTopic: (
        Field("name", "string", 1, 7, default=""),
        Field("partition_indexes", "int32", 1, 7, array=True, default=()),
    ),
    OffsetFetchRequestTopics: (
        Field("name", "string", 8, 9, default=""),
        Field("topic_id", "uuid", 10, 10, default=ZERO_UUID),
        Field("partition_indexes", "int32", 8, 10, array=True, default=()),
    ),
    OffsetFetchRequestGroup: (
        Field("group_id", "string", 8, 10, default=""),
        Field("member_id", "string", 9, 10, nullable=(9, 10), default=None),
        Field("member_epoch", "int32", 9, 10, default=-1),
        Field(
            "topics", "struct", 8, 10, array=True, item=OffsetFetchRequestTopics, nullable=(8, 10), default=()
        ),
    ),
    OffsetFetchRequest: (
        Field("group_id", "string", 1, 7, default=""),
        Field(
            "topics", "struct", 1, 7, array=True, item=OffsetFetchRequestTopic, nullable=(2, 7), default=()
        ),
        Field("groups", "struct", 8, 10, array=True, item=OffsetFetchRequestGroup, default=()),
        Field("require_stable", "bool", 7, 10, default=False),
    ),
    OffsetFetchResponsePartition: (
        Field("partition_index", "int32", 1, 7),
        Field("committed_offset", "int64", 1, 7),
        Field("committed_leader_epoch", "int32", 5, 7, default=-1),
        Field("metadata", "string", 1, 7, nullable=(1, 7), default=None),
        Field("error_code", "int16", 1, 7),
    ),
    OffsetFetchResponseTopic: (
        Field("name", "string", 1, 7, default=""),
        Field("partitions", "struct", 1, 7, array=True, item=OffsetFetchResponsePartition, default=()),
    ),
    OffsetFetchResponsePartitions: (
        Field("partition_index", "int32", 8, 10),
        Field("committed_offset", "int64", 8, 10),
        Field("committed_leader_epoch", "int32", 8, 10, default=-1),
        Field("metadata", "string", 8, 10, nullable=(8, 10), default=None),
        Field("error_code", "int16", 8, 10),
    ),
    OffsetFetchResponseTopics: (
        Field("name", "string", 8, 9, default=""),
        Field("topic_id", "uuid", 10, 10, default=ZERO_UUID),
        Field("partitions", "struct", 8, 10, array=True, item=OffsetFetchResponsePartitions, default=()),
    ),
    OffsetFetchResponseGroup: (
        Field("group_id", "string", 8, 10, default=""),
        Field("topics", "struct", 8, 10, array=True, item=OffsetFetchResponseTopics, default=()),
        Field("error_code", "int16", 8, 10),
    ),
    OffsetFetchResponse: (
        Field("throttle_time_ms", "int32", 3, 10),
        Field("topics", "struct", 1, 7, array=True, item=OffsetFetchResponseTopic, default=()),
        Field("error_code", "int16", 2, 7),
        Field("groups", "struct", 8, 10, array=True, item=OffsetFetchResponseGroup, default=()),
    ),
}

REQUEST = Message("OffsetFetchRequest", OffsetFetchRequest, 1, 10, flexible=6, structs=STRUCTS)
RESPONSE = Message("OffsetFetchResponse", OffsetFetchResponse, 1, 10, flexible=6, structs=STRUCTS)
