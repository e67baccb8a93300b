"""Heartbeat (API key 12): HeartbeatRequest v0 to v4 (flexible from v4); HeartbeatResponse v0 to v4 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class HeartbeatRequest:
    """The whole request. Versions 0 to 4."""

    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None  # v3+


@dataclass(slots=True)
class HeartbeatResponse:
    """The whole response. Versions 0 to 4."""

    throttle_time_ms: int = 0  # v1+
    error_code: int = 0


STRUCTS: Structs = {
    HeartbeatRequest: (
        Field("group_id", "string", 0, 4, default=""),
        Field("generation_id", "int32", 0, 4),
        Field("member_id", "string", 0, 4, default=""),
        Field("group_instance_id", "string", 3, 4, nullable=(3, 4), default=None),
    ),
    HeartbeatResponse: (
        Field("throttle_time_ms", "int32", 1, 4),
        Field("error_code", "int16", 0, 4),
    ),
}

REQUEST = Message("HeartbeatRequest", HeartbeatRequest, 0, 4, flexible=4, structs=STRUCTS)
RESPONSE = Message("HeartbeatResponse", HeartbeatResponse, 0, 4, flexible=4, structs=STRUCTS)
