"""The group coordinator as the rest of the broker sees it: requests in, responses or completions out.

Handlers call this; it checks what needs no group (ids, bounds), finds the shard that has the group, and puts answers
together, in the newest version's terms. A shard that is loading or not here becomes an error code in the response;
nothing raises but `ensure_topic`.

`__consumer_offsets` is created when it is first needed, by FindCoordinator, and its partitions are loaded when the broker
starts. Settings that can change while running are followed.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol
from uuid import UUID

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.metrics import Metric
from logbroker.base.tasks import TaskScope
from logbroker.coordination.internal_topics import offsets_topic
from logbroker.coordination.keys import partition_for_key
from logbroker.coordination.log import CoordinatorLog
from logbroker.coordination.rounds import Rounds
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import Shard, ShardServices, WriteLimits
from logbroker.coordination.timers import Timers
from logbroker.coordination.topic import CoordinatorTopic
from logbroker.groups.classic.protocol import ClassicLimits, ClassicProtocol, Origin
from logbroker.groups.classic.replies import join_refusal, sync_refusal
from logbroker.groups.consumer.kind import ConsumerServices
from logbroker.groups.consumer.limits import SettingsLimits
from logbroker.groups.consumer.topics import ImageTopics
from logbroker.groups.consumer.turns import Turns
from logbroker.groups.consumer_requests import ConsumerRequests
from logbroker.groups.deletions import delete_groups, delete_offsets
from logbroker.groups.errors import write_error
from logbroker.groups.machine import GroupMachine, GroupServices
from logbroker.groups.metrics import collect
from logbroker.groups.offset_commits import Admit, OffsetCommits
from logbroker.groups.offset_fetches import OffsetFetches
from logbroker.metadata.events import (
    BrokerConfigChanged,
    Event,
    SettingsReloaded,
    TopicDeleted,
)
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import OFFSETS_TOPIC
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberResponse
from logbroker.wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from logbroker.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from logbroker.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from logbroker.wire.messages.txn_offset_commit import TxnOffsetCommitRequest, TxnOffsetCommitResponse
from logbroker.wire.primitives import MAX_STRING_BYTES

MEMBER_ID_FROM: Final = 4
NULL_PROTOCOL_FROM: Final = 7
SKIP_ASSIGNMENT_FROM: Final = 9
"""JoinGroup versions."""

MEMBER_NAME_MAX_BYTES: Final = MAX_STRING_BYTES - 37
"""Client and instance ids: a member id is one of them, a hyphen and a UUID, and must fit into the group's record."""

PROTOCOL_IN_SYNC_FROM: Final = 5
"""SyncGroup version."""

SEVERAL_LEAVE_FROM: Final = 3
"""LeaveGroup version."""

_MS_PER_MINUTE = 60_000

_log = logs.get("groups")


class GroupPartition(CoordinatorLog, Protocol):
    """A partition that this broker leads."""

    @property
    def high_watermark(self) -> int:
        """Offset behind the last record that consumers may read."""
        ...


class GroupReplicas(Protocol):
    """What the coordinator needs of the replica manager."""

    def partition(self, topic: str, index: int, /) -> GroupPartition:
        """One partition; raises BrokerError while there is none to use."""
        ...


class HasGroups(Protocol):
    """What the handlers of this service's requests need of the broker."""

    @property
    def groups(self) -> GroupService:
        """The coordinator of all groups."""
        ...


class GroupService:
    """The coordinator of all groups.

    Args:
        metadata: The image, and who creates topics.
        replicas: The partitions; it must have subscribed to the metadata before `start`.
        clock: The time.
        timers: For sessions, rebalances and write time-outs.
        tasks: Where loads run.
        defer: Calls back at the end of the loop tick; None: the running loop's `call_soon`.

    Attributes:
        runtime: The shards.
        consumer: Requests of the consumer protocol.

    """

    def __init__(
        self,
        metadata: MetadataService,
        replicas: GroupReplicas,
        clock: Clock,
        timers: Timers,
        tasks: TaskScope,
        *,
        defer: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._metadata = metadata
        self._replicas = replicas
        settings = metadata.image.settings
        self._protocol = ClassicProtocol(_limits(metadata.image))
        call_soon = defer or asyncio.get_running_loop().call_soon
        consumer = ConsumerServices(
            SettingsLimits(lambda: metadata.image),
            lambda: ImageTopics(metadata.image),
            call_soon,
            Turns(call_soon),
        )
        self._machine_services = GroupServices(
            self._protocol, clock, timers, self._topic_id, self._retention_ms, consumer
        )
        self._closing = False
        services = ShardServices(
            clock,
            timers,
            call_soon,
            WriteLimits(settings.message_max_bytes, settings.offsets_commit_timeout_ms),
        )
        self.runtime: CoordinatorRuntime[GroupMachine] = CoordinatorRuntime(
            OFFSETS_TOPIC, self._open_log, self._new_machine, services, tasks
        )
        self._topic = CoordinatorTopic(self.runtime, metadata, tasks, offsets_topic)
        self._expiry = Rounds(
            self.runtime,
            GroupMachine.drop_expired,
            lambda: metadata.image.settings.offsets_retention_check_interval_ms,
            clock,
            timers,
        )
        self.consumer = ConsumerRequests(self.runtime, consumer)
        self._commits = OffsetCommits(self.runtime, lambda: metadata.image, clock)
        self._fetches = OffsetFetches(self.runtime, lambda: metadata.image)

    # ---- life

    def start(self) -> None:
        """Begin to load what the log holds; `runtime.wait_loaded` waits for the end."""
        self._metadata.subscribe(self)
        self._topic.lead()
        self._expiry.start()

    def release_waiting(self) -> None:
        """Answer every JoinGroup and SyncGroup that waits, and let none wait from now on: the broker is about to stop.

        Members look for their coordinator until it is back. Commits under way are still waited for.
        """
        self._closing = True
        for machine in list(self.runtime.machines()):
            machine.release_waiting(ErrorCode.NOT_COORDINATOR)

    async def stop(self) -> None:
        """Answer everybody who waits, and serve no longer. What was acknowledged is in the log."""
        self._expiry.stop()
        await self.runtime.stop()

    def on_event(self, event: Event, image: ClusterImage) -> Awaitable[None] | None:
        """Follow the metadata: topics that come and go, settings that change."""
        self._topic.follow(event)
        if isinstance(event, TopicDeleted):
            for machine in list(self.runtime.machines()):
                machine.drop_topic(event.name, event.topic_id)
        elif isinstance(event, (BrokerConfigChanged, SettingsReloaded)):
            self._protocol.limits = _limits(image)
        self.consumer.follow(event)
        return None

    async def ensure_topic(self) -> None:
        """Create `__consumer_offsets` if it does not exist yet. Raises BrokerError: it can't be created now."""
        await self._topic.ensure()

    def collect(self) -> Iterator[Metric]:
        """Metrics, for a registry: see `metrics.collect`."""
        return collect(self.runtime)

    # ---- membership

    def join(
        self, request: JoinGroupRequest, version: int, client_id: str | None, client_host: str
    ) -> JoinGroupResponse | Completion[JoinGroupResponse]:
        """JoinGroup, from `client_host` (an address without port)."""
        answer = self._join(request, version, client_id, client_host)
        if version >= NULL_PROTOCOL_FROM:
            return answer
        named: Completion[JoinGroupResponse] = Completion()
        if isinstance(answer, Completion):
            answer.on_done(lambda response: named.set(_with_protocol_name(response)))
        else:
            named.set(_with_protocol_name(answer))
        return named

    def _join(
        self, request: JoinGroupRequest, version: int, client_id: str | None, client_host: str
    ) -> JoinGroupResponse | Completion[JoinGroupResponse]:
        if not request.group_id:
            return join_refusal(ErrorCode.INVALID_GROUP_ID, request.member_id)
        if self._closing:
            return join_refusal(ErrorCode.NOT_COORDINATOR, request.member_id)
        settings = self._metadata.image.settings
        shortest, longest = settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
        if not shortest <= request.session_timeout_ms <= longest:
            return join_refusal(ErrorCode.INVALID_SESSION_TIMEOUT, request.member_id)
        if version == 0:
            request.rebalance_timeout_ms = request.session_timeout_ms
        names = (client_id or "", request.group_instance_id or "")
        if any(len(name.encode()) > MEMBER_NAME_MAX_BYTES for name in names):
            return join_refusal(ErrorCode.INVALID_REQUEST, request.member_id)
        try:
            machine = self.runtime.machine_for(request.group_id)
        except BrokerError as error:
            return join_refusal(error.code, request.member_id)
        return machine.join(
            request,
            Origin(
                client_id or "",
                "/" + client_host,
                requires_member_id=version >= MEMBER_ID_FROM,
                skips_assignment=version >= SKIP_ASSIGNMENT_FROM,
            ),
        )

    def sync(
        self, request: SyncGroupRequest, version: int
    ) -> SyncGroupResponse | Completion[SyncGroupResponse]:
        """SyncGroup."""
        if not request.group_id:
            return sync_refusal(ErrorCode.INVALID_GROUP_ID)
        if self._closing:
            return sync_refusal(ErrorCode.NOT_COORDINATOR)
        if version >= PROTOCOL_IN_SYNC_FROM and (
            request.protocol_type is None or request.protocol_name is None
        ):
            return sync_refusal(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        try:
            machine = self.runtime.machine_for(request.group_id)
        except BrokerError as error:
            return sync_refusal(error.code)
        return machine.sync(request)

    def heartbeat(self, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat: answered at once, always."""
        if not request.group_id:
            return ErrorCode.INVALID_GROUP_ID
        try:
            machine = self.runtime.machine_for(request.group_id)
        except BrokerError as error:
            # While the group is being loaded, nobody's session can end: all is well.
            if error.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
                return ErrorCode.NONE
            return error.code
        return machine.heartbeat(request)

    def leave(
        self, request: LeaveGroupRequest, version: int
    ) -> LeaveGroupResponse | Completion[LeaveGroupResponse]:
        """LeaveGroup: one member up to version 2, several from version 3 on."""
        if not request.group_id:
            return LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID)
        several = version >= SEVERAL_LEAVE_FROM
        members: list[tuple[str, str | None]] = [(request.member_id, None)]
        if several:
            members = [(member.member_id, member.group_instance_id) for member in request.members]
        try:
            machine = self.runtime.machine_for(request.group_id)
        except BrokerError as error:
            return LeaveGroupResponse(error_code=error.code)
        durable: Completion[ErrorCode] = Completion()
        results = machine.leave(request.group_id, members, durable.set)
        if several:
            response = LeaveGroupResponse(
                members=[
                    MemberResponse(member_id, instance_id, result)
                    for (member_id, instance_id), result in zip(members, results, strict=True)
                ]
            )
        else:
            response = LeaveGroupResponse(error_code=results[0])
        waiter: Completion[LeaveGroupResponse] = Completion()

        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                waiter.set(LeaveGroupResponse(error_code=write_error(error)))
            else:
                waiter.set(response)

        durable.on_done(done)
        return waiter

    # ---- offsets

    def commit(
        self, request: OffsetCommitRequest, version: int
    ) -> OffsetCommitResponse | Completion[OffsetCommitResponse]:
        """OffsetCommit: see `OffsetCommits.commit`."""
        return self._commits.commit(request, version)

    def txn_offset_commit(
        self, request: TxnOffsetCommitRequest, version: int, admit: Admit | None = None
    ) -> TxnOffsetCommitResponse | Completion[TxnOffsetCommitResponse]:
        """TxnOffsetCommit: see `OffsetCommits.commit_transactional`."""
        return self._commits.commit_transactional(request, version, admit)

    def complete_transaction(
        self,
        partition: int,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        commit: bool,
        transaction_version: int = 0,
    ) -> Completion[ErrorCode]:
        """Write the marker of a transaction that has offsets in this partition of `__consumer_offsets`; NONE when it is durable."""
        waiter: Completion[ErrorCode] = Completion()
        marker = (producer_id, producer_epoch, coordinator_epoch)
        shard = self.runtime.shard(partition)
        try:
            if shard is not None:
                shard.machine().committed.complete(
                    *marker, commit=commit, transaction_version=transaction_version, done=waiter.set
                )
            elif 0 < self.runtime.partition_count <= partition:
                # The topic has grown: nobody's offsets are there before the next start, but a transaction may have it.
                self._open_log(partition).append_marker(
                    *marker,
                    commit=commit,
                    transaction_version=transaction_version,
                    on_done=lambda outcome: waiter.set(ErrorCode(outcome.error)),
                )
            else:
                waiter.set(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        except BrokerError as refused:
            waiter.set(refused.code)
        return waiter

    def fetch(
        self, request: OffsetFetchRequest, version: int
    ) -> OffsetFetchResponse | Completion[OffsetFetchResponse]:
        """OffsetFetch: see `OffsetFetches.fetch`."""
        return self._fetches.fetch(request, version)

    def delete_offsets(
        self, request: OffsetDeleteRequest
    ) -> OffsetDeleteResponse | Completion[OffsetDeleteResponse]:
        """OffsetDelete: see `deletions.delete_offsets`."""
        return delete_offsets(self.runtime, self._metadata.image, request)

    def delete_groups(self, request: DeleteGroupsRequest) -> Completion[DeleteGroupsResponse]:
        """DeleteGroups: see `deletions.delete_groups`."""
        return delete_groups(self.runtime, request)

    # ---- who coordinates what

    def check_coordinator(self, group_id: str) -> ErrorCode:
        """Whether this broker can coordinate the group now; COORDINATOR_NOT_AVAILABLE if not, to be asked again."""
        return self._topic.check_coordinator(group_id)

    def offsets_partition(self, group_id: str) -> tuple[str, int]:
        """The partition that keeps the offsets of a group, or will when there is such a topic."""
        count = self.runtime.partition_count or self._metadata.image.settings.offsets_topic_num_partitions
        return OFFSETS_TOPIC, partition_for_key(group_id, count)

    # ---- behind it

    def _open_log(self, index: int) -> CoordinatorLog:
        return self._replicas.partition(OFFSETS_TOPIC, index)

    def _new_machine(self, shard: Shard[GroupMachine]) -> GroupMachine:
        return GroupMachine(shard, self._machine_services)

    def _topic_id(self, name: str) -> UUID | None:
        topic = self._metadata.image.topic(name)
        return None if topic is None else topic.topic_id

    def _retention_ms(self) -> int:
        return self._metadata.image.settings.offsets_retention_minutes * _MS_PER_MINUTE


def _with_protocol_name(response: JoinGroupResponse) -> JoinGroupResponse:
    """Older versions can't say that there is no protocol."""
    response.protocol_name = response.protocol_name or ""
    return response


def _limits(image: ClusterImage) -> ClassicLimits:
    settings = image.settings
    return ClassicLimits(settings.group_initial_rebalance_delay_ms, settings.group_max_size)
