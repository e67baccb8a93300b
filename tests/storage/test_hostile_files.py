"""Mutated log, index, checkpoint and journal files, and what compaction leaves behind: opening never crashes and never hangs, and nothing is served that was never appended."""

from __future__ import annotations

import collections
import os
import random

import pytest
from storage.hostile import Case, template

from logbroker.testing.progress import Progress

SAMPLE = 500
WHOLE = 100_000
FIRST_SEED = 1
FOUND = (2_160_701_580, 951_056_976, 22_537)
"""Seeds that once showed what nobody noticed: indexes of aborted transactions with entries at other markers, a batch moved into a
gap of a compacted log."""


@pytest.fixture(scope="module", params=["stopped", "killed", "first", "last"])
def made(request):
    return template(request.param)


def explore(made, seeds, say):
    progress = Progress(say, "mutated directories", len(seeds))
    outcomes = collections.Counter()
    kinds = collections.Counter()
    for number, seed in enumerate(seeds):
        progress.at(number, f"seed {seed}")
        case = Case(made, seed)
        try:
            case.run()
        except Exception as error:
            error.add_note(str(case))
            raise
        outcomes[case.outcome] += 1
        kinds.update(os.path.splitext(path)[1] or os.path.basename(path) for path, _ in case.touched)
    say(
        f"seeds {seeds[0]} to {seeds[-1]}: {len(seeds)} directories, {sum(kinds.values())} mutated files "
        f"({', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}), {dict(outcomes)}, {progress.seconds:.0f} s"
    )
    return outcomes, kinds


def test_an_untouched_copy_is_served_whole(made):
    case = Case(made, 0)
    case.touched.clear()
    case.disk = made.disk.kill(made.disk.operations)
    case.run()
    assert case.outcome == "served"
    assert case.findings == []


@pytest.mark.timeout(300)
def test_a_sample(made, say):
    """The same cases each time, and as many new ones."""
    fresh = random.randrange(1 << 32)
    seeds = [*range(FIRST_SEED, FIRST_SEED + SAMPLE // 2), *range(fresh, fresh + SAMPLE // 2), *FOUND]
    outcomes, kinds = explore(made, seeds, say)
    assert sum(outcomes.values()) == len(seeds)
    assert (
        min(outcomes[outcome] for outcome in ("served", "partition refused", "directory refused"))
        > SAMPLE // 100
    )
    assert len(kinds) >= 6


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_whole(made, say):
    outcomes, _ = explore(made, range(FIRST_SEED, FIRST_SEED + WHOLE), say)
    assert sum(outcomes.values()) == WHOLE
