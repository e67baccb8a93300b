"""CreateTopics (API key 19): CreateTopicsRequest v2 to v7 (flexible from v5); CreateTopicsResponse v2 to v7 (flexible from v5).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class CreatableReplicaAssignment:
    """An element of `CreatableTopic.assignments`. Versions 2 to 7."""

    partition_index: int = 0
    broker_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class CreatableTopicConfig:
    """An element of `CreatableTopic.configs`. Versions 2 to 7."""

    name: str = ""
    value: str | None = None


@dataclass(slots=True)
class CreatableTopic:
    """An element of `CreateTopicsRequest.topics`. Versions 2 to 7."""

    name: str = ""
    num_partitions: int = 0
    replication_factor: int = 0
    assignments: list[CreatableReplicaAssignment] = field(default_factory=list)
    configs: list[CreatableTopicConfig] = field(default_factory=list)


@dataclass(slots=True)
class CreateTopicsRequest:
    """The whole request. Versions 2 to 7."""

    topics: list[CreatableTopic] = field(default_factory=list)
    timeout_ms: int = 60000
    validate_only: bool = False


@dataclass(slots=True)
class CreatableTopicConfigs:
    """An element of `CreatableTopicResult.configs`. Versions 5 to 7."""

    name: str = ""
    value: str | None = None
    read_only: bool = False
    config_source: int = -1
    is_sensitive: bool = False


@dataclass(slots=True)
class CreatableTopicResult:
    """An element of `CreateTopicsResponse.topics`. Versions 2 to 7."""

    name: str = ""
    topic_id: UUID = ZERO_UUID  # v7+
    error_code: int = 0
    error_message: str | None = None
    topic_config_error_code: int = 0  # v5+
    num_partitions: int = -1  # v5+
    replication_factor: int = -1  # v5+
    configs: list[CreatableTopicConfigs] | None = field(default_factory=list)  # v5+


@dataclass(slots=True)
class CreateTopicsResponse:
    """The whole response. Versions 2 to 7."""

    throttle_time_ms: int = 0
    topics: list[CreatableTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    CreatableReplicaAssignment: (
        Field("partition_index", "int32", 2, 7),
        Field("broker_ids", "int32", 2, 7, array=True, default=()),
    ),
    CreatableTopicConfig: (
        Field("name", "string", 2, 7, default=""),
        Field("value", "string", 2, 7, nullable=(2, 7), default=None),
    ),
    CreatableTopic: (
        Field("name", "string", 2, 7, default=""),
        Field("num_partitions", "int32", 2, 7),
        Field("replication_factor", "int16", 2, 7),
        Field("assignments", "struct", 2, 7, array=True, item=CreatableReplicaAssignment, default=()),
        Field("configs", "struct", 2, 7, array=True, item=CreatableTopicConfig, default=()),
    ),
    CreateTopicsRequest: (
        Field("topics", "struct", 2, 7, array=True, item=CreatableTopic, default=()),
        Field("timeout_ms", "int32", 2, 7, default=60000),
        Field("validate_only", "bool", 2, 7, default=False),
    ),
    CreatableTopicConfigs: (
        Field("name", "string", 5, 7, default=""),
        Field("value", "string", 5, 7, nullable=(5, 7), default=None),
        Field("read_only", "bool", 5, 7, default=False),
        Field("config_source", "int8", 5, 7, default=-1),
        Field("is_sensitive", "bool", 5, 7, default=False),
    ),
    CreatableTopicResult: (
        Field("name", "string", 2, 7, default=""),
        Field("topic_id", "uuid", 7, 7, default=ZERO_UUID),
        Field("error_code", "int16", 2, 7),
        Field("error_message", "string", 2, 7, nullable=(2, 7), default=None),
        Field("topic_config_error_code", "int16", 5, 7, tag=0, tagged=(5, 7)),
        Field("num_partitions", "int32", 5, 7, default=-1),
        Field("replication_factor", "int16", 5, 7, default=-1),
        Field("configs", "struct", 5, 7, array=True, item=CreatableTopicConfigs, nullable=(5, 7), default=()),
    ),
    CreateTopicsResponse: (
        Field("throttle_time_ms", "int32", 2, 7),
        Field("topics", "struct", 2, 7, array=True, item=CreatableTopicResult, default=()),
    ),
}

REQUEST = Message("CreateTopicsRequest", CreateTopicsRequest, 2, 7, flexible=5, structs=STRUCTS)
RESPONSE = Message("CreateTopicsResponse", CreateTopicsResponse, 2, 7, flexible=5, structs=STRUCTS)
