"""ShareGroupHeartbeat (API key 76): ShareGroupHeartbeatRequest v1 to v1 (flexible from v1); ShareGroupHeartbeatResponse v1 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ShareGroupHeartbeatRequest:
    """The whole request. Version 1."""

    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    rack_id: str | None = None
    subscribed_topic_names: list[str] | None = None


@dataclass(slots=True)
class TopicPartitions:
    """An element of `Assignment.topic_partitions`. Version 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """The value of `ShareGroupHeartbeatResponse.assignment`. Version 1."""

    topic_partitions: list[TopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class ShareGroupHeartbeatResponse:
    """The whole response. Version 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: Assignment | None = None


STRUCTS: Structs = {
    ShareGroupHeartbeatRequest: (
        Field("group_id", "string", 1, 1, default=""),
        Field("member_id", "string", 1, 1, default=""),
        Field("member_epoch", "int32", 1, 1),
        Field("rack_id", "string", 1, 1, nullable=(1, 1), default=None),
        Field("subscribed_topic_names", "string", 1, 1, array=True, nullable=(1, 1), default=None),
    ),
    TopicPartitions: (
        Field("topic_id", "uuid", 1, 1, default=ZERO_UUID),
        Field("partitions", "int32", 1, 1, array=True, default=()),
    ),
    Assignment: (Field("topic_partitions", "struct", 1, 1, array=True, item=TopicPartitions, default=()),),
    ShareGroupHeartbeatResponse: (
        Field("throttle_time_ms", "int32", 1, 1),
        Field("error_code", "int16", 1, 1),
        Field("error_message", "string", 1, 1, nullable=(1, 1), default=None),
        Field("member_id", "string", 1, 1, nullable=(1, 1), default=None),
        Field("member_epoch", "int32", 1, 1),
        Field("heartbeat_interval_ms", "int32", 1, 1),
        Field("assignment", "struct", 1, 1, item=Assignment, nullable=(1, 1), default=None),
    ),
}

REQUEST = Message("ShareGroupHeartbeatRequest", ShareGroupHeartbeatRequest, 1, 1, flexible=1, structs=STRUCTS)
RESPONSE = Message(
    "ShareGroupHeartbeatResponse", ShareGroupHeartbeatResponse, 1, 1, flexible=1, structs=STRUCTS
)
