"""The group `g` in a shard, asked by members under both protocols; the shard's clock, log and topics are the test's to move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.types import Buffer
from logbroker.groups.classic.joining import Origin
from logbroker.groups.consumer.embedded import read_assignment
from logbroker.groups.consumer.kind import ConsumerKind
from logbroker.groups.kind import Committer, PartitionCheck
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from logbroker.wire.messages.sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)

T = TypeVar("T")

ORIGIN: Final = Origin("client", "/127.0.0.1")
OLD: Final = Origin("client", "/127.0.0.1", requires_member_id=False)
"""A client that joins without having been given an id."""


def subscription(*owned: int) -> bytes:
    """A consumer's subscription to the topic `t`, of which it has `owned`."""
    head = b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff"
    return head + (_partitions(owned) if owned else b"\x00\x00\x00\x00")


def assignment(*partitions: int) -> bytes:
    """Partitions of the topic `t`, as a leader assigns them."""
    return b"\x00\x01" + _partitions(partitions) + b"\xff" * 4


def _partitions(indexes: Iterable[int]) -> bytes:
    listed = [index.to_bytes(4, "big", signed=True) for index in indexes]
    return b"\x00\x00\x00\x01\x00\x01t" + len(listed).to_bytes(4, "big") + b"".join(listed)


def _answer(waiter: Completion[T]) -> T:
    if waiter._value is None:
        raise AssertionError("there is no answer")
    return waiter._value


ALL: Final = assignment(0, 1, 2, 3)


def assigned(response: ConsumerGroupHeartbeatResponse) -> list[int]:
    """The partitions that a heartbeat's answer gives, whatever their topics."""
    if response.assignment is None:
        raise AssertionError("the answer gives no assignment")
    return sorted(p for each in response.assignment.topic_partitions for p in each.partitions)


def owned(blob: Buffer) -> list[int]:
    """The partitions that a SyncGroup's answer gives, whatever their topics."""
    return sorted(p for each in read_assignment(blob).assigned_partitions for p in each.partitions)


class Group:
    """What a test asks of the group; `bench` is a `Bench` of `GroupMachine` that has `known_topics`."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench

    @property
    def kind(self) -> ConsumerKind:
        """The shard's consumer groups."""
        kind: ConsumerKind = self.bench.machine.consumer
        return kind

    @property
    def group(self) -> Any:
        """The group as it is now, of either kind; None if there is none."""
        return self.bench.machine.groups.get("g")

    def ask(
        self,
        member: str,
        epoch: int = 0,
        *,
        topics: list[str] | None = None,
        owned: Iterable[int] | None = None,
        **more: Any,
    ) -> Completion[ConsumerGroupHeartbeatResponse]:
        """A heartbeat of the consumer protocol; one that joins says what it must, and subscribes to `t` if it says nothing."""
        if epoch == 0:
            more = {"rebalance_timeout_ms": 60_000, **more}
            owned, topics = owned or [], topics or (None if "subscribed_topic_regex" in more else ["t"])
        said = None
        if owned is not None:
            topic_id = self.bench.known_topics.ids["t"]
            said = [ConsumerGroupHeartbeatRequestTopicPartitions(topic_id, list(owned))] if owned else []
        request = ConsumerGroupHeartbeatRequest(
            "g", member, epoch, subscribed_topic_names=topics, topic_partitions=said, **more
        )
        return self.kind.consumer_heartbeat(request, ORIGIN)

    def beat(self, *given: Any, **more: Any) -> ConsumerGroupHeartbeatResponse:
        """The same, and its answer."""
        waiter = self.ask(*given, **more)
        self.bench.settle()
        return _answer(waiter)

    def join(
        self,
        member: str = "",
        metadata: bytes | None = None,
        *,
        instance: str | None = None,
        origin: Origin = OLD,
        protocols: int = 1,
    ) -> Completion[JoinGroupResponse]:
        """JoinGroup."""
        wanted = [JoinGroupRequestProtocol("range", subscription() if metadata is None else metadata)]
        request = JoinGroupRequest("g", 45_000, 60_000, member, instance, "consumer", wanted * protocols)
        waiter: Completion[JoinGroupResponse] = self.bench.machine.join(request, origin)
        self.bench.settle()
        return waiter

    def sync(
        self, generation: int, member: str, *brought: bytes, others: Iterable[str] = ()
    ) -> SyncGroupResponse:
        """SyncGroup; a leader brings its own assignment first, then those of `others`."""
        assignments = [
            SyncGroupRequestAssignment(each, blob)
            for each, blob in zip((member, *others), brought, strict=False)
        ]
        request = SyncGroupRequest("g", generation, member, None, "consumer", "range", assignments)
        waiter: Completion[SyncGroupResponse] = self.bench.machine.sync(request)
        self.bench.settle()
        return _answer(waiter)

    def heartbeat(self, generation: int, member: str) -> ErrorCode:
        """Heartbeat."""
        code: ErrorCode = self.bench.machine.heartbeat(HeartbeatRequest("g", generation, member))
        return code

    def commit(self, member: str, epoch: int) -> ErrorCode | PartitionCheck:
        """Whether the member may commit offsets."""
        answer: ErrorCode | PartitionCheck = self.bench.machine.check_commit(
            "g", Committer(member, None, epoch, False, 9)
        )
        return answer

    def classic_member(self) -> str:
        """A classic group, with one member that has all; its id."""
        waiter = self.join()
        self.bench.advance(3100)
        self.bench.settle()
        member = _answer(waiter).member_id
        if self.sync(1, member, ALL).error_code != ErrorCode.NONE:
            raise AssertionError("the leader's assignment was refused")
        return member
