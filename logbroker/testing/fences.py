"""Take each fence of the storage engine away (`fence_list.py`), and count the crash points that break a promise without it.

A sync call is taken away by the simulated disk, which counts it as never made when it replays a life; a wait or an order by a patch of
the engine.

    python -m logbroker.testing.fences --write docs/fences.md            explore, and write the list
    python -m logbroker.testing.fences --only journal                    explore without some of them

A fence that can be removed without a failure is useless, or the lives are too tame.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from logbroker.testing.compaction_scenarios import compacted_log
from logbroker.testing.fence_list import (
    LIVES,
    NO_PROMISE,
    ORDERS,
    PROMISES,
    SHOWN_BY,
    SWAP_SYNCS,
    SYNCS,
    Order,
)
from logbroker.testing.sim_story import Story

FIRST_SEED = 700
POINTS = 40
POINTS_LISTED = 2_000
"""Points explored for a line of the list."""
POINTS_MAX = 40_000
"""Points after which a fence counts as useless."""


class Tried(NamedTuple):
    """How an exploration without a fence went."""

    points: int
    failures: int
    """Of these, the points at which a promise was broken."""
    example: str


def without_sync(label: str, *, points: int, enough: bool) -> Tried:
    """Crash lives without this sync call, at least `points` times; with `enough` the first failure will do."""
    scenario = LIVES.get(label) or (compacted_log if label in SWAP_SYNCS else None)

    def lives(seed: int) -> Generator[tuple[Story, int], None, None]:
        story, start = scenario(seed) if scenario is not None else (Story.record(seed), 0)
        story.disk.disabled_fences = frozenset({label})
        yield story, start

    kills, nested = (0.15, 0.15) if scenario is None else (0.0, 0.0)
    first = SHOWN_BY.get(label, FIRST_SEED) if enough else FIRST_SEED
    return _explore(lives, points=points, enough=enough, kills=kills, nested=nested, seed=first)


def without_order(order: Order, *, points: int, enough: bool) -> Tried:
    """Live and crash without this order."""

    def lives(seed: int) -> Generator[tuple[Story, int], None, None]:
        with order.without():
            if order.scenario is not None:
                yield order.scenario(seed)
            else:
                yield Story.record(seed, prepare=order.prepare), 0

    kills, nested = (0.15, 0.15) if order.scenario is None else (0.0, 0.0)
    first = SHOWN_BY.get(order.name, FIRST_SEED) if enough else FIRST_SEED
    return _explore(lives, points=points, enough=enough, kills=kills, nested=nested, seed=first)


def _explore(
    lives: Callable[[int], Generator[tuple[Story, int], None, None]],
    *,
    points: int,
    enough: bool,
    kills: float,
    nested: float,
    seed: int,
) -> Tried:
    seen = failures = 0
    example = ""
    while seen < points or (not failures and seen < POINTS_MAX):
        with contextlib.closing(lives(seed)) as living:
            try:
                story, start = next(living)
                rng = random.Random(seed)
                broken_at: tuple[tuple[int, int, str], ...] | None = None
                for failure in story.dig(POINTS, rng, nested=nested, kills=kills, start=start):
                    failures += failure.path != broken_at
                    broken_at = failure.path
                    example = example or str(failure)
                    if enough:
                        break
                seen += story.tally.points
            except Exception as error:  # the engine itself noticed that something is wrong
                failures += 1
                example = example or f"seed {seed}: {type(error).__name__}: {error}"
                seen += 1
        seed += 1
        if failures and enough:
            break
    return Tried(seen, failures, example)


HEADER = """\
# Fences

Every sync call of the storage engine, and every wait or order that no sync call shows: the promise it guards, and how many points of the
crash simulation break it without that fence. With all of them none does.

The promises are the README's:

{promises}

Written by `python -m logbroker.testing.fences --write docs/fences.md` (`--only TEXT` measures the rows whose name contains it again, the others
stay). `tests/crash/test_fences.py` holds that each fence is needed and that none is missing here; which sync calls there are the simulated
disk tells. Seeds are fixed: the same engine gives the same numbers.

A point is an operation of the simulated disk and a choice of what survives of all that was not synced: a power cut, or a killed
process. Two in three stand shortly behind the fence that was taken away. Few failures mean that much must come together: a crash
while a certain thing is in flight, then another one.
"""
"""What stands above the tables."""


class Row(NamedTuple):
    """A line of the list; `cells` are the middle ones."""

    name: str
    cells: str
    fence: str | Order

    def measure(self, points: int) -> Tried:
        """Crash without this fence, at least so often."""
        if isinstance(self.fence, str):
            return without_sync(self.fence, points=points, enough=False)
        return without_order(self.fence, points=points, enough=False)


TABLES = (
    (
        "## Sync calls\n\nRemoved on the simulated disk, which counts the call as never made.",
        "| Fence | Promise | It guards | Points | Of these fail |\n| --- | --- | --- | ---: | ---: |",
        [Row(f"`{label}`", f"{promise} | {guards}", label) for label, (promise, guards) in SYNCS.items()],
    ),
    (
        "## Waits and orders\n\nRemoved by a version of one function that is wrong in one way (`logbroker/testing/broken_orders.py`).",
        "| Fence | Promise | It guards | Without it | Points | Of these fail |\n| --- | --- | --- | --- | ---: | ---: |",
        [
            Row(order.name, f"{order.promise} | {order.guards} | {order.without.__doc__}", order)
            for order in ORDERS
        ],
    ),
)


def write_list(path: str, only: str, points: int) -> int:
    """Measure the rows whose name contains `only`, and write the list; returns how many fences turned out useless.

    Rows that aren't measured stay in the file as they are.
    """
    older = read_rows(path)
    parts = [HEADER.format(promises=PROMISES)]
    useless = 0
    for title, head, rows in TABLES:
        lines = [title, "", head]
        for row in rows:
            if only not in row.name:
                lines += [older[row.name]] if row.name in older else []
                continue
            began = time.perf_counter()
            tried = row.measure(points)
            useless += not tried.failures
            line = f"| {row.name} | {row.cells} | {tried.points:,} | {tried.failures:,} |"
            took = time.perf_counter() - began
            said = f"{tried.failures} of {tried.points} in {took:.0f} s, {row.name}: {tried.example}"
            print(said, flush=True)  # noqa: T201
            lines.append(line)
        parts.append("\n".join(lines) + "\n")
    spared = [f"- `{label}`: {why}" for label, why in NO_PROMISE.items()]
    parts.append("\n".join(["## Sync calls that no promise rests on", "", *spared, ""]))
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(parts))
    return useless


def read_rows(path: str) -> dict[str, str]:
    """The lines of a list that was written, by the fence's name."""
    if not path or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n") for line in file if line.startswith("| ")]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", default="", metavar="FILE", help="write the list to this file")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="measure the fences whose name contains this"
    )
    parser.add_argument(
        "--points", type=int, default=POINTS_LISTED, help="crash points of each fence, at least"
    )
    options = parser.parse_args()
    logging.getLogger("logbroker").setLevel(logging.CRITICAL + 1)
    return 1 if write_list(options.write, options.only, options.points) else 0


if __name__ == "__main__":
    sys.exit(main())
