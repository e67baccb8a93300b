"""RemoveRaftVoter (API key 81): RemoveRaftVoterRequest v0 to v0 (flexible from v0); RemoveRaftVoterResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class RemoveRaftVoterRequest:
    """The whole request. Version 0."""

    cluster_id: str | None = None
    voter_id: int = 0
    voter_directory_id: UUID = ZERO_UUID


@dataclass(slots=True)
class RemoveRaftVoterResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None


STRUCTS: Structs = {
    RemoveRaftVoterRequest: (
        Field("cluster_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("voter_id", "int32", 0, 0),
        Field("voter_directory_id", "uuid", 0, 0, default=ZERO_UUID),
    ),
    RemoveRaftVoterResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
}

REQUEST = Message("RemoveRaftVoterRequest", RemoveRaftVoterRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("RemoveRaftVoterResponse", RemoveRaftVoterResponse, 0, 0, flexible=0, structs=STRUCTS)
