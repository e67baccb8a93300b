"""Seeded lives of the whole storage engine, crashed everywhere: nothing acknowledged is lost, nothing appears that nobody sent.

A seed that fails is replayed with `python -m logbroker.testing.crash --seed SEED`, one of `test_fixed_seeds` with `--faults 0`.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest

from logbroker.testing.crash import POINTS, UNTIL, explore_seed, explore_until
from logbroker.testing.sim_story import KEYED_AT, KEYED_EVERY, Story, Tally

POINTS_WANTED = 5_000
FRESH_S = 8.0
"""How long new seeds are tried beside the fixed ones."""

FOUND = (1, 5, 7, 21, 44, 62, 71, 172, 176, 204, 261, 429)
"""Seeds that found something once."""


def test_fixed_seeds(say):
    tally, failures = explore_until(POINTS_WANTED, (*FOUND, *range(10_000, 10_100)), say, faults=0.0)
    assert list(map(str, failures)) == []
    assert tally.points >= POINTS_WANTED
    assert tally.kills > 300
    assert tally.in_recovery > 50
    assert all(tally.depth[depth] > 300 for depth in (0, 1, 2))


def test_disks_that_fail_behind_a_crash(say):
    """A sync or a write fails once in the recovery or soon after it, and later syncs lie."""
    tally, failures = explore_until(2_000, range(11_000, 11_100), say, faults=0.5)
    assert list(map(str, failures)) == []
    assert tally.failed > 20


def test_fresh_seeds(fresh_seed):
    tally = Tally()
    deadline = time.monotonic() + FRESH_S
    seed = fresh_seed
    failures = []
    while time.monotonic() < deadline and not failures:
        failures = [str(failure) for failure in explore_seed(seed, POINTS, tally)]
        seed += 1
    print(f"fresh seeds {fresh_seed} to {seed - 1}: {tally.points} points")
    assert failures == []


def test_compacted_topics(say):
    """Lives of compacted topics: the latest record of every key survives, nothing else appears, order and offsets hold."""
    seeds = [seed for seed in range(12_000, 12_400) if seed % KEYED_EVERY == KEYED_AT]
    tally, failures = explore_until(2_000, seeds, say, of_a_seed=60, faults=0.2)
    assert list(map(str, failures)) == []
    assert tally.depth[1] > 100
    seen: Counter[str] = Counter()
    for seed in seeds[:20]:
        seen += Story.record(seed).events
    assert seen["swap"] > 40
    assert seen["compacted record"] > 200


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_points(fresh_seed, say):
    tally, failures = explore_until(UNTIL, range(fresh_seed, fresh_seed + UNTIL), say)
    assert list(map(str, failures)) == []
    assert tally.points >= UNTIL


def test_the_same_seed_is_the_same_life():
    first, second = Story.record(77), Story.record(77)
    assert str(first.disk.trace) == str(second.disk.trace)
    assert first.disk.operations > 300


def test_lives_hold_what_they_are_meant_to_hold():
    """Each thing that may overlap with a crash happens in the sample, often enough."""
    seen: dict[str, int] = {}
    for seed in range(10_000, 10_030):
        story = Story.record(seed)
        story.count_operations()
        for kind, count in story.events.items():
            seen[kind] = seen.get(kind, 0) + count
    wanted = {
        "append": 500,
        "duplicate": 20,
        "direct": 40,
        "page cache": 40,
        "journal file begun": 60,
        "ring wait": 2,
        "write-back": 20,
        "checkpoint": 100,
        "file system synced": 20,
        "segment": 200,
        "roll": 100,
        "log start": 40,
        "delete records": 40,
        "retention": 20,
        "truncation": 15,
        "deletion": 40,
        "creation": 60,
        "creation of the same name": 20,
        "policy change": 20,
        "clean stop": 15,
        "kill": 15,
    }
    assert {kind: seen.get(kind, 0) for kind, least in wanted.items() if seen.get(kind, 0) < least} == {}
