"""AlterUserScramCredentials (API key 51): AlterUserScramCredentialsRequest v0 to v0 (flexible from v0); AlterUserScramCredentialsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ScramCredentialDeletion:
    """An element of `AlterUserScramCredentialsRequest.deletions`. Version 0."""

    name: str = ""
    mechanism: int = 0


@dataclass(slots=True)
class ScramCredentialUpsertion:
    """An element of `AlterUserScramCredentialsRequest.upsertions`. Version 0."""

    name: str = ""
    mechanism: int = 0
    iterations: int = 0
    salt: Buffer = b""
    salted_password: Buffer = b""


@dataclass(slots=True)
class AlterUserScramCredentialsRequest:
    """The whole request. Version 0."""

    deletions: list[ScramCredentialDeletion] = field(default_factory=list)
    upsertions: list[ScramCredentialUpsertion] = field(default_factory=list)


@dataclass(slots=True)
class AlterUserScramCredentialsResult:
    """An element of `AlterUserScramCredentialsResponse.results`. Version 0."""

    user: str = ""
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class AlterUserScramCredentialsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    results: list[AlterUserScramCredentialsResult] = field(default_factory=list)


STRUCTS: Structs = {
    ScramCredentialDeletion: (
        Field("name", "string", 0, 0, default=""),
        Field("mechanism", "int8", 0, 0),
    ),
    ScramCredentialUpsertion: (
        Field("name", "string", 0, 0, default=""),
        Field("mechanism", "int8", 0, 0),
        Field("iterations", "int32", 0, 0),
        Field("salt", "bytes", 0, 0, default=b""),
        Field("salted_password", "bytes", 0, 0, default=b""),
    ),
    AlterUserScramCredentialsRequest: (
        Field("deletions", "struct", 0, 0, array=True, item=ScramCredentialDeletion, default=()),
        Field("upsertions", "struct", 0, 0, array=True, item=ScramCredentialUpsertion, default=()),
    ),
    AlterUserScramCredentialsResult: (
        Field("user", "string", 0, 0, default=""),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
    AlterUserScramCredentialsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("results", "struct", 0, 0, array=True, item=AlterUserScramCredentialsResult, default=()),
    ),
}

REQUEST = Message(
    "AlterUserScramCredentialsRequest", AlterUserScramCredentialsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "AlterUserScramCredentialsResponse", AlterUserScramCredentialsResponse, 0, 0, flexible=0, structs=STRUCTS
)
