"""GetTelemetrySubscriptions (API key 71), version 0: which of its metrics a client is to send (KIP-714).

None: nobody here would look at them. A client that has no instance id yet is given one, which is all that it needs to name
itself in its own logs (`clientInstanceId` of Kafka's Java clients), and asks again after `PUSH_INTERVAL_MS`.

PushTelemetry isn't offered, as no client that was asked for nothing sends it.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from logbroker.base.ids import new_kafka_uuid
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.get_telemetry_subscriptions import (
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse,
)

PUSH_INTERVAL_MS: Final = 300_000
TELEMETRY_MAX_BYTES: Final = 1_048_576
COMPRESSION_TYPES: Final = (4, 3, 1, 2)
"""zstd, lz4, gzip, snappy: in the order in which Kafka would like them."""

_NO_ID: Final = UUID(int=0)


def handle(
    broker: AdminBroker, context: RequestContext, request: GetTelemetrySubscriptionsRequest
) -> GetTelemetrySubscriptionsResponse:
    """Answer that nothing is wanted."""
    known = request.client_instance_id
    return GetTelemetrySubscriptionsResponse(
        client_instance_id=new_kafka_uuid() if known == _NO_ID else known,
        accepted_compression_types=list(COMPRESSION_TYPES),
        push_interval_ms=PUSH_INTERVAL_MS,
        telemetry_max_bytes=TELEMETRY_MAX_BYTES,
        delta_temporality=True,
    )
