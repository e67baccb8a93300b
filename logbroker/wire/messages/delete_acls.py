"""DeleteAcls (API key 31): DeleteAclsRequest v1 to v3 (flexible from v2); DeleteAclsResponse v1 to v3 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DeleteAclsFilter:
    """An element of `DeleteAclsRequest.filters`. Versions 1 to 3."""

    resource_type_filter: int = 0
    resource_name_filter: str | None = None
    pattern_type_filter: int = 3
    principal_filter: str | None = None
    host_filter: str | None = None
    operation: int = 0
    permission_type: int = 0


@dataclass(slots=True)
class DeleteAclsRequest:
    """The whole request. Versions 1 to 3."""

    filters: list[DeleteAclsFilter] = field(default_factory=list)


@dataclass(slots=True)
class DeleteAclsMatchingAcl:
    """An element of `DeleteAclsFilterResult.matching_acls`. Versions 1 to 3."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


@dataclass(slots=True)
class DeleteAclsFilterResult:
    """An element of `DeleteAclsResponse.filter_results`. Versions 1 to 3."""

    error_code: int = 0
    error_message: str | None = None
    matching_acls: list[DeleteAclsMatchingAcl] = field(default_factory=list)


@dataclass(slots=True)
class DeleteAclsResponse:
    """The whole response. Versions 1 to 3."""

    throttle_time_ms: int = 0
    filter_results: list[DeleteAclsFilterResult] = field(default_factory=list)


STRUCTS: Structs = {
    DeleteAclsFilter: (
        Field("resource_type_filter", "int8", 1, 3),
        Field("resource_name_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("pattern_type_filter", "int8", 1, 3, default=3),
        Field("principal_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("host_filter", "string", 1, 3, nullable=(1, 3), default=None),
        Field("operation", "int8", 1, 3),
        Field("permission_type", "int8", 1, 3),
    ),
    DeleteAclsRequest: (Field("filters", "struct", 1, 3, array=True, item=DeleteAclsFilter, default=()),),
    DeleteAclsMatchingAcl: (
        Field("error_code", "int16", 1, 3),
        Field("error_message", "string", 1, 3, nullable=(1, 3), default=None),
        Field("resource_type", "int8", 1, 3),
        Field("resource_name", "string", 1, 3, default=""),
        Field("pattern_type", "int8", 1, 3, default=3),
        Field("principal", "string", 1, 3, default=""),
        Field("host", "string", 1, 3, default=""),
        Field("operation", "int8", 1, 3),
        Field("permission_type", "int8", 1, 3),
    ),
    DeleteAclsFilterResult: (
        Field("error_code", "int16", 1, 3),
        Field("error_message", "string", 1, 3, nullable=(1, 3), default=None),
        Field("matching_acls", "struct", 1, 3, array=True, item=DeleteAclsMatchingAcl, default=()),
    ),
    DeleteAclsResponse: (
        Field("throttle_time_ms", "int32", 1, 3),
        Field("filter_results", "struct", 1, 3, array=True, item=DeleteAclsFilterResult, default=()),
    ),
}

REQUEST = Message("DeleteAclsRequest", DeleteAclsRequest, 1, 3, flexible=2, structs=STRUCTS)
RESPONSE = Message("DeleteAclsResponse", DeleteAclsResponse, 1, 3, flexible=2, structs=STRUCTS)
