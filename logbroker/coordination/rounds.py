"""Upkeep of all shards of a coordinator, one at a time, so that it never holds the loop for long; then a rest, and again.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from logbroker.base.clock import Clock
from logbroker.coordination.machine import StateMachine
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import ShardState
from logbroker.coordination.timers import TimerHandle, Timers

M = TypeVar("M", bound=StateMachine)

STEP_MS: Final = 20
"""Between two shards."""


class Rounds(Generic[M]):
    """Calls `work` with the state machine of every shard that serves, in turn.

    Args:
        runtime: The shards.
        work: What is done to one.
        rest_ms: How long to rest after all of them, asked each time; also before the first round.
        clock, timers: As the shards have them.

    """

    def __init__(
        self,
        runtime: CoordinatorRuntime[M],
        work: Callable[[M], None],
        rest_ms: Callable[[], int],
        clock: Clock,
        timers: Timers,
    ) -> None:
        self._runtime = runtime
        self._work = work
        self._rest_ms = rest_ms
        self._clock = clock
        self._timers = timers
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Begin, with a rest."""
        self._go_on_in(self._rest_ms(), [])

    def stop(self) -> None:
        """Do no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on_in(self, delay_ms: int, shards: list[int]) -> None:
        when = self._clock.monotonic() + delay_ms / 1000
        self._timer = self._timers.call_at(when, partial(self._go_on, shards))

    def _go_on(self, shards: list[int]) -> None:
        if not shards:
            shards = list(range(self._runtime.partition_count))
        shard = self._runtime.shard(shards.pop()) if shards else None
        if shard is not None and shard.state is ShardState.ACTIVE:
            self._work(shard.machine())
        self._go_on_in(STEP_MS if shards else self._rest_ms(), shards)
