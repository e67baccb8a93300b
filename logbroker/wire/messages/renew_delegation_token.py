"""RenewDelegationToken (API key 39): RenewDelegationTokenRequest v1 to v2 (flexible from v2); RenewDelegationTokenResponse v1 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class RenewDelegationTokenRequest:
    """The whole request. Versions 1 to 2."""

    hmac: Buffer = b""
    renew_period_ms: int = 0


@dataclass(slots=True)
class RenewDelegationTokenResponse:
    """The whole response. Versions 1 to 2."""

    error_code: int = 0
    expiry_timestamp_ms: int = 0
    throttle_time_ms: int = 0


STRUCTS: Structs = {
    RenewDelegationTokenRequest: (
        Field("hmac", "bytes", 1, 2, default=b""),
        Field("renew_period_ms", "int64", 1, 2),
    ),
    RenewDelegationTokenResponse: (
        Field("error_code", "int16", 1, 2),
        Field("expiry_timestamp_ms", "int64", 1, 2),
        Field("throttle_time_ms", "int32", 1, 2),
    ),
}

REQUEST = Message(
    "RenewDelegationTokenRequest", RenewDelegationTokenRequest, 1, 2, flexible=2, structs=STRUCTS
)
RESPONSE = Message(
    "RenewDelegationTokenResponse", RenewDelegationTokenResponse, 1, 2, flexible=2, structs=STRUCTS
)
