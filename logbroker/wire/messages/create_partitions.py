"""CreatePartitions (API key 37): CreatePartitionsRequest v0 to v3 (flexible from v2); CreatePartitionsResponse v0 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class CreatePartitionsAssignment:
    """An element of `CreatePartitionsTopic.assignments`. Versions 0 to 3."""

    broker_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class CreatePartitionsTopic:
    """An element of `CreatePartitionsRequest.topics`. Versions 0 to 3."""

    name: str = ""
    count: int = 0
    assignments: list[CreatePartitionsAssignment] | None = field(default_factory=list)


@dataclass(slots=True)
class CreatePartitionsRequest:
    """The whole request. Versions 0 to 3."""

    topics: list[CreatePartitionsTopic] = field(default_factory=list)
    timeout_ms: int = 0
    validate_only: bool = False


@dataclass(slots=True)
class CreatePartitionsTopicResult:
    """An element of `CreatePartitionsResponse.results`. Versions 0 to 3."""

    name: str = ""
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class CreatePartitionsResponse:
    """The whole response. Versions 0 to 3."""

    throttle_time_ms: int = 0
    results: list[CreatePartitionsTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    CreatePartitionsAssignment: (Field("broker_ids", "int32", 0, 3, array=True, default=()),),
    CreatePartitionsTopic: (
        Field("name", "string", 0, 3, default=""),
        Field("count", "int32", 0, 3),
        Field(
            "assignments",
            "struct",
            0,
            3,
            array=True,
            item=CreatePartitionsAssignment,
            nullable=(0, 3),
            default=(),
        ),
    ),
    CreatePartitionsRequest: (
        Field("topics", "struct", 0, 3, array=True, item=CreatePartitionsTopic, default=()),
        Field("timeout_ms", "int32", 0, 3),
        Field("validate_only", "bool", 0, 3, default=False),
    ),
    CreatePartitionsTopicResult: (
        Field("name", "string", 0, 3, default=""),
        Field("error_code", "int16", 0, 3),
        Field("error_message", "string", 0, 3, nullable=(0, 3), default=None),
    ),
    CreatePartitionsResponse: (
        Field("throttle_time_ms", "int32", 0, 3),
        Field("results", "struct", 0, 3, array=True, item=CreatePartitionsTopicResult, default=()),
    ),
}

REQUEST = Message("CreatePartitionsRequest", CreatePartitionsRequest, 0, 3, flexible=2, structs=STRUCTS)
RESPONSE = Message("CreatePartitionsResponse", CreatePartitionsResponse, 0, 3, flexible=2, structs=STRUCTS)
