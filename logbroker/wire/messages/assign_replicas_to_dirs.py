"""AssignReplicasToDirs (API key 73): AssignReplicasToDirsRequest v0 to v0 (flexible from v0); AssignReplicasToDirsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class AssignReplicasToDirsRequestPartitionData:
    """An element of `TopicData.partitions`. Version 0."""

    partition_index: int = 0


@dataclass(slots=True)
class AssignReplicasToDirsRequestTopicData:
    """An element of `DirectoryData.topics`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[AssignReplicasToDirsRequestPartitionData] = field(default_factory=list)


@dataclass(slots=True)
class AssignReplicasToDirsRequestDirectoryData:
    """An element of `AssignReplicasToDirsRequest.directories`. Version 0."""

    id_: UUID = ZERO_UUID
    topics: list[AssignReplicasToDirsRequestTopicData] = field(default_factory=list)


@dataclass(slots=True)
class AssignReplicasToDirsRequest:
    """The whole request. Version 0."""

    broker_id: int = 0
    broker_epoch: int = -1
    directories: list[AssignReplicasToDirsRequestDirectoryData] = field(default_factory=list)


@dataclass(slots=True)
class AssignReplicasToDirsResponsePartitionData:
    """An element of `TopicData.partitions`. Version 0."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class AssignReplicasToDirsResponseTopicData:
    """An element of `DirectoryData.topics`. Version 0."""

    topic_id: UUID = ZERO_UUID
    partitions: list[AssignReplicasToDirsResponsePartitionData] = field(default_factory=list)


@dataclass(slots=True)
class AssignReplicasToDirsResponseDirectoryData:
    """An element of `AssignReplicasToDirsResponse.directories`. Version 0."""

    id_: UUID = ZERO_UUID
    topics: list[AssignReplicasToDirsResponseTopicData] = field(default_factory=list)


@dataclass(slots=True)
class AssignReplicasToDirsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    directories: list[AssignReplicasToDirsResponseDirectoryData] = field(default_factory=list)


STRUCTS: Structs = {
    AssignReplicasToDirsRequestPartitionData: (Field("partition_index", "int32", 0, 0),),
    AssignReplicasToDirsRequestTopicData: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field(
            "partitions",
            "struct",
            0,
            0,
            array=True,
            item=AssignReplicasToDirsRequestPartitionData,
            default=(),
        ),
    ),
    AssignReplicasToDirsRequestDirectoryData: (
        Field("id_", "uuid", 0, 0, default=ZERO_UUID),
        Field("topics", "struct", 0, 0, array=True, item=AssignReplicasToDirsRequestTopicData, default=()),
    ),
    AssignReplicasToDirsRequest: (
        Field("broker_id", "int32", 0, 0),
        Field("broker_epoch", "int64", 0, 0, default=-1),
        Field(
            "directories",
            "struct",
            0,
            0,
            array=True,
            item=AssignReplicasToDirsRequestDirectoryData,
            default=(),
        ),
    ),
    AssignReplicasToDirsResponsePartitionData: (
        Field("partition_index", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
    ),
    AssignReplicasToDirsResponseTopicData: (
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field(
            "partitions",
            "struct",
            0,
            0,
            array=True,
            item=AssignReplicasToDirsResponsePartitionData,
            default=(),
        ),
    ),
    AssignReplicasToDirsResponseDirectoryData: (
        Field("id_", "uuid", 0, 0, default=ZERO_UUID),
        Field("topics", "struct", 0, 0, array=True, item=AssignReplicasToDirsResponseTopicData, default=()),
    ),
    AssignReplicasToDirsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field(
            "directories",
            "struct",
            0,
            0,
            array=True,
            item=AssignReplicasToDirsResponseDirectoryData,
            default=(),
        ),
    ),
}

REQUEST = Message(
    "AssignReplicasToDirsRequest", AssignReplicasToDirsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "AssignReplicasToDirsResponse", AssignReplicasToDirsResponse, 0, 0, flexible=0, structs=STRUCTS
)
