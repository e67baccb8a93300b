"""AlterPartition (API key 56): AlterPartitionRequest v2 to v3 (flexible from v2); AlterPartitionResponse v2 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class BrokerState:
    """An element of `PartitionData.new_isr_with_epochs`. Version 3."""

    broker_id: int = 0
    broker_epoch: int = -1


@dataclass(slots=True)
class AlterPartitionRequestPartitionData:
    """An element of `TopicData.partitions`. Versions 2 to 3."""

    partition_index: int = 0
    leader_epoch: int = 0
    new_isr: list[int] = field(default_factory=list)  # v2
    new_isr_with_epochs: list[BrokerState] = field(default_factory=list)  # v3+
    leader_recovery_state: int = 0
    partition_epoch: int = 0


@dataclass(slots=True)
class AlterPartitionRequestTopicData:
    """An element of `AlterPartitionRequest.topics`. Versions 2 to 3."""

    topic_id: UUID = ZERO_UUID
    partitions: list[AlterPartitionRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class AlterPartitionRequest:
    """The whole request. Versions 2 to 3."""

    broker_id: int = 0
    broker_epoch: int = -1
    topics: list[AlterPartitionRequestTopicData] = field(default_factory=list)


@dataclass(slots=True)
class AlterPartitionResponsePartitionData:
    """An element of `TopicData.partitions`. Versions 2 to 3."""

    partition_index: int = 0
    error_code: int = 0
    leader_id: int = 0
    leader_epoch: int = 0
    isr: list[int] = field(default_factory=list)
    leader_recovery_state: int = 0
    partition_epoch: int = 0


@dataclass(slots=True)
class AlterPartitionResponseTopicData:
    """An element of `AlterPartitionResponse.topics`. Versions 2 to 3."""

    topic_id: UUID = ZERO_UUID
    partitions: list[AlterPartitionResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class AlterPartitionResponse:
    """The whole response. Versions 2 to 3."""

    throttle_time_ms: int = 0
    error_code: int = 0
    topics: list[AlterPartitionResponseTopicData] = field(default_factory=list)


STRUCTS: Structs = {
    BrokerState: (
        Field("broker_id", "int32", 3, 3),
        Field("broker_epoch", "int64", 3, 3, default=-1),
    ),
    AlterPartitionRequestPartitionData: (
        Field("partition_index", "int32", 2, 3),
        Field("leader_epoch", "int32", 2, 3),
        Field("new_isr", "int32", 2, 2, array=True, default=()),
        Field("new_isr_with_epochs", "struct", 3, 3, array=True, item=BrokerState, default=()),
        Field("leader_recovery_state", "int8", 2, 3),
        Field("partition_epoch", "int32", 2, 3),
    ),
    AlterPartitionRequestTopicData: (
        Field("topic_id", "uuid", 2, 3, default=ZERO_UUID),
        Field("partitions", "struct", 2, 3, array=True, item=AlterPartitionRequestPartitionData, default=()),
    ),
    AlterPartitionRequest: (
        Field("broker_id", "int32", 2, 3),
        Field("broker_epoch", "int64", 2, 3, default=-1),
        Field("topics", "struct", 2, 3, array=True, item=AlterPartitionRequestTopicData, default=()),
    ),
    AlterPartitionResponsePartitionData: (
        Field("partition_index", "int32", 2, 3),
        Field("error_code", "int16", 2, 3),
        Field("leader_id", "int32", 2, 3),
        Field("leader_epoch", "int32", 2, 3),
        Field("isr", "int32", 2, 3, array=True, default=()),
        Field("leader_recovery_state", "int8", 2, 3),
        Field("partition_epoch", "int32", 2, 3),
    ),
    AlterPartitionResponseTopicData: (
        Field("topic_id", "uuid", 2, 3, default=ZERO_UUID),
        Field("partitions", "struct", 2, 3, array=True, item=AlterPartitionResponsePartitionData, default=()),
    ),
    AlterPartitionResponse: (
        Field("throttle_time_ms", "int32", 2, 3),
        Field("error_code", "int16", 2, 3),
        Field("topics", "struct", 2, 3, array=True, item=AlterPartitionResponseTopicData, default=()),
    ),
}

REQUEST = Message("AlterPartitionRequest", AlterPartitionRequest, 2, 3, flexible=2, structs=STRUCTS)
RESPONSE = Message("AlterPartitionResponse", AlterPartitionResponse, 2, 3, flexible=2, structs=STRUCTS)
