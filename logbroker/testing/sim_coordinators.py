"""The coordinators of groups and of transactions on a simulated disk: one process, from its start to the moment it is killed.

`SimCoordinators` puts the broker's own parts together over the logs of a `SimEngine`: `GroupService`, `TransactionService`, and a `Partition`
for each log. What isn't simulated is simply right: the metadata (it has a crash story of its own), and the network. Nothing moves until
`step` or `advance` is called: the end of a loop's tick is a callback of the engine's scheduler, loads are tasks of a loop that is turned
by hand, timers fire when the clock is turned.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Final, cast
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.tasks import TaskScope
from logbroker.broker.coordinators import Coordinators
from logbroker.broker.produce_admission import ADDS_PARTITIONS_FROM, check_admitted, question_of
from logbroker.config.settings import Settings
from logbroker.metadata.image import ClusterImage, PartitionImage, TopicImage, make_image
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import OFFSETS_TOPIC, TRANSACTION_TOPIC
from logbroker.replication.partition import Partition
from logbroker.storage.cleaner import CleanerOptions
from logbroker.testing.coordinators import ManualTimers
from logbroker.testing.sim_engine import SimEngine
from logbroker.testing.sim_world import World

DATA_TOPIC: Final = "data"
"""Where transactions write."""
INTERNAL: Final = (OFFSETS_TOPIC, TRANSACTION_TOPIC)
PARTITIONS: Final = {OFFSETS_TOPIC: 2, TRANSACTION_TOPIC: 2, DATA_TOPIC: 3}

NODE: Final = 1
_DIRECTORY = UUID(int=1)
_TURNS_MAX: Final = 100_000
_PASSES: Final = 20
"""How often everything is compacted, at most, until there is nothing left to compact."""


def make_settings(*, groups_expire: bool) -> Settings:
    """Limits as short as they may be, so that few turns of the clock reach them; empty groups go soon, or never."""
    return Settings(
        node_id=NODE,
        log_dirs=("/d0",),
        offsets_topic_num_partitions=PARTITIONS[OFFSETS_TOPIC],
        transaction_state_log_num_partitions=PARTITIONS[TRANSACTION_TOPIC],
        group_initial_rebalance_delay_ms=0,
        group_min_session_timeout_ms=6000,
        group_consumer_migration_policy="bidirectional",
        offsets_retention_check_interval_ms=8_000 if groups_expire else 1 << 40,
    )


def make_world_image(settings: Settings, world: World, leader_epoch: int) -> ClusterImage:
    """The metadata of a broker that leads everything there is."""
    partition = PartitionImage(NODE, leader_epoch, (NODE,), (NODE,), _DIRECTORY)
    topics = {
        topic.name: TopicImage(
            topic.topic_id,
            topic.name,
            topic.name in INTERNAL,
            {},
            topic.config,
            (partition,) * topic.partitions,
        )
        for topic in world.topics.values()
    }
    return dataclasses.replace(
        make_image("simulation", settings),
        topics=topics,
        topic_names={topic.topic_id: name for name, topic in topics.items()},
    )


class SimMetadata:
    """What the coordinators need of the metadata service; no producer id is ever given twice."""

    def __init__(self, image: ClusterImage, next_producer_id: Callable[[], int]) -> None:
        self.image = image
        self._next = next_producer_id

    def subscribe(self, subscriber: object) -> None:
        """Nothing changes while the process lives."""

    async def next_producer_id(self) -> int:
        """The next, as durable as the metadata are."""
        await asyncio.sleep(0)
        return self._next()


class SimCoordinators:
    """See the module. The engine is open when this is made; `start` begins the loads.

    Args:
        engine: The logs, and the scheduler that everything shares.
        leader_epoch: Higher than in any life before that ended in a crash.
        next_producer_id: Gives out producer ids.
        settings: See `make_settings`.

    """

    def __init__(
        self,
        engine: SimEngine,
        leader_epoch: int,
        next_producer_id: Callable[[], int],
        settings: Settings,
    ) -> None:
        self.engine = engine
        self.clock = engine.clock
        self.timers = ManualTimers(engine.clock)
        self.partitions: dict[tuple[str, int], Partition] = {}
        for topic in engine.world.topics.values():
            for index in range(topic.partitions):
                log = engine.log((topic.topic_id, index))
                if log is not None and log.refusal is None:
                    self.partitions[topic.name, index] = Partition(
                        log, leader_epoch, internal=topic.name in INTERNAL
                    )
        image = make_world_image(settings, engine.world, leader_epoch)
        self._metadata = cast(MetadataService, SimMetadata(image, next_producer_id))
        self._loop = asyncio.new_event_loop()
        self.complaints = engine.complaints

    # ---- life

    def start(self) -> None:
        """Begin to load, as the broker does at its start."""
        self._loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self._tasks = TaskScope("simulation", on_failure=self._failed)
        replicas: Any = self
        timers: Any = self.timers
        self._coordinators = Coordinators(
            self._metadata, replicas, self.clock, timers, self._tasks, defer=self._defer
        )
        self.groups = self._coordinators.groups
        self.transactions = self._coordinators.transactions

    def stop(self) -> None:
        """A clean stop, up to the log directories."""
        self._coordinators.release_waiting()
        self.settle()
        self._loop.run_until_complete(self._coordinators.stop())
        self.engine.close()
        self.engine.executor.run_until_idle()

    def kill(self) -> None:
        """The process dies; only what it left on the disk goes on to exist."""
        self.engine.kill()
        self._loop.run_until_complete(self._tasks.close())
        self._loop.close()

    def step(self, count: int = 1) -> None:
        """Let the lanes, the loop's callbacks and the tasks advance."""
        for _ in range(count):
            moved = self.engine.executor.step()
            if len(self._tasks):
                self._loop.run_until_complete(asyncio.sleep(0))
            elif not moved:
                return

    def settle(self) -> None:
        """Let everything that is under way come to its end, without a turn of the clock."""
        for _ in range(_TURNS_MAX):
            if self.engine.executor.idle and not len(self._tasks):
                return
            self.step()
        raise RuntimeError(f"still busy after {_TURNS_MAX} steps")

    def advance(self, ms: int, *, settle: bool) -> None:
        """Let time pass, timer by timer; without `settle` the disk stands still meanwhile."""
        end_ms = self.clock.wall_ms() + ms
        while (left_ms := end_ms - self.clock.wall_ms()) > 0:
            due_ms = (self.timers.next_due() - self.clock.monotonic()) * 1000
            self.clock.advance(left_ms if due_ms >= left_ms else max(ceil(due_ms), 1))
            if self.timers.expire_due() and settle:
                self.settle()

    def _defer(self, callback: Callable[[], None]) -> None:
        self.engine.executor.post(lambda _: callback(), None)

    def _failed(self, what: str, error: BaseException) -> None:
        self.complaints.append(f"a task died: {what}: {error!r}")

    # ---- what the coordinators ask the broker for

    def partition(self, topic: str, index: int) -> Partition:
        """One partition. Raises BrokerError."""
        partition = self.partitions.get((topic, index))
        if partition is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return partition

    # ---- what a client asks the broker for, where a handler does more than call a service

    def produce(
        self,
        transactional_id: str,
        index: int,
        batch: bytes,
        version: int,
        done: Callable[[ErrorCode], None],
    ) -> None:
        """Produce one transactional batch, as the handler does: ask the coordinator, then append."""
        partition = self.partition(DATA_TOPIC, index)
        question = question_of([(partition, batch)])

        def admitted(verdicts: Any) -> None:
            try:
                check_admitted(partition, batch, version, question, verdicts, verified=True)
                partition.append_as_leader(bytearray(batch), on_done=lambda item: done(ErrorCode(item.error)))
            except BrokerError as error:
                done(error.code)

        if question is None:
            admitted({})
            return
        self.transactions.admit(
            transactional_id,
            question.producer_id,
            question.producer_epoch,
            list(question.partitions),
            add=version >= ADDS_PARTITIONS_FROM,
        ).on_done(admitted)

    # ---- compaction

    def clean(self, topics: Iterable[str], options: CleanerOptions) -> None:
        """Begin to compact these topics, wherever there is something to compact."""
        clean(self.engine, topics, options)


def clean(engine: SimEngine, topics: Iterable[str], options: CleanerOptions) -> int:
    """Begin to compact these topics; returns how many partitions there was something to do in."""
    before = engine.events["compaction"]
    for name in topics:
        topic = engine.world.topics[name]
        for index in range(topic.partitions):
            engine.clean((topic.topic_id, index), options)
    return engine.events["compaction"] - before


def clean_all(engine: SimEngine) -> None:
    """Compact the internal topics as far as can be, coordinators away."""
    for _ in range(_PASSES):
        engine.executor.run_until_idle()
        if not clean(engine, INTERNAL, CleanerOptions()):
            return
