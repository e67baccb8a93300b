"""DescribeTransactions (API key 65): DescribeTransactionsRequest v0 to v0 (flexible from v0); DescribeTransactionsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeTransactionsRequest:
    """The whole request. Version 0."""

    transactional_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TopicData:
    """An element of `TransactionState.topics`. Version 0."""

    topic: str = ""
    partitions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class TransactionState:
    """An element of `DescribeTransactionsResponse.transaction_states`. Version 0."""

    error_code: int = 0
    transactional_id: str = ""
    transaction_state: str = ""
    transaction_timeout_ms: int = 0
    transaction_start_time_ms: int = 0
    producer_id: int = 0
    producer_epoch: int = 0
    topics: list[TopicData] = field(default_factory=list)


@dataclass(slots=True)
class DescribeTransactionsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    transaction_states: list[TransactionState] = field(default_factory=list)


STRUCTS: Structs = {
    DescribeTransactionsRequest: (Field("transactional_ids", "string", 0, 0, array=True, default=()),),
    TopicData: (
        Field("topic", "string", 0, 0, default=""),
        Field("partitions", "int32", 0, 0, array=True, default=()),
    ),
    TransactionState: (
        Field("error_code", "int16", 0, 0),
        Field("transactional_id", "string", 0, 0, default=""),
        Field("transaction_state", "string", 0, 0, default=""),
        Field("transaction_timeout_ms", "int32", 0, 0),
        Field("transaction_start_time_ms", "int64", 0, 0),
        Field("producer_id", "int64", 0, 0),
        Field("producer_epoch", "int16", 0, 0),
        Field("topics", "struct", 0, 0, array=True, item=TopicData, default=()),
    ),
    DescribeTransactionsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("transaction_states", "struct", 0, 0, array=True, item=TransactionState, default=()),
    ),
}

REQUEST = Message(
    "DescribeTransactionsRequest", DescribeTransactionsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "DescribeTransactionsResponse", DescribeTransactionsResponse, 0, 0, flexible=0, structs=STRUCTS
)
