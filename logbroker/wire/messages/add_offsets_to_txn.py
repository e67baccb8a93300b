"""AddOffsetsToTxn (API key 25): AddOffsetsToTxnRequest v0 to v4 (flexible from v3); AddOffsetsToTxnResponse v0 to v4 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AddOffsetsToTxnRequest:
    """The whole request. Versions 0 to 4."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    group_id: str = ""


@dataclass(slots=True)
class AddOffsetsToTxnResponse:
    """The whole response. Versions 0 to 4."""

    throttle_time_ms: int = 0
    error_code: int = 0


STRUCTS: Structs = {
    AddOffsetsToTxnRequest: (
        Field("transactional_id", "string", 0, 4, default=""),
        Field("producer_id", "int64", 0, 4),
        Field("producer_epoch", "int16", 0, 4),
        Field("group_id", "string", 0, 4, default=""),
    ),
    AddOffsetsToTxnResponse: (
        Field("throttle_time_ms", "int32", 0, 4),
        Field("error_code", "int16", 0, 4),
    ),
}

REQUEST = Message("AddOffsetsToTxnRequest", AddOffsetsToTxnRequest, 0, 4, flexible=3, structs=STRUCTS)
RESPONSE = Message("AddOffsetsToTxnResponse", AddOffsetsToTxnResponse, 0, 4, flexible=3, structs=STRUCTS)
