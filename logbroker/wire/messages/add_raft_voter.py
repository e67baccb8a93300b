"""AddRaftVoter (API key 80): AddRaftVoterRequest v0 to v1 (flexible from v0); AddRaftVoterResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class Listener:
    """An element of `AddRaftVoterRequest.listeners`. Versions 0 to 1."""

    name: str = ""
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class AddRaftVoterRequest:
    """The whole request. Versions 0 to 1."""

    cluster_id: str | None = None
    timeout_ms: int = 0
    voter_id: int = 0
    voter_directory_id: UUID = ZERO_UUID
    listeners: list[Listener] = field(default_factory=list)
    ack_when_committed: bool = True  # v1+


@dataclass(slots=True)
class AddRaftVoterResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None


STRUCTS: Structs = {
    Listener: (
        Field("name", "string", 0, 1, default=""),
        Field("host", "string", 0, 1, default=""),
        Field("port", "uint16", 0, 1),
    ),
    AddRaftVoterRequest: (
        Field("cluster_id", "string", 0, 1, nullable=(0, 1), default=None),
        Field("timeout_ms", "int32", 0, 1),
        Field("voter_id", "int32", 0, 1),
        Field("voter_directory_id", "uuid", 0, 1, default=ZERO_UUID),
        Field("listeners", "struct", 0, 1, array=True, item=Listener, default=()),
        Field("ack_when_committed", "bool", 1, 1, default=True),
    ),
    AddRaftVoterResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
}

REQUEST = Message("AddRaftVoterRequest", AddRaftVoterRequest, 0, 1, flexible=0, structs=STRUCTS)
RESPONSE = Message("AddRaftVoterResponse", AddRaftVoterResponse, 0, 1, flexible=0, structs=STRUCTS)
