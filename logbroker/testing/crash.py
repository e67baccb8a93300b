"""Crash the simulated storage engine from the command line: one seed again, with what led there, or many until one fails.

python -m logbroker.testing.crash --seed 42 [--points 200]      that seed, every failure, the disk's last operations before it
python -m logbroker.testing.crash --until 100000                so many distinct points, from a fresh seed on
python -m logbroker.testing.crash --from 1000 --seeds 500       many seeds
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Callable, Iterable

from logbroker.testing.progress import Progress
from logbroker.testing.sim_story import Failure, Story, Tally

POINTS = 100
"""Crash points of a seed, those within crashes not counted."""
FAULTS = 0.1
"""Share of the lives behind a crash in which the disk fails."""
UNTIL = 100_000
FAILURES_MAX = 20
"""Failures after which there is nothing to be learnt from more."""


def explore_seed(
    seed: int, points: int = POINTS, tally: Tally | None = None, *, faults: float = FAULTS
) -> list[Failure]:
    """Record the life of this seed and crash it; every broken promise."""
    story = Story.record(seed)
    if tally is not None:
        story.tally = tally
    story.tally.operations += story.disk.operations
    return list(story.dig(points, random.Random(seed ^ 0xC0FFEE), faults=faults))


def explore_until(
    points: int,
    seeds: Iterable[int],
    say: Callable[[str], None],
    *,
    of_a_seed: int = POINTS,
    faults: float = FAULTS,
    failures_max: int = FAILURES_MAX,
) -> tuple[Tally, list[Failure]]:
    """Explore seed after seed until there are so many distinct points, or more than `failures_max` failures."""
    tally = Tally()
    failures: list[Failure] = []
    progress = Progress(say, "crash points", points)
    first = last = -1
    for seed in seeds:
        first = seed if first < 0 else first
        last = seed
        failures += explore_seed(seed, of_a_seed, tally, faults=faults)
        progress.at(tally.points, f"seed {seed}, {len(failures)} failures")
        if len(failures) > failures_max or tally.points >= points:
            break
    say(
        f"seeds {first} to {last}: {tally.points} distinct points, {len(failures)} failures; {tally.kills} kills, by depth {tally.depth}, "
        f"{tally.in_recovery} recoveries interrupted, {tally.failed} disks failed behind a crash, {tally.operations} operations; {progress.seconds:.0f} s, "
        f"{tally.points / progress.seconds:.0f} points/s"
    )
    return tally, failures


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="explore this seed only")
    parser.add_argument("--from", type=int, dest="first", help="first of many seeds, fresh by default")
    parser.add_argument("--seeds", type=int, default=1 << 32, help="how many seeds at most")
    parser.add_argument("--until", type=int, default=UNTIL, help="how many points are enough, of all seeds")
    parser.add_argument("--points", type=int, default=POINTS, help="crash points of a seed")
    parser.add_argument(
        "--faults", type=float, default=FAULTS, help="share of lives behind a crash in which the disk fails"
    )
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    options = parser.parse_args()
    logging.getLogger("logbroker").setLevel(logging.CRITICAL + 1)
    first = random.SystemRandom().randrange(1 << 31) if options.first is None else options.first
    seeds = range(first, first + options.seeds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201

    failures_max = 0 if options.stop else FAILURES_MAX
    _, failures = explore_until(
        options.until, seeds, say, of_a_seed=options.points, faults=options.faults, failures_max=failures_max
    )
    for failure in failures:
        say(str(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
