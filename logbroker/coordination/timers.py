"""The timers a coordinator asks for; `logbroker.base.timers` is the broker's, tests turn their own clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class TimerHandle(Protocol):
    """A timer that is set."""

    def cancel(self) -> None:
        """Don't call back; does nothing after the call."""
        ...


class Timers(Protocol):
    """Calls back at a time of the monotonic clock; loop thread only."""

    def call_at(self, when: float, callback: Callable[[], None]) -> TimerHandle:
        """Call `callback()` at or soon after `when`, seconds of `Clock.monotonic`."""
        ...
