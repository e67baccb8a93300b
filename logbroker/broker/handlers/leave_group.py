"""LeaveGroup (API key 13), versions 0 to 5: members go, or are removed by an administrator.

Up to version 2 one member, whose error is the response's. From version 3 several, each with its own error (KIP-345);
a static member may be named by its instance id alone. From version 5 a reason, which is of use to nobody but the
client (KIP-800). The others rebalance at once, instead of after a session timeout. A group whose last
member goes is stored as empty before the answer.

Errors: INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse


def handle(
    broker: HasGroups, context: RequestContext, request: LeaveGroupRequest
) -> LeaveGroupResponse | Completion[LeaveGroupResponse]:
    """Let the group decide."""
    return broker.groups.leave(request, context.api_version)
