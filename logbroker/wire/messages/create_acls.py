"""CreateAcls (API key 30): CreateAclsRequest v1 to v3 (flexible from v2); CreateAclsResponse v1 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AclCreation:
    """An element of `CreateAclsRequest.creations`. Versions 1 to 3."""

    resource_type: int = 0
    resource_name: str = ""
    resource_pattern_type: int = 3
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


@dataclass(slots=True)
class CreateAclsRequest:
    """The whole request. Versions 1 to 3."""

    creations: list[AclCreation] = field(default_factory=list)


@dataclass(slots=True)
class AclCreationResult:
    """An element of `CreateAclsResponse.results`. Versions 1 to 3."""

    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class CreateAclsResponse:
    """The whole response. Versions 1 to 3."""

    throttle_time_ms: int = 0
    results: list[AclCreationResult] = field(default_factory=list)


STRUCTS: Structs = {
    AclCreation: (
        Field("resource_type", "int8", 1, 3),
        Field("resource_name", "string", 1, 3, default=""),
        Field("resource_pattern_type", "int8", 1, 3, default=3),
        Field("principal", "string", 1, 3, default=""),
        Field("host", "string", 1, 3, default=""),
        Field("operation", "int8", 1, 3),
        Field("permission_type", "int8", 1, 3),
    ),
    CreateAclsRequest: (Field("creations", "struct", 1, 3, array=True, item=AclCreation, default=()),),
    AclCreationResult: (
        Field("error_code", "int16", 1, 3),
        Field("error_message", "string", 1, 3, nullable=(1, 3), default=None),
    ),
    CreateAclsResponse: (
        Field("throttle_time_ms", "int32", 1, 3),
        Field("results", "struct", 1, 3, array=True, item=AclCreationResult, default=()),
    ),
}

REQUEST = Message("CreateAclsRequest", CreateAclsRequest, 1, 3, flexible=2, structs=STRUCTS)
RESPONSE = Message("CreateAclsResponse", CreateAclsResponse, 1, 3, flexible=2, structs=STRUCTS)
