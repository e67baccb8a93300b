"""Supervised tasks: nothing fails silently.

A `TaskScope` owns tasks. One that dies of an exception takes its scope down: the reason is logged with its traceback,
the other tasks of the scope are cancelled, and the failure goes to the scope's parent, up to the root, whose owner
(the daemon) is told and stops the process. A task that must survive an error catches it itself; a task that ends
by returning, or by being cancelled, is no failure.

Loop thread only, but for `fail_from_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from logbroker.base import logs

_log = logs.get("tasks")


class TaskScope:
    """Tasks that live and die together.

    Args:
        name: For the log: "broker", "coordination".
        parent: Told of a failure, and closes this scope when it is closed itself.
        on_failure: Called once, with what failed and the exception, when the scope fails.

    Attributes:
        failure: What killed the scope; None while it is well.
    """

    def __init__(
        self,
        name: str,
        parent: TaskScope | None = None,
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._parent = parent
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self._children: list[TaskScope] = []
        if parent is not None:
            parent._children.append(self)

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` as a task of this scope.

        Raises:
            RuntimeError: the scope is closed or has failed; `work` is closed and doesn't run.
        """
        if self.closed:
            work.close()
            raise RuntimeError(f"the task {name} can't start: {self.name} is closed")
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def fail(self, what: str, error: BaseException) -> None:
        """Take the scope down: `what` failed with `error`. The first failure counts; later ones are logged."""
        _log.error("a task died", task=what, scope=self.name, error=error)
        self._go_down(what, error)

    def fail_from_thread(self, what: str, error: BaseException) -> None:
        """`fail`, from any thread."""
        self._loop.call_soon_threadsafe(self.fail, what, error)

    async def close(self) -> None:
        """Cancel every task of this scope and of those below it, and wait until they have ended."""
        self._cancel()
        current = asyncio.current_task()
        for child in list(self._children):
            await child.close()
        while waited := [task for task in self._tasks if task is not current]:
            await asyncio.wait(waited)
        if self._parent is not None and self in self._parent._children:
            self._parent._children.remove(self)

    def _cancel(self) -> None:
        self.closed = True
        for task in self._tasks:
            task.cancel()
        for child in self._children:
            child._cancel()

    def _go_down(self, what: str, error: BaseException) -> None:
        if self.failure is not None:
            return
        self.failure = error
        self._cancel()
        if self._on_failure is not None:
            self._on_failure(what, error)
        if self._parent is not None:
            self._parent._go_down(f"{self.name}: {what}", error)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.fail(task.get_name(), error)
