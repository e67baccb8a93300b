"""ConsumerGroupDescribe (API key 69): ConsumerGroupDescribeRequest v0 to v1 (flexible from v0); ConsumerGroupDescribeResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ConsumerGroupDescribeRequest:
    """The whole request. Versions 0 to 1."""

    group_ids: list[str] = field(default_factory=list)
    include_authorized_operations: bool = False


@dataclass(slots=True)
class TopicPartitions:
    """An element of `Assignment.topic_partitions`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """The value of `Member.assignment` and `Member.target_assignment`. Versions 0 to 1."""

    topic_partitions: list[TopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """An element of `DescribedGroup.members`. Versions 0 to 1."""

    member_id: str = ""
    instance_id: str | None = None
    rack_id: str | None = None
    member_epoch: int = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = field(default_factory=list)
    subscribed_topic_regex: str | None = None
    assignment: Assignment = field(default_factory=Assignment)
    target_assignment: Assignment = field(default_factory=Assignment)
    member_type: int = -1  # v1+


@dataclass(slots=True)
class DescribedGroup:
    """An element of `ConsumerGroupDescribeResponse.groups`. Versions 0 to 1."""

    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int = 0
    assignment_epoch: int = 0
    assignor_name: str = ""
    members: list[Member] = field(default_factory=list)
    authorized_operations: int = -2147483648


@dataclass(slots=True)
class ConsumerGroupDescribeResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    groups: list[DescribedGroup] = field(default_factory=list)


STRUCTS: Structs = {
    ConsumerGroupDescribeRequest: (
        Field("group_ids", "string", 0, 1, array=True, default=()),
        Field("include_authorized_operations", "bool", 0, 1, default=False),
    ),
    TopicPartitions: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("topic_name", "string", 0, 1, default=""),
        Field("partitions", "int32", 0, 1, array=True, default=()),
    ),
    Assignment: (Field("topic_partitions", "struct", 0, 1, array=True, item=TopicPartitions, default=()),),
    Member: (
        Field("member_id", "string", 0, 1, default=""),
        Field("instance_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("rack_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("member_epoch", "int32", 0, 1),
        Field("client_id", "string", 0, 1, default=""),
        Field("client_host", "string", 0, 1, default=""),
        Field("subscribed_topic_names", "string", 0, 1, array=True, default=()),
        Field("subscribed_topic_regex", "string", 0, 1, nullable=(0, 1), default=None),
        Field("assignment", "struct", 0, 1, item=Assignment, default=None),
        Field("target_assignment", "struct", 0, 1, item=Assignment, default=None),
        Field("member_type", "int8", 1, 1, default=-1),
    ),
    DescribedGroup: (
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("group_id", "string", 0, 1, default=""),
        Field("group_state", "string", 0, 1, default=""),
        Field("group_epoch", "int32", 0, 1),
        Field("assignment_epoch", "int32", 0, 1),
        Field("assignor_name", "string", 0, 1, default=""),
        Field("members", "struct", 0, 1, array=True, item=Member, default=()),
        Field("authorized_operations", "int32", 0, 1, default=-2147483648),
    ),
    ConsumerGroupDescribeResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("groups", "struct", 0, 1, array=True, item=DescribedGroup, default=()),
    ),
}

REQUEST = Message(
    "ConsumerGroupDescribeRequest", ConsumerGroupDescribeRequest, 0, 1, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "ConsumerGroupDescribeResponse", ConsumerGroupDescribeResponse, 0, 1, flexible=0, structs=STRUCTS
)
