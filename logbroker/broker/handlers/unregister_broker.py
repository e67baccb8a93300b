"""UnregisterBroker (API key 64), version 0: forget a broker that won't come back (KIP-631).

The only broker there is answers, so it can't be forgotten: INVALID_REQUEST. Any other is unknown: BROKER_ID_NOT_REGISTERED.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse


def handle(
    broker: AdminBroker, context: RequestContext, request: UnregisterBrokerRequest
) -> UnregisterBrokerResponse:
    """Refuse it."""
    broker_id = request.broker_id
    if broker_id in broker.metadata.image.brokers:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST,
            f"Broker ID {broker_id} is the only broker, and alive: it can't be unregistered.",
        )
    raise BrokerError(
        ErrorCode.BROKER_ID_NOT_REGISTERED, f"Broker ID {broker_id} is not currently registered"
    )
