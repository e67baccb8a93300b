"""The records of `__consumer_offsets` that groups under the consumer protocol (KIP-848) are kept in.

    type  key                  value (all of version 0)
      3   group                ConsumerGroupMetadataValue: the group epoch
      4   group                ConsumerGroupPartitionMetadataValue: until Kafka 4.0; read, and only ever deleted
      5   group, member        ConsumerGroupMemberMetadataValue: what a member says of itself
      6   group                ConsumerGroupTargetAssignmentMetadataValue: the epoch of the target assignment
      7   group, member        ConsumerGroupTargetAssignmentMemberValue: what a member is to have
      8   group, member        ConsumerGroupCurrentMemberAssignmentValue: what it has, and must give up
     16   group, expression    ConsumerGroupRegularExpressionValue: the topics that it stands for

All values are flexible; what later releases of Kafka added are tagged fields, which older ones skip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.coordination.formats.record import RecordFormat
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs

CONSUMER_GROUP_METADATA: Final = 3
CONSUMER_GROUP_PARTITION_METADATA: Final = 4
CONSUMER_GROUP_MEMBER_METADATA: Final = 5
CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: Final = 6
CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: Final = 7
CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: Final = 8
CONSUMER_GROUP_REGULAR_EXPRESSION: Final = 16
"""Record types."""

VALUE_VERSION: Final = 0
"""What is written; there is no other yet."""


@dataclass(slots=True)
class GroupKey:
    """Which group: the key of types 3, 4 and 6."""

    group_id: str = ""


@dataclass(slots=True)
class MemberKey:
    """Which member of which group: the key of types 5, 7 and 8."""

    group_id: str = ""
    member_id: str = ""


@dataclass(slots=True)
class RegularExpressionKey:
    """Which regular expression of which group."""

    group_id: str = ""
    regular_expression: str = ""


@dataclass(slots=True)
class ConsumerGroupMetadataValue:
    """The group epoch, and a hash of the topics that it was made for."""

    epoch: int = 0
    metadata_hash: int = 0  # tagged, since Kafka 4.1


@dataclass(slots=True)
class PartitionRacks:
    """Where the replicas of a partition are; not used since Kafka 4.0."""

    partition: int = 0
    racks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TopicMetadata:
    """A subscribed topic, as Kafka before 4.1 remembered it."""

    topic_id: UUID = ZERO_UUID
    topic_name: str = ""
    num_partitions: int = 0
    partition_metadata: list[PartitionRacks] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupPartitionMetadataValue:
    """The subscribed topics, as Kafka before 4.1 remembered them."""

    topics: list[TopicMetadata] = field(default_factory=list)


@dataclass(slots=True)
class ClassicProtocol:
    """A protocol that a member under the classic protocol supports."""

    name: str = ""
    metadata: Buffer = b""


@dataclass(slots=True)
class ClassicMemberMetadata:
    """What there is to know of a member that speaks the classic protocol in a consumer group."""

    session_timeout_ms: int = 0
    supported_protocols: list[ClassicProtocol] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupMemberMetadataValue:
    """What a member says of itself."""

    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: list[str] = field(default_factory=list)
    subscribed_topic_regex: str | None = None
    rebalance_timeout_ms: int = -1
    server_assignor: str | None = None
    classic_member_metadata: ClassicMemberMetadata | None = None  # tagged


@dataclass(slots=True)
class ConsumerGroupTargetAssignmentMetadataValue:
    """The group epoch that the target assignment was computed for, and when (ms, wall clock)."""

    assignment_epoch: int = 0
    assignment_timestamp: int = 0  # tagged, since Kafka 4.3 (KIP-1263)


@dataclass(slots=True)
class TargetTopicPartitions:
    """Partitions of one topic that a member is to have."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupTargetAssignmentMemberValue:
    """What a member is to have."""

    topic_partitions: list[TargetTopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class CurrentTopicPartitions:
    """Partitions of one topic that a member has, and in which member epoch it got each of them."""

    topic_id: UUID = ZERO_UUID
    partitions: list[int] = field(default_factory=list)
    assignment_epochs: list[int] | None = None  # tagged, since Kafka 4.3


@dataclass(slots=True)
class ConsumerGroupCurrentMemberAssignmentValue:
    """What a member has, and what it must give up before it gets more."""

    member_epoch: int = 0
    previous_member_epoch: int = 0
    state: int = 0
    assigned_partitions: list[CurrentTopicPartitions] = field(default_factory=list)
    partitions_pending_revocation: list[CurrentTopicPartitions] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerGroupRegularExpressionValue:
    """The topics that a regular expression stood for, in which metadata version, and when that was looked up (ms)."""

    topics: list[str] = field(default_factory=list)
    version: int = 0
    timestamp: int = 0


_V0 = (0, 0)

STRUCTS: Structs = {
    GroupKey: (Field("group_id", "string", 0, 0, default=""),),
    MemberKey: (
        Field("group_id", "string", 0, 0, default=""),
        Field("member_id", "string", 0, 0, default=""),
    ),
    RegularExpressionKey: (
        Field("group_id", "string", 0, 0, default=""),
        Field("regular_expression", "string", 0, 0, default=""),
    ),
    ConsumerGroupMetadataValue: (
        Field("epoch", "int32", 0, 0),
        Field("metadata_hash", "int64", 0, 0, tag=0, tagged=_V0, default=0),
    ),
    PartitionRacks: (
        Field("partition", "int32", 0, 0),
        Field("racks", "string", 0, 0, array=True, default=()),
    ),
    TopicMetadata: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("topic_name", "string", 0, 0, default=""),
        Field("num_partitions", "int32", 0, 0),
        Field("partition_metadata", "struct", 0, 0, array=True, item=PartitionRacks, default=()),
    ),
    ConsumerGroupPartitionMetadataValue: (
        Field("topics", "struct", 0, 0, array=True, item=TopicMetadata, default=()),
    ),
    ClassicProtocol: (
        Field("name", "string", 0, 0, default=""),
        Field("metadata", "bytes", 0, 0, default=b""),
    ),
    ClassicMemberMetadata: (
        Field("session_timeout_ms", "int32", 0, 0),
        Field("supported_protocols", "struct", 0, 0, array=True, item=ClassicProtocol, default=()),
    ),
    ConsumerGroupMemberMetadataValue: (
        Field("instance_id", "string", 0, 0, nullable=_V0, default=None),
        Field("rack_id", "string", 0, 0, nullable=_V0, default=None),
        Field("client_id", "string", 0, 0, default=""),
        Field("client_host", "string", 0, 0, default=""),
        Field("subscribed_topic_names", "string", 0, 0, array=True, default=()),
        Field("subscribed_topic_regex", "string", 0, 0, nullable=_V0, default=None),
        Field("rebalance_timeout_ms", "int32", 0, 0, default=-1),
        Field("server_assignor", "string", 0, 0, nullable=_V0, default=None),
        Field(
            "classic_member_metadata",
            "struct",
            0,
            0,
            tag=0,
            tagged=_V0,
            item=ClassicMemberMetadata,
            nullable=_V0,
            default=None,
        ),
    ),
    ConsumerGroupTargetAssignmentMetadataValue: (
        Field("assignment_epoch", "int32", 0, 0),
        Field("assignment_timestamp", "int64", 0, 0, tag=0, tagged=_V0, default=0),
    ),
    TargetTopicPartitions: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    ConsumerGroupTargetAssignmentMemberValue: (
        Field("topic_partitions", "struct", 0, 0, array=True, item=TargetTopicPartitions, default=()),
    ),
    CurrentTopicPartitions: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("partitions", "int32", 0, 0, array=True, default=()),
        Field("assignment_epochs", "int32", 0, 0, array=True, tag=0, tagged=_V0, nullable=_V0, default=None),
    ),
    ConsumerGroupCurrentMemberAssignmentValue: (
        Field("member_epoch", "int32", 0, 0),
        Field("previous_member_epoch", "int32", 0, 0),
        Field("state", "int8", 0, 0),
        Field("assigned_partitions", "struct", 0, 0, array=True, item=CurrentTopicPartitions, default=()),
        Field(
            "partitions_pending_revocation",
            "struct",
            0,
            0,
            array=True,
            item=CurrentTopicPartitions,
            default=(),
        ),
    ),
    ConsumerGroupRegularExpressionValue: (
        Field("topics", "string", 0, 0, array=True, default=()),
        Field("version", "int64", 0, 0),
        Field("timestamp", "int64", 0, 0),
    ),
}


def _key(name: str, root: type) -> Message:
    return Message(name, root, 0, 0, flexible=None, structs=STRUCTS)


def _value(root: type) -> Message:
    return Message(root.__name__, root, 0, 0, flexible=0, structs=STRUCTS)


group_metadata: Final = RecordFormat[GroupKey, ConsumerGroupMetadataValue](
    CONSUMER_GROUP_METADATA,
    "ConsumerGroupMetadata",
    _key("ConsumerGroupMetadataKey", GroupKey),
    _value(ConsumerGroupMetadataValue),
)
partition_metadata: Final = RecordFormat[GroupKey, ConsumerGroupPartitionMetadataValue](
    CONSUMER_GROUP_PARTITION_METADATA,
    "ConsumerGroupPartitionMetadata",
    _key("ConsumerGroupPartitionMetadataKey", GroupKey),
    _value(ConsumerGroupPartitionMetadataValue),
)
member_metadata: Final = RecordFormat[MemberKey, ConsumerGroupMemberMetadataValue](
    CONSUMER_GROUP_MEMBER_METADATA,
    "ConsumerGroupMemberMetadata",
    _key("ConsumerGroupMemberMetadataKey", MemberKey),
    _value(ConsumerGroupMemberMetadataValue),
)
target_metadata: Final = RecordFormat[GroupKey, ConsumerGroupTargetAssignmentMetadataValue](
    CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA,
    "ConsumerGroupTargetAssignmentMetadata",
    _key("ConsumerGroupTargetAssignmentMetadataKey", GroupKey),
    _value(ConsumerGroupTargetAssignmentMetadataValue),
)
target_member: Final = RecordFormat[MemberKey, ConsumerGroupTargetAssignmentMemberValue](
    CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER,
    "ConsumerGroupTargetAssignmentMember",
    _key("ConsumerGroupTargetAssignmentMemberKey", MemberKey),
    _value(ConsumerGroupTargetAssignmentMemberValue),
)
current_assignment: Final = RecordFormat[MemberKey, ConsumerGroupCurrentMemberAssignmentValue](
    CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT,
    "ConsumerGroupCurrentMemberAssignment",
    _key("ConsumerGroupCurrentMemberAssignmentKey", MemberKey),
    _value(ConsumerGroupCurrentMemberAssignmentValue),
)
regular_expression: Final = RecordFormat[RegularExpressionKey, ConsumerGroupRegularExpressionValue](
    CONSUMER_GROUP_REGULAR_EXPRESSION,
    "ConsumerGroupRegularExpression",
    _key("ConsumerGroupRegularExpressionKey", RegularExpressionKey),
    _value(ConsumerGroupRegularExpressionValue),
)
