"""JoinGroup (API key 11): JoinGroupRequest v0 to v9 (flexible from v6); JoinGroupResponse v0 to v9 (flexible from v6).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class JoinGroupRequestProtocol:
    """An element of `JoinGroupRequest.protocols`. Versions 0 to 9."""

    name: str = ""
    metadata: Buffer = b""


@dataclass(slots=True)
class JoinGroupRequest:
    """The whole request. Versions 0 to 9."""

    group_id: str = ""
    session_timeout_ms: int = 0
    rebalance_timeout_ms: int = -1  # v1+
    member_id: str = ""
    group_instance_id: str | None = None  # v5+
    protocol_type: str = ""
    protocols: list[JoinGroupRequestProtocol] = field(default_factory=list)
    reason: str | None = None  # v8+


@dataclass(slots=True)
class JoinGroupResponseMember:
    """An element of `JoinGroupResponse.members`. Versions 0 to 9."""

    member_id: str = ""
    group_instance_id: str | None = None  # v5+
    metadata: Buffer = b""


@dataclass(slots=True)
class JoinGroupResponse:
    """The whole response. Versions 0 to 9."""

    throttle_time_ms: int = 0  # v2+
    error_code: int = 0
    generation_id: int = -1
    protocol_type: str | None = None  # v7+
    protocol_name: str | None = ""
    leader: str = ""
    skip_assignment: bool = False  # v9+
    member_id: str = ""
    members: list[JoinGroupResponseMember] = field(default_factory=list)


STRUCTS: Structs = {
    JoinGroupRequestProtocol: (
        Field("name", "string", 0, 9, default=""),
        Field("metadata", "bytes", 0, 9, default=b""),
    ),
    JoinGroupRequest: (
        Field("group_id", "string", 0, 9, default=""),
        Field("session_timeout_ms", "int32", 0, 9),
        Field("rebalance_timeout_ms", "int32", 1, 9, default=-1),
        Field("member_id", "string", 0, 9, default=""),
        Field("group_instance_id", "string", 5, 9, nullable=(5, 9), default=None),
        Field("protocol_type", "string", 0, 9, default=""),
        Field("protocols", "struct", 0, 9, array=True, item=JoinGroupRequestProtocol, default=()),
        Field("reason", "string", 8, 9, nullable=(8, 9), default=None),
    ),
    JoinGroupResponseMember: (
        Field("member_id", "string", 0, 9, default=""),
        Field("group_instance_id", "string", 5, 9, nullable=(5, 9), default=None),
        Field("metadata", "bytes", 0, 9, default=b""),
    ),
    JoinGroupResponse: (
        Field("throttle_time_ms", "int32", 2, 9),
        Field("error_code", "int16", 0, 9),
        Field("generation_id", "int32", 0, 9, default=-1),
        Field("protocol_type", "string", 7, 9, nullable=(7, 9), default=None),
        Field("protocol_name", "string", 0, 9, nullable=(7, 9), default=""),
        Field("leader", "string", 0, 9, default=""),
        Field("skip_assignment", "bool", 9, 9, default=False),
        Field("member_id", "string", 0, 9, default=""),
        Field("members", "struct", 0, 9, array=True, item=JoinGroupResponseMember, default=()),
    ),
}

REQUEST = Message("JoinGroupRequest", JoinGroupRequest, 0, 9, flexible=6, structs=STRUCTS)
RESPONSE = Message("JoinGroupResponse", JoinGroupResponse, 0, 9, flexible=6, structs=STRUCTS)
