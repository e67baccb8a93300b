"""Time as a thing that can be handed in, so that tests and simulations can turn it.

`wall_ms` is what records and retention speak of; `monotonic` (seconds) is what waits are measured with.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some start."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._monotonic = 0.0

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, as last set."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Seconds that `advance` has added up to."""
        return self._monotonic

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds pass."""
        self._wall_ms += ms
        self._monotonic += ms / 1000
