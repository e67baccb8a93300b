"""A topic's name may have 249 characters, which leaves six for all that a folder's name says besides."""

from __future__ import annotations

import os
import uuid

import pytest
from storage.support import Engine

LONGEST = "n" * 249


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path / "log") as engine:
        for index in range(2):
            engine.fill(engine.create(LONGEST, index), 3)
        engine.checkpoint()
        yield engine


def test_deletion(engine):
    for index in range(2):
        engine.directory.delete_log(engine.log(LONGEST, index))
        del engine.known[LONGEST, index]
    engine.run()
    assert engine.directory.offline_reason is None
    assert not [name for name in os.listdir(engine.path) if name.startswith("n")]


def test_setting_aside(engine):
    for index in range(2):
        engine.known[LONGEST, index] = engine.known[LONGEST, index]._replace(topic_id=uuid.UUID(int=77))
    report = engine.reopen()
    assert len(report.strays) == 2
    assert len([name for name in os.listdir(engine.path) if name.endswith("-stray")]) == 2
    # And the same again, for other partitions of that name.
    for index in range(2):
        engine.fill(engine.log(LONGEST, index), 1)
    engine.checkpoint()
    for index in range(2):
        engine.known[LONGEST, index] = engine.known[LONGEST, index]._replace(topic_id=uuid.UUID(int=78))
    assert len(engine.reopen().strays) == 2
    assert len([name for name in os.listdir(engine.path) if name.endswith("-stray")]) == 4
