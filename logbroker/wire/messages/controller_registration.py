"""ControllerRegistration (API key 70): ControllerRegistrationRequest v0 to v0 (flexible from v0); ControllerRegistrationResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class Listener:
    """An element of `ControllerRegistrationRequest.listeners`. Version 0."""

    name: str = ""
    host: str = ""
    port: int = 0
    security_protocol: int = 0


@dataclass(slots=True)
class Feature:
    """An element of `ControllerRegistrationRequest.features`. Version 0."""

    name: str = ""
    min_supported_version: int = 0
    max_supported_version: int = 0


@dataclass(slots=True)
class ControllerRegistrationRequest:
    """The whole request. Version 0."""

    controller_id: int = 0
    incarnation_id: UUID = ZERO_UUID
    zk_migration_ready: bool = False
    listeners: list[Listener] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)


@dataclass(slots=True)
class ControllerRegistrationResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None


STRUCTS: Structs = {
    Listener: (
        Field("name", "string", 0, 0, default=""),
        Field("host", "string", 0, 0, default=""),
        Field("port", "uint16", 0, 0),
        Field("security_protocol", "int16", 0, 0),
    ),
    Feature: (
        Field("name", "string", 0, 0, default=""),
        Field("min_supported_version", "int16", 0, 0),
        Field("max_supported_version", "int16", 0, 0),
    ),
    ControllerRegistrationRequest: (
        Field("controller_id", "int32", 0, 0),
        Field("incarnation_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("zk_migration_ready", "bool", 0, 0, default=False),
        Field("listeners", "struct", 0, 0, array=True, item=Listener, default=()),
        Field("features", "struct", 0, 0, array=True, item=Feature, default=()),
    ),
    ControllerRegistrationResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
}

REQUEST = Message(
    "ControllerRegistrationRequest", ControllerRegistrationRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "ControllerRegistrationResponse", ControllerRegistrationResponse, 0, 0, flexible=0, structs=STRUCTS
)
