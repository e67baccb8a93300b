"""DescribeUserScramCredentials (API key 50): DescribeUserScramCredentialsRequest v0 to v0 (flexible from v0); DescribeUserScramCredentialsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class UserName:
    """An element of `DescribeUserScramCredentialsRequest.users`. Version 0."""

    name: str = ""


@dataclass(slots=True)
class DescribeUserScramCredentialsRequest:
    """The whole request. Version 0."""

    users: list[UserName] | None = field(default_factory=list)


@dataclass(slots=True)
class CredentialInfo:
    """An element of `DescribeUserScramCredentialsResult.credential_infos`. Version 0."""

    mechanism: int = 0
    iterations: int = 0


@dataclass(slots=True)
class DescribeUserScramCredentialsResult:
    """An element of `DescribeUserScramCredentialsResponse.results`. Version 0."""

    user: str = ""
    error_code: int = 0
    error_message: str | None = None
    credential_infos: list[CredentialInfo] = field(default_factory=list)


@dataclass(slots=True)
class DescribeUserScramCredentialsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    results: list[DescribeUserScramCredentialsResult] = field(default_factory=list)


STRUCTS: Structs = {
    UserName: (Field("name", "string", 0, 0, default=""),),
    DescribeUserScramCredentialsRequest: (
        Field("users", "struct", 0, 0, array=True, item=UserName, nullable=(0, 0), default=()),
    ),
    CredentialInfo: (
        Field("mechanism", "int8", 0, 0),
        Field("iterations", "int32", 0, 0),
    ),
    DescribeUserScramCredentialsResult: (
        Field("user", "string", 0, 0, default=""),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("credential_infos", "struct", 0, 0, array=True, item=CredentialInfo, default=()),
    ),
    DescribeUserScramCredentialsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("results", "struct", 0, 0, array=True, item=DescribeUserScramCredentialsResult, default=()),
    ),
}

REQUEST = Message(
    "DescribeUserScramCredentialsRequest",
    DescribeUserScramCredentialsRequest,
    0,
    0,
    flexible=0,
    structs=STRUCTS,
)
RESPONSE = Message(
    "DescribeUserScramCredentialsResponse",
    DescribeUserScramCredentialsResponse,
    0,
    0,
    flexible=0,
    structs=STRUCTS,
)
