"""AlterConfigs (API key 33): AlterConfigsRequest v0 to v2 (flexible from v2); AlterConfigsResponse v0 to v2 (flexible from v2).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AlterableConfig:
    """An element of `AlterConfigsResource.configs`. Versions 0 to 2."""

    name: str = ""
    value: str | None = None


@dataclass(slots=True)
class AlterConfigsResource:
    """An element of `AlterConfigsRequest.resources`. Versions 0 to 2."""

    resource_type: int = 0
    resource_name: str = ""
    configs: list[AlterableConfig] = field(default_factory=list)


@dataclass(slots=True)
class AlterConfigsRequest:
    """The whole request. Versions 0 to 2."""

    resources: list[AlterConfigsResource] = field(default_factory=list)
    validate_only: bool = False


@dataclass(slots=True)
class AlterConfigsResourceResponse:
    """An element of `AlterConfigsResponse.responses`. Versions 0 to 2."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""


@dataclass(slots=True)
class AlterConfigsResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    responses: list[AlterConfigsResourceResponse] = field(default_factory=list)


STRUCTS: Structs = {
    AlterableConfig: (
        Field("name", "string", 0, 2, default=""),
        Field("value", "string", 0, 2, nullable=(0, 2), default=None),
    ),
    AlterConfigsResource: (
        Field("resource_type", "int8", 0, 2),
        Field("resource_name", "string", 0, 2, default=""),
        Field("configs", "struct", 0, 2, array=True, item=AlterableConfig, default=()),
    ),
    AlterConfigsRequest: (
        Field("resources", "struct", 0, 2, array=True, item=AlterConfigsResource, default=()),
        Field("validate_only", "bool", 0, 2, default=False),
    ),
    AlterConfigsResourceResponse: (
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 0, 2, nullable=(0, 2), default=None),
        Field("resource_type", "int8", 0, 2),
        Field("resource_name", "string", 0, 2, default=""),
    ),
    AlterConfigsResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("responses", "struct", 0, 2, array=True, item=AlterConfigsResourceResponse, default=()),
    ),
}

REQUEST = Message("AlterConfigsRequest", AlterConfigsRequest, 0, 2, flexible=2, structs=STRUCTS)
RESPONSE = Message("AlterConfigsResponse", AlterConfigsResponse, 0, 2, flexible=2, structs=STRUCTS)
