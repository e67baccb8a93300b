"""One seed's crashes of the coordinators: record a life, crash it at many moments, recover, compare, and look twice.

    for failure in CoordinatorStory.record(seed).dig(50): print(failure)

After each crash a process starts on what the disk kept, finishes what was decided, and is held against the `CoordinatorModel`. Then:

- Time passes until every transaction that nobody ended has been aborted: no last stable offset hangs, and nothing that was visible changes.
- Of a share of the crashes, the disk is crashed again anywhere in that recovery: the next start must come to the same.
- Of a share, the internal topics are compacted as far as can be: the state loaded from them is the one loaded before.
"""

from __future__ import annotations

import contextlib
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from logbroker.base.clock import ManualClock
from logbroker.groups.classic.group import ClassicGroup
from logbroker.metadata.topic_names import OFFSETS_TOPIC, TRANSACTION_TOPIC
from logbroker.records.batch import iter_batches
from logbroker.records.control import parse_marker
from logbroker.records.iterator import iter_records
from logbroker.replication.partition import Partition
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.testing.coordinator_snapshot import Snapshot, compare, take
from logbroker.testing.explore import CrashPoint, explore
from logbroker.testing.model import Model
from logbroker.testing.model_coordinators import NEVER, CoordinatorModel, Found
from logbroker.testing.sim_coordinator_clients import ClassicMember, Client, Committer, ConsumerMember
from logbroker.testing.sim_coordinators import (
    DATA_TOPIC,
    INTERNAL,
    PARTITIONS,
    SimCoordinators,
    clean_all,
    make_settings,
)
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_engine import SimEngine
from logbroker.testing.sim_story import Failure, Tally
from logbroker.testing.sim_transactions import check_transactions
from logbroker.testing.sim_transactor import TIMEOUT_MS, Transactor
from logbroker.testing.sim_world import World, directory_options, topic_config
from logbroker.transactions.states import AT_REST

ACTIONS: Final = 220
"""Things that happen in a life."""
ROUND_MS: Final = 11_000
"""More than the pause between two looks for transactions that take too long."""
EXPIRING_EVERY: Final = 5
"""One seed in so many lives where groups that are empty are forgotten soon."""
FIRST_PRODUCER_ID: Final = 1000
AGAIN: Final = 0.15
"""Share of the recoveries that are crashed in turn."""
COMPACTED: Final = 0.2
"""Share of the recoveries behind which everything is compacted."""


class CoordinatorStory:
    """See the module."""

    def __init__(
        self, seed: int, disk: SimDisk, world: World, options: LogDirectoryOptions, directories: int
    ) -> None:
        self.seed = seed
        self.disk = disk
        self.world = world
        self.options = options
        self.directories = directories
        self.model = CoordinatorModel(lambda: disk.operations)
        self.model.groups_expire = seed % EXPIRING_EVERY == 0
        self._settings = make_settings(groups_expire=self.model.groups_expire)
        self.complaints: list[str] = []
        self.events: Counter[str] = Counter()
        self.tally = Tally()
        self.starts = 0
        self._producer_id = FIRST_PRODUCER_ID
        self._now_ms = ManualClock().wall_ms()
        self._born = 0
        """The number of operations when all topics were there."""

    # ---- recording

    @classmethod
    def record(cls, seed: int, *, actions: int = ACTIONS) -> CoordinatorStory:
        """A new disk and a life on it, with stops, kills and compactions."""
        rng = random.Random(seed)
        directories = rng.choice((1, 1, 2))
        clock = ManualClock()
        disk = SimDisk([f"/d{number}" for number in range(directories)], now_ms=clock.wall_ms)
        world = World(lambda: disk.operations)
        story = cls(seed, disk, world, directory_options(rng), directories)
        story.model.mixed = {("mixed", index) for index in range(PARTITIONS[DATA_TOPIC])}
        story.model.replaceable = {"both"}
        engine = story._engine(disk, world, rng, clock)
        engine.start()
        for name, count in PARTITIONS.items():
            config = topic_config(rng, page_cache=False, compacted=name in INTERNAL)
            if name in INTERNAL:
                config = msgspec.structs.replace(config, cleanup_policy=frozenset({"compact"}))
            engine.create_topic(name, count, config)
        engine.executor.run_until_idle()
        story._born = disk.operations
        process = story._process(engine)
        while actions > 0:
            part = min(actions, rng.randint(40, 120))
            actions -= part
            with _until_killed(process, story.complaints):
                story._live(process, rng, part)
                if actions:
                    story._stop(process, rng)
            story._note_end(process)
            if actions:
                process = story._go_on(process, rng)
        return story

    def _engine(self, disk: SimDisk, world: World, rng: random.Random, clock: ManualClock) -> SimEngine:
        model = Model(lambda: disk.operations)
        for topic in world.topics.values():
            for index in range(topic.partitions):
                model.create((topic.topic_id, index))
        return SimEngine(disk, rng, world, model, self.options, directories=self.directories, clock=clock)

    def _process(self, engine: SimEngine) -> SimCoordinators:
        self.starts += 1
        process = SimCoordinators(engine, self.starts, self._next_producer_id, self._settings)
        process.start()
        return process

    def _next_producer_id(self) -> int:
        self._producer_id += 1
        return self._producer_id

    def _clients(self, process: SimCoordinators, rng: random.Random) -> list[Client]:
        model = self.model
        transactors = [
            Transactor(process, model, rng, name, ("tx", number), ("mixed", number), version)
            for number, (name, version) in enumerate((("t0", 2), ("t1", 0), ("t0", 2)))
        ]
        return [
            *transactors,
            *transactors,
            Committer(process, model, rng, ("o0", "o1")),
            Committer(process, model, rng, ("mixed",)),
            Committer(process, model, rng, ("c0", "k0")),
            ClassicMember(process, model, rng, "c0"),
            ClassicMember(process, model, rng, "c0", "static"),
            ConsumerMember(process, model, rng, "k0", regex=False),
            ConsumerMember(process, model, rng, "k0", regex=True),
            ConsumerMember(process, model, rng, "both", regex=False),
            ClassicMember(process, model, rng, "both", consumes=True),
        ]

    def _live(self, process: SimCoordinators, rng: random.Random, actions: int) -> None:
        clients = self._clients(process, rng)
        directories = process.engine.directories
        for _ in range(actions):
            draw = rng.random()
            if draw < 0.9:
                client = rng.choice(clients)
                if not client.busy:
                    client.act()
            elif draw < 0.94:
                process.advance(rng.choice((100, 1000, 12_000)), settle=rng.random() < 0.8)
                for directory in directories:
                    directory.tick(process.clock.wall_ms())
            elif draw < 0.97:
                rng.choice(directories).checkpointer.start()
            else:
                process.clean(INTERNAL, CleanerOptions(read_bytes=rng.choice((200, 4000))))
            process.step(rng.choice((0, 1, 3, 10, 40)))
        self.events.update(type(client).__name__ for client in clients if client.busy)

    def _stop(self, process: SimCoordinators, rng: random.Random) -> None:
        """Look at what the quiet process has in memory and stop it; or leave it to be killed amid its work."""
        if rng.random() < 0.5:
            self.events["kill"] += 1
            return
        self.events["clean stop"] += 1
        process.settle()
        live = take(process)
        other = self._fork(self.disk, self.world, rng)
        with _until_killed(other, self.complaints):
            other.settle()
            differences = compare(live, take(other))
            self.complaints += [f"live and replayed differ: {what}" for what in differences]
        process.stop()

    def _note_end(self, process: SimCoordinators) -> None:
        """It is dead."""
        self._now_ms = max(self._now_ms, process.clock.wall_ms())
        self.events += process.engine.events
        self.disk.revive()

    def _go_on(self, process: SimCoordinators, rng: random.Random) -> SimCoordinators:
        """The next process, on what that one left; what it shows is promised."""
        engine = self._engine(self.disk, self.world, rng, process.clock)
        engine.start()
        successor = self._process(engine)
        found = self._finish(successor)
        self.complaints += self.model.check(self.disk.operations, found)
        self.model.adopt(found)
        return successor

    def look(self) -> SimCoordinators:
        """A process on a copy of what the life has left, whatever was decided complete; to be killed by the caller."""
        process = self._fork(self.disk, self.world, random.Random(self.seed))
        self._finish(process)
        return process

    # ---- looking

    def _finish(self, process: SimCoordinators) -> Found:
        """Let what was decided come to its end, and say what there is."""
        process.settle()
        process.advance(200, settle=True)  # markers that had to wait for the other coordinator
        process.settle()
        for machine in process.transactions.runtime.machines():
            for transactional_id, entry in machine.entries.items():
                if entry.pending is not None or entry.transaction.state.name.startswith("PREPARE"):
                    process.complaints.append(f"{transactional_id} is not complete: {entry.transaction}")
        for topic, runtime in (
            (OFFSETS_TOPIC, process.groups.runtime),
            (TRANSACTION_TOPIC, process.transactions.runtime),
        ):
            for index in range(PARTITIONS[topic]):
                shard = runtime.shard(index)
                if shard is None or shard.state.value != "active":
                    process.complaints.append(f"{topic}-{index} does not serve: {shard and shard.reason}")
        return found_in(process)

    def _let_time_out(self, process: SimCoordinators) -> list[str]:
        """Nobody ends the transactions that go on: the coordinator does, and nothing hangs."""
        for _ in range(TIMEOUT_MS // ROUND_MS + 2):
            process.advance(ROUND_MS, settle=True)
        process.settle()
        wrong = []
        for (topic, index), partition in process.partitions.items():
            if partition.last_stable_offset != partition.log_end_offset:
                wrong.append(
                    f"{topic}-{index} hangs at {partition.last_stable_offset} of {partition.log_end_offset}"
                )
        for machine in process.transactions.runtime.machines():
            for transactional_id, entry in machine.entries.items():
                if entry.transaction.state not in AT_REST:
                    wrong.append(f"{transactional_id} never ended: {entry.transaction}")
        return wrong

    # ---- crashing

    def dig(
        self,
        points: int,
        rng: random.Random | None = None,
        *,
        again: float = AGAIN,
        compacted: float = COMPACTED,
    ) -> Iterator[Failure]:
        """Crash at so many points of the recorded life."""
        rng = rng or random.Random(self.seed ^ 0xC0FFEE)
        for complaint in self.complaints:
            yield Failure(self.seed, (), complaint)
        for point in explore(self.disk, rng, points, start=self._born, after=self.disk.disabled_fences):
            self.tally.points += 1
            self.tally.kills += not point.power_cut
            yield from self._crash(point, rng, again=again, compacted=compacted)

    def _crash(
        self, point: CrashPoint, rng: random.Random, *, again: float, compacted: float
    ) -> Iterator[Failure]:
        path = ((point.at, point.decision, "power cut" if point.power_cut else "kill"),)
        disk = point.disk
        world = self.world.as_of(point.at, _operations_of(disk))
        process = self._fork(disk, world, rng, of_its_own=True)
        recovered = disk.operations
        wrong: list[str] = []
        with _until_killed(process, wrong):
            found = self._finish(process)
            wrong += self.model.check(point.at, found) + self._hold_logs(process)
            finished = disk.operations
            wrong += self._let_time_out(process)
            later = found_in(process)
            if later.visible != found.visible:
                wrong.append(f"{found.visible} were visible, and later {later.visible}")
            wrong += self.model.check(point.at, later)
            if rng.random() < compacted:
                wrong += self._compact(disk, world, rng)
        disk.revive()
        for what in wrong:
            yield Failure(self.seed, path, what)
        if not wrong and rng.random() < again:
            yield from self._crash_again(point, disk, world, rng, (recovered, finished), found, path)

    def _crash_again(
        self,
        point: CrashPoint,
        disk: SimDisk,
        world: World,
        rng: random.Random,
        marks: tuple[int, int],
        found: Found,
        path: tuple[tuple[int, int, str], ...],
    ) -> Iterator[Failure]:
        """The recovery itself is crashed, from its first operation to the last."""
        recovered, finished = marks
        for second in explore(disk, rng, 3):
            self.tally.points += 1
            self.tally.in_recovery += second.at < recovered
            other = world.as_of(second.at, _operations_of(second.disk))
            process = self._fork(second.disk, other, rng, of_its_own=True)
            wrong: list[str] = []
            with _until_killed(process, wrong):
                seen = self._finish(process)
                wrong += self.model.check(point.at, seen) + self._let_time_out(process)
            if (
                not wrong
                and second.at >= finished
                and (seen.visible, seen.offsets) != (found.visible, found.offsets)
            ):
                wrong.append(f"a start has shown {found}, the next {seen}")
            kind = "power cut" if second.power_cut else "kill"
            for what in wrong:
                yield Failure(self.seed, (*path, (second.at, second.decision, kind)), what)

    def _fork(
        self,
        disk: SimDisk,
        world: World,
        rng: random.Random,
        *,
        of_its_own: bool = False,
        compact: bool = False,
    ) -> SimCoordinators:
        """A process on `disk`, or on a copy of what is on it now."""
        if not of_its_own:
            disk = disk.kill(disk.operations)
            world = world.as_of(NEVER, _operations_of(disk))
        clock = ManualClock(self._now_ms)
        if compact:
            engine = self._engine(disk, world, rng, clock)
            engine.start()
            clean_all(engine)
            self.events["compacted record"] += engine.events["compaction"]
            engine.kill()
            disk.revive()
        engine = self._engine(disk, world, rng, clock)
        engine.start()
        return self._process(engine)

    def _compact(self, disk: SimDisk, world: World, rng: random.Random) -> list[str]:
        """Load the state from the internal topics as they are, and from what compaction leaves of them."""
        snapshots: list[Snapshot] = []
        wrong: list[str] = []
        for compact in (False, True):
            process = self._fork(disk, world, rng, compact=compact)
            with _until_killed(process, wrong):
                process.settle()
                snapshots.append(take(process))
        return wrong or [f"compaction changes {what}" for what in compare(*snapshots)]

    def _hold_logs(self, process: SimCoordinators) -> list[str]:
        """Each log's own idea of its transactions, against its batches."""
        wrong = []
        for partition in process.partitions.values():
            contents: list[tuple[Any, bytes]] = []
            for data in _read(partition, process, partition.log_end_offset):
                contents += [(header, data[at : at + header.size_bytes]) for at, header in iter_batches(data)]
            wrong.append(check_transactions(partition.log, contents))
        return [what for what in wrong if what]


def _operations_of(disk: SimDisk) -> Callable[[], int]:
    return lambda: disk.operations


@contextlib.contextmanager
def _until_killed(process: SimCoordinators, wrong: list[str]) -> Iterator[None]:
    """Kill the process at the end; what went wrong in it is noted, and so is whatever is raised."""
    try:
        yield
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        wrong.append(f"{error!r} in {where.name}, line {where.lineno} of {where.filename}")
    finally:
        wrong += process.complaints
        process.kill()


def found_in(process: SimCoordinators) -> Found:
    """What clients can see."""
    found = Found()
    for machine in process.groups.runtime.machines():
        for group, topics in machine.offsets.groups.items():
            for index, value in topics.get(DATA_TOPIC, {}).items():
                found.offsets[group, index] = value.offset
        for group_id, group in machine.groups.items():
            found.epochs[group_id] = group.generation_id if isinstance(group, ClassicGroup) else group.epoch
    for transactions in process.transactions.runtime.machines():
        for transactional_id, known in transactions.transactions():
            found.producers[transactional_id] = (known.producer_id, known.producer_epoch)
    for index in range(PARTITIONS[DATA_TOPIC]):
        for ticket, records in committed_records(process, process.partition(DATA_TOPIC, index)).items():
            if ticket in found.visible:
                process.complaints.append(f"ticket {ticket} is there twice")
            found.visible[ticket] = records
    return found


def committed_records(process: SimCoordinators, partition: Partition) -> Counter[int]:
    """Ticket to records, as a consumer of committed records filters them: by the list of aborted transactions.

    It sees through the last stable offset, and leaves out what is still open.
    """
    end = partition.log_end_offset
    aborted = sorted(
        partition.aborted_transactions(partition.log_start_offset, end), key=lambda each: each.first_offset
    )
    dropped: set[int] = set()
    tickets: Counter[int] = Counter()
    for data in _read(partition, process, end):
        for position, header in iter_batches(data, verify_crc=True):
            while aborted and aborted[0].first_offset <= header.last_offset:
                dropped.add(aborted.pop(0).producer_id)
            if header.is_control:
                marker = parse_marker(data[position : position + header.size_bytes], header)
                if marker is not None and not marker.commit:
                    dropped.discard(header.producer_id)
            elif header.producer_id not in dropped and not (
                0 <= partition.open_transaction(header.producer_id) <= header.base_offset
            ):
                tickets.update(
                    int(bytes(record.key or b"0")) for record in iter_records(data, position, header=header)
                )
    return tickets


def _read(partition: Partition, process: SimCoordinators, end: int) -> Iterator[bytes]:
    host: Any = partition.log.host
    reader = host.reader()
    offset = partition.log_start_offset
    while offset < end:
        data = b"".join(partition.read(offset, 1 << 20, reader, below=end))
        if not data:
            process.complaints.append(f"{partition.log.name}: nothing at {offset}, the end is {end}")
            return
        for _, header in iter_batches(data):
            offset = header.next_offset
        yield data
