"""Crash the simulated coordinators from the command line: one seed again, or many until one fails.

python -m logbroker.testing.crash_coordinators --seed 42 [--points 200]      that seed, every failure
python -m logbroker.testing.crash_coordinators --until 20000                 so many distinct points, from a fresh seed on
python -m logbroker.testing.crash_coordinators --from 1000 --seeds 500       many seeds
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable

from logbroker.testing.crash_command import FAILURES_MAX, begin, crash_parser, end, say
from logbroker.testing.progress import Progress
from logbroker.testing.sim_coordinator_story import CoordinatorStory
from logbroker.testing.sim_story import Failure, Tally

POINTS = 20
"""Crash points of a seed, those within recoveries not counted."""
UNTIL = 20_000


def explore_until(
    points: int,
    seeds: Iterable[int],
    say: Callable[[str], None],
    *,
    of_a_seed: int = POINTS,
    failures_max: int = FAILURES_MAX,
) -> tuple[Tally, Counter[str], list[Failure]]:
    """Explore seed after seed until there are so many points, or more than `failures_max` failures; also what happened in the lives."""
    tally = Tally()
    events: Counter[str] = Counter()
    failures: list[Failure] = []
    progress = Progress(say, "crash points", points)
    tried: list[int] = []
    for seed in seeds:
        tried.append(seed)
        story = CoordinatorStory.record(seed)
        story.tally = tally
        tally.operations += story.disk.operations
        failures += story.dig(of_a_seed)
        events += story.events
        progress.at(tally.points, f"seed {seed}, {len(failures)} failures")
        if len(failures) > failures_max or tally.points >= points:
            break
    say(
        f"seeds {tried[0]} to {tried[-1]}: {tally.points} points, {len(failures)} failures; {tally.kills} kills, "
        f"{tally.in_recovery} recoveries interrupted, {tally.operations} operations; {progress.seconds:.0f} s"
    )
    return tally, events, failures


def main() -> int:
    """See the module."""
    options = crash_parser(__doc__, until=UNTIL, points=POINTS).parse_args()
    seeds, failures_max = begin(options)
    _, events, failures = explore_until(
        options.until, seeds, say, of_a_seed=options.points, failures_max=failures_max
    )
    say(", ".join(f"{what} {count}" for what, count in events.most_common()))
    return end(failures)


if __name__ == "__main__":
    sys.exit(main())
