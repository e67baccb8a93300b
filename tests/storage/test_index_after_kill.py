"""Index files that a killed broker left beyond what its last checkpoint knows: their entries are neither kept twice nor left behind."""

from __future__ import annotations

import pytest
from storage.support import Engine, batch

from logbroker.storage.verify import verify_directory

OPTIONS = {"index_interval_bytes": 100}


def appended(engine, log, batches):
    for _ in range(batches):
        engine.append(log, batch(200))
        engine.run()


@pytest.mark.parametrize("steps", range(0, 40, 3))
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_a_kill_between_the_files_and_the_checkpoint(tmp_path, steps, known):
    engine = Engine(tmp_path / "log", seed=steps)
    engine.open()
    log = engine.create(segment_bytes=6000, **OPTIONS)
    if known:
        appended(engine, log, 10)
        engine.checkpoint()
    appended(engine, log, 40)  # several segments
    engine.directory.checkpointer.start()
    for _ in range(steps):
        engine.executor.step()
    engine.reopen(cleanly=False)
    appended(engine, engine.log(), 5)
    engine.close()
    assert verify_directory(engine.path) == []
