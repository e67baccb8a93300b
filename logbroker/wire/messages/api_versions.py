"""ApiVersions (API key 18): ApiVersionsRequest v0 to v4 (flexible from v3); ApiVersionsResponse v0 to v4 (flexible from v3).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ApiVersionsRequest:
    """The whole request. Versions 0 to 4."""

    client_software_name: str = ""  # v3+
    client_software_version: str = ""  # v3+


@dataclass(slots=True)
class ApiVersion:
    """An element of `ApiVersionsResponse.api_keys`. Versions 0 to 4."""

    api_key: int = 0
    min_version: int = 0
    max_version: int = 0


@dataclass(slots=True)
class SupportedFeatureKey:
    """An element of `ApiVersionsResponse.supported_features`. Versions 3 to 4."""

    name: str = ""
    min_version: int = 0
    max_version: int = 0


@dataclass(slots=True)
class FinalizedFeatureKey:
    """An element of `ApiVersionsResponse.finalized_features`. Versions 3 to 4."""

    name: str = ""
    max_version_level: int = 0
    min_version_level: int = 0


@dataclass(slots=True)
class ApiVersionsResponse:
    """The whole response. Versions 0 to 4."""

    error_code: int = 0
    api_keys: list[ApiVersion] = field(default_factory=list)
    throttle_time_ms: int = 0  # v1+
    supported_features: list[SupportedFeatureKey] = field(default_factory=list)  # v3+
    finalized_features_epoch: int = -1  # v3+
    finalized_features: list[FinalizedFeatureKey] = field(default_factory=list)  # v3+
    zk_migration_ready: bool = False  # v3+


STRUCTS: Structs = {
    ApiVersionsRequest: (
        Field("client_software_name", "string", 3, 4, default=""),
        Field("client_software_version", "string", 3, 4, default=""),
    ),
    ApiVersion: (
        Field("api_key", "int16", 0, 4),
        Field("min_version", "int16", 0, 4),
        Field("max_version", "int16", 0, 4),
    ),
    SupportedFeatureKey: (
        Field("name", "string", 3, 4, default=""),
        Field("min_version", "int16", 3, 4),
        Field("max_version", "int16", 3, 4),
    ),
    FinalizedFeatureKey: (
        Field("name", "string", 3, 4, default=""),
        Field("max_version_level", "int16", 3, 4),
        Field("min_version_level", "int16", 3, 4),
    ),
    ApiVersionsResponse: (
        Field("error_code", "int16", 0, 4),
        Field("api_keys", "struct", 0, 4, array=True, item=ApiVersion, default=()),
        Field("throttle_time_ms", "int32", 1, 4),
        Field(
            "supported_features",
            "struct",
            3,
            4,
            array=True,
            item=SupportedFeatureKey,
            tag=0,
            tagged=(3, 4),
            default=(),
        ),
        Field("finalized_features_epoch", "int64", 3, 4, tag=1, tagged=(3, 4), default=-1),
        Field(
            "finalized_features",
            "struct",
            3,
            4,
            array=True,
            item=FinalizedFeatureKey,
            tag=2,
            tagged=(3, 4),
            default=(),
        ),
        Field("zk_migration_ready", "bool", 3, 4, tag=3, tagged=(3, 4), default=False),
    ),
}

REQUEST = Message("ApiVersionsRequest", ApiVersionsRequest, 0, 4, flexible=3, structs=STRUCTS)
RESPONSE = Message("ApiVersionsResponse", ApiVersionsResponse, 0, 4, flexible=3, structs=STRUCTS)
