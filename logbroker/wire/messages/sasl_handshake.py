"""SaslHandshake (API key 17): SaslHandshakeRequest v0 to v1 (never flexible); SaslHandshakeResponse v0 to v1 (never flexible).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class SaslHandshakeRequest:
    """The whole request. Versions 0 to 1."""

    mechanism: str = ""


@dataclass(slots=True)
class SaslHandshakeResponse:
    """The whole response. Versions 0 to 1."""

    error_code: int = 0
    mechanisms: list[str] = field(default_factory=list)


STRUCTS: Structs = {
    SaslHandshakeRequest: (Field("mechanism", "string", 0, 1, default=""),),
    SaslHandshakeResponse: (
        Field("error_code", "int16", 0, 1),
        Field("mechanisms", "string", 0, 1, array=True, default=()),
    ),
}

REQUEST = Message("SaslHandshakeRequest", SaslHandshakeRequest, 0, 1, flexible=None, structs=STRUCTS)
RESPONSE = Message("SaslHandshakeResponse", SaslHandshakeResponse, 0, 1, flexible=None, structs=STRUCTS)
