"""A seeded life of a broker's storage: many partitions, everything that may happen to them, in any order, at any moment.

`Workload.act` does one thing that a broker does; between two of them the caller lets the lanes run for a random while, so that
rolls, commits, direct syncs, write-backs, checkpoints, deletions and truncations overlap in every way.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.log import Log
from logbroker.testing.sim_engine import Key, SimEngine
from logbroker.testing.sim_world import (
    directory_of,
    make_batch,
    make_keyed_batch,
    topic_config,
    with_policy,
)

TOPICS_MAX = 5
PRODUCERS = 3
"""Idempotent producers of a partition."""
TRANSACTIONAL_PRODUCERS = 3


class Workload:
    """Acts on an engine; all randomness comes from `rng`. With `keyed` most topics are compacted ones."""

    def __init__(self, engine: SimEngine, rng: random.Random, *, keyed: bool = False) -> None:
        self._engine = engine
        self._rng = rng
        self._sent: dict[tuple[Key, int, int, int], bytes] = {}
        self._leader_epoch = 0
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (40, self._append),
            (6, self._append_much),
            (2, self._flood),
            (4, self._repeat),
            (6, self._transact),
            (5, self._end_transaction),
            (8, self._read),
            (4, self._delete_records),
            (3, self._retain),
            (4, self._truncate),
            (4, self._tick),
            (2, self._checkpoint),
            (2, self._create),
            (2, self._delete),
            (2, self._recreate),
            (3, self._configure),
            (1, self._bump_epoch),
        ]
        self._keyed = keyed
        if keyed:
            self._actions += [
                (40, self._clean),
                (12, self._checkpoint),
                (30, self._append),
                (10, self._append_much),
            ]
        self._weights = [weight for weight, _ in self._actions]

    def begin(self) -> None:
        """A new directory: some topics."""
        for _ in range(self._rng.randint(1, 3)):
            self._create()

    def act(self) -> None:
        """Do one thing."""
        engine = self._engine
        if engine.offline:  # what is asked of it now is refused
            self._rng.choice((self._append, self._read))()
            return
        self._rng.choices(self._actions, self._weights)[0][1]()

    def run(self, actions: int) -> None:
        """Do so many things, the lanes running meanwhile."""
        rng = self._rng
        for _ in range(actions):
            self.act()
            self._engine.step(rng.choice((0, 0, 1, 2, 5, 12, 40)))

    # The things

    def _pick(self) -> tuple[Key, Log] | None:
        logs = self._engine.logs()
        return self._rng.choice(logs) if logs else None

    def _append(self) -> None:
        for _ in range(self._rng.choice((1, 1, 2, 5))):
            picked = self._pick()
            if picked is not None:
                self._append_to(*picked, self._rng.choice((70, 150, 400, 900)))

    def _append_much(self) -> None:
        """So much for one partition in one tick that it may go direct, or roll twice."""
        picked = self._pick()
        if picked is not None:
            for _ in range(self._rng.randint(1, 6)):
                self._append_to(*picked, self._rng.choice((900, 2000, 5000)))

    def _flood(self) -> None:
        """A little to every partition, again and again, until the ring may be full."""
        logs = self._engine.logs()
        for _ in range(self._rng.choice((8, 30, 80)) if logs else 0):
            key, log = self._rng.choice(logs)
            if log.refusal is None:
                self._append_to(key, log, self._rng.choice((400, 1400)))
            if self._rng.random() < 0.2:
                self._engine.step()

    def _append_to(self, key: Key, log: Log, size_bytes: int) -> None:
        rng = self._rng
        records = rng.choice((1, 1, 2, 7))
        producer = (-1, -1, -1)
        if rng.random() < 0.5:
            producer_id = 100 + rng.randrange(PRODUCERS)
            entry = log.producers.get(producer_id)
            if entry is None:
                producer = (producer_id, 0, 0)
            elif rng.random() < 0.05:
                producer = (producer_id, entry.epoch + 1, 0)
            else:
                producer = (producer_id, entry.epoch, entry.last_sequence + 1)
        timestamp_ms = self._engine.clock.wall_ms() - rng.randrange(2000)
        data = _maker(log)(rng, records, size_bytes, timestamp_ms, producer)
        if producer[0] >= 0:
            self._sent[(key, *producer)] = data
        self._engine.append(key, data, self._leader_epoch)

    def _transact(self) -> None:
        """A producer writes in a transaction, some with a few bytes, some with so many that a segment isn't enough."""
        picked = self._pick()
        if picked is None:
            return
        key, log = picked
        rng = self._rng
        producer_id = 200 + rng.randrange(TRANSACTIONAL_PRODUCERS)
        for _ in range(rng.choice((1, 1, 2, 4))):
            entry = log.producers.get(producer_id)
            epoch, sequence = (0, 0) if entry is None else (entry.epoch, entry.last_sequence + 1)
            timestamp_ms = self._engine.clock.wall_ms()
            data = _maker(log)(
                rng,
                rng.choice((1, 2, 7)),
                rng.choice((70, 400, 2000)),
                timestamp_ms,
                (producer_id, epoch, sequence),
                transactional=True,
            )
            self._sent[(key, producer_id, epoch, sequence)] = data
            self._engine.append(key, data, self._leader_epoch)

    def _end_transaction(self) -> None:
        """A coordinator ends a transaction that is open, now and then one that isn't; by its own epoch or, to fence, by the next."""
        picked = self._pick()
        if picked is None:
            return
        key, log = picked
        rng = self._rng
        producers = [200 + number for number in range(TRANSACTIONAL_PRODUCERS)]
        running = [
            producer_id
            for producer_id in producers
            if (entry := log.producers.get(producer_id)) is not None and entry.transaction_first_offset >= 0
        ]
        producer_id = rng.choice(running if running and rng.random() < 0.9 else producers)
        entry = log.producers.get(producer_id)
        epoch = (entry.epoch if entry is not None else 0) + (rng.random() < 0.3)
        self._engine.append_marker(
            key,
            (producer_id, epoch),
            commit=rng.random() < 0.5,
            coordinator_epoch=entry.coordinator_epoch if entry is not None else 0,
            leader_epoch=self._leader_epoch,
        )

    def _repeat(self) -> None:
        """A producer sends one of its last batches again."""
        picked = self._pick()
        if picked is None:
            return
        key, log = picked
        producer_id = self._rng.choice((100, 200)) + self._rng.randrange(PRODUCERS)
        entry = log.producers.get(producer_id)
        if entry is None or not entry.batches:
            return
        batch = self._rng.choice(entry.batches)
        data = self._sent.get((key, producer_id, entry.epoch, batch.first_sequence))
        if data is not None:
            self._engine.append(key, data, self._leader_epoch)

    def _read(self) -> None:
        picked = self._pick()
        if picked is not None:
            key, log = picked
            offset = self._rng.randint(log.start_offset, log.durable_end)
            committed = self._rng.random() < 0.5
            self._engine.read(key, offset, self._rng.choice((1, 500, 10_000)), committed=committed)

    def _delete_records(self) -> None:
        picked = self._pick()
        if picked is None:
            return
        key, log = picked
        offset = self._rng.randint(log.start_offset, log.durable_end)
        if self._rng.random() < 0.2:
            offset = log.durable_end
        if (
            log.page_cache or log.config.flush_messages > 1
        ):  # what is lost there leaves the log to begin at its start
            offset = self._boundary(key, offset)
        self._engine.delete_records(key, offset)

    def _retain(self) -> None:
        """Whole segments of some partitions, up to everything that is durable."""
        number = self._rng.randrange(len(self._engine.directories))
        starts: dict[Log, int] = {}
        for key, log in self._engine.logs():
            if directory_of(*key, len(self._engine.directories)) != number or self._rng.random() < 0.5:
                continue
            ends = [segment.base_offset for segment in log.segments[1:]]
            if log.durable_end == log.end_offset and log.segments[-1].size:
                ends.append(log.end_offset)
            ends = [end for end in ends if log.announced_start < end <= log.durable_end]
            if ends:
                starts[log] = self._rng.choice(ends)
        self._engine.retain(number, starts)

    def _truncate(self) -> None:
        picked = self._pick()
        if picked is None:
            return
        key, log = picked
        low = max(log.announced_start, log.end_offset - self._rng.choice((3, 12, 60)))
        if log.config.compacted:  # what was compacted is on all replicas: no leader asks for such a cut
            low = max(low, log.segments[-1].base_offset)
        offset = self._boundary(key, self._rng.randint(low, max(low, log.end_offset)))
        if offset >= log.announced_start:
            self._leader_epoch += 1
            self._engine.truncate(key, offset)

    def _boundary(self, key: Key, offset: int) -> int:
        """The end of a batch at or below `offset`."""
        return self._engine.model_of(key).boundary(offset)

    def _tick(self) -> None:
        self._engine.clock.advance(self._rng.choice((100, 1000, 40_000)))
        for directory in self._engine.directories:
            directory.tick(self._engine.clock.wall_ms())

    def _checkpoint(self) -> None:
        self._rng.choice(self._engine.directories).checkpointer.start()

    def _create(self) -> None:
        names = [f"t{number}" for number in range(TOPICS_MAX)]
        free = [name for name in names if name not in self._engine.world.topics]
        if free:
            page_cache = self._rng.random() < 0.25
            config = topic_config(self._rng, page_cache=page_cache, compacted=self._compacts())
            self._engine.create_topic(self._rng.choice(free), self._rng.randint(1, 3), config)

    def _compacts(self) -> bool:
        return self._keyed and self._rng.random() < 0.8

    def _clean(self) -> None:
        rng = self._rng
        options = CleanerOptions(
            load_factor=rng.choice((0.005, 0.9)),  # so few keys fit that a pass ends early
            read_bytes=rng.choice((100, 2000)),
        )
        for key, log in self._engine.logs():
            if log.config.compacted and rng.random() < 0.5:
                self._engine.clean(key, options)

    def _delete(self) -> None:
        names = sorted(self._engine.world.topics)
        if len(names) > 1:
            self._engine.delete_topic(self._rng.choice(names))

    def _recreate(self) -> None:
        """Delete a topic and create one of the same name at once."""
        names = sorted(self._engine.world.topics)
        if names:
            name = self._rng.choice(names)
            for _ in range(self._rng.choice((1, 1, 2))):
                self._engine.delete_topic(name)
                self._engine.events["creation of the same name"] += 1
                page_cache = self._rng.random() < 0.4
                config = topic_config(self._rng, page_cache=page_cache, compacted=self._compacts())
                self._engine.create_topic(name, self._rng.randint(1, 3), config)
                self._engine.step(self._rng.choice((0, 3)))

    def _configure(self) -> None:
        names = sorted(self._engine.world.topics)
        if names:
            name = self._rng.choice(names)
            topic = self._engine.world.topics[name]
            config = with_policy(topic.config, page_cache=not topic.page_cache)
            self._engine.configure_topic(name, config)

    def _bump_epoch(self) -> None:
        self._leader_epoch += 1


def _maker(log: Log) -> Callable[..., bytes]:
    """What makes batches for this log: compaction must be able to read their records."""
    return make_keyed_batch if log.config.compacted else make_batch
