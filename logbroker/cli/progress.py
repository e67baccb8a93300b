"""One line on stderr that is written over again and again, for whatever a person waits for.

Nothing is written where nobody watches (stderr is no terminal), nor in the first second: what is quick needs no progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable

from logbroker.cli.output import terminal_columns

__all__ = ["ProgressLine", "showing", "waiting_for"]

AFTER_SECONDS = 1.0
EVERY_SECONDS = 0.2


class ProgressLine:
    """The line, for work that calls `show` on its way. Leaving the context takes it off the screen."""

    def __init__(self, *, wanted: bool = True) -> None:
        self._due = time.monotonic() + AFTER_SECONDS if wanted and sys.stderr.isatty() else float("inf")
        self._shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def show(self, text: Callable[[], str]) -> None:
        """Show what `text()` says; it is only asked when it is time for the line to change."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY_SECONDS
        self._shown = True
        # One column is left free: some terminals begin a new line behind the last.
        sys.stderr.write(f"\r\x1b[K{text()[: terminal_columns() - 1]}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line off the screen."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.asynccontextmanager
async def showing(text: Callable[[], str], *, wanted: bool = True) -> AsyncIterator[None]:
    """Show what `text()` says while the body runs."""
    line = ProgressLine(wanted=wanted)

    async def show() -> None:
        while True:
            line.show(text)
            await asyncio.sleep(EVERY_SECONDS)

    task = asyncio.get_running_loop().create_task(show())
    try:
        yield
    finally:
        task.cancel()
        line.clear()


def waiting_for(what: str) -> Callable[[], str]:
    """Return what says how long we have waited."""
    started = time.monotonic()
    return lambda: f"waiting for {what}, {time.monotonic() - started:.0f} s"
