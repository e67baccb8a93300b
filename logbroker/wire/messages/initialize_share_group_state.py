"""InitializeShareGroupState (API key 83): InitializeShareGroupStateRequest v0 to v0 (flexible from v0); InitializeShareGroupStateResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PartitionData:
    """An element of `InitializeStateData.partitions`. Version 0."""

    partition: int = 0
    state_epoch: int = 0
    start_offset: int = 0


@dataclass(slots=True)
class InitializeStateData:
    """An element of `InitializeShareGroupStateRequest.topics`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class InitializeShareGroupStateRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[InitializeStateData] = field(default_factory=list)


@dataclass(slots=True)
class PartitionResult:
    """An element of `InitializeStateResult.partitions`. Version 0."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class InitializeStateResult:
    """An element of `InitializeShareGroupStateResponse.results`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class InitializeShareGroupStateResponse:
    """The whole response. Version 0."""

    results: list[InitializeStateResult] = field(default_factory=list)


STRUCTS: Structs = {
    PartitionData: (
        Field("partition", "int32", 0, 0),
        Field("state_epoch", "int32", 0, 0),
        Field("start_offset", "int64", 0, 0),
    ),
    InitializeStateData: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionData, default=()),
    ),
    InitializeShareGroupStateRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=InitializeStateData, default=()),
    ),
    PartitionResult: (
        Field("partition", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
    InitializeStateResult: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionResult, default=()),
    ),
    InitializeShareGroupStateResponse: (
        Field("results", "struct", 0, 0, array=True, item=InitializeStateResult, default=()),
    ),
}

REQUEST = Message(
    "InitializeShareGroupStateRequest", InitializeShareGroupStateRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "InitializeShareGroupStateResponse", InitializeShareGroupStateResponse, 0, 0, flexible=0, structs=STRUCTS
)
