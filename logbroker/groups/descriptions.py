"""DescribeGroups and ListGroups: what there is to see of groups, in Kafka's words."""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.machine import GroupMachine
from logbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from logbroker.wire.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse

NOT_FOUND_FROM: Final = 6
"""DescribeGroups version from which an unknown group is an error, and not a dead group."""

DEAD: Final = "Dead"
"""The state of what doesn't exist."""

GROUP_OPERATIONS: Final = sum(1 << operation for operation in (3, 6, 8, 10, 11))
"""Everything that can be done to a group (READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS), as bits by
Kafka's operation codes: without an authorizer, anybody may."""


def describe(
    runtime: CoordinatorRuntime[GroupMachine], request: DescribeGroupsRequest, version: int
) -> DescribeGroupsResponse:
    """Groups as they are now, in the order asked for."""
    answers = [_describe_one(runtime, group_id, version) for group_id in request.groups]
    if request.include_authorized_operations:
        for answer in answers:
            if not answer.error_code:
                answer.authorized_operations = GROUP_OPERATIONS
    return DescribeGroupsResponse(groups=answers)


def list_groups(runtime: CoordinatorRuntime[GroupMachine], request: ListGroupsRequest) -> ListGroupsResponse:
    """All groups, or those in some states and of some types; letters' case doesn't matter.

    COORDINATOR_LOAD_IN_PROGRESS while the list would be incomplete.
    """
    if runtime.is_loading:
        return ListGroupsResponse(error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    states = {state.strip().lower() for state in request.states_filter}
    types = {kind.strip().lower() for kind in request.types_filter}
    listed = []
    for machine in runtime.machines():
        for group in machine.groups.values():
            kind = machine.kind_of(group)
            summary = kind.summary(group)
            if (not types or kind.name in types) and (not states or summary.state.lower() in states):
                listed.append(ListedGroup(group.group_id, summary.protocol_type, summary.state, kind.name))
    return ListGroupsResponse(groups=listed)


def _describe_one(runtime: CoordinatorRuntime[GroupMachine], group_id: str, version: int) -> DescribedGroup:
    try:
        machine = runtime.machine_for(group_id)
    except BrokerError as error:
        return DescribedGroup(error_code=error.code, error_message=error.message, group_id=group_id)
    group = machine.groups.get(group_id)
    if group is not None:
        return machine.kind_of(group).describe(group, version)
    return not_found(group_id, f"Group {group_id} not found.", version)


def not_found(group_id: str, why: str, version: int) -> DescribedGroup:
    """What there is to say of a group that doesn't exist, or is none that DescribeGroups is for."""
    answer = DescribedGroup(group_id=group_id, group_state=DEAD)
    if version >= NOT_FOUND_FROM:
        answer.error_code = ErrorCode.GROUP_ID_NOT_FOUND
        answer.error_message = why
    return answer
