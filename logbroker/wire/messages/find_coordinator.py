"""FindCoordinator (API key 10): FindCoordinatorRequest v0 to v6 (flexible from v3); FindCoordinatorResponse v0 to v6 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class FindCoordinatorRequest:
    """The whole request. Versions 0 to 6."""

    key: str = ""  # v0-v3
    key_type: int = 0  # v1+
    coordinator_keys: list[str] = field(default_factory=list)  # v4+


@dataclass(slots=True)
class Coordinator:
    """An element of `FindCoordinatorResponse.coordinators`. Versions 4 to 6."""

    key: str = ""
    node_id: int = 0
    host: str = ""
    port: int = 0
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class FindCoordinatorResponse:
    """The whole response. Versions 0 to 6."""

    throttle_time_ms: int = 0  # v1+
    error_code: int = 0  # v0-v3
    error_message: str | None = None  # v1-v3
    node_id: int = 0  # v0-v3
    host: str = ""  # v0-v3
    port: int = 0  # v0-v3
    coordinators: list[Coordinator] = field(default_factory=list)  # v4+


STRUCTS: Structs = {
    FindCoordinatorRequest: (
        Field("key", "string", 0, 3, default=""),
        Field("key_type", "int8", 1, 6),
        Field("coordinator_keys", "string", 4, 6, array=True, default=()),
    ),
    Coordinator: (
        Field("key", "string", 4, 6, default=""),
        Field("node_id", "int32", 4, 6),
        Field("host", "string", 4, 6, default=""),
        Field("port", "int32", 4, 6),
        Field("error_code", "int16", 4, 6),
        Field("error_message", "string", 4, 6, nullable=(4, 6), default=None),
    ),
    FindCoordinatorResponse: (
        Field("throttle_time_ms", "int32", 1, 6),
        Field("error_code", "int16", 0, 3),
        Field("error_message", "string", 1, 3, nullable=(1, 3), default=None),
        Field("node_id", "int32", 0, 3),
        Field("host", "string", 0, 3, default=""),
        Field("port", "int32", 0, 3),
        Field("coordinators", "struct", 4, 6, array=True, item=Coordinator, default=()),
    ),
}

REQUEST = Message("FindCoordinatorRequest", FindCoordinatorRequest, 0, 6, flexible=3, structs=STRUCTS)
RESPONSE = Message("FindCoordinatorResponse", FindCoordinatorResponse, 0, 6, flexible=3, structs=STRUCTS)
