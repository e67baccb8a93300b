"""DeleteGroups (API key 42), versions 0 to 2: forget groups and their offsets (KIP-229).

A group must have no members. With it go the offsets that open transactions committed. Each group has its own result, and is
answered when everything is durable.

Errors of a group: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)


def handle(
    broker: HasGroups, context: RequestContext, request: DeleteGroupsRequest
) -> Completion[DeleteGroupsResponse]:
    """Let each group decide, and wait for the log."""
    return broker.groups.delete_groups(request)


def failure(
    context: RequestContext, request: DeleteGroupsRequest, code: ErrorCode, message: str | None
) -> DeleteGroupsResponse:
    """Say `code` for every group."""
    return DeleteGroupsResponse(
        results=[DeletableGroupResult(group_id, code) for group_id in request.groups_names]
    )
