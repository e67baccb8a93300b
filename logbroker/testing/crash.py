"""Crash the simulated storage engine from the command line: one seed again, with what led there, or many until one fails.

python -m logbroker.testing.crash --seed 42 [--points 200]      that seed, every failure, the disk's last operations before it
python -m logbroker.testing.crash --from 1000 --seeds 500       many seeds, one line each failure
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time

from logbroker.testing.sim_story import Failure, Story, Tally

POINTS = 100
"""Crash points of a seed, those within crashes not counted."""


def explore_seed(seed: int, points: int = POINTS, tally: Tally | None = None) -> list[Failure]:
    """Record the life of this seed and crash it; every broken promise."""
    story = Story.record(seed)
    if tally is not None:
        story.tally = tally
    story.tally.operations += story.disk.operations
    return list(story.dig(points, random.Random(seed ^ 0xC0FFEE)))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="explore this seed only")
    parser.add_argument("--from", type=int, default=1, dest="first", help="first of many seeds")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    options = parser.parse_args()
    logging.getLogger("logbroker").setLevel(logging.CRITICAL + 1)
    seeds = (
        [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    )
    tally = Tally()
    started = time.perf_counter()
    failed = 0
    for seed in seeds:
        failures = explore_seed(seed, options.points, tally)
        failed += bool(failures)
        for failure in failures[: None if options.seed is not None else 1]:
            print(failure)  # noqa: T201
        if failures and options.stop:
            break
    seconds = time.perf_counter() - started
    print(  # noqa: T201
        f"{tally.points} points ({tally.kills} kills, by depth {tally.depth}), {tally.in_recovery} recoveries interrupted, "
        f"{tally.operations} operations, {failed} seeds failed, {tally.points / seconds:.0f} points/s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
