"""A process is killed amid a swap of compacted segments, the next one starts, and then the power is cut: two crashes, one after the other."""

from __future__ import annotations

import random

import pytest
from storage.support import NOW, Engine

from logbroker.records.builder import build_batch
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import LocalRunner
from logbroker.storage.cleaning_choice import assess
from logbroker.testing.sim_disk import SimDisk

PATH = "/data"
SURVIVORS = 40
"""Choices of what a power cut leaves."""


def engine_on(disk, known):
    engine = Engine(PATH, vfs=disk, journal_file_bytes=32 << 10, journal_files=3)
    engine.known = dict(known)
    engine.open()
    return engine


@pytest.fixture(scope="module")
def swapped():
    """The disk of a process that has compacted a log, where in its life that was, and what the log serves."""
    engine = engine_on(SimDisk([PATH]), {})
    log = engine.create(
        internal_segment_bytes=1500,
        cleanup_policy=frozenset({"compact"}),
        file_delete_delay_ms=60_000,
    )
    rng = random.Random(1)
    for _ in range(40):
        engine.append(log, build_batch([(NOW, b"key-%d" % rng.randrange(6), rng.randbytes(100), ())]))
        engine.run()
    engine.checkpoint()
    began = engine.vfs.operations
    found = assess(log, engine.clock.wall_ms())
    engine.directory.cleaner.clean(found, LocalRunner(engine.vfs), "cleaner", CleanerOptions(), lambda: None)
    engine.run()
    return engine.vfs, range(began, engine.vfs.operations + 1), engine.known, latest(engine)


def latest(engine):
    """Key -> offset of what is served: the latest of each."""
    return {key: offset for offset, (key, _) in sorted(contents(engine).items())}


def contents(engine):
    from storage.test_compaction import records

    return {offset: (key, value) for offset, _, key, value in records(engine, engine.log())}


def test_a_swap_that_a_killed_process_has_begun_is_durable_after_the_next_start(swapped):
    disk, moments, known, expected = swapped
    amid = 0
    for at in moments:
        killed = disk.kill(at)
        successor = engine_on(killed, known)
        successor.checkpoint()
        assert latest(successor) == expected
        whole = contents(successor)
        amid += len(whole) < 40
        for seed in range(SURVIVORS if at % 3 == 0 else 3):
            after = engine_on(killed.crash(killed.operations, random.Random(seed)), known)
            assert after.log().refusal is None, f"killed at {at}, survivors {seed}: {after.log().refused}"
            assert latest(after) == expected
    assert amid > 3
