"""ListGroups (API key 16), versions 0 to 5: all groups that this broker coordinates.

From version 4 only those in certain states, if asked for (KIP-518), from version 5 only those of certain types (KIP-848);
letters' case doesn't matter, and a state or type that doesn't exist matches nothing. There is one type, `classic`.

COORDINATOR_LOAD_IN_PROGRESS while a part of the groups is being loaded.
"""

from __future__ import annotations

from logbroker.broker.context import RequestContext
from logbroker.groups.descriptions import list_groups
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse


def handle(broker: HasGroups, context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    """List what memory holds."""
    return list_groups(broker.groups.runtime, request)
