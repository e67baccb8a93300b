"""IncrementalAlterConfigs (API key 44): IncrementalAlterConfigsRequest v0 to v1 (flexible from v1); IncrementalAlterConfigsResponse v0 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AlterableConfig:
    """An element of `AlterConfigsResource.configs`. Versions 0 to 1."""

    name: str = ""
    config_operation: int = 0
    value: str | None = None


@dataclass(slots=True)
class AlterConfigsResource:
    """An element of `IncrementalAlterConfigsRequest.resources`. Versions 0 to 1."""

    resource_type: int = 0
    resource_name: str = ""
    configs: list[AlterableConfig] = field(default_factory=list)


@dataclass(slots=True)
class IncrementalAlterConfigsRequest:
    """The whole request. Versions 0 to 1."""

    resources: list[AlterConfigsResource] = field(default_factory=list)
    validate_only: bool = False


@dataclass(slots=True)
class AlterConfigsResourceResponse:
    """An element of `IncrementalAlterConfigsResponse.responses`. Versions 0 to 1."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""


@dataclass(slots=True)
class IncrementalAlterConfigsResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    responses: list[AlterConfigsResourceResponse] = field(default_factory=list)


STRUCTS: Structs = {
    AlterableConfig: (
        Field("name", "string", 0, 1, default=""),
        Field("config_operation", "int8", 0, 1),
        Field("value", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    AlterConfigsResource: (
        Field("resource_type", "int8", 0, 1),
        Field("resource_name", "string", 0, 1, default=""),
        Field("configs", "struct", 0, 1, array=True, item=AlterableConfig, default=()),
    ),
    IncrementalAlterConfigsRequest: (
        Field("resources", "struct", 0, 1, array=True, item=AlterConfigsResource, default=()),
        Field("validate_only", "bool", 0, 1, default=False),
    ),
    AlterConfigsResourceResponse: (
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("resource_type", "int8", 0, 1),
        Field("resource_name", "string", 0, 1, default=""),
    ),
    IncrementalAlterConfigsResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("responses", "struct", 0, 1, array=True, item=AlterConfigsResourceResponse, default=()),
    ),
}

REQUEST = Message(
    "IncrementalAlterConfigsRequest", IncrementalAlterConfigsRequest, 0, 1, flexible=1, structs=STRUCTS
)
RESPONSE = Message(
    "IncrementalAlterConfigsResponse", IncrementalAlterConfigsResponse, 0, 1, flexible=1, structs=STRUCTS
)
