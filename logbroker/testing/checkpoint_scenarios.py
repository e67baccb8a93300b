"""Lives of one partition around checkpoints, cuts and changes of policy, made for fences that a random life seldom needs (`fence_list.py`).

Each is random in one thing only: how the lanes that the fence keeps apart overlap.
"""

from __future__ import annotations

from logbroker.config.topic import TopicConfig
from logbroker.testing.fence_scenarios import ONE_BATCH_BYTES, Scenario, Stage
from logbroker.testing.sim_world import with_policy

ROUNDS = 6
_ROOMY = TopicConfig(internal_segment_bytes=1 << 20)
_PAGE_CACHE = with_policy(_ROOMY, page_cache=True)


def second_ring_file(seed: int) -> Scenario:
    """The first commits stand in a ring file that was just made."""
    stage = Stage(seed)
    engine = stage.start(checkpoint=False)
    key = stage.topic(_ROOMY)
    start = 0
    while not any(one.kind == "write" and "00000001.ring" in one.path for one in stage.disk.trace.operations):
        start = stage.disk.operations
        stage.append(key)
        engine.settle()
    return stage.end(start)


def cut_beside_checkpoints(seed: int) -> Scenario:
    """A log is cut and taken on, again and again, while checkpoints begin."""
    stage = Stage(seed, direct_sync_bytes=2 * ONE_BATCH_BYTES)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    engine.settle()
    start = stage.disk.operations
    for _ in range(ROUNDS):
        stage.append(key, stage.rng.randint(1, 4))
        engine.step(stage.rng.randrange(30))
        engine.directories[0].checkpointer.start()
        engine.step(stage.rng.randrange(12))
        log = engine.log(key)
        if log is not None and log.end_offset:
            engine.truncate(key, log.end_offset - 1)
        engine.step(stage.rng.randrange(60))
    engine.settle()
    return stage.end(start)


def page_cache_after_a_cut(seed: int) -> Scenario:
    """A start finishes the cut of a page-cache topic; what is acknowledged then is walked by the start after it."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_PAGE_CACHE)
    engine.settle()
    stage.append(key, 3)
    engine.settle()
    start = stage.disk.operations
    engine.truncate(key, 1)
    stage.until_operation("datasync", ".ring")
    stage.restart(checkpoint=False)
    stage.engine.settle()
    stage.append(key)
    stage.engine.settle()
    stage.restart(checkpoint=False)
    return stage.end(start)


def appended_before_a_flush(seed: int) -> Scenario:
    """A topic changes its policy again and again, each time with an append under way and more right behind it."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_PAGE_CACHE)
    engine.settle()
    start = stage.disk.operations
    for number in range(ROUNDS):
        stage.append(key)
        engine.step(stage.rng.randrange(5))
        engine.configure_topic("t", _PAGE_CACHE if number % 2 else _ROOMY)
        stage.append(key, 2)
        engine.step(stage.rng.randrange(40))
    engine.settle()
    return stage.end(start)
