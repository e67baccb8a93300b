"""Lives of one compacted partition, made for the fences of the swap (`fence_list.py`): passes follow one another, and so may crashes."""

from __future__ import annotations

from logbroker.config.topic import TopicConfig
from logbroker.storage.cleaner import CleanerOptions
from logbroker.testing.fence_scenarios import Scenario, Stage
from logbroker.testing.sim_engine import Key
from logbroker.testing.sim_world import make_keyed_batch

ROUNDS = 4
_CONFIG = TopicConfig(
    cleanup_policy=frozenset({"compact"}),
    internal_segment_bytes=1200,
    index_interval_bytes=1,
    segment_index_bytes=960,
    delete_retention_ms=0,
    file_delete_delay_ms=0,
)


def compacted_log(seed: int) -> Scenario:
    """Keyed records, some of aborted transactions, compacted again and again; to be crashed from the first pass on."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_CONFIG)
    start = 0
    for number in range(ROUNDS):
        _fill(stage, key, number)
        engine.settle()
        engine.directories[0].checkpointer.start()
        engine.settle()
        start = start or stage.disk.operations
        engine.clean(key, CleanerOptions(read_bytes=300))
        engine.step(stage.rng.choice((0, 30, 400)))
    _fill(stage, key, ROUNDS)
    engine.settle()
    return stage.end(start)


def compacted_at_once(seed: int) -> Scenario:
    """The same, but nobody waits for a checkpoint to know the segments."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_CONFIG)
    start = stage.disk.operations
    for number in range(ROUNDS):
        _fill(stage, key, number)
        for _ in range(60):
            engine.step(stage.rng.randint(1, 4))
        engine.clean(key, CleanerOptions(read_bytes=300))
        engine.step(stage.rng.choice((30, 400)))
        if number == 1:
            engine.directories[0].checkpointer.start()
    engine.settle()
    return stage.end(start)


def _fill(stage: Stage, key: Key, number: int) -> None:
    rng, engine = stage.rng, stage.engine
    log = engine.log(key)
    if log is None:
        return
    for _ in range(14):
        now_ms = engine.clock.wall_ms()
        engine.append(key, make_keyed_batch(rng, rng.choice((1, 3)), rng.choice((100, 300)), now_ms))
        if rng.random() < 0.3:
            producer = 200 + rng.randrange(2)
            entry = log.producers.get(producer)
            epoch, sequence = (0, 0) if entry is None else (entry.epoch, entry.last_sequence + 1)
            batch = make_keyed_batch(rng, 2, 200, now_ms, (producer, epoch, sequence), transactional=True)
            engine.append(key, batch)
            engine.append_marker(
                key,
                (producer, epoch),
                commit=rng.random() < 0.4,
                coordinator_epoch=0,
                leader_epoch=0,
            )
