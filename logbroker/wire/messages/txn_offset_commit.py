"""TxnOffsetCommit (API key 28): TxnOffsetCommitRequest v0 to v5 (flexible from v3); TxnOffsetCommitResponse v0 to v5 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class TxnOffsetCommitRequestPartition:
    """An element of `TxnOffsetCommitRequestTopic.partitions`. Versions 0 to 5."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1  # v2+
    committed_metadata: str | None = None


@dataclass(slots=True)
class TxnOffsetCommitRequestTopic:
    """An element of `TxnOffsetCommitRequest.topics`. Versions 0 to 5."""

    name: str = ""
    partitions: list[TxnOffsetCommitRequestPartition] = field(default_factory=list)


@dataclass(slots=True)
class TxnOffsetCommitRequest:
    """The whole request. Versions 0 to 5."""

    transactional_id: str = ""
    group_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    generation_id: int = -1  # v3+
    member_id: str = ""  # v3+
    group_instance_id: str | None = None  # v3+
    topics: list[TxnOffsetCommitRequestTopic] = field(default_factory=list)


@dataclass(slots=True)
class TxnOffsetCommitResponsePartition:
    """An element of `TxnOffsetCommitResponseTopic.partitions`. Versions 0 to 5."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class TxnOffsetCommitResponseTopic:
    """An element of `TxnOffsetCommitResponse.topics`. Versions 0 to 5."""

    name: str = ""
    partitions: list[TxnOffsetCommitResponsePartition] = field(default_factory=list)


@dataclass(slots=True)
class TxnOffsetCommitResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0
    topics: list[TxnOffsetCommitResponseTopic] = field(default_factory=list)


STRUCTS: Structs = {
    TxnOffsetCommitRequestPartition: (
        Field("partition_index", "int32", 0, 5),
        Field("committed_offset", "int64", 0, 5),
        Field("committed_leader_epoch", "int32", 2, 5, default=-1),
        Field("committed_metadata", "string", 0, 5, nullable=(0, 5), default=None),
    ),
    TxnOffsetCommitRequestTopic: (
        Field("name", "string", 0, 5, default=""),
        Field("partitions", "struct", 0, 5, array=True, item=TxnOffsetCommitRequestPartition, default=()),
    ),
    TxnOffsetCommitRequest: (
        Field("transactional_id", "string", 0, 5, default=""),
        Field("group_id", "string", 0, 5, default=""),
        Field("producer_id", "int64", 0, 5),
        Field("producer_epoch", "int16", 0, 5),
        Field("generation_id", "int32", 3, 5, default=-1),
        Field("member_id", "string", 3, 5, default=""),
        Field("group_instance_id", "string", 3, 5, nullable=(3, 5), default=None),
        Field("topics", "struct", 0, 5, array=True, item=TxnOffsetCommitRequestTopic, default=()),
    ),
    TxnOffsetCommitResponsePartition: (
        Field("partition_index", "int32", 0, 5),
        Field("error_code", "int16", 0, 5),
    ),
    TxnOffsetCommitResponseTopic: (
        Field("name", "string", 0, 5, default=""),
        Field("partitions", "struct", 0, 5, array=True, item=TxnOffsetCommitResponsePartition, default=()),
    ),
    TxnOffsetCommitResponse: (
        Field("throttle_time_ms", "int32", 0, 5),
        Field("topics", "struct", 0, 5, array=True, item=TxnOffsetCommitResponseTopic, default=()),
    ),
}

REQUEST = Message("TxnOffsetCommitRequest", TxnOffsetCommitRequest, 0, 5, flexible=3, structs=STRUCTS)
RESPONSE = Message("TxnOffsetCommitResponse", TxnOffsetCommitResponse, 0, 5, flexible=3, structs=STRUCTS)
