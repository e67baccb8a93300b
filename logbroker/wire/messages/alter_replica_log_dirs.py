"""AlterReplicaLogDirs (API key 34): AlterReplicaLogDirsRequest v1 to v2 (flexible from v2); AlterReplicaLogDirsResponse v1 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AlterReplicaLogDirTopic:
    """An element of `AlterReplicaLogDir.topics`. Versions 1 to 2."""

    name: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class AlterReplicaLogDir:
    """An element of `AlterReplicaLogDirsRequest.dirs`. Versions 1 to 2."""

    path: str = ""
    topics: list[AlterReplicaLogDirTopic] = field(default_factory=list)


@dataclass(slots=True)
class AlterReplicaLogDirsRequest:
    """The whole request. Versions 1 to 2."""

    dirs: list[AlterReplicaLogDir] = field(default_factory=list)


@dataclass(slots=True)
class AlterReplicaLogDirPartitionResult:
    """An element of `AlterReplicaLogDirTopicResult.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class AlterReplicaLogDirTopicResult:
    """An element of `AlterReplicaLogDirsResponse.results`. Versions 1 to 2."""

    topic_name: str = ""
    partitions: list[AlterReplicaLogDirPartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class AlterReplicaLogDirsResponse:
    """The whole response. Versions 1 to 2."""

    throttle_time_ms: int = 0
    results: list[AlterReplicaLogDirTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    AlterReplicaLogDirTopic: (
        Field("name", "string", 1, 2, default=""),
        Field("partitions", "int32", 1, 2, array=True, default=()),
    ),
    AlterReplicaLogDir: (
        Field("path", "string", 1, 2, default=""),
        Field("topics", "struct", 1, 2, array=True, item=AlterReplicaLogDirTopic, default=()),
    ),
    AlterReplicaLogDirsRequest: (
        Field("dirs", "struct", 1, 2, array=True, item=AlterReplicaLogDir, default=()),
    ),
    AlterReplicaLogDirPartitionResult: (
        Field("partition_index", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
    ),
    AlterReplicaLogDirTopicResult: (
        Field("topic_name", "string", 1, 2, default=""),
        Field("partitions", "struct", 1, 2, array=True, item=AlterReplicaLogDirPartitionResult, default=()),
    ),
    AlterReplicaLogDirsResponse: (
        Field("throttle_time_ms", "int32", 1, 2),
        Field("results", "struct", 1, 2, array=True, item=AlterReplicaLogDirTopicResult, default=()),
    ),
}

REQUEST = Message("AlterReplicaLogDirsRequest", AlterReplicaLogDirsRequest, 1, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message(
    "AlterReplicaLogDirsResponse", AlterReplicaLogDirsResponse, 1, 2, flexible=2, structs=STRUCTS
)
