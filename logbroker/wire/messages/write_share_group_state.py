"""WriteShareGroupState (API key 85): WriteShareGroupStateRequest v0 to v1 (flexible from v0); WriteShareGroupStateResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class StateBatch:
    """An element of `PartitionData.state_batches`. Versions 0 to 1."""

    first_offset: int = 0
    last_offset: int = 0
    delivery_state: int = 0
    delivery_count: int = 0


@dataclass(slots=True)
class PartitionData:
    """An element of `WriteStateData.partitions`. Versions 0 to 1."""

    partition: int = 0
    state_epoch: int = 0
    leader_epoch: int = 0
    start_offset: int = 0
    delivery_complete_count: int = -1  # v1+
    state_batches: list[StateBatch] = field(default_factory=list)


@dataclass(slots=True)
class WriteStateData:
    """An element of `WriteShareGroupStateRequest.topics`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class WriteShareGroupStateRequest:
    """The whole request. Versions 0 to 1."""

    group_id: str = ""
    topics: list[WriteStateData] = field(default_factory=list)


@dataclass(slots=True)
class PartitionResult:
    """An element of `WriteStateResult.partitions`. Versions 0 to 1."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class WriteStateResult:
    """An element of `WriteShareGroupStateResponse.results`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class WriteShareGroupStateResponse:
    """The whole response. Versions 0 to 1."""

    results: list[WriteStateResult] = field(default_factory=list)


STRUCTS: Structs = {
    StateBatch: (
        Field("first_offset", "int64", 0, 1),
        Field("last_offset", "int64", 0, 1),
        Field("delivery_state", "int8", 0, 1),
        Field("delivery_count", "int16", 0, 1),
    ),
    PartitionData: (
        Field("partition", "int32", 0, 1),
        Field("state_epoch", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
        Field("start_offset", "int64", 0, 1),
        Field("delivery_complete_count", "int32", 1, 1, default=-1),
        Field("state_batches", "struct", 0, 1, array=True, item=StateBatch, default=()),
    ),
    WriteStateData: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "struct", 0, 1, array=True, item=PartitionData, default=()),
    ),
    WriteShareGroupStateRequest: (
        Field("group_id", "string", 0, 1, default=""),
        Field("topics", "struct", 0, 1, array=True, item=WriteStateData, default=()),
    ),
    PartitionResult: (
        Field("partition", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    WriteStateResult: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "struct", 0, 1, array=True, item=PartitionResult, default=()),
    ),
    WriteShareGroupStateResponse: (
        Field("results", "struct", 0, 1, array=True, item=WriteStateResult, default=()),
    ),
}

REQUEST = Message(
    "WriteShareGroupStateRequest", WriteShareGroupStateRequest, 0, 1, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "WriteShareGroupStateResponse", WriteShareGroupStateResponse, 0, 1, flexible=0, structs=STRUCTS
)
