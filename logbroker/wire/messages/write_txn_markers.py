"""WriteTxnMarkers (API key 27): WriteTxnMarkersRequest v1 to v2 (flexible from v1); WriteTxnMarkersResponse v1 to v2 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class WritableTxnMarkerTopic:
    """An element of `WritableTxnMarker.topics`. Versions 1 to 2."""

    name: str = ""
    partition_indexes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class WritableTxnMarker:
    """An element of `WriteTxnMarkersRequest.markers`. Versions 1 to 2."""

    producer_id: int = 0
    producer_epoch: int = 0
    transaction_result: bool = False
    topics: list[WritableTxnMarkerTopic] = field(default_factory=list)
    coordinator_epoch: int = 0
    transaction_version: int = 0  # v2+


@dataclass(slots=True)
class WriteTxnMarkersRequest:
    """The whole request. Versions 1 to 2."""

    markers: list[WritableTxnMarker] = field(default_factory=list)


@dataclass(slots=True)
class WritableTxnMarkerPartitionResult:
    """An element of `WritableTxnMarkerTopicResult.partitions`. Versions 1 to 2."""

    partition_index: int = 0
    error_code: int = 0


@dataclass(slots=True)
class WritableTxnMarkerTopicResult:
    """An element of `WritableTxnMarkerResult.topics`. Versions 1 to 2."""

    name: str = ""
    partitions: list[WritableTxnMarkerPartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class WritableTxnMarkerResult:
    """An element of `WriteTxnMarkersResponse.markers`. Versions 1 to 2."""

    producer_id: int = 0
    topics: list[WritableTxnMarkerTopicResult] = field(default_factory=list)


@dataclass(slots=True)
class WriteTxnMarkersResponse:
    """The whole response. Versions 1 to 2."""

    markers: list[WritableTxnMarkerResult] = field(default_factory=list)


STRUCTS: Structs = {
    WritableTxnMarkerTopic: (
        Field("name", "string", 1, 2, default=""),
        Field("partition_indexes", "int32", 1, 2, array=True, default=()),
    ),
    WritableTxnMarker: (
        Field("producer_id", "int64", 1, 2),
        Field("producer_epoch", "int16", 1, 2),
        Field("transaction_result", "bool", 1, 2, default=False),
        Field("topics", "struct", 1, 2, array=True, item=WritableTxnMarkerTopic, default=()),
        Field("coordinator_epoch", "int32", 1, 2),
        Field("transaction_version", "int8", 2, 2),
    ),
    WriteTxnMarkersRequest: (
        Field("markers", "struct", 1, 2, array=True, item=WritableTxnMarker, default=()),
    ),
    WritableTxnMarkerPartitionResult: (
        Field("partition_index", "int32", 1, 2),
        Field("error_code", "int16", 1, 2),
    ),
    WritableTxnMarkerTopicResult: (
        Field("name", "string", 1, 2, default=""),
        Field("partitions", "struct", 1, 2, array=True, item=WritableTxnMarkerPartitionResult, default=()),
    ),
    WritableTxnMarkerResult: (
        Field("producer_id", "int64", 1, 2),
        Field("topics", "struct", 1, 2, array=True, item=WritableTxnMarkerTopicResult, default=()),
    ),
    WriteTxnMarkersResponse: (
        Field("markers", "struct", 1, 2, array=True, item=WritableTxnMarkerResult, default=()),
    ),
}

REQUEST = Message("WriteTxnMarkersRequest", WriteTxnMarkersRequest, 1, 2, flexible=1, structs=STRUCTS)
RESPONSE = Message("WriteTxnMarkersResponse", WriteTxnMarkersResponse, 1, 2, flexible=1, structs=STRUCTS)
