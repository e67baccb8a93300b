"""ShareGroupDescribe (API key 77): ShareGroupDescribeRequest v1 to v1 (flexible from v1); ShareGroupDescribeResponse v1 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ShareGroupDescribeRequest:
    """The whole request. Version 1."""

    group_ids: list[str] = field(default_factory=list)
    include_authorized_operations: bool = False


@dataclass(slots=True)
class TopicPartitions:
    """An element of `Assignment.topic_partitions`. Version 1."""

    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """The value of `Member.assignment`. Version 1."""

    topic_partitions: list[TopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """An element of `DescribedGroup.members`. Version 1."""

    member_id: str = ""
    rack_id: str | None = None
    member_epoch: int = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = field(default_factory=list)
    assignment: Assignment = field(default_factory=Assignment)


@dataclass(slots=True)
class DescribedGroup:
    """An element of `ShareGroupDescribeResponse.groups`. Version 1."""

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
class ShareGroupDescribeResponse:
    """The whole response. Version 1."""

    throttle_time_ms: int = 0
    groups: list[DescribedGroup] = field(default_factory=list)


STRUCTS: Structs = {
    ShareGroupDescribeRequest: (
        Field("group_ids", "string", 1, 1, array=True, default=()),
        Field("include_authorized_operations", "bool", 1, 1, default=False),
    ),
    TopicPartitions: (
        Field("topic_id", "uuid", 1, 1, default=ZERO_UUID),
        Field("topic_name", "string", 1, 1, default=""),
        Field("partitions", "int32", 1, 1, array=True, default=()),
    ),
    Assignment: (Field("topic_partitions", "struct", 1, 1, array=True, item=TopicPartitions, default=()),),
    Member: (
        Field("member_id", "string", 1, 1, default=""),
        Field("rack_id", "string", 1, 1, nullable=(1, 1), default=None),
        Field("member_epoch", "int32", 1, 1),
        Field("client_id", "string", 1, 1, default=""),
        Field("client_host", "string", 1, 1, default=""),
        Field("subscribed_topic_names", "string", 1, 1, array=True, default=()),
        Field("assignment", "struct", 1, 1, item=Assignment, default=None),
    ),
    DescribedGroup: (
        Field("error_code", "int16", 1, 1),
        Field("error_message", "string", 1, 1, nullable=(1, 1), default=None),
        Field("group_id", "string", 1, 1, default=""),
        Field("group_state", "string", 1, 1, default=""),
        Field("group_epoch", "int32", 1, 1),
        Field("assignment_epoch", "int32", 1, 1),
        Field("assignor_name", "string", 1, 1, default=""),
        Field("members", "struct", 1, 1, array=True, item=Member, default=()),
        Field("authorized_operations", "int32", 1, 1, default=-2147483648),
    ),
    ShareGroupDescribeResponse: (
        Field("throttle_time_ms", "int32", 1, 1),
        Field("groups", "struct", 1, 1, array=True, item=DescribedGroup, default=()),
    ),
}

REQUEST = Message("ShareGroupDescribeRequest", ShareGroupDescribeRequest, 1, 1, flexible=1, structs=STRUCTS)
RESPONSE = Message(
    "ShareGroupDescribeResponse", ShareGroupDescribeResponse, 1, 1, flexible=1, structs=STRUCTS
)
