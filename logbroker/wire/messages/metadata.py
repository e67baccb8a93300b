"""Metadata (API key 3): MetadataRequest v0 to v13 (flexible from v9); MetadataResponse v0 to v13 (flexible from v9).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class MetadataRequestTopic:
    """An element of `MetadataRequest.topics`. Versions 0 to 13."""

    topic_id: UUID = ZERO_UUID  # v10+
    name: str | None = ""


@dataclass(slots=True)
class MetadataRequest:
    """The whole request. Versions 0 to 13."""

    topics: list[MetadataRequestTopic] | None = field(default_factory=list)
    allow_auto_topic_creation: bool = True  # v4+
    include_cluster_authorized_operations: bool = False  # v8-v10
    include_topic_authorized_operations: bool = False  # v8+


@dataclass(slots=True)
class MetadataResponseBroker:
    """An element of `MetadataResponse.brokers`. Versions 0 to 13."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None  # v1+


@dataclass(slots=True)
class MetadataResponsePartition:
    """An element of `MetadataResponseTopic.partitions`. Versions 0 to 13."""

    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1  # v7+
    replica_nodes: list[int] = field(default_factory=list)
    isr_nodes: list[int] = field(default_factory=list)
    offline_replicas: list[int] = field(default_factory=list)  # v5+


@dataclass(slots=True)
class MetadataResponseTopic:
    """An element of `MetadataResponse.topics`. Versions 0 to 13."""

    error_code: int = 0
    name: str | None = ""
    topic_id: UUID = ZERO_UUID  # v10+
    is_internal: bool = False  # v1+
    partitions: list[MetadataResponsePartition] = field(default_factory=list)
    topic_authorized_operations: int = -2147483648  # v8+


@dataclass(slots=True)
class MetadataResponse:
    """The whole response. Versions 0 to 13."""

    throttle_time_ms: int = 0  # v3+
    brokers: list[MetadataResponseBroker] = field(default_factory=list)
    cluster_id: str | None = None  # v2+
    controller_id: int = -1  # v1+
    topics: list[MetadataResponseTopic] = field(default_factory=list)
    cluster_authorized_operations: int = -2147483648  # v8-v10
    error_code: int = 0  # v13+


STRUCTS: Structs = {
    MetadataRequestTopic: (
        Field("topic_id", "uuid", 10, 13, default=ZERO_UUID),
        Field("name", "string", 0, 13, nullable=(10, 13), default=""),
    ),
    MetadataRequest: (
        Field("topics", "struct", 0, 13, array=True, item=MetadataRequestTopic, nullable=(1, 13), default=()),
        Field("allow_auto_topic_creation", "bool", 4, 13, default=True),
        Field("include_cluster_authorized_operations", "bool", 8, 10, default=False),
        Field("include_topic_authorized_operations", "bool", 8, 13, default=False),
    ),
    MetadataResponseBroker: (
        Field("node_id", "int32", 0, 13),
        Field("host", "string", 0, 13, default=""),
        Field("port", "int32", 0, 13),
        Field("rack", "string", 1, 13, nullable=(1, 13), default=None),
    ),
    MetadataResponsePartition: (
        Field("error_code", "int16", 0, 13),
        Field("partition_index", "int32", 0, 13),
        Field("leader_id", "int32", 0, 13),
        Field("leader_epoch", "int32", 7, 13, default=-1),
        Field("replica_nodes", "int32", 0, 13, array=True, default=()),
        Field("isr_nodes", "int32", 0, 13, array=True, default=()),
        Field("offline_replicas", "int32", 5, 13, array=True, default=()),
    ),
    MetadataResponseTopic: (
        Field("error_code", "int16", 0, 13),
        Field("name", "string", 0, 13, nullable=(12, 13), default=""),
        Field("topic_id", "uuid", 10, 13, default=ZERO_UUID),
        Field("is_internal", "bool", 1, 13, default=False),
        Field("partitions", "struct", 0, 13, array=True, item=MetadataResponsePartition, default=()),
        Field("topic_authorized_operations", "int32", 8, 13, default=-2147483648),
    ),
    MetadataResponse: (
        Field("throttle_time_ms", "int32", 3, 13),
        Field("brokers", "struct", 0, 13, array=True, item=MetadataResponseBroker, default=()),
        Field("cluster_id", "string", 2, 13, nullable=(2, 13), default=None),
        Field("controller_id", "int32", 1, 13, default=-1),
        Field("topics", "struct", 0, 13, array=True, item=MetadataResponseTopic, default=()),
        Field("cluster_authorized_operations", "int32", 8, 10, default=-2147483648),
        Field("error_code", "int16", 13, 13),
    ),
}

REQUEST = Message("MetadataRequest", MetadataRequest, 0, 13, flexible=9, structs=STRUCTS)
RESPONSE = Message("MetadataResponse", MetadataResponse, 0, 13, flexible=9, structs=STRUCTS)
