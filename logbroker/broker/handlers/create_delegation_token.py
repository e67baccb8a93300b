"""CreateDelegationToken (API key 38), versions 1 to 3: make a token that logs somebody in without a password (KIP-48).

Tokens belong to users, and over a listener without authentication there are none: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from
Kafka.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.create_delegation_token import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)

_NOBODY = ("User", "ANONYMOUS")
"""Who asks, over a listener without authentication: the type and name of a principal."""


def handle(
    broker: AdminBroker, context: RequestContext, request: CreateDelegationTokenRequest
) -> CreateDelegationTokenResponse:
    """Refuse it."""
    return CreateDelegationTokenResponse(
        ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        *_NOBODY,
        *_NOBODY,
        issue_timestamp_ms=-1,
        expiry_timestamp_ms=-1,
        max_timestamp_ms=-1,
    )
