"""ElectLeaders (API key 43): ElectLeadersRequest v0 to v2 (flexible from v2); ElectLeadersResponse v0 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class TopicPartitions:
    """An element of `ElectLeadersRequest.topic_partitions`. Versions 0 to 2."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ElectLeadersRequest:
    """The whole request. Versions 0 to 2."""

    election_type: int = 0  # v1+
    topic_partitions: list[TopicPartitions] | None = field(default_factory=list)
    timeout_ms: int = 60000


@dataclass(slots=True)
class PartitionResult:
    """An element of `ReplicaElectionResult.partition_result`. Versions 0 to 2."""

    partition_id: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class ReplicaElectionResult:
    """An element of `ElectLeadersResponse.replica_election_results`. Versions 0 to 2."""

    topic: str = ""
    partition_result: list[PartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class ElectLeadersResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0  # v1+
    replica_election_results: list[ReplicaElectionResult] = field(default_factory=list)


STRUCTS: Structs = {
    TopicPartitions: (
        Field("topic", "string", 0, 2, default=""),
        Field("partitions", "int32", 0, 2, array=True, default=()),
    ),
    ElectLeadersRequest: (
        Field("election_type", "int8", 1, 2),
        Field(
            "topic_partitions", "struct", 0, 2, array=True, item=TopicPartitions, nullable=(0, 2), default=()
        ),
        Field("timeout_ms", "int32", 0, 2, default=60000),
    ),
    PartitionResult: (
        Field("partition_id", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 0, 2, nullable=(0, 2), default=None),
    ),
    ReplicaElectionResult: (
        Field("topic", "string", 0, 2, default=""),
        Field("partition_result", "struct", 0, 2, array=True, item=PartitionResult, default=()),
    ),
    ElectLeadersResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("error_code", "int16", 1, 2),
        Field("replica_election_results", "struct", 0, 2, array=True, item=ReplicaElectionResult, default=()),
    ),
}

REQUEST = Message("ElectLeadersRequest", ElectLeadersRequest, 0, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message("ElectLeadersResponse", ElectLeadersResponse, 0, 2, flexible=2, structs=STRUCTS)
