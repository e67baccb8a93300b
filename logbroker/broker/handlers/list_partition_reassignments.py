"""ListPartitionReassignments (API key 46), version 0: the partitions that are moving between brokers (KIP-455).

None ever is on one broker, whichever topics are asked for and whether they exist.
"""

from __future__ import annotations

from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)


def handle(
    broker: AdminBroker, context: RequestContext, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    """Answer that nothing moves."""
    return ListPartitionReassignmentsResponse()
