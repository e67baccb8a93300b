"""DescribeDelegationToken (API key 41): DescribeDelegationTokenRequest v1 to v3 (flexible from v2); DescribeDelegationTokenResponse v1 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeDelegationTokenOwner:
    """An element of `DescribeDelegationTokenRequest.owners`. Versions 1 to 3."""

    principal_type: str = ""
    principal_name: str = ""


@dataclass(slots=True)
class DescribeDelegationTokenRequest:
    """The whole request. Versions 1 to 3."""

    owners: list[DescribeDelegationTokenOwner] | None = field(default_factory=list)


@dataclass(slots=True)
class DescribedDelegationTokenRenewer:
    """An element of `DescribedDelegationToken.renewers`. Versions 1 to 3."""

    principal_type: str = ""
    principal_name: str = ""


@dataclass(slots=True)
class DescribedDelegationToken:
    """An element of `DescribeDelegationTokenResponse.tokens`. Versions 1 to 3."""

    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""  # v3+
    token_requester_principal_name: str = ""  # v3+
    issue_timestamp: int = 0
    expiry_timestamp: int = 0
    max_timestamp: int = 0
    token_id: str = ""
    hmac: Buffer = b""
    renewers: list[DescribedDelegationTokenRenewer] = field(default_factory=list)


@dataclass(slots=True)
class DescribeDelegationTokenResponse:
    """The whole response. Versions 1 to 3."""

    error_code: int = 0
    tokens: list[DescribedDelegationToken] = field(default_factory=list)
    throttle_time_ms: int = 0


STRUCTS: Structs = {
    DescribeDelegationTokenOwner: (
        Field("principal_type", "string", 1, 3, default=""),
        Field("principal_name", "string", 1, 3, default=""),
    ),
    DescribeDelegationTokenRequest: (
        Field(
            "owners",
            "struct",
            1,
            3,
            array=True,
            item=DescribeDelegationTokenOwner,
            nullable=(1, 3),
            default=(),
        ),
    ),
    DescribedDelegationTokenRenewer: (
        Field("principal_type", "string", 1, 3, default=""),
        Field("principal_name", "string", 1, 3, default=""),
    ),
    DescribedDelegationToken: (
        Field("principal_type", "string", 1, 3, default=""),
        Field("principal_name", "string", 1, 3, default=""),
        Field("token_requester_principal_type", "string", 3, 3, default=""),
        Field("token_requester_principal_name", "string", 3, 3, default=""),
        Field("issue_timestamp", "int64", 1, 3),
        Field("expiry_timestamp", "int64", 1, 3),
        Field("max_timestamp", "int64", 1, 3),
        Field("token_id", "string", 1, 3, default=""),
        Field("hmac", "bytes", 1, 3, default=b""),
        Field("renewers", "struct", 1, 3, array=True, item=DescribedDelegationTokenRenewer, default=()),
    ),
    DescribeDelegationTokenResponse: (
        Field("error_code", "int16", 1, 3),
        Field("tokens", "struct", 1, 3, array=True, item=DescribedDelegationToken, default=()),
        Field("throttle_time_ms", "int32", 1, 3),
    ),
}

REQUEST = Message(
    "DescribeDelegationTokenRequest", DescribeDelegationTokenRequest, 1, 3, flexible=2, structs=STRUCTS
)
RESPONSE = Message(
    "DescribeDelegationTokenResponse", DescribeDelegationTokenResponse, 1, 3, flexible=2, structs=STRUCTS
)
