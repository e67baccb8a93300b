"""CreatePartitions (API key 37), versions 0 to 3: give topics more partitions, durably, before the answer (KIP-195).

- The count is that of all partitions afterwards; it can only grow. Records stay where they are, so the keys of a keyed
  topic may come to lie elsewhere: that is the caller's decision.
- `assignments` places the new partitions by hand.
- Not done within `timeout_ms`: REQUEST_TIMED_OUT for each topic, and the partitions may come to be all the same.

Rules and errors: `metadata/controller.py`.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, within
from logbroker.broker.context import RequestContext
from logbroker.metadata.controller import MorePartitions
from logbroker.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: CreatePartitionsRequest
) -> CreatePartitionsResponse:
    """Add what was asked for."""
    wanted = [
        MorePartitions(
            name=topic.name,
            count=topic.count,
            assignments=None
            if topic.assignments is None
            else [assignment.broker_ids for assignment in topic.assignments],
        )
        for topic in request.topics
    ]
    outcomes = await within(
        request.timeout_ms,
        lambda: broker.metadata.create_partitions(wanted, validate_only=request.validate_only),
    )
    return CreatePartitionsResponse(
        results=[
            CreatePartitionsTopicResult(
                name=outcome.name or "",
                error_code=ErrorCode.NONE if outcome.error is None else outcome.error.code,
                error_message=None if outcome.error is None else outcome.error.message,
            )
            for outcome in outcomes
        ]
    )


def failure(
    context: RequestContext, request: CreatePartitionsRequest, code: ErrorCode, message: str | None
) -> CreatePartitionsResponse:
    """The same error for every topic."""
    names = dict.fromkeys(topic.name for topic in request.topics)
    return CreatePartitionsResponse(
        results=[
            CreatePartitionsTopicResult(name=name, error_code=code, error_message=message) for name in names
        ]
    )
