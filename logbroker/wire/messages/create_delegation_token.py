"""CreateDelegationToken (API key 38): CreateDelegationTokenRequest v1 to v3 (flexible from v2); CreateDelegationTokenResponse v1 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class CreatableRenewers:
    """An element of `CreateDelegationTokenRequest.renewers`. Versions 1 to 3."""

    principal_type: str = ""
    principal_name: str = ""


@dataclass(slots=True)
class CreateDelegationTokenRequest:
    """The whole request. Versions 1 to 3."""

    owner_principal_type: str | None = None  # v3+
    owner_principal_name: str | None = None  # v3+
    renewers: list[CreatableRenewers] = field(default_factory=list)
    max_lifetime_ms: int = 0


@dataclass(slots=True)
class CreateDelegationTokenResponse:
    """The whole response. Versions 1 to 3."""

    error_code: int = 0
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""  # v3+
    token_requester_principal_name: str = ""  # v3+
    issue_timestamp_ms: int = 0
    expiry_timestamp_ms: int = 0
    max_timestamp_ms: int = 0
    token_id: str = ""
    hmac: Buffer = b""
    throttle_time_ms: int = 0


STRUCTS: Structs = {
    CreatableRenewers: (
        Field("principal_type", "string", 1, 3, default=""),
        Field("principal_name", "string", 1, 3, default=""),
    ),
    CreateDelegationTokenRequest: (
        Field("owner_principal_type", "string", 3, 3, nullable=(3, 3), default=None),
        Field("owner_principal_name", "string", 3, 3, nullable=(3, 3), default=None),
        Field("renewers", "struct", 1, 3, array=True, item=CreatableRenewers, default=()),
        Field("max_lifetime_ms", "int64", 1, 3),
    ),
    CreateDelegationTokenResponse: (
        Field("error_code", "int16", 1, 3),
        Field("principal_type", "string", 1, 3, default=""),
        Field("principal_name", "string", 1, 3, default=""),
        Field("token_requester_principal_type", "string", 3, 3, default=""),
        Field("token_requester_principal_name", "string", 3, 3, default=""),
        Field("issue_timestamp_ms", "int64", 1, 3),
        Field("expiry_timestamp_ms", "int64", 1, 3),
        Field("max_timestamp_ms", "int64", 1, 3),
        Field("token_id", "string", 1, 3, default=""),
        Field("hmac", "bytes", 1, 3, default=b""),
        Field("throttle_time_ms", "int32", 1, 3),
    ),
}

REQUEST = Message(
    "CreateDelegationTokenRequest", CreateDelegationTokenRequest, 1, 3, flexible=2, structs=STRUCTS
)
RESPONSE = Message(
    "CreateDelegationTokenResponse", CreateDelegationTokenResponse, 1, 3, flexible=2, structs=STRUCTS
)
