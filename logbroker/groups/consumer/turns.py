"""Long work of many groups in short steps, so that all of it together never holds the event loop up for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Turns:
    """Takes one step in a turn of the loop, whoever's work it is; works are done one after the other.

    Loop thread only.
    """

    __slots__ = ("_defer", "_waiting")

    def __init__(self, defer: Callable[[Callable[[], None]], object]) -> None:
        self._defer = defer
        self._waiting: deque[Callable[[], bool]] = deque()

    def add(self, step: Callable[[], bool]) -> None:
        """Call `step` in its turn, until it says that there is nothing left to do."""
        self._waiting.append(step)
        if len(self._waiting) == 1:
            self._defer(self._turn)

    def _turn(self) -> None:
        is_done = True
        try:
            is_done = self._waiting[0]()
        finally:
            if is_done:
                self._waiting.popleft()
            if self._waiting:
                self._defer(self._turn)
