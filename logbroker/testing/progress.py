"""What a long check says on its way: how far it has come and how fast, every few seconds, each time on a line of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 10.0


class Progress:
    """Counts up to `total` things of some kind (`what`); `say` takes a finished line."""

    def __init__(self, say: Callable[[str], None], what: str, total: int, every_s: float = EVERY_S) -> None:
        self._say = say
        self._what = what
        self._total = total
        self._every_s = every_s
        self._began = self._said = time.monotonic()

    def at(self, done: int, note: str = "") -> None:
        """So many are done; says so if it is time."""
        now = time.monotonic()
        if now - self._said >= self._every_s:
            self._said = now
            rate = done / (now - self._began)
            left_s = max(self._total - done, 0) / rate if rate else 0
            self._say(
                f"{done:,} of {self._total:,} {self._what}, {rate:,.1f}/s, {left_s / 60:.0f} min left{note and ', '}{note}"
            )

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began
