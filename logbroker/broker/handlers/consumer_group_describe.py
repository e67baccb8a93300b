"""ConsumerGroupDescribe (API key 69), versions 0 and 1: groups under the consumer protocol, their epochs and members (KIP-848).

Each member with what it subscribes to, what it has and what it is to have; from version 1 whether it speaks the classic
protocol (KIP-1099). Operations that the client may do are shown if asked for: all of them, as there is no authorizer.

Errors of a group: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND (also for a group of another kind), NOT_COORDINATOR,
COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
)


def handle(
    broker: HasGroups, context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    """Describe what memory holds."""
    return broker.groups.consumer.describe(request)


def failure(
    context: RequestContext, request: ConsumerGroupDescribeRequest, code: ErrorCode, message: str | None
) -> ConsumerGroupDescribeResponse:
    """Say `code` for every group."""
    return ConsumerGroupDescribeResponse(
        groups=[
            DescribedGroup(error_code=code, error_message=message, group_id=group_id)
            for group_id in request.group_ids
        ]
    )
