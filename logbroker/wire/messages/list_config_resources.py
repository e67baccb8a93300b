"""ListConfigResources (API key 74): ListConfigResourcesRequest v0 to v1 (flexible from v0); ListConfigResourcesResponse v0 to v1 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ListConfigResourcesRequest:
    """The whole request. Versions 0 to 1."""

    resource_types: list[int] = field(default_factory=list)  # v1+


@dataclass(slots=True)
class ConfigResource:
    """An element of `ListConfigResourcesResponse.config_resources`. Versions 0 to 1."""

    resource_name: str = ""
    resource_type: int = 16  # v1+


@dataclass(slots=True)
class ListConfigResourcesResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    config_resources: list[ConfigResource] = field(default_factory=list)


STRUCTS: Structs = {
    ListConfigResourcesRequest: (Field("resource_types", "int8", 1, 1, array=True, default=()),),
    ConfigResource: (
        Field("resource_name", "string", 0, 1, default=""),
        Field("resource_type", "int8", 1, 1, default=16),
    ),
    ListConfigResourcesResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("config_resources", "struct", 0, 1, array=True, item=ConfigResource, default=()),
    ),
}

REQUEST = Message("ListConfigResourcesRequest", ListConfigResourcesRequest, 0, 1, flexible=0, structs=STRUCTS)
RESPONSE = Message(
    "ListConfigResourcesResponse", ListConfigResourcesResponse, 0, 1, flexible=0, structs=STRUCTS
)
