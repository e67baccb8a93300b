"""Requests that wait until something happens to one of several things, or until their time is up.

A fetch with too few bytes is *parked* under each partition that it reads; an append, a move of the high watermark or a
deletion *wakes* that partition, and whoever is parked there looks again. What still isn't satisfied stays, until its
deadline. (Kafka calls this a purgatory.) Waking a key under which nobody is parked costs one dictionary lookup.

The number of waits is bounded; who finds no room is answered at once with what there is.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from logbroker.base import logs
from logbroker.base.timers import Timer, Timers

Key = TypeVar("Key", bound=Hashable)

_log = logs.get("waits")


class Wait(Generic[Key]):
    """One parked request; made by `Waits.park`."""

    __slots__ = ("_attempt", "_expire", "_keys", "_timer", "_waits", "done")

    def __init__(
        self,
        waits: Waits[Key],
        keys: tuple[Key, ...],
        attempt: Callable[[Key], bool],
        expire: Callable[[], None],
    ) -> None:
        self._waits = waits
        self._keys = keys
        self._attempt = attempt
        self._expire = expire
        self._timer: Timer | None = None
        self.done = False

    def cancel(self) -> None:
        """Wait no longer; neither function is called any more."""
        if not self.done:
            self._waits._remove(self)


class Waits(Generic[Key]):
    """Everything parked for one purpose, by key.

    Args:
        timers: Bounds each wait.
        waits_max: How many may be parked at once.
    """

    def __init__(self, timers: Timers, waits_max: int) -> None:
        self._timers = timers
        self.waits_max = waits_max
        self._by_key: dict[Key, dict[Wait[Key], None]] = {}
        self._all: dict[Wait[Key], None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def park(
        self,
        keys: Iterable[Key],
        timeout_ms: float,
        attempt: Callable[[Key], bool],
        expire: Callable[[], None],
    ) -> Wait[Key] | None:
        """Wait until `attempt` succeeds or the time is up.

        Args:
            keys: What to be woken by; hashable, and better few than many.
            timeout_ms: How long to wait at most.
            attempt: Called after each wake, with the key that was woken; True ends the wait. Not called by `park` itself.
            expire: Called once, if the time is up first (or `attempt` raised).

        Returns:
            The wait; None if there are `waits_max` already, and then nothing is called.
        """
        if len(self._all) >= self.waits_max:
            return None
        wait = Wait(self, tuple(keys), attempt, expire)
        wait._timer = self._timers.call_later(timeout_ms, lambda: self._expire(wait))
        self._all[wait] = None
        for key in wait._keys:
            self._by_key.setdefault(key, {})[wait] = None
        return wait

    def wake(self, key: Key) -> None:
        """Something happened to `key`: let everyone who is parked under it look again."""
        parked = self._by_key.get(key)
        if parked is None:
            return
        for wait in list(parked):
            if wait.done:
                continue  # ended by what an earlier one did
            try:
                satisfied = wait._attempt(key)
            except Exception as error:
                _log.error("a parked request failed to look again", error=error)
                self._expire(wait)
                continue
            if satisfied:
                self._remove(wait)

    def expire_all(self) -> None:
        """End every wait as if its time were up (a broker that stops)."""
        for wait in list(self._all):
            self._expire(wait)

    def _expire(self, wait: Wait[Key]) -> None:
        if wait.done:
            return
        self._remove(wait)
        try:
            wait._expire()
        except Exception as error:
            _log.error("a parked request failed at its deadline", error=error)

    def _remove(self, wait: Wait[Key]) -> None:
        if wait.done:
            return  # its own attempt may have cancelled it
        wait.done = True
        if wait._timer is not None:
            wait._timer.cancel()
        del self._all[wait]
        for key in wait._keys:
            parked = self._by_key.get(key)
            if parked is not None:
                parked.pop(wait, None)
                if not parked:
                    del self._by_key[key]
