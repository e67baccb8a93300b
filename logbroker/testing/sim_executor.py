"""The engine's background lanes under a seeded scheduler, one step at a time.

`SimExecutor` takes the place of `storage.executor.ThreadExecutor`: each lane runs its generators one at a time in the order of submission,
and results come back through one queue, as they come back to an event loop. Nothing moves by itself: `step` advances one
lane by one yield, or runs one callback of the loop, as the random generator chooses, so that a seed decides every
interleaving and a crash can stand between any two I/O operations.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from logbroker.storage.executor import Steps

T = TypeVar("T")
_Done = Callable[[Any, BaseException | None], None]

MAX_STEPS = 1_000_000
"""Steps after which `run_until_idle` believes that the work will never end."""


class SimExecutor:
    """See the module and `storage.executor.Executor`. With `fair=False` a chosen lane runs on for a random while."""

    def __init__(self, rng: random.Random, *, fair: bool = True) -> None:
        self._rng = rng
        self._fair = fair
        self._waiting: dict[str, deque[tuple[Steps[Any], _Done | None]]] = {}
        self._loop: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._favourite = ""
        self.steps = 0
        """Steps taken since the start."""

    def submit(
        self,
        lane: str,
        steps: Steps[T],
        on_done: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> None:
        """See `Executor`. An error that no `on_done` takes comes out of a later `step`."""
        self._waiting.setdefault(lane, deque()).append((steps, on_done))

    def post(self, callback: Callable[[Any], None], argument: Any) -> None:
        """See `Executor`."""
        self._loop.append((callback, argument))

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self._loop and not self._waiting

    def lanes(self) -> list[str]:
        """Lanes that have work."""
        return sorted(self._waiting)

    def step(self) -> bool:
        """Advance one lane by one yield or run one callback; False if there was nothing to do."""
        choices = [*self._waiting, *([""] if self._loop else [])]
        if not choices:
            return False
        if self._fair or self._favourite not in choices or self._rng.random() < 0.2:
            self._favourite = self._rng.choice(choices)
        self.steps += 1
        if self._favourite == "":
            self.run_callback()
        else:
            self._advance(self._favourite)
        return True

    def finish(self, lane: str) -> None:
        """Run one lane through all that it has now, and nothing else."""
        while lane in self._waiting:
            self._advance(lane)

    def run_callback(self) -> bool:
        """Run the loop's next callback; False if none waits."""
        if not self._loop:
            return False
        callback, argument = self._loop.popleft()
        callback(argument)
        return True

    def run_until_idle(self) -> None:
        """Step until nothing is left. Raises RuntimeError if that doesn't come about."""
        for _ in range(MAX_STEPS):
            if not self.step():
                return
        raise RuntimeError(f"still busy after {MAX_STEPS} steps: {self.lanes()}")

    def abandon(self) -> None:
        """The process has died: drop all work where it stands.

        Let the disk `die` first: closing a generator runs its `finally` blocks.
        """
        waiting, self._waiting = self._waiting, {}
        for jobs in waiting.values():
            for steps, _ in jobs:
                steps.close()
        self._waiting.clear()
        self._loop.clear()

    def _advance(self, lane: str) -> None:
        jobs = self._waiting[lane]
        steps, on_done = jobs[0]
        result: Any = None
        error: BaseException | None = None
        try:
            next(steps)
            return
        except StopIteration as stop:
            result = stop.value
        except Exception as raised:
            error = raised
        jobs.popleft()
        if not jobs:
            del self._waiting[lane]
        if on_done is not None:
            self.post(lambda outcome: on_done(*outcome), (result, error))
        elif error is not None:
            self.post(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
