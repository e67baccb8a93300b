"""ConsumerGroupHeartbeat (API key 68): ConsumerGroupHeartbeatRequest v0 to v1 (flexible from v0); ConsumerGroupHeartbeatResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class ConsumerGroupHeartbeatRequestTopicPartitions:
    """An element of `ConsumerGroupHeartbeatRequest.topic_partitions`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupHeartbeatRequest:
    """The whole request. Versions 0 to 1."""

    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    subscribed_topic_names: list[str] | None = None
    subscribed_topic_regex: str | None = None  # v1+
    server_assignor: str | None = None
    topic_partitions: list[ConsumerGroupHeartbeatRequestTopicPartitions] | None = None


@dataclass(slots=True)
class ConsumerGroupHeartbeatResponseTopicPartitions:
    """An element of `Assignment.topic_partitions`. Versions 0 to 1."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """The value of `ConsumerGroupHeartbeatResponse.assignment`. Versions 0 to 1."""

    topic_partitions: list[ConsumerGroupHeartbeatResponseTopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupHeartbeatResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: Assignment | None = None


STRUCTS: Structs = {
    ConsumerGroupHeartbeatRequestTopicPartitions: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "int32", 0, 1, array=True, default=()),
    ),
    ConsumerGroupHeartbeatRequest: (
        Field("group_id", "string", 0, 1, default=""),
        Field("member_id", "string", 0, 1, default=""),
        Field("member_epoch", "int32", 0, 1),
        Field("instance_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("rack_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("rebalance_timeout_ms", "int32", 0, 1, default=-1),
        Field("subscribed_topic_names", "string", 0, 1, array=True, nullable=(0, 1), default=None),
        Field("subscribed_topic_regex", "string", 1, 1, nullable=(1, 1), default=None),
        Field("server_assignor", "string", 0, 1, nullable=(0, 1), default=None),
        Field(
            "topic_partitions",
            "struct",
            0,
            1,
            array=True,
            item=ConsumerGroupHeartbeatRequestTopicPartitions,
            nullable=(0, 1),
            default=None,
        ),
    ),
    ConsumerGroupHeartbeatResponseTopicPartitions: (
        Field("topic_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("partitions", "int32", 0, 1, array=True, default=()),
    ),
    Assignment: (
        Field(
            "topic_partitions",
            "struct",
            0,
            1,
            array=True,
            item=ConsumerGroupHeartbeatResponseTopicPartitions,
            default=(),
        ),
    ),
    ConsumerGroupHeartbeatResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("member_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("member_epoch", "int32", 0, 1),
        Field("heartbeat_interval_ms", "int32", 0, 1),
        Field("assignment", "struct", 0, 1, item=Assignment, nullable=(0, 1), default=None),
    ),
}

REQUEST = Message(
    "ConsumerGroupHeartbeatRequest", ConsumerGroupHeartbeatRequest, 0, 1, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "ConsumerGroupHeartbeatResponse", ConsumerGroupHeartbeatResponse, 0, 1, flexible=0, structs=STRUCTS
)
