"""Crash the simulated storage engine from the command line: one seed again, with what led there, or many until one fails.

python -m logbroker.testing.crash --seed 42 [--points 200]      that seed, every failure, the disk's last operations before it
python -m logbroker.testing.crash --until 100000                so many distinct points, from a fresh seed on
python -m logbroker.testing.crash --from 1000 --seeds 500       many seeds
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable

from logbroker.testing.crash_command import FAILURES_MAX, begin, crash_parser, end, say
from logbroker.testing.progress import Progress
from logbroker.testing.sim_story import Failure, Story, Tally

POINTS = 100
"""Crash points of a seed, those within crashes not counted."""
FAULTS = 0.1
"""Share of the lives behind a crash in which the disk fails."""
UNTIL = 100_000


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
    parser = crash_parser(__doc__, until=UNTIL, points=POINTS)
    parser.add_argument(
        "--faults", type=float, default=FAULTS, help="share of lives behind a crash in which the disk fails"
    )
    options = parser.parse_args()
    seeds, failures_max = begin(options)
    _, failures = explore_until(
        options.until, seeds, say, of_a_seed=options.points, faults=options.faults, failures_max=failures_max
    )
    return end(failures)


if __name__ == "__main__":
    sys.exit(main())
