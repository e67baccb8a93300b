"""DescribeClientQuotas (API key 48), versions 0 and 1: which clients are held to which rates (KIP-546).

There are no quotas: whatever is asked for, the answer is empty, once the question makes sense (INVALID_REQUEST, and for a kind of
entity that doesn't exist UNSUPPORTED_VERSION).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

ENTITY_TYPES: Final = frozenset({"user", "client-id", "ip"})


def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeClientQuotasRequest
) -> DescribeClientQuotasResponse:
    """Check the question and answer with nothing."""
    try:
        _check(request.components)
    except BrokerError as error:
        return failure(context, request, error.code, error.message)
    return DescribeClientQuotasResponse(error_message="")


def failure(
    context: RequestContext, request: DescribeClientQuotasRequest, code: ErrorCode, message: str | None
) -> DescribeClientQuotasResponse:
    """The error, and no entries rather than none."""
    return DescribeClientQuotasResponse(error_code=code, error_message=message, entries=None)


def _check(components: Sequence[ComponentData]) -> None:
    seen = set()
    for component in components:
        kind = component.entity_type
        match component.match_type:
            case 0 if component.match is None:
                raise _invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")
            case 1 if component.match is not None:
                raise _invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
            case 2 if component.match is not None:
                raise _invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
            case 0 | 1 | 2:
                pass
            case unknown:
                raise _invalid(f"Unknown match type {unknown}")
        if not kind:
            raise _invalid("Invalid empty entity type.")
        if kind in seen:
            raise _invalid(f"Entity type {kind} cannot appear more than once in the filter.")
        if kind not in ENTITY_TYPES:
            raise BrokerError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
        seen.add(kind)
    if "ip" in seen and len(seen) > 1:
        raise _invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId "
            "filter component."
        )


def _invalid(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, message)
