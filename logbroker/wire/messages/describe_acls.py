"""DescribeAcls (API key 29): DescribeAclsRequest v1 to v3 (flexible from v2); DescribeAclsResponse v1 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeAclsRequest:
    """The whole request. Versions 1 to 3."""

    resource_type_filter: int = 0
    resource_name_filter: str | None = None
    pattern_type_filter: int = 3
    principal_filter: str | None = None
    host_filter: str | None = None
    operation: int = 0
    permission_type: int = 0


@dataclass(slots=True)
class AclDescription:
    """An element of `DescribeAclsResource.acls`. Versions 1 to 3."""

    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


@dataclass(slots=True)
class DescribeAclsResource:
    """An element of `DescribeAclsResponse.resources`. Versions 1 to 3."""

    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3
    acls: list[AclDescription] = field(default_factory=list)


@dataclass(slots=True)
class DescribeAclsResponse:
    """The whole response. Versions 1 to 3."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    resources: list[DescribeAclsResource] = field(default_factory=list)


STRUCTS: Structs = {
    DescribeAclsRequest: (
        Field("resource_type_filter", "int8", 1, 3),
        Field("resource_name_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("pattern_type_filter", "int8", 1, 3, default=3),
        Field("principal_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("host_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("operation", "int8", 1, 3),
        Field("permission_type", "int8", 1, 3),
    ),
    AclDescription: (
        Field("principal", "string", 1, 3, default=""),
        Field("host", "string", 1, 3, default=""),
        Field("operation", "int8", 1, 3),
        Field("permission_type", "int8", 1, 3),
    ),
    DescribeAclsResource: (
        Field("resource_type", "int8", 1, 3),
        Field("resource_name", "string", 1, 3, default=""),
        Field("pattern_type", "int8", 1, 3, default=3),
        Field("acls", "struct", 1, 3, array=True, item=AclDescription, default=()),
    ),
    DescribeAclsResponse: (
        Field("throttle_time_ms", "int32", 1, 3),
        Field("error_code", "int16", 1, 3),
        Field("error_message", "string", 1, 3, nullable=(1, 3), default=None),
        Field("resources", "struct", 1, 3, array=True, item=DescribeAclsResource, default=()),
    ),
}

REQUEST = Message("DescribeAclsRequest", DescribeAclsRequest, 1, 3, flexible=2, structs=STRUCTS)
RESPONSE = Message("DescribeAclsResponse", DescribeAclsResponse, 1, 3, flexible=2, structs=STRUCTS)
