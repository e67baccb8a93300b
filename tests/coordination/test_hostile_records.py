"""Mutated records in the internal topics: a shard is served or refused, with a reason that says where; nobody else hears of it."""

from __future__ import annotations

import collections
import logging
import random

import pytest

from logbroker.testing.hostile_records import Case, Template
from logbroker.testing.progress import Progress

SAMPLE = 600
WHOLE = 50_000
FIRST_SEED = 1
TEMPLATES = (1, 3)
"""Seeds of the lives that the records come from."""


@pytest.fixture(scope="module", params=TEMPLATES)
def made(request):
    logger = logging.getLogger("logbroker")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield Template(request.param)
    logger.setLevel(level)


def explore(made, seeds, say):
    progress = Progress(say, "mutated logs", len(seeds))
    outcomes = collections.Counter()
    kinds = collections.Counter()
    for number, seed in enumerate(seeds):
        progress.at(number, f"seed {seed}")
        case = Case(made, seed)
        try:
            outcome = case.run()
        except Exception as error:
            error.add_note(str(case))
            raise
        outcomes[outcome] += 1
        kinds.update((change.what, outcome) for change in case.changes[:1] if len(case.changes) == 1)
    say(f"seeds {seeds[0]} to {seeds[-1]}: {dict(outcomes)}, {dict(kinds)}, {progress.seconds:.0f} s")
    return outcomes, kinds


@pytest.mark.timeout(300)
def test_a_sample(made, say):
    """The same cases each time, and as many new ones."""
    fresh = random.randrange(1 << 32)
    seeds = [*range(FIRST_SEED, FIRST_SEED + SAMPLE // 2), *range(fresh, fresh + SAMPLE // 2)]
    outcomes, kinds = explore(made, seeds, say)
    assert min(outcomes["served"], outcomes["refused"]) > SAMPLE // 20
    assert kinds["unknown type", "served"] > 0
    assert kinds["unknown type", "refused"] == 0
    assert kinds["newer version", "refused"] > 0


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_whole(made, say):
    outcomes, _ = explore(made, range(FIRST_SEED, FIRST_SEED + WHOLE), say)
    assert sum(outcomes.values()) == WHOLE
