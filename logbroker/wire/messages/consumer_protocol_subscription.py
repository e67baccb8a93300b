"""ConsumerProtocolSubscription: ConsumerProtocolSubscription v0 to v3 (never flexible).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class TopicPartition:
    """An element of `ConsumerProtocolSubscription.owned_partitions`. Versions 1 to 3."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerProtocolSubscription:
    """The whole message. Versions 0 to 3."""

    topics: list[str] = field(default_factory=list)
    user_data: Buffer | None = None
    owned_partitions: list[TopicPartition] = field(default_factory=list)  # v1+
    generation_id: int = -1  # v2+
    rack_id: str | None = None  # v3+


STRUCTS: Structs = {
    TopicPartition: (
        Field("topic", "string", 1, 3, default=""),
        Field("partitions", "int32", 1, 3, array=True, default=()),
    ),
    ConsumerProtocolSubscription: (
        Field("topics", "string", 0, 3, array=True, default=()),
        Field("user_data", "bytes", 0, 3, nullable=(0, 3), default=None),
        Field("owned_partitions", "struct", 1, 3, array=True, item=TopicPartition, default=()),
        Field("generation_id", "int32", 2, 3, default=-1),
        Field("rack_id", "string", 3, 3, nullable=(3, 3), default=None),
    ),
}

MESSAGE = Message(
    "ConsumerProtocolSubscription", ConsumerProtocolSubscription, 0, 3, flexible=None, structs=STRUCTS
)
