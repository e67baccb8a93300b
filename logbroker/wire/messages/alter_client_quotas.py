"""AlterClientQuotas (API key 49): AlterClientQuotasRequest v0 to v1 (flexible from v1); AlterClientQuotasResponse v0 to v1 (flexible from v1).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class AlterClientQuotasRequestEntityData:
    """An element of `EntryData.entity`. Versions 0 to 1."""

    entity_type: str = ""
    entity_name: str | None = None


@dataclass(slots=True)
class OpData:
    """An element of `EntryData.ops`. Versions 0 to 1."""

    key: str = ""
    value: float = 0.0
    remove: bool = False


@dataclass(slots=True)
class AlterClientQuotasRequestEntryData:
    """An element of `AlterClientQuotasRequest.entries`. Versions 0 to 1."""

    entity: list[AlterClientQuotasRequestEntityData] = field(default_factory=list)
    ops: list[OpData] = field(default_factory=list)


@dataclass(slots=True)
class AlterClientQuotasRequest:
    """The whole request. Versions 0 to 1."""

    entries: list[AlterClientQuotasRequestEntryData] = field(default_factory=list)
    validate_only: bool = False


@dataclass(slots=True)
class AlterClientQuotasResponseEntityData:
    """An element of `EntryData.entity`. Versions 0 to 1."""

    entity_type: str = ""
    entity_name: str | None = None


@dataclass(slots=True)
class AlterClientQuotasResponseEntryData:
    """An element of `AlterClientQuotasResponse.entries`. Versions 0 to 1."""

    error_code: int = 0
    error_message: str | None = None
    entity: list[AlterClientQuotasResponseEntityData] = field(default_factory=list)


@dataclass(slots=True)
class AlterClientQuotasResponse:
    """The whole response. Versions 0 to 1."""

    throttle_time_ms: int = 0
    entries: list[AlterClientQuotasResponseEntryData] = field(default_factory=list)


STRUCTS: Structs = {
    AlterClientQuotasRequestEntityData: (
        Field("entity_type", "string", 0, 1, default=""),
        Field("entity_name", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    OpData: (
        Field("key", "string", 0, 1, default=""),
        Field("value", "float64", 0, 1, default=0.0),
        Field("remove", "bool", 0, 1, default=False),
    ),
    AlterClientQuotasRequestEntryData: (
        Field("entity", "struct", 0, 1, array=True, item=AlterClientQuotasRequestEntityData, default=()),
        Field("ops", "struct", 0, 1, array=True, item=OpData, default=()),
    ),
    AlterClientQuotasRequest: (
        Field("entries", "struct", 0, 1, array=True, item=AlterClientQuotasRequestEntryData, default=()),
        Field("validate_only", "bool", 0, 1, default=False),
    ),
    AlterClientQuotasResponseEntityData: (
        Field("entity_type", "string", 0, 1, default=""),
        Field("entity_name", "string", 0, 1, nullable=(0, 1), default=None),
    ),
    AlterClientQuotasResponseEntryData: (
        Field("error_code", "int16", 0, 1),
        Field("error_message", "string", 0, 1, nullable=(0, 1), default=None),
        Field("entity", "struct", 0, 1, array=True, item=AlterClientQuotasResponseEntityData, default=()),
    ),
    AlterClientQuotasResponse: (
        Field("throttle_time_ms", "int32", 0, 1),
        Field("entries", "struct", 0, 1, array=True, item=AlterClientQuotasResponseEntryData, default=()),
    ),
}

REQUEST = Message("AlterClientQuotasRequest", AlterClientQuotasRequest, 0, 1, flexible=1, structs=STRUCTS)
RESPONSE = Message("AlterClientQuotasResponse", AlterClientQuotasResponse, 0, 1, flexible=1, structs=STRUCTS)
