"""DeleteAcls (API key 31), versions 1 to 3: take rules about who may do what away (KIP-140).

There is no authorizer that has any: SECURITY_DISABLED for each filter, as from Kafka without one.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.delete_acls import DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse


def handle(broker: AdminBroker, context: RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse:
    """Refuse each."""
    return failure(context, request, ErrorCode.SECURITY_DISABLED, "No Authorizer is configured.")


def failure(
    context: RequestContext, request: DeleteAclsRequest, code: ErrorCode, message: str | None
) -> DeleteAclsResponse:
    """The same error for every filter."""
    return DeleteAclsResponse(filter_results=[DeleteAclsFilterResult(code, message) for _ in request.filters])
