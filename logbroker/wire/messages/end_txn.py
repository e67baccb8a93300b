"""EndTxn (API key 26): EndTxnRequest v0 to v5 (flexible from v3); EndTxnResponse v0 to v5 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class EndTxnRequest:
    """The whole request. Versions 0 to 5."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    committed: bool = False


@dataclass(slots=True)
class EndTxnResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1  # v5+
    producer_epoch: int = -1  # v5+


STRUCTS: Structs = {
    EndTxnRequest: (
        Field("transactional_id", "string", 0, 5, default=""),
        Field("producer_id", "int64", 0, 5),
        Field("producer_epoch", "int16", 0, 5),
        Field("committed", "bool", 0, 5, default=False),
    ),
    EndTxnResponse: (
        Field("throttle_time_ms", "int32", 0, 5),
        Field("error_code", "int16", 0, 5),
        Field("producer_id", "int64", 5, 5, default=-1),
        Field("producer_epoch", "int16", 5, 5, default=-1),
    ),
}

REQUEST = Message("EndTxnRequest", EndTxnRequest, 0, 5, flexible=3, structs=STRUCTS)
RESPONSE = Message("EndTxnResponse", EndTxnResponse, 0, 5, flexible=3, structs=STRUCTS)
