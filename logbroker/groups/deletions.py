"""OffsetDelete and DeleteGroups: offsets and groups that are of no use any more, taken away by an administrator.

Both are answered when the tombstones are durable. Offsets of open transactions go too: a marker that comes later has nothing
left to commit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.errors import write_error
from logbroker.groups.machine import GroupMachine
from logbroker.metadata.image import ClusterImage
from logbroker.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from logbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


def delete_offsets(
    runtime: CoordinatorRuntime[GroupMachine], image: ClusterImage, request: OffsetDeleteRequest
) -> OffsetDeleteResponse | Completion[OffsetDeleteResponse]:
    """Delete offsets of topics that nobody in the group subscribes to; where there are none, that is no error."""
    group_id = request.group_id
    if not group_id:
        return OffsetDeleteResponse(error_code=ErrorCode.INVALID_GROUP_ID)
    try:
        machine = runtime.machine_for(group_id)
    except BrokerError as absent:
        return OffsetDeleteResponse(error_code=absent.code)
    group = machine.groups.get(group_id)
    if group is None:
        return OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND)
    kind = machine.kind_of(group)
    error = kind.check_offset_delete(group)
    if error is not ErrorCode.NONE:
        return OffsetDeleteResponse(error_code=error)
    response = OffsetDeleteResponse()
    unwanted: list[tuple[str, int]] = []
    for asked in request.topics:
        topic = image.topic(asked.name)
        count = 0 if topic is None else len(topic.partitions)
        answers = []
        for each in asked.partitions:
            index = each.partition_index
            answer = OffsetDeleteResponsePartition(index)
            if not 0 <= index < count:
                answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif kind.is_subscribed_to(group, asked.name):
                answer.error_code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
            else:
                unwanted.append((asked.name, index))
            answers.append(answer)
        response.topics.append(OffsetDeleteResponseTopic(asked.name, answers))
    if not unwanted:
        return response
    waiter: Completion[OffsetDeleteResponse] = Completion()

    def done(error: ErrorCode) -> None:
        if error is ErrorCode.NONE:
            waiter.set(response)
        else:
            waiter.set(OffsetDeleteResponse(error_code=write_error(error)))

    machine.committed.delete(group_id, unwanted, done)
    return waiter


def delete_groups(
    runtime: CoordinatorRuntime[GroupMachine], request: DeleteGroupsRequest
) -> Completion[DeleteGroupsResponse]:
    """Delete groups without members, each with its own result."""
    waiter: Completion[DeleteGroupsResponse] = Completion()
    results = {group_id: DeletableGroupResult(group_id) for group_id in request.groups_names}
    # One more than there are groups: nothing is answered before every group has been asked.
    missing = len(results) + 1

    def one_done(set_error: Callable[[ErrorCode], None], error: ErrorCode) -> None:
        nonlocal missing
        set_error(write_error(error))
        missing -= 1
        if not missing:
            waiter.set(DeleteGroupsResponse(results=list(results.values())))

    for group_id, result in results.items():
        done = partial(one_done, partial(setattr, result, "error_code"))
        try:
            machine = runtime.machine_for(group_id)
        except BrokerError as absent:
            done(absent.code)
        else:
            machine.delete_group(group_id, done)
    one_done(lambda _: None, ErrorCode.NONE)
    return waiter
