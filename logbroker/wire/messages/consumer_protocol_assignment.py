"""ConsumerProtocolAssignment: ConsumerProtocolAssignment v0 to v3 (never flexible).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class TopicPartition:
    """An element of `ConsumerProtocolAssignment.assigned_partitions`. Versions 0 to 3."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerProtocolAssignment:
    """The whole message. Versions 0 to 3."""

    assigned_partitions: list[TopicPartition] = field(default_factory=list)
    user_data: Buffer | None = None


STRUCTS: Structs = {
    TopicPartition: (
        Field("topic", "string", 0, 3, default=""),
        Field("partitions", "int32", 0, 3, array=True, default=()),
    ),
    ConsumerProtocolAssignment: (
        Field("assigned_partitions", "struct", 0, 3, array=True, item=TopicPartition, default=()),
        Field("user_data", "bytes", 0, 3, nullable=(0, 3), default=None),
    ),
}

MESSAGE = Message(
    "ConsumerProtocolAssignment", ConsumerProtocolAssignment, 0, 3, flexible=None, structs=STRUCTS
)
