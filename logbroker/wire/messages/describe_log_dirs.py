"""DescribeLogDirs (API key 35): DescribeLogDirsRequest v1 to v5 (flexible from v2); DescribeLogDirsResponse v1 to v5 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribableLogDirTopic:
    """An element of `DescribeLogDirsRequest.topics`. Versions 1 to 5."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class DescribeLogDirsRequest:
    """The whole request. Versions 1 to 5."""

    topics: list[DescribableLogDirTopic] | None = field(default_factory=list)


@dataclass(slots=True)
class DescribeLogDirsPartition:
    """An element of `DescribeLogDirsTopic.partitions`. Versions 1 to 5."""

    partition_index: int = 0
    partition_size: int = 0
    offset_lag: int = 0
    is_future_key: bool = False


@dataclass(slots=True)
class DescribeLogDirsTopic:
    """An element of `DescribeLogDirsResult.topics`. Versions 1 to 5."""

    name: str = ""
    partitions: list[DescribeLogDirsPartition] = field(default_factory=list)


@dataclass(slots=True)
class DescribeLogDirsResult:
    """An element of `DescribeLogDirsResponse.results`. Versions 1 to 5."""

    error_code: int = 0
    log_dir: str = ""
    topics: list[DescribeLogDirsTopic] = field(default_factory=list)
    total_bytes: int = -1  # v4+
    usable_bytes: int = -1  # v4+
    is_cordoned: bool = False  # v5+


@dataclass(slots=True)
class DescribeLogDirsResponse:
    """The whole response. Versions 1 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0  # v3+
    results: list[DescribeLogDirsResult] = field(default_factory=list)


STRUCTS: Structs = {
    DescribableLogDirTopic: (
        Field("topic", "string", 1, 5, default=""),
        Field("partitions", "int32", 1, 5, array=True, default=()),
    ),
    DescribeLogDirsRequest: (
        Field("topics", "struct", 1, 5, array=True, item=DescribableLogDirTopic, nullable=(1, 5), default=()),
    ),
    DescribeLogDirsPartition: (
        Field("partition_index", "int32", 1, 5),
        Field("partition_size", "int64", 1, 5),
        Field("offset_lag", "int64", 1, 5),
        Field("is_future_key", "bool", 1, 5, default=False),
    ),
    DescribeLogDirsTopic: (
        Field("name", "string", 1, 5, default=""),
        Field("partitions", "struct", 1, 5, array=True, item=DescribeLogDirsPartition, default=()),
    ),
    DescribeLogDirsResult: (
        Field("error_code", "int16", 1, 5),
        Field("log_dir", "string", 1, 5, default=""),
        Field("topics", "struct", 1, 5, array=True, item=DescribeLogDirsTopic, default=()),
        Field("total_bytes", "int64", 4, 5, default=-1),
        Field("usable_bytes", "int64", 4, 5, default=-1),
        Field("is_cordoned", "bool", 5, 5, default=False),
    ),
    DescribeLogDirsResponse: (
        Field("throttle_time_ms", "int32", 1, 5),
        Field("error_code", "int16", 3, 5),
        Field("results", "struct", 1, 5, array=True, item=DescribeLogDirsResult, default=()),
    ),
}

REQUEST = Message("DescribeLogDirsRequest", DescribeLogDirsRequest, 1, 5, flexible=2, structs=STRUCTS)
RESPONSE = Message("DescribeLogDirsResponse", DescribeLogDirsResponse, 1, 5, flexible=2, structs=STRUCTS)
