"""Internal topics whose records somebody, or another release, has written: mutated keys and values in batches that are well-formed.

A `Template` is what a simulated life has left in the internal topics. Each `Case` is a copy in which one or a few records are changed, by a
seed; both coordinators load it, and then whoever may come comes: every kind of request, and time. What may come of it:

    refused     the shard doesn't serve, and says why, with topic, partition and offset
    served      what the changed records don't speak of is as it was

and always: no other shard suffers, no task dies, no request and no timer ends in an exception.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, cast

from logbroker.base.clock import ManualClock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.tasks import TaskScope
from logbroker.coordination.shard import ShardState
from logbroker.groups.descriptions import describe, list_groups
from logbroker.groups.service import GroupService
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import OFFSETS_TOPIC, TRANSACTION_TOPIC
from logbroker.records.batch import iter_batches, parse_header
from logbroker.records.builder import BatchBuilder
from logbroker.records.iterator import iter_records
from logbroker.testing.coordinators import ManualTimers, MemoryLog
from logbroker.testing.frame_fuzz import mutate
from logbroker.testing.sim_coordinator_story import CoordinatorStory
from logbroker.testing.sim_coordinators import (
    DATA_TOPIC,
    INTERNAL,
    SimMetadata,
    make_settings,
    make_world_image,
)
from logbroker.transactions.decisions import Producer
from logbroker.transactions.service import TransactionService
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.list_transactions import ListTransactionsRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup

Place = tuple[str, int]
"""Topic and partition."""

GROUPS: Final = ("o0", "o1", "c0", "k0", "both", "tx", "mixed")
"""Those of the simulated life."""
TRANSACTIONAL_IDS: Final = ("t0", "t1")
UNKNOWN_TYPE: Final = 99
NEWER_VERSION: Final = 99
LATER_MS: Final = (1_000, 15_000, 90_000)
"""Behind all sessions and time-outs."""


class Change(NamedTuple):
    """One record that isn't what it was."""

    place: Place
    offset: int
    what: str
    before: tuple[bytes | None, bytes | None]
    after: tuple[bytes | None, bytes | None]


class Template:
    """The internal topics after a simulated life; each batch by itself."""

    def __init__(self, seed: int) -> None:
        story = CoordinatorStory.record(seed)
        process = story.look()
        self.batches: dict[Place, list[bytes]] = {}
        for place, partition in process.partitions.items():
            if place[0] in INTERNAL:
                self.batches[place] = list(_batches_of(partition))
        self.image: ClusterImage = make_world_image(
            make_settings(groups_expire=False), process.engine.world, 1
        )
        self.now_ms = process.clock.wall_ms()
        process.kill()
        self.sound = Case(self, 0, changes=0).load_only()


def _batches_of(partition: Any) -> Iterator[bytes]:
    offset = partition.log_start_offset
    while offset < partition.log_end_offset:
        data = b"".join(partition.read(offset, 1 << 20, partition.log.host.reader()))
        for position, header in iter_batches(data):
            yield data[position : position + header.size_bytes]
            offset = header.next_offset


class _Log(MemoryLog):
    """A log that was there before."""

    leader_epoch = 1

    def __init__(self, batches: list[bytes]) -> None:
        super().__init__(instant=True)
        for batch in batches:
            header = parse_header(batch)
            self.batches.append((header.base_offset, header.next_offset, batch))
            self.log_end_offset = self.high_watermark = header.next_offset


class Case:
    """One mutated copy, by its seed.

    Attributes:
        changes: What was changed.
        refusals: Why shards don't serve.

    """

    def __init__(self, template: Template, seed: int, *, changes: int | None = None) -> None:
        self.template = template
        self.seed = seed
        self.changes: list[Change] = []
        self.refusals: dict[Place, str] = {}
        self._rng = rng = random.Random(seed)
        batches = {place: list(found) for place, found in template.batches.items()}
        for _ in range(rng.choice((1, 1, 1, 2, 3)) if changes is None else changes):
            self._change(batches)
        self._logs = {place: _Log(found) for place, found in batches.items()}
        self._clock = ManualClock(template.now_ms)
        self._timers = ManualTimers(self._clock)
        self._failures: list[str] = []

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.changes}; {self.refusals}"

    def run(self) -> str:
        """Load it, use it; returns "served" or "refused". Raises AssertionError, or whatever an exception a request ended in."""
        return asyncio.run(self._run())

    def load_only(self) -> dict[tuple[str, ...], Any]:
        """The state that is loaded."""
        asyncio.run(self._run(use=False))
        return self._state

    # ---- making it

    def _change(self, batches: dict[Place, list[bytes]]) -> None:
        rng = self._rng
        place = rng.choice([place for place, found in batches.items() if found])
        number = rng.randrange(len(batches[place]))
        batch = batches[place][number]
        header = parse_header(batch)
        records = list(iter_records(batch))
        if not records:
            return
        chosen = rng.randrange(len(records))
        record = records[chosen]
        before = (_bytes(record.key), _bytes(record.value))
        what, after = self._mutated(before, batches)
        builder = BatchBuilder(
            base_offset=header.base_offset,
            producer_id=header.producer_id,
            producer_epoch=header.producer_epoch,
            base_sequence=header.base_sequence,
            transactional=header.is_transactional,
            control=header.is_control,
        )
        for index, each in enumerate(records):
            key, value = after if index == chosen else (_bytes(each.key), _bytes(each.value))
            builder.append(each.timestamp_ms, key, value, offset=each.offset)
        batches[place][number] = bytes(builder.build(last_offset_delta=header.last_offset_delta))
        self.changes.append(Change(place, record.offset, what, before, after))

    def _mutated(
        self, before: tuple[bytes | None, bytes | None], batches: dict[Place, list[bytes]]
    ) -> tuple[str, tuple[bytes | None, bytes | None]]:
        rng = self._rng
        key, value = before
        match rng.randrange(10):
            case 0:
                return "key", (bytes(mutate(rng, bytearray(key or b""))), value)
            case 1:
                return "unknown type", (UNKNOWN_TYPE.to_bytes(2, "big") + (key or b"")[2:], value)
            case 2:
                return "newer version", (key, NEWER_VERSION.to_bytes(2, "big") + (value or b"")[2:])
            case 3:
                return "short value", (key, (value or b"")[: rng.choice((0, 1, 2, 3))])
            case 4:
                return "short key", ((key or b"")[: rng.choice((0, 1, 2, 3))], value)
            case 5:
                other = next(
                    iter(iter_records(rng.choice([b for found in batches.values() for b in found]))), None
                )
                return "another's value", (key, None if other is None else _bytes(other.value))
        return "value", (key, bytes(mutate(rng, bytearray(value or b""))))

    # ---- using it

    async def _run(self, *, use: bool = True) -> str:
        tasks = TaskScope(
            "hostile", on_failure=lambda what, error: self._failures.append(f"{what}: {error!r}")
        )
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self._failures.append(str(context))
        )
        metadata = cast(MetadataService, SimMetadata(self.template.image, lambda: 5000))
        services: Any = (self._clock, self._timers, tasks)
        self.groups = GroupService(metadata, self, *services)
        self.groups.start()
        self.transactions = TransactionService(
            metadata, self, self._write_marker, self.groups.offsets_partition, *services
        )
        self.transactions.start()
        await self.groups.runtime.wait_loaded()
        await self.transactions.runtime.wait_loaded()
        self._state = self._look()
        self._judge()
        if use:
            await self._use()
            for ms in LATER_MS:
                self._advance(ms)
                await self._use()
        await self.transactions.stop()
        await self.groups.stop()
        await tasks.close()
        assert not self._failures, self._failures
        return "refused" if self.refusals else "served"

    def partition(self, topic: str, index: int, /) -> Any:
        """One log."""
        return self._logs[topic, index]

    def _write_marker(self, topic: str, partition: int, *rest: Any) -> Completion[ErrorCode]:
        if topic == OFFSETS_TOPIC:
            return self.groups.complete_transaction(partition, *rest)
        outcome: Completion[ErrorCode] = Completion()
        known = self.template.image.partition(topic, partition) is not None
        outcome.set(ErrorCode.NONE if known else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return outcome

    def _judge(self) -> None:
        """No shard that wasn't touched suffers; one that refuses says where; what wasn't touched is as it was."""
        touched = {change.place for change in self.changes}
        for topic, runtime in (
            (OFFSETS_TOPIC, self.groups.runtime),
            (TRANSACTION_TOPIC, self.transactions.runtime),
        ):
            for index in range(runtime.partition_count):
                shard = runtime.shard(index)
                assert shard is not None
                if shard.state is ShardState.ACTIVE:
                    continue
                assert shard.state is ShardState.FAILED, shard.state
                assert (topic, index) in touched, f"{topic}-{index} suffers: {shard.reason}"
                assert f"{topic}-{index}" in shard.reason, shard.reason
                assert "offset" in shard.reason, shard.reason
                self.refusals[topic, index] = shard.reason
        if not self.changes:
            return
        spoken = b"".join(part or b"" for change in self.changes for pair in change[3:] for part in pair)
        for key, sound in self.template.sound.items():
            if any(name.encode() in spoken for name in key[1:]) or (key[0], int(key[-1])) in self.refusals:
                continue
            assert self._state.get(key) == sound, f"{key}: {sound} became {self._state.get(key)}"

    def _look(self) -> dict[tuple[str, ...], Any]:
        """(topic, name, ..., partition) to what is known."""
        state: dict[tuple[str, ...], Any] = {}
        for index in range(self.groups.runtime.partition_count):
            shard = self.groups.runtime.shard(index)
            if shard is not None and shard.state is ShardState.ACTIVE:
                machine = shard.machine()
                for group, topics in machine.offsets.groups.items():
                    state[OFFSETS_TOPIC, group, str(index)] = repr(
                        sorted((name, sorted(found.items())) for name, found in topics.items())
                    )
        for index in range(self.transactions.runtime.partition_count):
            shards = self.transactions.runtime.shard(index)
            if shards is not None and shards.state is ShardState.ACTIVE:
                for name, known in shards.machine().transactions():
                    state[TRANSACTION_TOPIC, name, str(index)] = (known.producer_id, known.producer_epoch)
        return state

    def _advance(self, ms: int) -> None:
        self._clock.advance(ms)
        self._timers.expire_due()
        for machine in self.groups.runtime.machines():
            machine.drop_expired()
        for transactions in self.transactions.runtime.machines():
            transactions.drop_expired()

    async def _use(self) -> None:
        """Everybody comes."""
        rng = self._rng
        runtime = self.groups.runtime
        list_groups(runtime, ListGroupsRequest())
        groups = {*GROUPS, *(name for machine in runtime.machines() for name in machine.groups)}
        for group in sorted(groups):
            for ask in self._requests(group, rng):
                ask()
                await asyncio.sleep(0)
        self.transactions.list_all(ListTransactionsRequest())
        known = {name for machine in self.transactions.runtime.machines() for name in machine.entries}
        for name in sorted({*TRANSACTIONAL_IDS, *known}):
            state = self.transactions.describe(name)
            producer = Producer(state.producer_id, state.producer_epoch)
            self.transactions.end(
                name, producer, commit=rng.random() < 0.5, client_version=rng.choice((0, 2))
            )
            await asyncio.sleep(0)
            self.transactions.initialize(name, 60_000, None)
            await asyncio.sleep(0)
            self.transactions.add_partitions(name, producer, frozenset({(DATA_TOPIC, 0)}), 2)
            await asyncio.sleep(0)

    def _requests(self, group: str, rng: random.Random) -> list[Callable[[], object]]:
        service = self.groups
        topics = [OffsetCommitRequestTopic(DATA_TOPIC, partitions=[OffsetCommitRequestPartition(0, 7)])]
        member = f"m{rng.randrange(3)}"
        join = JoinGroupRequest(
            group,
            10_000,
            10_000,
            "",
            rng.choice((None, "static")),
            "connect",
            [JoinGroupRequestProtocol("range", b"")],
        )
        beat = ConsumerGroupHeartbeatRequest(
            group,
            member,
            0,
            rebalance_timeout_ms=5000,
            subscribed_topic_names=[DATA_TOPIC],
            topic_partitions=[],
        )
        asks: list[Callable[[], object]] = [
            lambda: describe(service.runtime, DescribeGroupsRequest([group]), 6),
            lambda: service.consumer.describe(ConsumerGroupDescribeRequest([group])),
            lambda: service.fetch(
                OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=None)]), 9
            ),
            lambda: service.commit(OffsetCommitRequest(group, -1, "", topics=topics), 9),
            lambda: service.join(join, 3, "client", "127.0.0.1"),
            lambda: service.consumer.heartbeat(beat, 1, "client", "127.0.0.1"),
            lambda: service.leave(LeaveGroupRequest(group, members=[MemberIdentity("", "static")]), 5),
            lambda: service.delete_groups(DeleteGroupsRequest([group])),
        ]
        rng.shuffle(asks)
        return asks


def _bytes(data: Any) -> bytes | None:
    return None if data is None else bytes(data)
