"""DeleteTopics (API key 20), versions 1 to 6: topics and all that is in them go, durably, before the answer.

- By name, or from version 6 by id (KIP-516). A topic named twice, or by both, is not deleted.
- With `delete.topic.enable=false`: TOPIC_DELETION_DISABLED, INVALID_REQUEST for versions 1 and 2, which don't know it.
- Not done within `timeout_ms`: REQUEST_TIMED_OUT for each topic, and they may go all the same.

The files go later, in the background; a topic of the same name that is created meanwhile has another id and is not
touched by that. Rules and errors: `metadata/controller.py`.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import AdminBroker, within
from logbroker.broker.context import RequestContext
from logbroker.metadata.controller import TopicToDelete
from logbroker.wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

_FIRST_VERSION_WITH_IDS: Final = 6
_FIRST_VERSION_WITH_DISABLED: Final = 3


async def handle(
    broker: AdminBroker, context: RequestContext, request: DeleteTopicsRequest
) -> DeleteTopicsResponse:
    """Delete what was asked for."""
    if not broker.metadata.image.settings.delete_topic_enable:
        known = context.api_version >= _FIRST_VERSION_WITH_DISABLED
        raise BrokerError(ErrorCode.TOPIC_DELETION_DISABLED if known else ErrorCode.INVALID_REQUEST)
    wanted = [TopicToDelete(topic.name, topic.topic_id) for topic in _asked(context, request)]
    outcomes = await within(request.timeout_ms, lambda: broker.metadata.delete_topics(wanted))
    return DeleteTopicsResponse(
        responses=[
            DeletableTopicResult(
                name=outcome.name,
                topic_id=outcome.topic_id,
                error_code=ErrorCode.NONE if outcome.error is None else outcome.error.code,
                error_message=None if outcome.error is None else outcome.error.message,
            )
            for outcome in outcomes
        ]
    )


def failure(
    context: RequestContext, request: DeleteTopicsRequest, code: ErrorCode, message: str | None
) -> DeleteTopicsResponse:
    """The same error for every topic."""
    return DeleteTopicsResponse(
        responses=[
            DeletableTopicResult(
                name=topic.name, topic_id=topic.topic_id, error_code=code, error_message=message
            )
            for topic in _asked(context, request)
        ]
    )


def _asked(context: RequestContext, request: DeleteTopicsRequest) -> list[DeleteTopicState]:
    if context.api_version >= _FIRST_VERSION_WITH_IDS:
        return request.topics
    return [DeleteTopicState(name=name) for name in request.topic_names]
