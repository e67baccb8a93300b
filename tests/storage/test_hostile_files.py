"""Mutated log, index, checkpoint and journal files: opening never crashes and never hangs, and nothing is served that was never appended."""

from __future__ import annotations

import collections
import os
import random

import pytest
from storage.hostile import Case, template

SAMPLE = 1000
WHOLE = 100_000
FIRST_SEED = 1


@pytest.fixture(scope="module", params=["stopped", "killed"])
def made(request):
    return template(cleanly=request.param == "stopped")


def explore(made, seeds):
    outcomes = collections.Counter()
    kinds = collections.Counter()
    for seed in seeds:
        case = Case(made, seed)
        try:
            case.run()
        except Exception as error:
            error.add_note(str(case))
            raise
        outcomes[case.outcome] += 1
        kinds.update(os.path.splitext(path)[1] or os.path.basename(path) for path, _ in case.touched)
    return outcomes, kinds


def test_an_untouched_copy_is_served_whole(made):
    case = Case(made, 0)
    case.touched.clear()
    case.disk = made.disk.kill(made.disk.operations)
    case.run()
    assert case.outcome == "served"
    assert case.findings == []


@pytest.mark.timeout(300)
def test_a_sample(made):
    """The same cases each time, and as many new ones."""
    fresh = random.randrange(1 << 32)
    print("fresh seeds from", fresh)
    outcomes, kinds = explore(
        made, [*range(FIRST_SEED, FIRST_SEED + SAMPLE // 2), *range(fresh, fresh + SAMPLE // 2)]
    )
    assert sum(outcomes.values()) == SAMPLE
    assert (
        min(outcomes[outcome] for outcome in ("served", "partition refused", "directory refused"))
        > SAMPLE // 100
    )
    assert len(kinds) >= 6


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_whole(made):
    outcomes, _ = explore(made, range(FIRST_SEED, FIRST_SEED + WHOLE))
    print(dict(outcomes))
    assert sum(outcomes.values()) == WHOLE
