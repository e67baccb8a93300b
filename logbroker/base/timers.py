"""Many coarse timers on one loop timer: what waits are bounded with (parked fetches, produce time-outs, sessions).

Timers are kept in buckets of one granule (10 ms), so that setting and cancelling one is a dictionary operation and
the event loop knows of one timer only. A timer fires at or up to a granule after its time, never before. Time is the
`Clock`'s, so a test turns a `ManualClock` and calls `expire_due`.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Final

from logbroker.base import logs
from logbroker.base.clock import Clock

GRANULE_S: Final = 0.01

_log = logs.get("timers")


class Timer:
    """One timer that is set; `cancel` is all it can do."""

    __slots__ = ("_bucket", "callback")

    def __init__(self, bucket: dict[Timer, None], callback: Callable[[], None]) -> None:
        self._bucket = bucket
        self.callback = callback

    def cancel(self) -> None:
        """Don't call back; does nothing after the call."""
        self._bucket.pop(self, None)


class Timers:
    """All coarse timers of a broker.

    Args:
        clock: Where the time comes from.
        loop: Fires them by itself; None leaves it to calls of `expire_due`.
    """

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._monotonic = clock.monotonic
        self._loop = loop
        self._buckets: dict[int, dict[Timer, None]] = {}
        self._granules: list[int] = []  # a heap of the keys of _buckets
        self._armed: asyncio.TimerHandle | None = None
        self._armed_granule = 0
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback()` at or soon after `when`, seconds of `Clock.monotonic`; never from within this call."""
        if self._closed:
            return Timer({}, callback)
        granule = math.ceil(when / GRANULE_S)
        bucket = self._buckets.get(granule)
        is_new = bucket is None
        if bucket is None:
            bucket = self._buckets[granule] = {}
            heapq.heappush(self._granules, granule)
        timer = Timer(bucket, callback)
        bucket[timer] = None
        if is_new and (self._armed is None or granule < self._armed_granule):
            self._arm()
        return timer

    def call_later(self, delay_ms: float, callback: Callable[[], None]) -> Timer:
        """Call `callback()` in `delay_ms` or a little more."""
        return self.call_at(self._monotonic() + delay_ms / 1000, callback)

    def expire_due(self) -> int:
        """Fire every timer whose time has come.

        Returns:
            How many fired. One that fails is logged and harms no other.
        """
        due_granule = math.floor(self._monotonic() / GRANULE_S)
        due: list[dict[Timer, None]] = []  # taken first: a timer that sets another must not keep us here
        while self._granules and self._granules[0] <= due_granule:
            due.append(self._buckets.pop(heapq.heappop(self._granules)))
        fired = 0
        for bucket in due:
            for timer in list(bucket):
                if timer not in bucket:
                    continue  # cancelled by one that fired before it
                del bucket[timer]
                fired += 1
                try:
                    timer.callback()
                except Exception as error:
                    _log.error("a timer failed", error=error)
        return fired

    def close(self) -> None:
        """Forget every timer; none fires any more, and new ones don't either."""
        self._closed = True
        self._buckets.clear()
        self._granules.clear()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _arm(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        while self._granules and not self._buckets[self._granules[0]] and len(self._granules) > 1:
            del self._buckets[heapq.heappop(self._granules)]  # all cancelled: nothing to wake up for
        if self._loop is None or not self._granules:
            return
        self._armed_granule = self._granules[0]
        delay_s = self._armed_granule * GRANULE_S - self._monotonic()
        self._armed = self._loop.call_later(max(delay_s, 0.0), self._fire)

    def _fire(self) -> None:
        self._armed = None
        try:
            self.expire_due()
        finally:
            self._arm()
