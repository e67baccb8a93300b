"""JoinGroup (API key 11), versions 0 to 9: become a member of a group, or take part in its next rebalance.

The reply comes when the join phase ends: everybody has joined, or the rebalance timeout is over (an empty group waits
`group.initial.rebalance.delay.ms` for more, KIP-134). The leader's reply lists all members with their opaque metadata.

- Any protocol type: consumers, Connect workers and schema registries use the same protocol.
- From version 1 the rebalance timeout is the client's own (KIP-62); version 0 has only the session timeout.
- From version 4 a new member is given an id first, with MEMBER_ID_REQUIRED, and comes again with it (KIP-394).
- From version 5 static members (KIP-345): a known instance id that comes without a member id takes its former self's
  place; FENCED_INSTANCE_ID for the one that is replaced.
- From version 7 the reply names the protocol type (KIP-559), from version 8 the request gives a reason, which is
  logged (KIP-800), and from version 9 a returning static leader may be told to skip the assignment (KIP-814).

Errors: INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT (outside `group.min.` and `group.max.session.timeout.ms`),
INCONSISTENT_GROUP_PROTOCOL, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, NOT_COORDINATOR,
COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.completion import Completion
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

PROTOCOL_MAY_BE_NULL_FROM: Final = 7


def handle(
    broker: HasGroups, context: RequestContext, request: JoinGroupRequest
) -> JoinGroupResponse | Completion[JoinGroupResponse]:
    """Let the group decide."""
    answer = broker.groups.join(request, context.api_version, context.client_id, context.client_host)
    if context.api_version >= PROTOCOL_MAY_BE_NULL_FROM:
        return answer
    if isinstance(answer, JoinGroupResponse):
        return _named(answer)
    named: Completion[JoinGroupResponse] = Completion()
    answer.on_done(lambda response: named.set(_named(response)))
    return named


def _named(response: JoinGroupResponse) -> JoinGroupResponse:
    """What has no protocol is "" to older clients, null to newer ones."""
    response.protocol_name = response.protocol_name or ""
    return response
