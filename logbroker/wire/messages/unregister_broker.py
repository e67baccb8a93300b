"""UnregisterBroker (API key 64): UnregisterBrokerRequest v0 to v0 (flexible from v0); UnregisterBrokerResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class UnregisterBrokerRequest:
    """The whole request. Version 0."""

    broker_id: int = 0


@dataclass(slots=True)
class UnregisterBrokerResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None


STRUCTS: Structs = {
    UnregisterBrokerRequest: (Field("broker_id", "int32", 0, 0),),
    UnregisterBrokerResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
}

REQUEST = Message("UnregisterBrokerRequest", UnregisterBrokerRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("UnregisterBrokerResponse", UnregisterBrokerResponse, 0, 0, flexible=0, structs=STRUCTS)
