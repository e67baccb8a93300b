"""StreamsGroupDescribe (API key 89): StreamsGroupDescribeRequest v0 to v0 (flexible from v0); StreamsGroupDescribeResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class StreamsGroupDescribeRequest:
    """The whole request. Version 0."""

    group_ids: list[str] = field(default_factory=list)
    include_authorized_operations: bool = False


@dataclass(slots=True)
class KeyValue:
    """An element of `Member.client_tags` and `TopicInfo.topic_configs`. Version 0."""

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
class Subtopology:
    """An element of `Topology.subtopologies`. Version 0."""

    subtopology_id: str = ""
    source_topics: list[str] = field(default_factory=list)
    repartition_sink_topics: list[str] = field(default_factory=list)
    state_changelog_topics: list[TopicInfo] = field(default_factory=list)
    repartition_source_topics: list[TopicInfo] = field(default_factory=list)


@dataclass(slots=True)
class Topology:
    """The value of `DescribedGroup.topology`. Version 0."""

    epoch: int = 0
    subtopologies: list[Subtopology] | None = None


@dataclass(slots=True)
class Endpoint:
    """The value of `Member.user_endpoint`. Version 0."""

    host: str = ""
    port: int = 0


@dataclass(slots=True)
class TaskOffset:
    """An element of `Member.task_end_offsets` and `Member.task_offsets`. Version 0."""

    subtopology_id: str = ""
    partition: int = 0
    offset: int = 0


@dataclass(slots=True)
class TaskIds:
    """An element of `Assignment.active_tasks` and `Assignment.standby_tasks` and `Assignment.warmup_tasks`. Version 0."""

    subtopology_id: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """The value of `Member.assignment` and `Member.target_assignment`. Version 0."""

    active_tasks: list[TaskIds] = field(default_factory=list)
    standby_tasks: list[TaskIds] = field(default_factory=list)
    warmup_tasks: list[TaskIds] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """An element of `DescribedGroup.members`. Version 0."""

    member_id: str = ""
    member_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topology_epoch: int = 0
    process_id: str = ""
    user_endpoint: Endpoint | None = None
    client_tags: list[KeyValue] = field(default_factory=list)
    task_offsets: list[TaskOffset] = field(default_factory=list)
    task_end_offsets: list[TaskOffset] = field(default_factory=list)
    assignment: Assignment = field(default_factory=Assignment)
    target_assignment: Assignment = field(default_factory=Assignment)
    is_classic: bool = False


@dataclass(slots=True)
class DescribedGroup:
    """An element of `StreamsGroupDescribeResponse.groups`. Version 0."""

    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int = 0
    assignment_epoch: int = 0
    topology: Topology | None = None
    members: list[Member] = field(default_factory=list)
    authorized_operations: int = -2147483648


@dataclass(slots=True)
class StreamsGroupDescribeResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    groups: list[DescribedGroup] = field(default_factory=list)


STRUCTS: Structs = {
    StreamsGroupDescribeRequest: (
        Field("group_ids", "string", 0, 0, array=True, default=()),
        Field("include_authorized_operations", "bool", 0, 0, default=False),
    ),
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
    Subtopology: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("source_topics", "string", 0, 0, array=True, default=()),
        Field("repartition_sink_topics", "string", 0, 0, array=True, default=()),
        Field("state_changelog_topics", "struct", 0, 0, array=True, item=TopicInfo, default=()),
        Field("repartition_source_topics", "struct", 0, 0, array=True, item=TopicInfo, default=()),
    ),
    Topology: (
        Field("epoch", "int32", 0, 0),
        Field("subtopologies", "struct", 0, 0, array=True, item=Subtopology, nullable=(0, 0), default=None),
    ),
    Endpoint: (
        Field("host", "string", 0, 0, default=""),
        Field("port", "uint16", 0, 0),
    ),
    TaskOffset: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("partition", "int32", 0, 0),
        Field("offset", "int64", 0, 0),
    ),
    TaskIds: (
        Field("subtopology_id", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    Assignment: (
        Field("active_tasks", "struct", 0, 0, array=True, item=TaskIds, default=()),
        Field("standby_tasks", "struct", 0, 0, array=True, item=TaskIds, default=()),
        Field("warmup_tasks", "struct", 0, 0, array=True, item=TaskIds, default=()),
    ),
    Member: (
        Field("member_id", "string", 0, 0, default=""),
        Field("member_epoch", "int32", 0, 0),
        Field("instance_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("rack_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("client_id", "string", 0, 0, default=""),
        Field("client_host", "string", 0, 0, default=""),
        Field("topology_epoch", "int32", 0, 0),
        Field("process_id", "string", 0, 0, default=""),
        Field("user_endpoint", "struct", 0, 0, item=Endpoint, nullable=(0, 0), default=None),
        Field("client_tags", "struct", 0, 0, array=True, item=KeyValue, default=()),
        Field("task_offsets", "struct", 0, 0, array=True, item=TaskOffset, default=()),
        Field("task_end_offsets", "struct", 0, 0, array=True, item=TaskOffset, default=()),
        Field("assignment", "struct", 0, 0, item=Assignment, default=None),
        Field("target_assignment", "struct", 0, 0, item=Assignment, default=None),
        Field("is_classic", "bool", 0, 0, default=False),
    ),
    DescribedGroup: (
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("group_id", "string", 0, 0, default=""),
        Field("group_state", "string", 0, 0, default=""),
        Field("group_epoch", "int32", 0, 0),
        Field("assignment_epoch", "int32", 0, 0),
        Field("topology", "struct", 0, 0, item=Topology, nullable=(0, 0), default=None),
        Field("members", "struct", 0, 0, array=True, item=Member, default=()),
        Field("authorized_operations", "int32", 0, 0, default=-2147483648),
    ),
    StreamsGroupDescribeResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("groups", "struct", 0, 0, array=True, item=DescribedGroup, default=()),
    ),
}

REQUEST = Message(
    "StreamsGroupDescribeRequest", StreamsGroupDescribeRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "StreamsGroupDescribeResponse", StreamsGroupDescribeResponse, 0, 0, flexible=0, structs=STRUCTS
)
