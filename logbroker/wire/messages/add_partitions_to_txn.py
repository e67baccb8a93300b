"""AddPartitionsToTxn (API key 24): AddPartitionsToTxnRequest v0 to v5 (flexible from v3); AddPartitionsToTxnResponse v0 to v5 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AddPartitionsToTxnTopic:
    """An element of `AddPartitionsToTxnRequest.v3_and_below_topics` and `AddPartitionsToTxnTransaction.topics`. Versions 0 to 5."""

    name: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class AddPartitionsToTxnTransaction:
    """An element of `AddPartitionsToTxnRequest.transactions`. Versions 4 to 5."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    verify_only: bool = False
    topics: list[AddPartitionsToTxnTopic] = field(default_factory=list)


@dataclass(slots=True)
class AddPartitionsToTxnRequest:
    """The whole request. Versions 0 to 5."""

    v3_and_below_transactional_id: str = ""  # v0-v3
    v3_and_below_producer_id: int = 0  # v0-v3
    v3_and_below_producer_epoch: int = 0  # v0-v3
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = field(default_factory=list)  # v0-v3
    transactions: list[AddPartitionsToTxnTransaction] = field(default_factory=list)  # v4+


@dataclass(slots=True)
class AddPartitionsToTxnPartitionResult:
    """An element of `AddPartitionsToTxnTopicResult.results_by_partition`. Versions 0 to 5."""

    partition_index: int = 0
    partition_error_code: int = 0


@dataclass(slots=True)
class AddPartitionsToTxnTopicResult:
    """An element of `AddPartitionsToTxnResponse.results_by_topic_v3_and_below` and `AddPartitionsToTxnResult.topic_results`. Versions 0 to 5."""

    name: str = ""
    results_by_partition: list[AddPartitionsToTxnPartitionResult] = field(default_factory=list)


@dataclass(slots=True)
class AddPartitionsToTxnResult:
    """An element of `AddPartitionsToTxnResponse.results_by_transaction`. Versions 4 to 5."""

    transactional_id: str = ""
    topic_results: list[AddPartitionsToTxnTopicResult] = field(default_factory=list)


@dataclass(slots=True)
class AddPartitionsToTxnResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = field(default_factory=list)  # v0-v3
    error_code: int = 0  # v4+
    results_by_transaction: list[AddPartitionsToTxnResult] = field(default_factory=list)  # v4+


STRUCTS: Structs = {
    AddPartitionsToTxnTopic: (
        Field("name", "string", 0, 5, default=""),
        Field("partitions", "int32", 0, 5, array=True, default=()),
    ),
    AddPartitionsToTxnTransaction: (
        Field("transactional_id", "string", 4, 5, default=""),
        Field("producer_id", "int64", 4, 5),
        Field("producer_epoch", "int16", 4, 5),
        Field("verify_only", "bool", 4, 5, default=False),
        Field("topics", "struct", 4, 5, array=True, item=AddPartitionsToTxnTopic, default=()),
    ),
    AddPartitionsToTxnRequest: (
        Field("v3_and_below_transactional_id", "string", 0, 3, default=""),
        Field("v3_and_below_producer_id", "int64", 0, 3),
        Field("v3_and_below_producer_epoch", "int16", 0, 3),
        Field("v3_and_below_topics", "struct", 0, 3, array=True, item=AddPartitionsToTxnTopic, default=()),
        Field("transactions", "struct", 4, 5, array=True, item=AddPartitionsToTxnTransaction, default=()),
    ),
    AddPartitionsToTxnPartitionResult: (
        Field("partition_index", "int32", 0, 5),
        Field("partition_error_code", "int16", 0, 5),
    ),
    AddPartitionsToTxnTopicResult: (
        Field("name", "string", 0, 5, default=""),
        Field(
            "results_by_partition",
            "struct",
            0,
            5,
            array=True,
            item=AddPartitionsToTxnPartitionResult,
            default=(),
        ),
    ),
    AddPartitionsToTxnResult: (
        Field("transactional_id", "string", 4, 5, default=""),
        Field("topic_results", "struct", 4, 5, array=True, item=AddPartitionsToTxnTopicResult, default=()),
    ),
    AddPartitionsToTxnResponse: (
        Field("throttle_time_ms", "int32", 0, 5),
        Field(
            "results_by_topic_v3_and_below",
            "struct",
            0,
            3,
            array=True,
            item=AddPartitionsToTxnTopicResult,
            default=(),
        ),
        Field("error_code", "int16", 4, 5),
        Field(
            "results_by_transaction", "struct", 4, 5, array=True, item=AddPartitionsToTxnResult, default=()
        ),
    ),
}

REQUEST = Message("AddPartitionsToTxnRequest", AddPartitionsToTxnRequest, 0, 5, flexible=3, structs=STRUCTS)
RESPONSE = Message(
    "AddPartitionsToTxnResponse", AddPartitionsToTxnResponse, 0, 5, flexible=3, structs=STRUCTS
)
