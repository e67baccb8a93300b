"""DescribeClientQuotas (API key 48): DescribeClientQuotasRequest v0 to v1 (flexible from v1); DescribeClientQuotasResponse v0 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class ComponentData:
    """An element of `DescribeClientQuotasRequest.components`. Versions 0 to 1."""

    entity_type: str = ""
    match_type: int = 0
    match: str | None = None


@dataclass(slots=True)
class DescribeClientQuotasRequest:
    """The whole request. Versions 0 to 1."""

    components: list[ComponentData] = field(default_factory=list)
    strict: bool = False


@dataclass(slots=True)
class EntityData:
    """An element of `EntryData.entity`. Versions 0 to 1."""

    entity_type: str = ""
    entity_name: str | None = None


@dataclass(slots=True)
class ValueData:
    """An element of `EntryData.values`. Versions 0 to 1."""

    key: str = ""
    value: float = 0.0


@dataclass(slots=True)
class EntryData:
    """An element of `DescribeClientQuotasResponse.entries`. Versions 0 to 1."""

    entity: list[EntityData] = field(default_factory=list)
    values: list[ValueData] = field(default_factory=list)


@dataclass(slots=True)
class DescribeClientQuotasResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    entries: list[EntryData] | None = field(default_factory=list)


STRUCTS: Structs = {
    ComponentData: (
        Field("entity_type", "string", 0, 1, default=""),
        Field("match_type", "int8", 0, 1),
        Field("match", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    DescribeClientQuotasRequest: (
        Field("components", "struct", 0, 1, array=True, item=ComponentData, default=()),
        Field("strict", "bool", 0, 1, default=False),
    ),
    EntityData: (
        Field("entity_type", "string", 0, 1, default=""),
        Field("entity_name", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    ValueData: (
        Field("key", "string", 0, 1, default=""),
        Field("value", "float64", 0, 1, default=0.0),
    ),
    EntryData: (
        Field("entity", "struct", 0, 1, array=True, item=EntityData, default=()),
        Field("values", "struct", 0, 1, array=True, item=ValueData, default=()),
    ),
    DescribeClientQuotasResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("entries", "struct", 0, 1, array=True, item=EntryData, nullable=(0, 1), default=()),
    ),
}

REQUEST = Message(
    "DescribeClientQuotasRequest", DescribeClientQuotasRequest, 0, 1, flexible=1, structs=STRUCTS
)
RESPONSE = Message(
    "DescribeClientQuotasResponse", DescribeClientQuotasResponse, 0, 1, flexible=1, structs=STRUCTS
)
