"""ListGroups (API key 16): ListGroupsRequest v0 to v5 (flexible from v3); ListGroupsResponse v0 to v5 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ListGroupsRequest:
    """The whole request. Versions 0 to 5."""

    states_filter: list[str] = field(default_factory=list)  # v4+
    types_filter: list[str] = field(default_factory=list)  # v5+


@dataclass(slots=True)
class ListedGroup:
    """An element of `ListGroupsResponse.groups`. Versions 0 to 5."""

    group_id: str = ""
    protocol_type: str = ""
    group_state: str = ""  # v4+
    group_type: str = ""  # v5+


@dataclass(slots=True)
class ListGroupsResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0  # v1+
    error_code: int = 0
    groups: list[ListedGroup] = field(default_factory=list)


STRUCTS: Structs = {
    ListGroupsRequest: (
        Field("states_filter", "string", 4, 5, array=True, default=()),
        Field("types_filter", "string", 5, 5, array=True, default=()),
    ),
    ListedGroup: (
        Field("group_id", "string", 0, 5, default=""),
        Field("protocol_type", "string", 0, 5, default=""),
        Field("group_state", "string", 4, 5, default=""),
        Field("group_type", "string", 5, 5, default=""),
    ),
    ListGroupsResponse: (
        Field("throttle_time_ms", "int32", 1, 5),
        Field("error_code", "int16", 0, 5),
        Field("groups", "struct", 0, 5, array=True, item=ListedGroup, default=()),
    ),
}

REQUEST = Message("ListGroupsRequest", ListGroupsRequest, 0, 5, flexible=3, structs=STRUCTS)
RESPONSE = Message("ListGroupsResponse", ListGroupsResponse, 0, 5, flexible=3, structs=STRUCTS)
