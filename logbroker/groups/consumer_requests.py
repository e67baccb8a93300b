"""ConsumerGroupHeartbeat and ConsumerGroupDescribe: requests against their shards, and topics that change told to the groups."""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.classic.joining import Origin
from logbroker.groups.consumer.describe import describe_group
from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.groups.consumer.kind import ConsumerServices
from logbroker.groups.consumer.protocol import check_heartbeat
from logbroker.groups.descriptions import GROUP_OPERATIONS
from logbroker.groups.machine import GroupMachine
from logbroker.metadata.events import Event, PartitionsAdded, TopicCreated, TopicDeleted
from logbroker.wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
)
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)


class ConsumerRequests:
    """Answers them."""

    def __init__(self, runtime: CoordinatorRuntime[GroupMachine], services: ConsumerServices) -> None:
        self._runtime = runtime
        self._services = services

    def heartbeat(
        self,
        request: ConsumerGroupHeartbeatRequest,
        version: int,
        client_id: str | None,
        client_host: str,
    ) -> ConsumerGroupHeartbeatResponse | Completion[ConsumerGroupHeartbeatResponse]:
        """ConsumerGroupHeartbeat, from `client_host` (an address without port)."""
        try:
            check_heartbeat(request, version, self._services.limits.common().assignors)
            machine = self._runtime.machine_for(request.group_id)
        except BrokerError as error:
            return ConsumerGroupHeartbeatResponse(error_code=error.code, error_message=error.message)
        return machine.consumer.consumer_heartbeat(request, Origin(client_id or "", "/" + client_host))

    def describe(self, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse:
        """Groups as they are now, in the order asked for."""
        answers = [self._describe_one(group_id) for group_id in request.group_ids]
        if request.include_authorized_operations:
            for answer in answers:
                if not answer.error_code:
                    answer.authorized_operations = GROUP_OPERATIONS
        return ConsumerGroupDescribeResponse(groups=answers)

    def _describe_one(self, group_id: str) -> DescribedGroup:
        if not group_id:
            return DescribedGroup(error_code=ErrorCode.INVALID_GROUP_ID, group_id=group_id)
        try:
            group = self._runtime.machine_for(group_id).groups.get(group_id)
        except BrokerError as error:
            return DescribedGroup(error_code=error.code, error_message=error.message, group_id=group_id)
        if isinstance(group, ConsumerGroup):
            default = self._services.limits.common().assignors[0]
            return describe_group(group, self._services.topics(), default)
        why = "not found" if group is None else "is not a consumer group"
        return DescribedGroup(
            error_code=ErrorCode.GROUP_ID_NOT_FOUND,
            error_message=f"Group {group_id} {why}.",
            group_id=group_id,
        )

    def follow(self, event: Event) -> None:
        """A topic came, went or grew."""
        if isinstance(event, (TopicCreated, TopicDeleted, PartitionsAdded)):
            for machine in list(self._runtime.machines()):
                machine.consumer.topic_changed(event.name, created=isinstance(event, TopicCreated))
