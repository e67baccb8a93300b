"""A group coordinator whose clock, disk and members a test moves."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import UUID

import pytest

from logbroker.base.clock import ManualClock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.tasks import TaskScope
from logbroker.broker.handlers import offset_commit, offset_fetch
from logbroker.config.settings import Settings
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.groups.classic.protocol import ClassicLimits, ClassicProtocol, Origin
from logbroker.groups.consumer.kind import ConsumerServices
from logbroker.groups.consumer.turns import Turns
from logbroker.groups.kind import Committer
from logbroker.groups.machine import GroupMachine, GroupServices, NewOffset
from logbroker.groups.service import GroupService
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.service import MetadataService
from logbroker.testing.consumer_world import FixedLimits, Topics
from logbroker.testing.coordinators import Bench, ManualTimers, MemoryLog
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

TOPICS = {"t": UUID(int=1000), "u": UUID(int=1001)}
SESSION_MS = 10_000
REBALANCE_MS = 30_000
INITIAL_MS = 3000
RETENTION_MS = 86_400_000


def subscription(*topics: str) -> bytes:
    """A consumer's metadata, version 0."""
    encoded = b"".join(len(t.encode()).to_bytes(2, "big") + t.encode() for t in topics)
    return b"\x00\x00" + len(topics).to_bytes(4, "big") + encoded + b"\xff\xff\xff\xff"


class GroupBench(Bench[GroupMachine]):
    """One shard of groups; requests are answered by `Completion`s, whose value is looked at with `got`."""

    def __init__(self, *, max_size: int = 1000, initial_ms: int = INITIAL_MS, batch_bytes: int = 1_048_588):
        self.protocol = ClassicProtocol(ClassicLimits(initial_ms, max_size))
        self.topics = dict(TOPICS)
        self.limits = FixedLimits()
        self.known_topics = Topics(t=4, u=3)
        super().__init__(
            lambda bench, shard: GroupMachine(
                shard,
                GroupServices(
                    bench.protocol,
                    bench.clock,
                    bench.timers,
                    bench.topics.get,
                    lambda: RETENTION_MS,
                    ConsumerServices(
                        bench.limits,
                        lambda: bench.known_topics,
                        bench.services.defer,
                        Turns(bench.services.defer),
                    ),
                ),
            ),
            batch_bytes=batch_bytes,
        )

    def group(self, group_id: str = "g"):
        return self.machine.groups.get(group_id)

    @property
    def state(self) -> str | None:
        group = self.group()
        return None if group is None else group.state.value

    def ask_join(
        self,
        member_id: str = "",
        *,
        group_id: str = "g",
        instance: str | None = None,
        protocols: dict[str, bytes] | None = None,
        protocol_type: str = "consumer",
        version: int = 9,
        client: str = "c",
        session_ms: int = SESSION_MS,
        rebalance_ms: int = REBALANCE_MS,
    ) -> Completion:
        protocols = {"range": subscription("t")} if protocols is None else protocols
        request = JoinGroupRequest(
            group_id,
            session_ms,
            rebalance_ms,
            member_id,
            instance,
            protocol_type,
            [JoinGroupRequestProtocol(name, metadata) for name, metadata in protocols.items()],
        )
        origin = Origin(client, "/10.0.0.7", version >= 4, version >= 9)
        return self.machine.join(request, origin)

    def new_id(self, **options) -> str:
        """The id that a new member is given (KIP-394)."""
        response = got(self.ask_join(**options))
        assert response.error_code == ErrorCode.MEMBER_ID_REQUIRED
        return response.member_id

    def ask_sync(
        self, member_id, generation=None, assignments=None, *, group_id="g", instance=None, protocol=None
    ):
        if generation is None:
            generation = self.group(group_id).generation_id
        request = SyncGroupRequest(
            group_id,
            generation,
            member_id,
            instance,
            None if protocol is None else "consumer",
            protocol,
            [SyncGroupRequestAssignment(m, a) for m, a in (assignments or {}).items()],
        )
        return self.machine.sync(request)

    def heartbeat(self, member_id, generation=None, *, group_id="g", instance=None) -> str:
        if generation is None:
            generation = self.group(group_id).generation_id
        request = HeartbeatRequest(group_id, generation, member_id, instance)
        return self.machine.heartbeat(request).name

    def leave(self, *members, group_id="g") -> list[str]:
        pairs = [(member, None) if isinstance(member, str) else member for member in members]
        return [error.name for error in self.machine.leave(group_id, pairs, lambda _: None)]

    def commit(
        self, offset, *, topic="t", partition=0, group_id="g", member_id="", generation=-1, expire_ms=-1
    ):
        """Commit one offset: the error that refuses it, or the list in which the outcome will be."""
        error = self.machine.check_commit(group_id, Committer(member_id, None, generation, False, 9))
        if error is not ErrorCode.NONE:
            return error.name
        outcome: list[str] = []
        value = OffsetCommitValue(
            offset, -1, "", self.clock.wall_ms(), expire_ms, self.topics.get(topic, TOPICS["t"])
        )
        self.machine.commit(
            group_id, [NewOffset(topic, partition, value)], lambda e: outcome.append(ErrorCode(e).name)
        )
        return outcome

    def offset(self, topic="t", partition=0, group_id="g"):
        value = self.machine.offsets.get(group_id, topic, partition)
        return None if value is None else value.offset

    def stable(self, count=2, *, instances=(), **options) -> list[str]:
        """A stable group of `count` members, the leader first; `instances` are the first ones' instance ids."""
        waiters = []
        for number in range(count):
            instance = instances[number] if number < len(instances) else None
            if instance is None:
                waiters.append(self.ask_join(self.new_id(**options), **options))
            else:
                waiters.append(self.ask_join(instance=instance, **options))
        self.advance(self.protocol.limits.initial_rebalance_delay_ms * (count + 1) + 20)
        ids = [got(waiter).member_id for waiter in waiters]
        leader = got(waiters[0]).leader
        assert leader == ids[0]
        syncs = [
            self.ask_sync(member, assignments={m: m.encode() for m in ids} if member == leader else None)
            for member in ids
        ]
        self.settle()
        assert [bytes(got(sync).assignment) for sync in syncs] == [m.encode() for m in ids]
        assert self.state == "Stable"
        return ids


def got(waiter: Completion):
    """The reply, which must be there."""
    assert waiter.done, "no reply yet"
    replies: list = []
    waiter.on_done(replies.append)
    return replies[0]


def error_of(waiter: Completion) -> str:
    return ErrorCode(got(waiter).error_code).name


DIRECTORY = UUID(int=0xD1)


class Replicas:
    """Logs in memory, by topic and partition."""

    def __init__(self):
        self.logs = {}
        self.offline = False

    def partition(self, topic, index):
        if self.offline:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "the log directory is offline")
        return self.logs.setdefault((topic, index), MemoryLog(instant=True))


class Stage:
    """The service over real metadata, as the broker its handlers know."""

    node_id = 7

    async def open(self, directory, **settings):
        self.settings = Settings(
            node_id=7,
            log_dirs=(str(directory),),
            group_initial_rebalance_delay_ms=0,
            **{"offsets_topic_num_partitions": 4, **settings},
        )
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.directory_id = DIRECTORY
        self.metadata = await MetadataService.open(self.settings)
        await self.metadata.register_directory(DIRECTORY, str(directory))
        self.replicas = Replicas()
        self.failures = []
        self.tasks = TaskScope("test", on_failure=lambda what, _: self.failures.append(what))
        self.groups = GroupService(self.metadata, self.replicas, self.clock, self.timers, self.tasks)
        self.groups.start()

    async def close(self):
        await self.groups.stop()
        await self.tasks.close()
        await self.metadata.close()
        assert self.failures == []

    def advertised(self, listener_name):
        return {"INSIDE": ("inside.example", 9092)}[listener_name]

    async def ask(self, handler, request, version):
        context = SimpleNamespace(
            api_version=version, client_id="c", client_host="10.0.0.7", listener_name="INSIDE"
        )
        answer = handler.handle(self, context, request)
        if isinstance(answer, Completion):
            for _ in range(3):
                await asyncio.sleep(0)
            while not answer.done and self.timers.expire_due():
                await asyncio.sleep(0)
                self.clock.advance(10)
            assert answer.done
        return await answer if hasattr(answer, "__await__") else answer

    async def create(self, *names, partitions=3):
        outcomes = await self.metadata.create_topics([NewTopic(name, partitions) for name in names])
        assert all(outcome.error is None for outcome in outcomes)

    async def commit(self, offset, group="g", topic="t", partition=0, version=9):
        request = OffsetCommitRequest(
            group,
            topics=[
                OffsetCommitRequestTopic(
                    topic, partitions=[OffsetCommitRequestPartition(partition, offset, -1, "")]
                )
            ],
        )
        response = await self.ask(offset_commit, request, version)
        return ErrorCode(response.topics[0].partitions[0].error_code).name

    async def fetch(self, group="g", topic="t", partition=0):
        request = OffsetFetchRequest(
            groups=[
                OffsetFetchRequestGroup(
                    group, topics=[OffsetFetchRequestTopics(topic, partition_indexes=[partition])]
                )
            ]
        )
        answer = (await self.ask(offset_fetch, request, 9)).groups[0]
        return (
            ErrorCode(answer.error_code).name
            if answer.error_code
            else answer.topics[0].partitions[0].committed_offset
        )


def run_on_stage(directory, play, **settings):
    async def run():
        stage = Stage()
        await stage.open(directory, **settings)
        await play(stage)
        await stage.close()

    asyncio.run(run())


@pytest.fixture
def on_stage(tmp_path):
    """Play a coroutine function with a `Stage`, given settings."""

    def play_on(play, **settings):
        run_on_stage(tmp_path, play, **settings)

    return play_on


@pytest.fixture
def bench():
    return GroupBench()


@pytest.fixture
def new_bench():
    return GroupBench


@pytest.fixture
def helpers():
    """`got`, `error_of` and `subscription`, for tests that can't import this file."""

    class Helpers:
        pass

    Helpers.got = staticmethod(got)
    Helpers.error_of = staticmethod(error_of)
    Helpers.subscription = staticmethod(subscription)
    return Helpers
