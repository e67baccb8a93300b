"""Clients of the simulated coordinators: each does one thing at a time, as a real one would, and notes what it was told.

`Client.act` asks for something, if nothing that it asked for is still unanswered. What comes back is noted in the
`CoordinatorModel`: answers that promise, and refusals that promise that nothing happened. Answers that leave it open (a time-out, a
coordinator that is gone) are no answers.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any, Final, TypeVar

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.testing.model_coordinators import Change, CoordinatorModel, OffsetKey
from logbroker.testing.sim_coordinators import DATA_TOPIC, PARTITIONS, SimCoordinators
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from logbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
)
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse

UNDECIDED: Final = frozenset(
    {
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Answers that don't say whether it happened."""

SESSION_MS: Final = 10_000
REBALANCE_MS: Final = 20_000
SUBSCRIPTION: Final = struct.pack(f">hih{len(DATA_TOPIC)}si", 0, 1, len(DATA_TOPIC), DATA_TOPIC.encode(), -1)
"""A consumer's metadata, version 0: it subscribes to the data topic."""
_COMMIT_VERSION: Final = 9
_JOIN_VERSION: Final = 9
_SYNC_VERSION: Final = 5
_LEAVE_VERSION: Final = 5

T = TypeVar("T")


class Client:
    """One client; `busy` while it waits for an answer."""

    def __init__(self, process: SimCoordinators, model: CoordinatorModel, rng: random.Random) -> None:
        self.process = process
        self.model = model
        self.rng = rng
        self.busy = False

    def act(self) -> None:
        """Ask for something."""
        raise NotImplementedError

    def ask(self, answer: T | Completion[T], told: Callable[[T], None]) -> None:
        """Wait for the answer; a second one is complained about."""
        self.busy = True
        answers = 0

        def once(value: T) -> None:
            nonlocal answers
            answers += 1
            if answers > 1:
                self.process.complaints.append(f"a request of {type(self).__name__} was answered twice")
            self.busy = False
            self.process.engine.events[f"{type(self).__name__} answer"] += 1
            told(value)

        if isinstance(answer, Completion):
            answer.on_done(once)
        else:
            once(answer)

    def commit(self, key: OffsetKey, epoch: int = -1, member_id: str = "") -> None:
        """OffsetCommit of one offset."""
        change = self.model.begin_change(key, self.model.ticket())
        request = OffsetCommitRequest(
            key[0],
            epoch,
            member_id,
            topics=[
                OffsetCommitRequestTopic(
                    DATA_TOPIC, partitions=[OffsetCommitRequestPartition(key[1], change.value or 0)]
                )
            ],
        )

        def told(response: OffsetCommitResponse) -> None:
            self.decide(ErrorCode(response.topics[0].partitions[0].error_code), [change])

        self.ask(self.process.groups.commit(request, _COMMIT_VERSION), told)

    def decide(self, error: ErrorCode, asked: list[Any]) -> None:
        """Note for changes or promises what the answer means."""
        now = self.model.now()
        for each in asked:
            if error is ErrorCode.NONE:
                each.acked = now
            elif error not in UNDECIDED:
                each.refused = True


class Committer(Client):
    """Commits and deletes offsets of groups without members; now and then deletes a whole group."""

    def __init__(
        self, process: SimCoordinators, model: CoordinatorModel, rng: random.Random, groups: tuple[str, ...]
    ) -> None:
        super().__init__(process, model, rng)
        self.groups = groups

    def act(self) -> None:
        """Ask for something."""
        rng = self.rng
        group = rng.choice(self.groups)
        key = (group, rng.randrange(PARTITIONS[DATA_TOPIC]))
        draw = rng.random()
        if draw < 0.75:
            self.commit(key)
        elif draw < 0.9:
            self._delete_offset(key)
        else:
            self._delete_group(group)

    def _delete_offset(self, key: OffsetKey) -> None:
        change: Change = self.model.begin_change(key, None)
        partitions = [OffsetDeleteRequestPartition(key[1])]
        request = OffsetDeleteRequest(key[0], [OffsetDeleteRequestTopic(DATA_TOPIC, partitions)])

        def told(response: OffsetDeleteResponse) -> None:
            error = ErrorCode(response.error_code)
            if error is ErrorCode.NONE:
                error = ErrorCode(response.topics[0].partitions[0].error_code)
            self.decide(error, [change])

        self.ask(self.process.groups.delete_offsets(request), told)

    def _delete_group(self, group: str) -> None:
        promise, changes = self.model.begin_deletion(group)

        def told(response: DeleteGroupsResponse) -> None:
            self.decide(ErrorCode(response.results[0].error_code), [promise, *changes])

        self.ask(self.process.groups.delete_groups(DeleteGroupsRequest([group])), told)


class ClassicMember(Client):
    """A member of a group under the classic protocol.

    As a consumer it says what it subscribes to, so that its group can be taken over by the consumer protocol; else it is a connector,
    whose metadata is anything. Assignments are anything.
    """

    def __init__(
        self,
        process: SimCoordinators,
        model: CoordinatorModel,
        rng: random.Random,
        group: str,
        instance_id: str | None = None,
        *,
        consumes: bool = False,
    ) -> None:
        super().__init__(process, model, rng)
        self.group = group
        self.instance_id = instance_id
        self.consumes = consumes
        self._forget()

    def _forget(self) -> None:
        self.member_id = ""
        self.generation = -1
        self.joined = False

    def act(self) -> None:
        """Ask for something."""
        draw = self.rng.random()
        if not self.joined or draw < 0.08:
            self._join()
        elif draw < 0.5:
            key = (self.group, self.rng.randrange(PARTITIONS[DATA_TOPIC]))
            self.commit(key, self.generation, self.member_id)
        elif draw < 0.9:
            self._heartbeat()
        else:
            self._leave()

    def _join(self) -> None:
        self.model.touch(self.group)
        self.joined = False
        metadata = SUBSCRIPTION if self.consumes else self.rng.randbytes(self.rng.choice((0, 20, 200)))
        request = JoinGroupRequest(
            self.group,
            SESSION_MS,
            REBALANCE_MS,
            self.member_id,
            self.instance_id,
            "consumer" if self.consumes else "connect",
            [JoinGroupRequestProtocol("range", metadata)],
        )
        answer = self.process.groups.join(request, _JOIN_VERSION, "client", "127.0.0.1")
        self.ask(answer, self._joined)

    def _joined(self, response: JoinGroupResponse) -> None:
        error = ErrorCode(response.error_code)
        if error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = response.member_id
        elif error is not ErrorCode.NONE:
            self._forget()
        else:
            self.member_id = response.member_id
            self.generation = response.generation_id
            self._sync(response)

    def _sync(self, joined: JoinGroupResponse) -> None:
        assignments = [
            SyncGroupRequestAssignment(member.member_id, self.rng.randbytes(30)) for member in joined.members
        ]
        generation = joined.generation_id
        request = SyncGroupRequest(
            self.group,
            generation,
            self.member_id,
            self.instance_id,
            joined.protocol_type,
            joined.protocol_name,
            assignments,
        )

        def told(response: SyncGroupResponse) -> None:
            if response.error_code == ErrorCode.NONE:
                self.joined = True
                self.model.promise_epoch(self.group, generation)
            elif response.error_code != ErrorCode.REBALANCE_IN_PROGRESS:
                self._forget()

        self.ask(self.process.groups.sync(request, _SYNC_VERSION), told)

    def _heartbeat(self) -> None:
        request = HeartbeatRequest(self.group, self.generation, self.member_id, self.instance_id)

        def told(error: ErrorCode) -> None:
            if error is ErrorCode.REBALANCE_IN_PROGRESS:
                self.joined = False
            elif error is not ErrorCode.NONE:
                self._forget()

        self.ask(self.process.groups.heartbeat(request), told)

    def _leave(self) -> None:
        request = LeaveGroupRequest(self.group, members=[MemberIdentity(self.member_id, self.instance_id)])
        self._forget()
        self.ask(self.process.groups.leave(request, _LEAVE_VERSION), _ignore)


class ConsumerMember(Client):
    """A member of a group under the consumer protocol (KIP-848)."""

    def __init__(
        self,
        process: SimCoordinators,
        model: CoordinatorModel,
        rng: random.Random,
        group: str,
        *,
        regex: bool,
    ) -> None:
        super().__init__(process, model, rng)
        self.group = group
        self.regex = regex
        self._forget()

    def _forget(self) -> None:
        self.member_id = f"member-{self.rng.getrandbits(48):012x}"
        self.epoch = 0
        self.owned: list[ConsumerGroupHeartbeatRequestTopicPartitions] = []

    def act(self) -> None:
        """Ask for something."""
        draw = self.rng.random()
        if self.epoch and draw < 0.35:
            self.commit((self.group, self.rng.randrange(PARTITIONS[DATA_TOPIC])), self.epoch, self.member_id)
        elif self.epoch and draw > 0.9:
            self._heartbeat(-1)
        else:
            self._heartbeat(self.epoch)

    def _heartbeat(self, epoch: int) -> None:
        self.model.touch(self.group)
        request = ConsumerGroupHeartbeatRequest(self.group, self.member_id, epoch)
        if epoch == 0:
            request.rebalance_timeout_ms = REBALANCE_MS
            request.topic_partitions = []
            if self.regex:
                request.subscribed_topic_regex = "da.*"
            else:
                request.subscribed_topic_names = [DATA_TOPIC]
        elif epoch > 0:
            request.topic_partitions = self.owned
        answer = self.process.groups.consumer.heartbeat(request, 1, "client", "127.0.0.1")
        self.ask(answer, lambda response: self._told(response, epoch))

    def _told(self, response: ConsumerGroupHeartbeatResponse, epoch: int) -> None:
        if response.error_code != ErrorCode.NONE or epoch < 0:
            self._forget()
            return
        self.epoch = response.member_epoch
        if response.assignment is not None:
            self.owned = [
                ConsumerGroupHeartbeatRequestTopicPartitions(part.topic_id, part.partitions)
                for part in response.assignment.topic_partitions
            ]
        self.model.promise_epoch(self.group, self.epoch)


def _ignore(_answer: object) -> None:
    """Whoever has left comes back as somebody new."""
