"""DeleteGroups (API key 42): DeleteGroupsRequest v0 to v2 (flexible from v2); DeleteGroupsResponse v0 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DeleteGroupsRequest:
    """The whole request. Versions 0 to 2."""

    groups_names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DeletableGroupResult:
    """An element of `DeleteGroupsResponse.results`. Versions 0 to 2."""

    group_id: str = ""
    error_code: int = 0


@dataclass(slots=True)
class DeleteGroupsResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    results: list[DeletableGroupResult] = field(default_factory=list)


STRUCTS: Structs = {
    DeleteGroupsRequest: (Field("groups_names", "string", 0, 2, array=True, default=()),),
    DeletableGroupResult: (
        Field("group_id", "string", 0, 2, default=""),
        Field("error_code", "int16", 0, 2),
    ),
    DeleteGroupsResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("results", "struct", 0, 2, array=True, item=DeletableGroupResult, default=()),
    ),
}

REQUEST = Message("DeleteGroupsRequest", DeleteGroupsRequest, 0, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message("DeleteGroupsResponse", DeleteGroupsResponse, 0, 2, flexible=2, structs=STRUCTS)
