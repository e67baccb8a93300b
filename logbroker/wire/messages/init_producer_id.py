"""InitProducerId (API key 22): InitProducerIdRequest v0 to v6 (flexible from v2); InitProducerIdResponse v0 to v6 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class InitProducerIdRequest:
    """The whole request. Versions 0 to 6."""

    transactional_id: str | None = None
    transaction_timeout_ms: int = 0
    producer_id: int = -1  # v3+
    producer_epoch: int = -1  # v3+
    enable2_pc: bool = False  # v6+
    keep_prepared_txn: bool = False  # v6+


@dataclass(slots=True)
class InitProducerIdResponse:
    """The whole response. Versions 0 to 6."""

    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1
    producer_epoch: int = 0
    ongoing_txn_producer_id: int = -1  # v6+
    ongoing_txn_producer_epoch: int = -1  # v6+


STRUCTS: Structs = {
    InitProducerIdRequest: (
        Field("transactional_id", "string", 0, 6, nullable=(0, 6), default=None),
        Field("transaction_timeout_ms", "int32", 0, 6),
        Field("producer_id", "int64", 3, 6, default=-1),
        Field("producer_epoch", "int16", 3, 6, default=-1),
        Field("enable2_pc", "bool", 6, 6, default=False),
        Field("keep_prepared_txn", "bool", 6, 6, default=False),
    ),
    InitProducerIdResponse: (
        Field("throttle_time_ms", "int32", 0, 6),
        Field("error_code", "int16", 0, 6),
        Field("producer_id", "int64", 0, 6, default=-1),
        Field("producer_epoch", "int16", 0, 6),
        Field("ongoing_txn_producer_id", "int64", 6, 6, default=-1),
        Field("ongoing_txn_producer_epoch", "int16", 6, 6, default=-1),
    ),
}

REQUEST = Message("InitProducerIdRequest", InitProducerIdRequest, 0, 6, flexible=2, structs=STRUCTS)
RESPONSE = Message("InitProducerIdResponse", InitProducerIdResponse, 0, 6, flexible=2, structs=STRUCTS)
