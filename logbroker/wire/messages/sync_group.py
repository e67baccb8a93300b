"""SyncGroup (API key 14): SyncGroupRequest v0 to v5 (flexible from v4); SyncGroupResponse v0 to v5 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.base.types import Buffer
from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class SyncGroupRequestAssignment:
    """An element of `SyncGroupRequest.assignments`. Versions 0 to 5."""

    member_id: str = ""
    assignment: Buffer = b""


@dataclass(slots=True)
class SyncGroupRequest:
    """The whole request. Versions 0 to 5."""

    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None  # v3+
    protocol_type: str | None = None  # v5+
    protocol_name: str | None = None  # v5+
    assignments: list[SyncGroupRequestAssignment] = field(default_factory=list)


@dataclass(slots=True)
class SyncGroupResponse:
    """The whole response. Versions 0 to 5."""

    throttle_time_ms: int = 0  # v1+
    error_code: int = 0
    protocol_type: str | None = None  # v5+
    protocol_name: str | None = None  # v5+
    assignment: Buffer = b""


STRUCTS: Structs = {
    SyncGroupRequestAssignment: (
        Field("member_id", "string", 0, 5, default=""),
        Field("assignment", "bytes", 0, 5, default=b""),
    ),
    SyncGroupRequest: (
        Field("group_id", "string", 0, 5, default=""),
        Field("generation_id", "int32", 0, 5),
        Field("member_id", "string", 0, 5, default=""),
        Field("group_instance_id", "string", 3, 5, nullable=(3, 5), default=None),
        Field("protocol_type", "string", 5, 5, nullable=(5, 5), default=None),
        Field("protocol_name", "string", 5, 5, nullable=(5, 5), default=None),
        Field("assignments", "struct", 0, 5, array=True, item=SyncGroupRequestAssignment, default=()),
    ),
    SyncGroupResponse: (
        Field("throttle_time_ms", "int32", 1, 5),
        Field("error_code", "int16", 0, 5),
        Field("protocol_type", "string", 5, 5, nullable=(5, 5), default=None),
        Field("protocol_name", "string", 5, 5, nullable=(5, 5), default=None),
        Field("assignment", "bytes", 0, 5, default=b""),
    ),
}

REQUEST = Message("SyncGroupRequest", SyncGroupRequest, 0, 5, flexible=4, structs=STRUCTS)
RESPONSE = Message("SyncGroupResponse", SyncGroupResponse, 0, 5, flexible=4, structs=STRUCTS)
