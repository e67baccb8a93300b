"""StreamsGroupHeartbeat (API key 88): StreamsGroupHeartbeatRequest v0 to v0 (flexible from v0); StreamsGroupHeartbeatResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class KeyValue:
    """An element of `StreamsGroupHeartbeatRequest.client_tags` and `TopicInfo.topic_configs`. Version 0."""

    key: str = ""
    value: str = ""


@dataclass(slots=True)
class TopicInfo:
    """An element of `Subtopology.repartition_source_topics` and `Subtopology.state_changelog_topics`. Version 0."""

    name: str = ""
    partitions: int = 0
    replication_factor: int = 0
    topic_configs: list[KeyValue] = field(default_factory=list)


@dataclass(slots=True)
class CopartitionGroup:
    """An element of `Subtopology.copartition_groups`. Version 0."""

    source_topics: list[int] = field(default_factory=list)
    source_topic_regex: list[int] = field(default_factory=list)
    repartition_source_topics: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Subtopology:
    """An element of `Topology.subtopologies`. Version 0."""

    subtopology_id: str = ""
    source_topics: list[str] = field(default_factory=list)
    source_topic_regex: list[str] = field(default_factory=list)
    state_changelog_topics: list[TopicInfo] = field(default_factory=list)
    repartition_sink_topics: list[str] = field(default_factory=list)
    repartition_source_topics: list[TopicInfo] = field(default_factory=list)
    copartition_groups: list[CopartitionGroup] = field(default_factory=list)


@dataclass(slots=True)
class Topology:
    """The value of `StreamsGroupHeartbeatRequest.topology`. Version 0."""

    epoch: int = 0
    subtopologies: list[Subtopology] = field(default_factory=list)


@dataclass(slots=True)
class StreamsGroupHeartbeatRequestTaskIds:
    """An element of `StreamsGroupHeartbeatRequest.active_tasks` and `StreamsGroupHeartbeatRequest.standby_tasks` and `StreamsGroupHeartbeatRequest.warmup_tasks`. Version 0."""

    subtopology_id: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class StreamsGroupHeartbeatRequestEndpoint:
    """The value of `StreamsGroupHeartbeatRequest.user_endpoint`. Version 0."""

    host: str = ""
    port: int = 0


@dataclass(slots=True)
class TaskOffset:
    """An element of `StreamsGroupHeartbeatRequest.task_end_offsets` and `StreamsGroupHeartbeatRequest.task_offsets`. Version 0."""

    subtopology_id: str = ""
    partition: int = 0
    offset: int = 0


@dataclass(slots=True)
class StreamsGroupHeartbeatRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    endpoint_information_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    topology: Topology | None = None
    active_tasks: list[StreamsGroupHeartbeatRequestTaskIds] | None = None
    standby_tasks: list[StreamsGroupHeartbeatRequestTaskIds] | None = None
    warmup_tasks: list[StreamsGroupHeartbeatRequestTaskIds] | None = None
    process_id: str | None = None
    user_endpoint: StreamsGroupHeartbeatRequestEndpoint | None = None
    client_tags: list[KeyValue] | None = None
    task_offsets: list[TaskOffset] | None = None
    task_end_offsets: list[TaskOffset] | None = None
    shutdown_application: bool = False


@dataclass(slots=True)
class Status:
    """An element of `StreamsGroupHeartbeatResponse.status`. Version 0."""

    status_code: int = 0
    status_detail: str = ""


@dataclass(slots=True)
class StreamsGroupHeartbeatResponseTaskIds:
    """An element of `StreamsGroupHeartbeatResponse.active_tasks` and `StreamsGroupHeartbeatResponse.standby_tasks` and `StreamsGroupHeartbeatResponse.warmup_tasks`. Version 0."""

    subtopology_id: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class StreamsGroupHeartbeatResponseEndpoint:
    """The value of `EndpointToPartitions.user_endpoint`. Version 0."""

    host: str = ""
    port: int = 0


@dataclass(slots=True)
class TopicPartition:
    """An element of `EndpointToPartitions.active_partitions` and `EndpointToPartitions.standby_partitions`. Version 0."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class EndpointToPartitions:
    """An element of `StreamsGroupHeartbeatResponse.partitions_by_user_endpoint`. Version 0."""

    user_endpoint: StreamsGroupHeartbeatResponseEndpoint = field(
        default_factory=StreamsGroupHeartbeatResponseEndpoint
    )
    active_partitions: list[TopicPartition] = field(default_factory=list)
    standby_partitions: list[TopicPartition] = field(default_factory=list)


@dataclass(slots=True)
class StreamsGroupHeartbeatResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str = ""
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    acceptable_recovery_lag: int = 0
    task_offset_interval_ms: int = 0
    status: list[Status] | None = field(default_factory=list)
    active_tasks: list[StreamsGroupHeartbeatResponseTaskIds] | None = None
    standby_tasks: list[StreamsGroupHeartbeatResponseTaskIds] | None = None
    warmup_tasks: list[StreamsGroupHeartbeatResponseTaskIds] | None = None
    endpoint_information_epoch: int = 0
    partitions_by_user_endpoint: list[EndpointToPartitions] | None = None


STRUCTS: Structs = {
    KeyValue: (
        Field("key", "string", 0, 0, default=""),
        Field("value", "string", 0, 0, default=""),
    ),
    TopicInfo: (
        Field("name", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0),
        Field("replication_factor", "int16", 0, 0),
        Field("topic_configs", "struct", 0, 0, array=True, item=KeyValue, default=()),
    ),
    CopartitionGroup: (
        Field("source_topics", "int16", 0, 0, array=True, default=()),
        Field("source_topic_regex", "int16", 0, 0, array=True, default=()),
        Field("repartition_source_topics", "int16", 0, 0, array=True, default=()),
    ),
    Subtopology: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("source_topics", "string", 0, 0, array=True, default=()),
        Field("source_topic_regex", "string", 0, 0, array=True, default=()),
        Field("state_changelog_topics", "struct", 0, 0, array=True, item=TopicInfo, default=()),
        Field("repartition_sink_topics", "string", 0, 0, array=True, default=()),
        Field("repartition_source_topics", "struct", 0, 0, array=True, item=TopicInfo, default=()),
        Field("copartition_groups", "struct", 0, 0, array=True, item=CopartitionGroup, default=()),
    ),
    Topology: (
        Field("epoch", "int32", 0, 0),
        Field("subtopologies", "struct", 0, 0, array=True, item=Subtopology, default=()),
    ),
    StreamsGroupHeartbeatRequestTaskIds: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    StreamsGroupHeartbeatRequestEndpoint: (
        Field("host", "string", 0, 0, default=""),
        Field("port", "uint16", 0, 0),
    ),
    TaskOffset: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("partition", "int32", 0, 0),
        Field("offset", "int64", 0, 0),
    ),
    StreamsGroupHeartbeatRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("member_id", "string", 0, 0, default=""),
        Field("member_epoch", "int32", 0, 0),
        Field("endpoint_information_epoch", "int32", 0, 0),
        Field("instance_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("rack_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("rebalance_timeout_ms", "int32", 0, 0, default=-1),
        Field("topology", "struct", 0, 0, item=Topology, nullable=(0, 0), default=None),
        Field(
            "active_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatRequestTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field(
            "standby_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatRequestTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field(
            "warmup_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatRequestTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field("process_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field(
            "user_endpoint",
            "struct",
            0,
            0,
            item=StreamsGroupHeartbeatRequestEndpoint,
            nullable=(0, 0),
            default=None,
        ),
        Field("client_tags", "struct", 0, 0, array=True, item=KeyValue, nullable=(0, 0), default=None),
        Field("task_offsets", "struct", 0, 0, array=True, item=TaskOffset, nullable=(0, 0), default=None),
        Field("task_end_offsets", "struct", 0, 0, array=True, item=TaskOffset, nullable=(0, 0), default=None),
        Field("shutdown_application", "bool", 0, 0, default=False),
    ),
    Status: (
        Field("status_code", "int8", 0, 0),
        Field("status_detail", "string", 0, 0, default=""),
    ),
    StreamsGroupHeartbeatResponseTaskIds: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    StreamsGroupHeartbeatResponseEndpoint: (
        Field("host", "string", 0, 0, default=""),
        Field("port", "uint16", 0, 0),
    ),
    TopicPartition: (
        Field("topic", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    EndpointToPartitions: (
        Field("user_endpoint", "struct", 0, 0, item=StreamsGroupHeartbeatResponseEndpoint, default=None),
        Field("active_partitions", "struct", 0, 0, array=True, item=TopicPartition, default=()),
        Field("standby_partitions", "struct", 0, 0, array=True, item=TopicPartition, default=()),
    ),
    StreamsGroupHeartbeatResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("member_id", "string", 0, 0, default=""),
        Field("member_epoch", "int32", 0, 0),
        Field("heartbeat_interval_ms", "int32", 0, 0),
        Field("acceptable_recovery_lag", "int32", 0, 0),
        Field("task_offset_interval_ms", "int32", 0, 0),
        Field("status", "struct", 0, 0, array=True, item=Status, nullable=(0, 0), default=()),
        Field(
            "active_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatResponseTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field(
            "standby_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatResponseTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field(
            "warmup_tasks",
            "struct",
            0,
            0,
            array=True,
            item=StreamsGroupHeartbeatResponseTaskIds,
            nullable=(0, 0),
            default=None,
        ),
        Field("endpoint_information_epoch", "int32", 0, 0),
        Field(
            "partitions_by_user_endpoint",
            "struct",
            0,
            0,
            array=True,
            item=EndpointToPartitions,
            nullable=(0, 0),
            default=None,
        ),
    ),
}

REQUEST = Message(
    "StreamsGroupHeartbeatRequest", StreamsGroupHeartbeatRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "StreamsGroupHeartbeatResponse", StreamsGroupHeartbeatResponse, 0, 0, flexible=0, structs=STRUCTS
)
