"""ListPartitionReassignments (API key 46): ListPartitionReassignmentsRequest v0 to v0 (flexible from v0); ListPartitionReassignmentsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ListPartitionReassignmentsTopics:
    """An element of `ListPartitionReassignmentsRequest.topics`. Version 0."""

    name: str = ""
    partition_indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ListPartitionReassignmentsRequest:
    """The whole request. Version 0."""

    timeout_ms: int = 60000
    topics: list[ListPartitionReassignmentsTopics] | None = None


@dataclass(slots=True)
class OngoingPartitionReassignment:
    """An element of `OngoingTopicReassignment.partitions`. Version 0."""

    partition_index: int = 0
    replicas: list[int] = field(default_factory=list)
    adding_replicas: list[int] = field(default_factory=list)
    removing_replicas: list[int] = field(default_factory=list)


@dataclass(slots=True)
class OngoingTopicReassignment:
    """An element of `ListPartitionReassignmentsResponse.topics`. Version 0."""

    name: str = ""
    partitions: list[OngoingPartitionReassignment] = field(default_factory=list)


@dataclass(slots=True)
class ListPartitionReassignmentsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    topics: list[OngoingTopicReassignment] = field(default_factory=list)


STRUCTS: Structs = {
    ListPartitionReassignmentsTopics: (
        Field("name", "string", 0, 0, default=""),
        Field("partition_indexes", "int32", 0, 0, array=True, default=()),
    ),
    ListPartitionReassignmentsRequest: (
        Field("timeout_ms", "int32", 0, 0, default=60000),
        Field(
            "topics",
            "struct",
            0,
            0,
            array=True,
            item=ListPartitionReassignmentsTopics,
            nullable=(0, 0),
            default=None,
        ),
    ),
    OngoingPartitionReassignment: (
        Field("partition_index", "int32", 0, 0),
        Field("replicas", "int32", 0, 0, array=True, default=()),
        Field("adding_replicas", "int32", 0, 0, array=True, default=()),
        Field("removing_replicas", "int32", 0, 0, array=True, default=()),
    ),
    OngoingTopicReassignment: (
        Field("name", "string", 0, 0, default=""),
        Field("partitions", "struct", 0, 0, array=True, item=OngoingPartitionReassignment, default=()),
    ),
    ListPartitionReassignmentsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("topics", "struct", 0, 0, array=True, item=OngoingTopicReassignment, default=()),
    ),
}

REQUEST = Message(
    "ListPartitionReassignmentsRequest", ListPartitionReassignmentsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "ListPartitionReassignmentsResponse",
    ListPartitionReassignmentsResponse,
    0,
    0,
    flexible=0,
    structs=STRUCTS,
)
