"""DescribeAcls (API key 29), versions 1 to 3: who may do what (KIP-140).

Nobody is kept from anything, as there is no authorizer: SECURITY_DISABLED, as from Kafka without one.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse


def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeAclsRequest
) -> DescribeAclsResponse:
    """Answer that there is no authorizer."""
    return DescribeAclsResponse(
        error_code=ErrorCode.SECURITY_DISABLED, error_message="No Authorizer is configured on the broker"
    )
