"""AllocateProducerIds (API key 67): AllocateProducerIdsRequest v0 to v0 (flexible from v0); AllocateProducerIdsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AllocateProducerIdsRequest:
    """The whole request. Version 0."""

    broker_id: int = 0
    broker_epoch: int = -1


@dataclass(slots=True)
class AllocateProducerIdsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id_start: int = 0
    producer_id_len: int = 0


STRUCTS: Structs = {
    AllocateProducerIdsRequest: (
        Field("broker_id", "int32", 0, 0),
        Field("broker_epoch", "int64", 0, 0, default=-1),
    ),
    AllocateProducerIdsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("producer_id_start", "int64", 0, 0),
        Field("producer_id_len", "int32", 0, 0),
    ),
}

REQUEST = Message("AllocateProducerIdsRequest", AllocateProducerIdsRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message(
    "AllocateProducerIdsResponse", AllocateProducerIdsResponse, 0, 0, flexible=0, structs=STRUCTS
)
