"""GetTelemetrySubscriptions (API key 71): GetTelemetrySubscriptionsRequest v0 to v0 (flexible from v0); GetTelemetrySubscriptionsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class GetTelemetrySubscriptionsRequest:
    """The whole request. Version 0."""

    client_instance_id: UUID = ZERO_UUID


@dataclass(slots=True)
class GetTelemetrySubscriptionsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    client_instance_id: UUID = ZERO_UUID
    subscription_id: int = 0
    accepted_compression_types: list[int] = field(default_factory=list)
    push_interval_ms: int = 0
    telemetry_max_bytes: int = 0
    delta_temporality: bool = False
    requested_metrics: list[str] = field(default_factory=list)


STRUCTS: Structs = {
    GetTelemetrySubscriptionsRequest: (Field("client_instance_id", "uuid", 0, 0, default=ZERO_UUID),),
    GetTelemetrySubscriptionsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("client_instance_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("subscription_id", "int32", 0, 0),
        Field("accepted_compression_types", "int8", 0, 0, array=True, default=()),
        Field("push_interval_ms", "int32", 0, 0),
        Field("telemetry_max_bytes", "int32", 0, 0),
        Field("delta_temporality", "bool", 0, 0, default=False),
        Field("requested_metrics", "string", 0, 0, array=True, default=()),
    ),
}

REQUEST = Message(
    "GetTelemetrySubscriptionsRequest", GetTelemetrySubscriptionsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "GetTelemetrySubscriptionsResponse", GetTelemetrySubscriptionsResponse, 0, 0, flexible=0, structs=STRUCTS
)
