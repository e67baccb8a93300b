"""DescribeGroups (API key 15): DescribeGroupsRequest v0 to v6 (flexible from v5); DescribeGroupsResponse v0 to v6 (flexible from v5).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeGroupsRequest:
    """The whole request. Versions 0 to 6."""

    groups: list[str] = field(default_factory=list)
    include_authorized_operations: bool = False  # v3+


@dataclass(slots=True)
class DescribedGroupMember:
    """An element of `DescribedGroup.members`. Versions 0 to 6."""

    member_id: str = ""
    group_instance_id: str | None = None  # v4+
    client_id: str = ""
    client_host: str = ""
    member_metadata: Buffer = b""
    member_assignment: Buffer = b""


@dataclass(slots=True)
class DescribedGroup:
    """An element of `DescribeGroupsResponse.groups`. Versions 0 to 6."""

    error_code: int = 0
    error_message: str | None = None  # v6+
    group_id: str = ""
    group_state: str = ""
    protocol_type: str = ""
    protocol_data: str = ""
    members: list[DescribedGroupMember] = field(default_factory=list)
    authorized_operations: int = -2147483648  # v3+


@dataclass(slots=True)
class DescribeGroupsResponse:
    """The whole response. Versions 0 to 6."""

    throttle_time_ms: int = 0  # v1+
    groups: list[DescribedGroup] = field(default_factory=list)


STRUCTS: Structs = {
    DescribeGroupsRequest: (
        Field("groups", "string", 0, 6, array=True, default=()),
        Field("include_authorized_operations", "bool", 3, 6, default=False),
    ),
    DescribedGroupMember: (
        Field("member_id", "string", 0, 6, default=""),
        Field("group_instance_id", "string", 4, 6, nullable=(4, 6), default=None),
        Field("client_id", "string", 0, 6, default=""),
        Field("client_host", "string", 0, 6, default=""),
        Field("member_metadata", "bytes", 0, 6, default=b""),
        Field("member_assignment", "bytes", 0, 6, default=b""),
    ),
    DescribedGroup: (
        Field("error_code", "int16", 0, 6),
        Field("error_message", "string", 6, 6, nullable=(6, 6), default=None),
        Field("group_id", "string", 0, 6, default=""),
        Field("group_state", "string", 0, 6, default=""),
        Field("protocol_type", "string", 0, 6, default=""),
        Field("protocol_data", "string", 0, 6, default=""),
        Field("members", "struct", 0, 6, array=True, item=DescribedGroupMember, default=()),
        Field("authorized_operations", "int32", 3, 6, default=-2147483648),
    ),
    DescribeGroupsResponse: (
        Field("throttle_time_ms", "int32", 1, 6),
        Field("groups", "struct", 0, 6, array=True, item=DescribedGroup, default=()),
    ),
}

REQUEST = Message("DescribeGroupsRequest", DescribeGroupsRequest, 0, 6, flexible=5, structs=STRUCTS)
RESPONSE = Message("DescribeGroupsResponse", DescribeGroupsResponse, 0, 6, flexible=5, structs=STRUCTS)
