"""DescribeGroups (API key 15), versions 0 to 6: state, protocol and members of groups.

Metadata and assignments are shown while the group is stable. A group that doesn't exist is a dead one without error up
to version 5, and GROUP_ID_NOT_FOUND from version 6 (KIP-1043). From version 3 the operations that the client may do are
shown if asked for (KIP-430): all of them, as there is no authorizer.

Errors of a group: GROUP_ID_NOT_FOUND, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.descriptions import describe
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)


def handle(
    broker: HasGroups, context: RequestContext, request: DescribeGroupsRequest
) -> DescribeGroupsResponse:
    """Describe what memory holds."""
    return describe(broker.groups.runtime, request, context.api_version)


def failure(
    context: RequestContext, request: DescribeGroupsRequest, code: ErrorCode, message: str | None
) -> DescribeGroupsResponse:
    """Say `code` for every group."""
    return DescribeGroupsResponse(
        groups=[
            DescribedGroup(error_code=code, error_message=message, group_id=group_id)
            for group_id in request.groups
        ]
    )
