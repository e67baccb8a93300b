"""ConsumerGroupHeartbeat (API key 68), versions 0 and 1: be a member of a group under the consumer protocol (KIP-848).

One request does it all. Member epoch 0 joins (and says everything: rebalance timeout, subscription, no partitions), the
member's own epoch stays, -1 leaves, -2 leaves for a static member that will be back. What changed about the member may come
with any of them. The answer has the member's epoch, when to beat again, and the partitions to own when they changed or the
member said everything.

- From version 1 a member brings its own id, and may subscribe to a regular expression (RE2, the whole name must match); up to
  version 0 it gets an id with its first answer.
- Somebody who joins a classic group of consumers makes a consumer group of it (`group.consumer.migration.policy`).
- Answered when what it changed, and what it tells of, is durable.

Errors: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR, INVALID_REGULAR_EXPRESSION, GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID,
FENCED_MEMBER_EPOCH (give up everything and join again), UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID,
GROUP_MAX_SIZE_REACHED, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)


def handle(
    broker: HasGroups, context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse | Completion[ConsumerGroupHeartbeatResponse]:
    """Let the group decide."""
    return broker.groups.consumer.heartbeat(
        request, context.api_version, context.client_id, context.client_host
    )


def failure(
    context: RequestContext, request: ConsumerGroupHeartbeatRequest, code: ErrorCode, message: str | None
) -> ConsumerGroupHeartbeatResponse:
    """Say `code`."""
    return ConsumerGroupHeartbeatResponse(error_code=code, error_message=message)
