"""A one-shot result on the event loop, cheaper than a Future.

A handler that can't answer yet returns a `Completion`; whoever learns the answer calls `set`. There is one
consumer: either a callback, called at once and in place, or one `await`. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class Completion(Generic[T]):
    """A value that arrives later, once, on the loop's thread."""

    __slots__ = ("_callback", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._callback: Callable[[T], None] | None = None
        self._value: T | None = None

    def set(self, value: T) -> None:
        """Give the result; a second call is ignored (a time-out may race with the real answer)."""
        if self.done:
            return
        self.done = True
        self._value = value
        callback = self._callback
        if callback is not None:
            self._callback = None
            callback(value)

    def on_done(self, callback: Callable[[T], None]) -> None:
        """Call `callback(value)` once, now if the value is here."""
        if self.done:
            callback(self._value)  # type: ignore[arg-type]
        else:
            self._callback = callback

    def __await__(self) -> Generator[object, None, T]:
        if not self.done:
            future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

            def wake(value: T) -> None:
                if not future.done():
                    future.set_result(value)

            self.on_done(wake)
            return (yield from future.__await__())
        return self._value  # type: ignore[return-value]
