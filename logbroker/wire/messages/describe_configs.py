"""DescribeConfigs (API key 32): DescribeConfigsRequest v1 to v4 (flexible from v4); DescribeConfigsResponse v1 to v4 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeConfigsResource:
    """An element of `DescribeConfigsRequest.resources`. Versions 1 to 4."""

    resource_type: int = 0
    resource_name: str = ""
    configuration_keys: list[str] | None = field(default_factory=list)


@dataclass(slots=True)
class DescribeConfigsRequest:
    """The whole request. Versions 1 to 4."""

    resources: list[DescribeConfigsResource] = field(default_factory=list)
    include_synonyms: bool = False
    include_documentation: bool = False  # v3+


@dataclass(slots=True)
class DescribeConfigsSynonym:
    """An element of `DescribeConfigsResourceResult.synonyms`. Versions 1 to 4."""

    name: str = ""
    value: str | None = None
    source: int = 0


@dataclass(slots=True)
class DescribeConfigsResourceResult:
    """An element of `DescribeConfigsResult.configs`. Versions 1 to 4."""

    name: str = ""
    value: str | None = None
    read_only: bool = False
    config_source: int = -1
    is_sensitive: bool = False
    synonyms: list[DescribeConfigsSynonym] = field(default_factory=list)
    config_type: int = 0  # v3+
    documentation: str | None = None  # v3+


@dataclass(slots=True)
class DescribeConfigsResult:
    """An element of `DescribeConfigsResponse.results`. Versions 1 to 4."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""
    configs: list[DescribeConfigsResourceResult] = field(default_factory=list)


@dataclass(slots=True)
class DescribeConfigsResponse:
    """The whole response. Versions 1 to 4."""

    throttle_time_ms: int = 0
    results: list[DescribeConfigsResult] = field(default_factory=list)


STRUCTS: Structs = {
    DescribeConfigsResource: (
        Field("resource_type", "int8", 1, 4),
        Field("resource_name", "string", 1, 4, default=""),
        Field("configuration_keys", "string", 1, 4, array=True, nullable=(1, 4), default=()),
    ),
    DescribeConfigsRequest: (
        Field("resources", "struct", 1, 4, array=True, item=DescribeConfigsResource, default=()),
        Field("include_synonyms", "bool", 1, 4, default=False),
        Field("include_documentation", "bool", 3, 4, default=False),
    ),
    DescribeConfigsSynonym: (
        Field("name", "string", 1, 4, default=""),
        Field("value", "string", 1, 4, nullable=(1, 4), default=None),
        Field("source", "int8", 1, 4),
    ),
    DescribeConfigsResourceResult: (
        Field("name", "string", 1, 4, default=""),
        Field("value", "string", 1, 4, nullable=(1, 4), default=None),
        Field("read_only", "bool", 1, 4, default=False),
        Field("config_source", "int8", 1, 4, default=-1),
        Field("is_sensitive", "bool", 1, 4, default=False),
        Field("synonyms", "struct", 1, 4, array=True, item=DescribeConfigsSynonym, default=()),
        Field("config_type", "int8", 3, 4),
        Field("documentation", "string", 3, 4, nullable=(3, 4), default=None),
    ),
    DescribeConfigsResult: (
        Field("error_code", "int16", 1, 4),
        Field("error_message", "string", 1, 4, nullable=(1, 4), default=None),
        Field("resource_type", "int8", 1, 4),
        Field("resource_name", "string", 1, 4, default=""),
        Field("configs", "struct", 1, 4, array=True, item=DescribeConfigsResourceResult, default=()),
    ),
    DescribeConfigsResponse: (
        Field("throttle_time_ms", "int32", 1, 4),
        Field("results", "struct", 1, 4, array=True, item=DescribeConfigsResult, default=()),
    ),
}

REQUEST = Message("DescribeConfigsRequest", DescribeConfigsRequest, 1, 4, flexible=4, structs=STRUCTS)
RESPONSE = Message("DescribeConfigsResponse", DescribeConfigsResponse, 1, 4, flexible=4, structs=STRUCTS)
