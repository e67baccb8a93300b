"""DescribeGroups and ListGroups: what there is to see of groups, in Kafka's words."""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.machine import GroupMachine
from logbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from logbroker.wire.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse

NOT_FOUND_FROM: Final = 6
"""DescribeGroups version from which an unknown group is an error, and not a dead group."""

CLASSIC_TYPE: Final = "classic"
"""What ListGroups calls groups under the classic protocol."""

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
    if types and CLASSIC_TYPE not in types:
        return ListGroupsResponse()
    return ListGroupsResponse(
        groups=[
            ListedGroup(group.group_id, group.protocol_type or "", group.state.value, CLASSIC_TYPE)
            for machine in runtime.machines()
            for group in machine.groups.values()
            if not states or group.state.value.lower() in states
        ]
    )


def _describe_one(runtime: CoordinatorRuntime[GroupMachine], group_id: str, version: int) -> DescribedGroup:
    try:
        group = runtime.machine_for(group_id).groups.get(group_id)
    except BrokerError as error:
        return DescribedGroup(error_code=error.code, error_message=error.message, group_id=group_id)
    if group is None:
        answer = DescribedGroup(group_id=group_id, group_state=State.DEAD.value)
        if version >= NOT_FOUND_FROM:
            answer.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            answer.error_message = f"Group {group_id} not found."
        return answer
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol_name or "") if group.state is State.STABLE else "",
        members=_members(group),
    )


def _members(group: ClassicGroup) -> list[DescribedGroupMember]:
    """Everybody; metadata only in a stable group, where it is known which protocol's it is to be."""
    stable = group.state is State.STABLE
    return [
        DescribedGroupMember(
            member.member_id,
            member.instance_id,
            member.client_id,
            member.client_host,
            member.metadata(group.protocol_name) if stable else b"",
            member.assignment,
        )
        for member in group.members.values()
    ]
