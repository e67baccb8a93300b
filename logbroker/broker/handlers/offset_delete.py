"""OffsetDelete (API key 47), version 0: forget offsets of a group (KIP-496).

Of a group of consumers with members, offsets of topics that they subscribe to stay: GROUP_SUBSCRIBED_TO_TOPIC. Where there is no
offset to delete, that is no error. Offsets that an open transaction committed go too. Answered when it is durable.

Errors of the group: INVALID_GROUP_ID, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (members of another protocol than the consumers': who
knows what they read), NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE. Of a partition:
UNKNOWN_TOPIC_OR_PARTITION, GROUP_SUBSCRIBED_TO_TOPIC.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse


def handle(
    broker: HasGroups, context: RequestContext, request: OffsetDeleteRequest
) -> OffsetDeleteResponse | Completion[OffsetDeleteResponse]:
    """Let the group decide, and wait for the log."""
    return broker.groups.delete_offsets(request)
