"""BrokerRegistration (API key 62): BrokerRegistrationRequest v0 to v4 (flexible from v0); BrokerRegistrationResponse v0 to v4 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class Listener:
    """An element of `BrokerRegistrationRequest.listeners`. Versions 0 to 4."""

    name: str = ""
    host: str = ""
    port: int = 0
    security_protocol: int = 0


@dataclass(slots=True)
class Feature:
    """An element of `BrokerRegistrationRequest.features`. Versions 0 to 4."""

    name: str = ""
    min_supported_version: int = 0
    max_supported_version: int = 0


@dataclass(slots=True)
class BrokerRegistrationRequest:
    """The whole request. Versions 0 to 4."""

    broker_id: int = 0
    cluster_id: str = ""
    incarnation_id: UUID = ZERO_UUID
    listeners: list[Listener] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    rack: str | None = None
    is_migrating_zk_broker: bool = False  # v1+
    log_dirs: list[UUID] = field(default_factory=list)  # v2+
    previous_broker_epoch: int = -1  # v3+


@dataclass(slots=True)
class BrokerRegistrationResponse:
    """The whole response. Versions 0 to 4."""

    throttle_time_ms: int = 0
    error_code: int = 0
    broker_epoch: int = -1


STRUCTS: Structs = {
    Listener: (
        Field("name", "string", 0, 4, default=""),
        Field("host", "string", 0, 4, default=""),
        Field("port", "uint16", 0, 4),
        Field("security_protocol", "int16", 0, 4),
    ),
    Feature: (
        Field("name", "string", 0, 4, default=""),
        Field("min_supported_version", "int16", 0, 4),
        Field("max_supported_version", "int16", 0, 4),
    ),
    BrokerRegistrationRequest: (
        Field("broker_id", "int32", 0, 4),
        Field("cluster_id", "string", 0, 4, default=""),
        Field("incarnation_id", "uuid", 0, 4, default=ZERO_UUID),
        Field("listeners", "struct", 0, 4, array=True, item=Listener, default=()),
        Field("features", "struct", 0, 4, array=True, item=Feature, default=()),
        Field("rack", "string", 0, 4, nullable=(0, 4), default=None),
        Field("is_migrating_zk_broker", "bool", 1, 4, default=False),
        Field("log_dirs", "uuid", 2, 4, array=True, default=()),
        Field("previous_broker_epoch", "int64", 3, 4, default=-1),
    ),
    BrokerRegistrationResponse: (
        Field("throttle_time_ms", "int32", 0, 4),
        Field("error_code", "int16", 0, 4),
        Field("broker_epoch", "int64", 0, 4, default=-1),
    ),
}

REQUEST = Message("BrokerRegistrationRequest", BrokerRegistrationRequest, 0, 4, flexible=0, structs=STRUCTS)
RESPONSE = Message(
    "BrokerRegistrationResponse", BrokerRegistrationResponse, 0, 4, flexible=0, structs=STRUCTS
)
