"""AlterPartitionReassignments (API key 45): AlterPartitionReassignmentsRequest v0 to v1 (flexible from v0); AlterPartitionReassignmentsResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ReassignablePartition:
    """An element of `ReassignableTopic.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    replicas: list[int] | None = None


@dataclass(slots=True)
class ReassignableTopic:
    """An element of `AlterPartitionReassignmentsRequest.topics`. Versions 0 to 1."""

    name: str = ""
    partitions: list[ReassignablePartition] = field(default_factory=list)


@dataclass(slots=True)
class AlterPartitionReassignmentsRequest:
    """The whole request. Versions 0 to 1."""

    timeout_ms: int = 60000
    allow_replication_factor_change: bool = True  # v1+
    topics: list[ReassignableTopic] = field(default_factory=list)


@dataclass(slots=True)
class ReassignablePartitionResponse:
    """An element of `ReassignableTopicResponse.partitions`. Versions 0 to 1."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class ReassignableTopicResponse:
    """An element of `AlterPartitionReassignmentsResponse.responses`. Versions 0 to 1."""

    name: str = ""
    partitions: list[ReassignablePartitionResponse] = field(default_factory=list)


@dataclass(slots=True)
class AlterPartitionReassignmentsResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    allow_replication_factor_change: bool = True  # v1+
    error_code: int = 0
    error_message: str | None = None
    responses: list[ReassignableTopicResponse] = field(default_factory=list)


STRUCTS: Structs = {
    ReassignablePartition: (
        Field("partition_index", "int32", 0, 1),
        Field("replicas", "int32", 0, 1, array=True, nullable=(0, 1), default=None),
    ),
    ReassignableTopic: (
        Field("name", "string", 0, 1, default=""),
        Field("partitions", "struct", 0, 1, array=True, item=ReassignablePartition, default=()),
    ),
    AlterPartitionReassignmentsRequest: (
        Field("timeout_ms", "int32", 0, 1, default=60000),
        Field("allow_replication_factor_change", "bool", 1, 1, default=True),
        Field("topics", "struct", 0, 1, array=True, item=ReassignableTopic, default=()),
    ),
    ReassignablePartitionResponse: (
        Field("partition_index", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    ReassignableTopicResponse: (
        Field("name", "string", 0, 1, default=""),
        Field("partitions", "struct", 0, 1, array=True, item=ReassignablePartitionResponse, default=()),
    ),
    AlterPartitionReassignmentsResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("allow_replication_factor_change", "bool", 1, 1, default=True),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("responses", "struct", 0, 1, array=True, item=ReassignableTopicResponse, default=()),
    ),
}

REQUEST = Message(
    "AlterPartitionReassignmentsRequest",
    AlterPartitionReassignmentsRequest,
    0,
    1,
    flexible=0,
    structs=STRUCTS,
)
RESPONSE = Message(
    "AlterPartitionReassignmentsResponse",
    AlterPartitionReassignmentsResponse,
    0,
    1,
    flexible=0,
    structs=STRUCTS,
)
