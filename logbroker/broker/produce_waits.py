"""Produces that wait for durability, held against their `timeout_ms`.

Nearly all are answered within a millisecond, so waiting costs one append to a list; four times a second the list is
walked, the answered ones leave, and the late ones are told REQUEST_TIMED_OUT. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from logbroker.base.clock import Clock
from logbroker.broker.context import RequestContext

SWEEP_S: Final = 0.25


class ProduceWaits:
    """Every produce that isn't answered yet."""

    __slots__ = ("_clock", "_timer", "_waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[RequestContext, float, Callable[[RequestContext], None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, context: RequestContext, timeout_ms: int, late: Callable[[RequestContext], None]) -> None:
        """Remember a request, whose time began when it came; `late(context)` is to tell it that its time is over."""
        self._waiting.append((context, context.started + timeout_ms / 1000, late))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep_again)

    def close(self) -> None:
        """Look no more: the broker has stopped."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep_again(self) -> None:
        self._timer = None
        self.sweep()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep_again)

    def sweep(self) -> None:
        """Forget the answered, answer the late."""
        now = self._clock.monotonic()
        left = [entry for entry in self._waiting if entry[0].payload is None]
        self._waiting = [entry for entry in left if entry[1] > now]
        for context, deadline, late in left:
            if deadline <= now:
                late(context)
