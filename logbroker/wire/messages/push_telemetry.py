"""PushTelemetry (API key 72): PushTelemetryRequest v0 to v0 (flexible from v0); PushTelemetryResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class PushTelemetryRequest:
    """The whole request. Version 0."""

    client_instance_id: UUID = ZERO_UUID
    subscription_id: int = 0
    terminating: bool = False
    compression_type: int = 0
    metrics: Buffer = b""


@dataclass(slots=True)
class PushTelemetryResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0


STRUCTS: Structs = {
    PushTelemetryRequest: (
        Field("client_instance_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("subscription_id", "int32", 0, 0),
        Field("terminating", "bool", 0, 0, default=False),
        Field("compression_type", "int8", 0, 0),
        Field("metrics", "bytes", 0, 0, default=b""),
    ),
    PushTelemetryResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
    ),
}

REQUEST = Message("PushTelemetryRequest", PushTelemetryRequest, 0, 0, flexible=0, structs=STRUCTS)
RESPONSE = Message("PushTelemetryResponse", PushTelemetryResponse, 0, 0, flexible=0, structs=STRUCTS)
