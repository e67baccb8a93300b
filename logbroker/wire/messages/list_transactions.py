"""ListTransactions (API key 66): ListTransactionsRequest v0 to v2 (flexible from v0); ListTransactionsResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ListTransactionsRequest:
    """The whole request. Versions 0 to 2."""

    state_filters: list[str] = field(default_factory=list)
    producer_id_filters: list[int] = field(default_factory=list)
    duration_filter: int = -1  # v1+
    transactional_id_pattern: str | None = None  # v2+


@dataclass(slots=True)
class TransactionState:
    """An element of `ListTransactionsResponse.transaction_states`. Versions 0 to 2."""

    transactional_id: str = ""
    producer_id: int = 0
    transaction_state: str = ""


@dataclass(slots=True)
class ListTransactionsResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    unknown_state_filters: list[str] = field(default_factory=list)
    transaction_states: list[TransactionState] = field(default_factory=list)


STRUCTS: Structs = {
    ListTransactionsRequest: (
        Field("state_filters", "string", 0, 2, array=True, default=()),
        Field("producer_id_filters", "int64", 0, 2, array=True, default=()),
        Field("duration_filter", "int64", 1, 2, default=-1),
        Field("transactional_id_pattern", "string", 2, 2, nullable=(2, 2), default=None),
    ),
    TransactionState: (
        Field("transactional_id", "string", 0, 2, default=""),
        Field("producer_id", "int64", 0, 2),
        Field("transaction_state", "string", 0, 2, default=""),
    ),
    ListTransactionsResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("unknown_state_filters", "string", 0, 2, array=True, default=()),
        Field("transaction_states", "struct", 0, 2, array=True, item=TransactionState, default=()),
    ),
}

REQUEST = Message("ListTransactionsRequest", ListTransactionsRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("ListTransactionsResponse", ListTransactionsResponse, 0, 2, flexible=0, structs=STRUCTS)
