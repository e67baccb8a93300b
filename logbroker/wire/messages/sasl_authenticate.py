"""SaslAuthenticate (API key 36): SaslAuthenticateRequest v0 to v2 (flexible from v2); SaslAuthenticateResponse v0 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class SaslAuthenticateRequest:
    """The whole request. Versions 0 to 2."""

    auth_bytes: Buffer = b""


@dataclass(slots=True)
class SaslAuthenticateResponse:
    """The whole response. Versions 0 to 2."""

    error_code: int = 0
    error_message: str | None = None
    auth_bytes: Buffer = b""
    session_lifetime_ms: int = 0  # v1+


STRUCTS: Structs = {
    SaslAuthenticateRequest: (Field("auth_bytes", "bytes", 0, 2, default=b""),),
    SaslAuthenticateResponse: (
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 0, 2, nullable=(0, 2), default=None),
        Field("auth_bytes", "bytes", 0, 2, default=b""),
        Field("session_lifetime_ms", "int64", 1, 2),
    ),
}

REQUEST = Message("SaslAuthenticateRequest", SaslAuthenticateRequest, 0, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message("SaslAuthenticateResponse", SaslAuthenticateResponse, 0, 2, flexible=2, structs=STRUCTS)
