"""LeaveGroup (API key 13): LeaveGroupRequest v0 to v5 (flexible from v4); LeaveGroupResponse v0 to v5 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class MemberIdentity:
    """An element of `LeaveGroupRequest.members`. Versions 3 to 5."""

    member_id: str = ""
    group_instance_id: str | None = None
    reason: str | None = None  # v5+


@dataclass(slots=True)
class LeaveGroupRequest:
    """The whole request. Versions 0 to 5."""

    group_id: str = ""
    member_id: str = ""  # v0-v2
    members: list[MemberIdentity] = field(default_factory=list)  # v3+


@dataclass(slots=True)
class MemberResponse:
    """An element of `LeaveGroupResponse.members`. Versions 3 to 5."""

    member_id: str = ""
    group_instance_id: str | None = None
    error_code: int = 0


@dataclass(slots=True)
class LeaveGroupResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0  # v1+
    error_code: int = 0
    members: list[MemberResponse] = field(default_factory=list)  # v3+


STRUCTS: Structs = {
    MemberIdentity: (
        Field("member_id", "string", 3, 5, default=""),
        Field("group_instance_id", "string", 3, 5, nullable=(3, 5), default=None),
        Field("reason", "string", 5, 5, nullable=(5, 5), default=None),
    ),
    LeaveGroupRequest: (
        Field("group_id", "string", 0, 5, default=""),
        Field("member_id", "string", 0, 2, default=""),
        Field("members", "struct", 3, 5, array=True, item=MemberIdentity, default=()),
    ),
    MemberResponse: (
        Field("member_id", "string", 3, 5, default=""),
        Field("group_instance_id", "string", 3, 5, nullable=(3, 5), default=None),
        Field("error_code", "int16", 3, 5),
    ),
    LeaveGroupResponse: (
        Field("throttle_time_ms", "int32", 1, 5),
        Field("error_code", "int16", 0, 5),
        Field("members", "struct", 3, 5, array=True, item=MemberResponse, default=()),
    ),
}

REQUEST = Message("LeaveGroupRequest", LeaveGroupRequest, 0, 5, flexible=4, structs=STRUCTS)
RESPONSE = Message("LeaveGroupResponse", LeaveGroupResponse, 0, 5, flexible=4, structs=STRUCTS)
