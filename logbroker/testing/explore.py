"""Which moments of a run to crash at, and what each crash leaves.

    for point in explore(disk, rng, 1000):
        recover(point.disk), then compare with what had been promised by point.at

Points come in rising order of `at`, so that the trace is replayed once. Half of them stand anywhere; the others just before or just behind a
sync or a change of names, where promises are made. The same (moment, survivors) is given out once only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from logbroker.testing.sim_disk import SimDisk

NEAR = 50
"""How many operations behind a call of interest."""
_TURNING_POINTS = frozenset({"datasync", "sync_dir", "sync all", "name", "lose file", "lose directory"})


class CrashPoint(NamedTuple):
    """One crash: `disk` is what it left, `at` the operations that had been made, `decision` stands for what survived."""

    at: int
    decision: int
    power_cut: bool
    disk: SimDisk

    @property
    def key(self) -> tuple[int, int]:
        """Distinguishes this point from every other of the same run."""
        return (self.at, self.decision)


def explore(
    disk: SimDisk,
    rng: random.Random,
    points: int,
    *,
    kills: float = 0.1,
    start: int = 0,
    after: frozenset[str] = frozenset(),
) -> Iterator[CrashPoint]:
    """Up to `points` distinct crashes of what happened on `disk` from operation `start` on.

    A share of `kills` are killed processes (the page cache stays) instead of power cuts. Two in three stand within `NEAR` operations
    behind a call whose label is in `after`, where there is one. Fewer points come out where the run doesn't have that many.
    """
    stop = disk.operations
    turning = [
        index + side
        for index, operation in enumerate(disk.trace.operations[start:], start)
        if operation.kind in _TURNING_POINTS
        for side in (0, 1)
    ]
    near = [
        index
        for index, operation in enumerate(disk.trace.operations[start:], start)
        if operation.label and operation.label in after
    ]

    def moment() -> int:
        if near and rng.random() < 0.67:
            return min(stop, rng.choice(near) + rng.randrange(NEAR))
        return rng.choice(turning) if turning and rng.random() < 0.5 else rng.randint(start, stop)

    moments = [moment() for _ in range(points)]
    seen: set[tuple[int, int]] = set()
    for at in sorted(moments):
        power_cut = rng.random() >= kills
        crashed = disk.crash(at, rng) if power_cut else disk.kill(at)
        point = CrashPoint(at, crashed.decision, power_cut, crashed)
        if point.key not in seen:
            seen.add(point.key)
            yield point
