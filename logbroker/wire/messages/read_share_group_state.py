"""ReadShareGroupState (API key 84): ReadShareGroupStateRequest v0 to v0 (flexible from v0); ReadShareGroupStateResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PartitionData:
    """An element of `ReadStateData.partitions`. Version 0."""

    partition: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class ReadStateData:
    """An element of `ReadShareGroupStateRequest.topics`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class ReadShareGroupStateRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[ReadStateData] = field(default_factory=list)


@dataclass(slots=True)
class StateBatch:
    """An element of `PartitionResult.state_batches`. Version 0."""

    first_offset: int = 0
    last_offset: int = 0
    delivery_state: int = 0
    delivery_count: int = 0


@dataclass(slots=True)
class PartitionResult:
    """An element of `ReadStateResult.partitions`. Version 0."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None
    state_epoch: int = 0
    start_offset: int = 0
    state_batches: list[StateBatch] = field(default_factory=list)


@dataclass(slots=True)
class ReadStateResult:
    """An element of `ReadShareGroupStateResponse.results`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class ReadShareGroupStateResponse:
    """The whole response. Version 0."""

    results: list[ReadStateResult] = field(default_factory=list)


STRUCTS: Structs = {
    PartitionData: (
        Field("partition", "int32", 0, 0),
        Field("leader_epoch", "int32", 0, 0),
    ),
    ReadStateData: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionData, default=()),
    ),
    ReadShareGroupStateRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=ReadStateData, default=()),
    ),
    StateBatch: (
        Field("first_offset", "int64", 0, 0),
        Field("last_offset", "int64", 0, 0),
        Field("delivery_state", "int8", 0, 0),
        Field("delivery_count", "int16", 0, 0),
    ),
    PartitionResult: (
        Field("partition", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("state_epoch", "int32", 0, 0),
        Field("start_offset", "int64", 0, 0),
        Field("state_batches", "struct", 0, 0, array=True, item=StateBatch, default=()),
    ),
    ReadStateResult: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionResult, default=()),
    ),
    ReadShareGroupStateResponse: (
        Field("results", "struct", 0, 0, array=True, item=ReadStateResult, default=()),
    ),
}

REQUEST = Message("ReadShareGroupStateRequest", ReadShareGroupStateRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message(
    "ReadShareGroupStateResponse", ReadShareGroupStateResponse, 0, 0, flexible=0, structs=STRUCTS
)
