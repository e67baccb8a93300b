"""Envelope (API key 58): EnvelopeRequest v0 to v0 (flexible from v0); EnvelopeResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class EnvelopeRequest:
    """The whole request. Version 0."""

    request_data: Buffer = b""
    request_principal: Buffer | None = None
    client_host_address: Buffer = b""


@dataclass(slots=True)
class EnvelopeResponse:
    """The whole response. Version 0."""

    response_data: Buffer | None = None
    error_code: int = 0


STRUCTS: Structs = {
    EnvelopeRequest: (
        Field("request_data", "bytes", 0, 0, default=b""),
        Field("request_principal", "bytes", 0, 0, nullable=(0, 0), default=None),
        Field("client_host_address", "bytes", 0, 0, default=b""),
    ),
    EnvelopeResponse: (
        Field("response_data", "bytes", 0, 0, nullable=(0, 0), default=None),
        Field("error_code", "int16", 0, 0),
    ),
}

REQUEST = Message("EnvelopeRequest", EnvelopeRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("EnvelopeResponse", EnvelopeResponse, 0, 0, flexible=0, structs=STRUCTS)
