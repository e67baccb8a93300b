"""OffsetCommit (API key 8): OffsetCommitRequest v2 to v10 (flexible from v8); OffsetCommitResponse v2 to v10 (flexible from v8).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class OffsetCommitRequestPartition:
    """An element of `OffsetCommitRequestTopic.partitions`. Versions 2 to 10."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1  # v6+
    committed_metadata: str | None = None


@dataclass(slots=True)
class OffsetCommitRequestTopic:
    """An element of `OffsetCommitRequest.topics`. Versions 2 to 10."""

    name: str = ""  # v2-v9
    topic_id: UUID = ZERO_UUID  # v10+
    partitions: list[OffsetCommitRequestPartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetCommitRequest:
    """The whole request. Versions 2 to 10."""

    group_id: str = ""
    generation_id_or_member_epoch: int = -1
    member_id: str = ""
    retention_time_ms: int = -1  # v2-v4
    group_instance_id: str | None = None  # v7+
    topics: list[OffsetCommitRequestTopic] = field(default_factory=list)


@dataclass(slots=True)
class OffsetCommitResponsePartition:
    """An element of `OffsetCommitResponseTopic.partitions`. Versions 2 to 10."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class OffsetCommitResponseTopic:
    """An element of `OffsetCommitResponse.topics`. Versions 2 to 10."""

    name: str = ""  # v2-v9
    topic_id: UUID = ZERO_UUID  # v10+
    partitions: list[OffsetCommitResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetCommitResponse:
    """The whole response. Versions 2 to 10."""

    throttle_time_ms: int = 0  # v3+
    topics: list[OffsetCommitResponseTopic] = field(default_factory=list)


STRUCTS: Structs = {
    OffsetCommitRequestPartition: (
        Field("partition_index", "int32", 2, 10),
        Field("committed_offset", "int64", 2, 10),
        Field("committed_leader_epoch", "int32", 6, 10, default=-1),
        Field("committed_metadata", "string", 2, 10, nullable=(2, 10), default=None),
    ),
    OffsetCommitRequestTopic: (
        Field("name", "string", 2, 9, default=""),
        Field("topic_id", "uuid", 10, 10, default=ZERO_UUID),
        Field("partitions", "struct", 2, 10, array=True, item=OffsetCommitRequestPartition, default=()),
    ),
    OffsetCommitRequest: (
        Field("group_id", "string", 2, 10, default=""),
        Field("generation_id_or_member_epoch", "int32", 2, 10, default=-1),
        Field("member_id", "string", 2, 10, default=""),
        Field("retention_time_ms", "int64", 2, 4, default=-1),
        Field("group_instance_id", "string", 7, 10, nullable=(7, 10), default=None),
        Field("topics", "struct", 2, 10, array=True, item=OffsetCommitRequestTopic, default=()),
    ),
    OffsetCommitResponsePartition: (
        Field("partition_index", "int32", 2, 10),
        Field("error_code", "int16", 2, 10),
    ),
    OffsetCommitResponseTopic: (
        Field("name", "string", 2, 9, default=""),
        Field("topic_id", "uuid", 10, 10, default=ZERO_UUID),
        Field("partitions", "struct", 2, 10, array=True, item=OffsetCommitResponsePartition, default=()),
    ),
    OffsetCommitResponse: (
        Field("throttle_time_ms", "int32", 3, 10),
        Field("topics", "struct", 2, 10, array=True, item=OffsetCommitResponseTopic, default=()),
    ),
}

REQUEST = Message("OffsetCommitRequest", OffsetCommitRequest, 2, 10, flexible=8, structs=STRUCTS)
RESPONSE = Message("OffsetCommitResponse", OffsetCommitResponse, 2, 10, flexible=8, structs=STRUCTS)
