"""Where the engine's blocking work runs: named lanes, and the one way back to the event loop.

Background work is a generator that yields between I/O operations and returns its result. A *lane* runs its
generators one at a time, in the order they were submitted; lanes run beside each other. `ThreadExecutor` gives each lane a
thread and runs a generator straight through; a simulation interleaves the lanes step by step instead, which
is why the yields stand there. Results meet the loop in one place, `post`.

Lanes in use: `journal`, `writer` (write-back, checkpoints, file names), `direct-N` (direct sync and page-cache topics), `read`, `walk` (lookups without an index).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]


class Executor(Protocol):
    """Runs steps on lanes; loop thread only, but for `post`."""

    def submit(
        self,
        lane: str,
        steps: Steps[T],
        on_done: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> None:
        """Run `steps` on `lane`; then call `on_done(result, error)` on the loop (errors without one are fatal)."""
        ...

    def post(self, callback: Callable[[Any], None], argument: Any) -> None:
        """From any lane: call `callback(argument)` on the loop, soon, in order."""
        ...


class ThreadExecutor:
    """One daemon thread a lane, started when first used."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str = "log") -> None:
        self._loop = loop
        self._name = name
        self._queues: dict[str, queue.SimpleQueue[Any]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closing = False

    def submit(
        self,
        lane: str,
        steps: Steps[T],
        on_done: Callable[[T | None, BaseException | None], None] | None = None,
    ) -> None:
        """See `Executor`; once `close` has begun nobody is left to want it, and nothing happens."""
        if self._closing:
            return
        waiting = self._queues.get(lane)
        if waiting is None:
            waiting = self._start(lane)
        waiting.put((steps, on_done))

    def post(self, callback: Callable[[Any], None], argument: Any) -> None:
        """See `Executor`; after the loop has closed there is nobody to tell, and nothing happens."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, argument)

    def close(self, timeout_s: float = 10.0) -> None:
        """Let every lane finish what it has, then end the threads. Blocks; any thread, while the loop goes on."""
        self._closing = True
        for waiting in list(self._queues.values()):
            waiting.put(None)
        for thread in list(self._threads.values()):
            thread.join(timeout_s)
        self._queues.clear()
        self._threads.clear()

    def _start(self, lane: str) -> queue.SimpleQueue[Any]:
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        thread = threading.Thread(target=self._run, args=(waiting,), name=f"{self._name}-{lane}", daemon=True)
        self._queues[lane] = waiting
        self._threads[lane] = thread
        thread.start()
        return waiting

    def _run(self, waiting: queue.SimpleQueue[Any]) -> None:
        while (job := waiting.get()) is not None:
            steps, on_done = job
            result, error = run_to_end(steps)
            if on_done is not None:
                self.post(_deliver, (on_done, result, error))
            elif error is not None:
                self.post(_raise, error)
            del job, steps, on_done, result, error


def run_to_end(steps: Steps[T]) -> tuple[T | None, BaseException | None]:
    """Run a generator through, without stopping at its yields."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value, None
    except BaseException as error:  # whoever submitted it decides what it means
        return None, error


def _deliver(job: tuple[Callable[[Any, BaseException | None], None], Any, BaseException | None]) -> None:
    on_done, result, error = job
    on_done(result, error)


def _raise(error: BaseException) -> None:
    raise error
