"""ReadShareGroupStateSummary (API key 87): ReadShareGroupStateSummaryRequest v0 to v1 (flexible from v0); ReadShareGroupStateSummaryResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PartitionData:
    """An element of `ReadStateSummaryData.partitions`. Versions 0 to 1."""

    partition: int = 0
    leader_epoch: int = 0


@dataclass(slots=True)
class ReadStateSummaryData:
    """An element of `ReadShareGroupStateSummaryRequest.topics`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionData] = field(default_factory=list)


@dataclass(slots=True)
class ReadShareGroupStateSummaryRequest:
    """The whole request. Versions 0 to 1."""

    group_id: str = ""
    topics: list[ReadStateSummaryData] = field(default_factory=list)


@dataclass(slots=True)
class PartitionResult:
    """An element of `ReadStateSummaryResult.partitions`. Versions 0 to 1."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None
    state_epoch: int = 0
    leader_epoch: int = 0
    start_offset: int = 0
    delivery_complete_count: int = -1  # v1+


@dataclass(slots=True)
class ReadStateSummaryResult:
    """An element of `ReadShareGroupStateSummaryResponse.results`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class ReadShareGroupStateSummaryResponse:
    """The whole response. Versions 0 to 1."""

    results: list[ReadStateSummaryResult] = field(default_factory=list)


STRUCTS: Structs = {
    PartitionData: (
        Field("partition", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
    ),
    ReadStateSummaryData: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "struct", 0, 1, array=True, item=PartitionData, default=()),
    ),
    ReadShareGroupStateSummaryRequest: (
        Field("group_id", "string", 0, 1, default=""),
        Field("topics", "struct", 0, 1, array=True, item=ReadStateSummaryData, default=()),
    ),
    PartitionResult: (
        Field("partition", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("state_epoch", "int32", 0, 1),
        Field("leader_epoch", "int32", 0, 1),
        Field("start_offset", "int64", 0, 1),
        Field("delivery_complete_count", "int32", 1, 1, default=-1),
    ),
    ReadStateSummaryResult: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "struct", 0, 1, array=True, item=PartitionResult, default=()),
    ),
    ReadShareGroupStateSummaryResponse: (
        Field("results", "struct", 0, 1, array=True, item=ReadStateSummaryResult, default=()),
    ),
}

REQUEST = Message(
    "ReadShareGroupStateSummaryRequest", ReadShareGroupStateSummaryRequest, 0, 1, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "ReadShareGroupStateSummaryResponse",
    ReadShareGroupStateSummaryResponse,
    0,
    1,
    flexible=0,
    structs=STRUCTS,
)
