"""What the command lines of the crash simulations share: which seeds, how many points, when to stop, and the exit status."""

from __future__ import annotations

import argparse
import logging
import random
from typing import Final

from logbroker.testing.sim_story import Failure

FAILURES_MAX: Final = 20
"""Failures after which there is nothing to be learnt from more."""


def crash_parser(description: str | None, *, until: int, points: int) -> argparse.ArgumentParser:
    """A parser with the options that all of them have, and these defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="explore this seed only")
    parser.add_argument("--from", type=int, dest="first", help="first of many seeds, fresh by default")
    parser.add_argument("--seeds", type=int, default=1 << 32, help="how many seeds at most")
    parser.add_argument("--until", type=int, default=until, help="how many points are enough, of all seeds")
    parser.add_argument("--points", type=int, default=points, help="crash points of a seed")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    return parser


def begin(options: argparse.Namespace) -> tuple[range, int]:
    """Silence the broker's log; returns the seeds to try, and how many failures are not enough to stop at."""
    logging.getLogger("logbroker").setLevel(logging.CRITICAL + 1)
    first = random.SystemRandom().randrange(1 << 31) if options.first is None else options.first
    seeds = range(first, first + options.seeds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    return seeds, 0 if options.stop else FAILURES_MAX


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


def end(failures: list[Failure]) -> int:
    """Show what failed; returns the exit status."""
    for failure in failures:
        say(str(failure))
    return 1 if failures else 0
