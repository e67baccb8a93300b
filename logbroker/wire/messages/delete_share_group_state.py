"""DeleteShareGroupState (API key 86): DeleteShareGroupStateRequest v0 to v0 (flexible from v0); DeleteShareGroupStateResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PartitionData:
    """An element of `DeleteStateData.partitions`. Version 0."""

    partition: int = 0


@dataclass(slots=True)
class DeleteStateData:
    """An element of `DeleteShareGroupStateRequest.topics`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class DeleteShareGroupStateRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[DeleteStateData] = field(default_factory=list)


@dataclass(slots=True)
class PartitionResult:
    """An element of `DeleteStateResult.partitions`. Version 0."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class DeleteStateResult:
    """An element of `DeleteShareGroupStateResponse.results`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class DeleteShareGroupStateResponse:
    """The whole response. Version 0."""

    results: list[DeleteStateResult] = field(default_factory=list)


STRUCTS: Structs = {
    PartitionData: (Field("partition", "int32", 0, 0),),
    DeleteStateData: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionData, default=()),
    ),
    DeleteShareGroupStateRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=DeleteStateData, default=()),
    ),
    PartitionResult: (
        Field("partition", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
    DeleteStateResult: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "struct", 0, 0, array=True, item=PartitionResult, default=()),
    ),
    DeleteShareGroupStateResponse: (
        Field("results", "struct", 0, 0, array=True, item=DeleteStateResult, default=()),
    ),
}

REQUEST = Message(
    "DeleteShareGroupStateRequest", DeleteShareGroupStateRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "DeleteShareGroupStateResponse", DeleteShareGroupStateResponse, 0, 0, flexible=0, structs=STRUCTS
)
