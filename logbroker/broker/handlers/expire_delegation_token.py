"""ExpireDelegationToken (API key 40), versions 1 and 2: let a token live shorter (KIP-48).

Tokens belong to users, and over a listener without authentication there are none: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from
Kafka.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)


def handle(
    broker: AdminBroker, context: RequestContext, request: ExpireDelegationTokenRequest
) -> ExpireDelegationTokenResponse:
    """Refuse it."""
    return ExpireDelegationTokenResponse(
        error_code=ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, expiry_timestamp_ms=-1
    )
