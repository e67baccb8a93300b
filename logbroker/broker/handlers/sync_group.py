"""SyncGroup (API key 14), versions 0 to 5: get this generation's assignment; the leader brings everybody's.

The reply comes when the assignment is durable in `__consumer_offsets`: from then on a restart finds a stable group. In a stable
group it comes at once. Assignments are opaque; a member that the leader left out gets an empty one.

- From version 3 static members (KIP-345).
- From version 5 protocol type and name are mandatory and must be the group's (KIP-559).

Errors: INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL,
REBALANCE_IN_PROGRESS (join again), NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def handle(
    broker: HasGroups, context: RequestContext, request: SyncGroupRequest
) -> SyncGroupResponse | Completion[SyncGroupResponse]:
    """Let the group decide."""
    return broker.groups.sync(request, context.api_version)
