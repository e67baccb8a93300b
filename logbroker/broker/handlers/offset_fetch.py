"""OffsetFetch (API key 9), versions 1 to 10: how far groups have come.

A partition without an offset is answered with -1 and no error, and so is a group that doesn't exist. Only what is durable is
told: where a commit is under way that the answer shows, the answer waits for it. That is more than
`require_stable` asks for (version 7, KIP-447); there are no transactional offsets yet.

- From version 2 null topics stand for all of the group's, and the response has an error for the whole group. From version 8
  several groups (KIP-709), from version 9 member id and epoch, which mean nothing to classic groups, and from version 10
  topics by id (KIP-848), where an unknown id is UNKNOWN_TOPIC_ID.
- An offset that was committed for another topic of the same name, before this one was created, is none.

Errors of a group: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.offset_fetches import SEVERAL_GROUPS_FROM
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
)


def handle(
    broker: HasGroups, context: RequestContext, request: OffsetFetchRequest
) -> OffsetFetchResponse | Completion[OffsetFetchResponse]:
    """Read, and wait for what was read to be durable."""
    return broker.groups.fetch(request, context.api_version)


def failure(
    context: RequestContext, request: OffsetFetchRequest, code: ErrorCode, message: str | None
) -> OffsetFetchResponse:
    """Say `code` for every group."""
    if context.api_version >= SEVERAL_GROUPS_FROM:
        return OffsetFetchResponse(
            groups=[OffsetFetchResponseGroup(group.group_id, error_code=code) for group in request.groups]
        )
    return OffsetFetchResponse(error_code=code)
