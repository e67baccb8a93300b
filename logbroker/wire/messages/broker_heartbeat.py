"""BrokerHeartbeat (API key 63): BrokerHeartbeatRequest v0 to v2 (flexible from v0); BrokerHeartbeatResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class BrokerHeartbeatRequest:
    """The whole request. Versions 0 to 2."""

    broker_id: int = 0
    broker_epoch: int = -1
    current_metadata_offset: int = 0
    want_fence: bool = False
    want_shut_down: bool = False
    offline_log_dirs: list[UUID] = field(default_factory=list)  # v1+
    cordoned_log_dirs: list[UUID] | None = None  # v2+


@dataclass(slots=True)
class BrokerHeartbeatResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    is_caught_up: bool = False
    is_fenced: bool = True
    should_shut_down: bool = False


STRUCTS: Structs = {
    BrokerHeartbeatRequest: (
        Field("broker_id", "int32", 0, 2),
        Field("broker_epoch", "int64", 0, 2, default=-1),
        Field("current_metadata_offset", "int64", 0, 2),
        Field("want_fence", "bool", 0, 2, default=False),
        Field("want_shut_down", "bool", 0, 2, default=False),
        Field("offline_log_dirs", "uuid", 1, 2, array=True, tag=0, tagged=(1, 2), default=()),
        Field(
            "cordoned_log_dirs", "uuid", 2, 2, array=True, nullable=(2, 2), tag=1, tagged=(2, 2), default=None
        ),
    ),
    BrokerHeartbeatResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("is_caught_up", "bool", 0, 2, default=False),
        Field("is_fenced", "bool", 0, 2, default=True),
        Field("should_shut_down", "bool", 0, 2, default=False),
    ),
}

REQUEST = Message("BrokerHeartbeatRequest", BrokerHeartbeatRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("BrokerHeartbeatResponse", BrokerHeartbeatResponse, 0, 2, flexible=0, structs=STRUCTS)
