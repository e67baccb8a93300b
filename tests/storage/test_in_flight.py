"""What a checkpoint or a deletion meets while other work of the same partition, or of the same name, is on its way."""

from __future__ import annotations

import uuid

import pytest
from storage.support import Engine, batch

SCHEDULES = range(12)


@pytest.mark.parametrize("seed", SCHEDULES)
def test_a_topic_created_three_times_under_one_name_keeps_its_last_life(tmp_path, seed):
    engine = Engine(tmp_path, seed=seed)
    engine.open()
    first = engine.create(topic_id=uuid.UUID(int=1))
    engine.fill(first, 3)
    engine.checkpoint()
    # None of the three waits for the one before: clients are answered by the metadata.
    engine.directory.delete_log(first)
    second = engine.create(topic_id=uuid.UUID(int=2))
    engine.append(second)
    engine.directory.delete_log(second)
    third = engine.create(topic_id=uuid.UUID(int=3))
    # Large enough for a direct sync: its folder is made as soon as it may be, before the deletion of the second is over.
    engine.append(third, batch(20_000))
    engine.run()
    values = engine.fill(third, 3)
    engine.checkpoint()
    assert engine.directory.offline_reason is None
    assert list(engine.values(third).values())[1:] == values
    engine.reopen(cleanly=False)
    assert list(engine.values(engine.log()).values())[1:] == values
    engine.close()


@pytest.mark.parametrize("steps", range(16))
def test_a_log_start_on_its_way_to_the_journal_is_in_the_checkpoint_that_replaces_it(tmp_path, steps):
    engine = Engine(tmp_path, seed=steps)
    engine.open()
    log = engine.create()
    engine.fill(log, 10)
    acknowledged = []
    log.delete_records(7, acknowledged.append)
    for _ in range(steps):
        engine.executor.step()
    engine.directory.checkpointer.start()
    while not acknowledged or engine.directory.checkpointer.running:
        engine.executor.step()
    engine.reopen(cleanly=False)
    assert engine.log().start_offset == 7
    engine.close()
