"""CreateAcls (API key 30), versions 1 to 3: let somebody do something, or forbid it (KIP-140).

There is no authorizer that would hold anybody to it: SECURITY_DISABLED for each, as from Kafka without one.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse


def handle(broker: AdminBroker, context: RequestContext, request: CreateAclsRequest) -> CreateAclsResponse:
    """Refuse each."""
    return failure(context, request, ErrorCode.SECURITY_DISABLED, "No Authorizer is configured.")


def failure(
    context: RequestContext, request: CreateAclsRequest, code: ErrorCode, message: str | None
) -> CreateAclsResponse:
    """The same error for every one."""
    return CreateAclsResponse(results=[AclCreationResult(code, message) for _ in request.creations])
