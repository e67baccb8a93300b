"""UpdateFeatures (API key 57): UpdateFeaturesRequest v0 to v2 (flexible from v0); UpdateFeaturesResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class FeatureUpdateKey:
    """An element of `UpdateFeaturesRequest.feature_updates`. Versions 0 to 2."""

    feature: str = ""
    max_version_level: int = 0
    allow_downgrade: bool = False  # v0
    upgrade_type: int = 1  # v1+


@dataclass(slots=True)
class UpdateFeaturesRequest:
    """The whole request. Versions 0 to 2."""

    timeout_ms: int = 60000
    feature_updates: list[FeatureUpdateKey] = field(default_factory=list)
    validate_only: bool = False  # v1+


@dataclass(slots=True)
class UpdatableFeatureResult:
    """An element of `UpdateFeaturesResponse.results`. Versions 0 to 1."""

    feature: str = ""
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class UpdateFeaturesResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    results: list[UpdatableFeatureResult] = field(default_factory=list)  # v0-v1


STRUCTS: Structs = {
    FeatureUpdateKey: (
        Field("feature", "string", 0, 2, default=""),
        Field("max_version_level", "int16", 0, 2),
        Field("allow_downgrade", "bool", 0, 0, default=False),
        Field("upgrade_type", "int8", 1, 2, default=1),
    ),
    UpdateFeaturesRequest: (
        Field("timeout_ms", "int32", 0, 2, default=60000),
        Field("feature_updates", "struct", 0, 2, array=True, item=FeatureUpdateKey, default=()),
        Field("validate_only", "bool", 1, 2, default=False),
    ),
    UpdatableFeatureResult: (
        Field("feature", "string", 0, 1, default=""),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    UpdateFeaturesResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 0, 2, nullable=(0, 2), default=None),
        Field("results", "struct", 0, 1, array=True, item=UpdatableFeatureResult, default=()),
    ),
}

REQUEST = Message("UpdateFeaturesRequest", UpdateFeaturesRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("UpdateFeaturesResponse", UpdateFeaturesResponse, 0, 2, flexible=0, structs=STRUCTS)
