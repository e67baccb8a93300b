"""UpdateRaftVoter (API key 82): UpdateRaftVoterRequest v0 to v0 (flexible from v0); UpdateRaftVoterResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class Listener:
    """An element of `UpdateRaftVoterRequest.listeners`. Version 0."""

    name: str = ""
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class KRaftVersionFeature:
    """The value of `UpdateRaftVoterRequest.k_raft_version_feature`. Version 0."""

    min_supported_version: int = 0
    max_supported_version: int = 0


@dataclass(slots=True)
class UpdateRaftVoterRequest:
    """The whole request. Version 0."""

    cluster_id: str | None = None
    current_leader_epoch: int = 0
    voter_id: int = 0
    voter_directory_id: UUID = ZERO_UUID
    listeners: list[Listener] = field(default_factory=list)
    k_raft_version_feature: KRaftVersionFeature = field(default_factory=KRaftVersionFeature)


@dataclass(slots=True)
class CurrentLeader:
    """The value of `UpdateRaftVoterResponse.current_leader`. Version 0."""

    leader_id: int = -1
    leader_epoch: int = -1
    host: str = ""
    port: int = 0


@dataclass(slots=True)
class UpdateRaftVoterResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    current_leader: CurrentLeader | None = None


STRUCTS: Structs = {
    Listener: (
        Field("name", "string", 0, 0, default=""),
        Field("host", "string", 0, 0, default=""),
        Field("port", "uint16", 0, 0),
    ),
    KRaftVersionFeature: (
        Field("min_supported_version", "int16", 0, 0),
        Field("max_supported_version", "int16", 0, 0),
    ),
    UpdateRaftVoterRequest: (
        Field("cluster_id", "string", 0, 0, nullable=(0, 0), default=None),
        Field("current_leader_epoch", "int32", 0, 0),
        Field("voter_id", "int32", 0, 0),
        Field("voter_directory_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("listeners", "struct", 0, 0, array=True, item=Listener, default=()),
        Field("k_raft_version_feature", "struct", 0, 0, item=KRaftVersionFeature, default=None),
    ),
    CurrentLeader: (
        Field("leader_id", "int32", 0, 0, default=-1),
        Field("leader_epoch", "int32", 0, 0, default=-1),
        Field("host", "string", 0, 0, default=""),
        Field("port", "int32", 0, 0),
    ),
    UpdateRaftVoterResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("current_leader", "struct", 0, 0, item=CurrentLeader, tag=0, tagged=(0, 0), default=None),
    ),
}

REQUEST = Message("UpdateRaftVoterRequest", UpdateRaftVoterRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("UpdateRaftVoterResponse", UpdateRaftVoterResponse, 0, 0, flexible=0, structs=STRUCTS)
