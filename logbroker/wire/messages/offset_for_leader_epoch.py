"""OffsetForLeaderEpoch (API key 23): OffsetForLeaderEpochRequest v2 to v4 (flexible from v4); OffsetForLeaderEpochResponse v2 to v4 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class OffsetForLeaderPartition:
    """An element of `OffsetForLeaderTopic.partitions`. Versions 2 to 4."""

    partition: int = 0
    current_leader_epoch: int = -1
    leader_epoch: int = 0


@dataclass(slots=True)
class OffsetForLeaderTopic:
    """An element of `OffsetForLeaderEpochRequest.topics`. Versions 2 to 4."""

    topic: str = ""
    partitions: list[OffsetForLeaderPartition] = field(default_factory=list)


@dataclass(slots=True)
class OffsetForLeaderEpochRequest:
    """The whole request. Versions 2 to 4."""

    replica_id: int = -2  # v3+
    topics: list[OffsetForLeaderTopic] = field(default_factory=list)


@dataclass(slots=True)
class EpochEndOffset:
    """An element of `OffsetForLeaderTopicResult.partitions`. Versions 2 to 4."""

    error_code: int = 0
    partition: int = 0
    leader_epoch: int = -1
    end_offset: int = -1


@dataclass(slots=True)
class OffsetForLeaderTopicResult:
    """An element of `OffsetForLeaderEpochResponse.topics`. Versions 2 to 4."""

    topic: str = ""
    partitions: list[EpochEndOffset] = field(default_factory=list)


@dataclass(slots=True)
class OffsetForLeaderEpochResponse:
    """The whole response. Versions 2 to 4."""

    throttle_time_ms: int = 0
    topics: list[OffsetForLeaderTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    OffsetForLeaderPartition: (
        Field("partition", "int32", 2, 4),
        Field("current_leader_epoch", "int32", 2, 4, default=-1),
        Field("leader_epoch", "int32", 2, 4),
    ),
    OffsetForLeaderTopic: (
        Field("topic", "string", 2, 4, default=""),
        Field("partitions", "struct", 2, 4, array=True, item=OffsetForLeaderPartition, default=()),
    ),
    OffsetForLeaderEpochRequest: (
        Field("replica_id", "int32", 3, 4, default=-2),
        Field("topics", "struct", 2, 4, array=True, item=OffsetForLeaderTopic, default=()),
    ),
    EpochEndOffset: (
        Field("error_code", "int16", 2, 4),
        Field("partition", "int32", 2, 4),
        Field("leader_epoch", "int32", 2, 4, default=-1),
        Field("end_offset", "int64", 2, 4, default=-1),
    ),
    OffsetForLeaderTopicResult: (
        Field("topic", "string", 2, 4, default=""),
        Field("partitions", "struct", 2, 4, array=True, item=EpochEndOffset, default=()),
    ),
    OffsetForLeaderEpochResponse: (
        Field("throttle_time_ms", "int32", 2, 4),
        Field("topics", "struct", 2, 4, array=True, item=OffsetForLeaderTopicResult, default=()),
    ),
}

REQUEST = Message(
    "OffsetForLeaderEpochRequest", OffsetForLeaderEpochRequest, 2, 4, flexible=4, structs=STRUCTS
)
RESPONSE = Message(
    "OffsetForLeaderEpochResponse", OffsetForLeaderEpochResponse, 2, 4, flexible=4, structs=STRUCTS
)
