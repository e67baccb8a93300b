"""Heartbeat (API key 12), versions 0 to 4: a member lives, and asks whether it must join again.

Answered at once, out of memory. NONE in a stable group, and between join and sync; REBALANCE_IN_PROGRESS while members are to
join again. While the group is being loaded the answer is NONE: no session can end meanwhile. From version 3 static
members (KIP-345).

Errors: INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, NOT_COORDINATOR.
"""

from __future__ import annotations

from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


def handle(broker: HasGroups, context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
    """Look the member up and move its deadline back."""
    return HeartbeatResponse(error_code=broker.groups.heartbeat(request))
