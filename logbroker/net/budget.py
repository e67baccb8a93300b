"""The memory that all requests share, half-received ones included (`queued.max.request.bytes`).

Two sums are kept: `requests_bytes`, of requests that a handler has and will answer, and `buffers_bytes`, of frames that
are still arriving or wait for their turn. Requests always get done, so what they hold comes back by itself. Buffers do
not: enough frames, each half received, could fill the budget and wait for each other for ever. Three rules exclude it:

1. Whoever wants more than there is waits in one queue, first come first served: a large frame isn't starved by small ones.
2. When nothing is left that will come back by itself (no request is in flight), the first half-received frame in the
   queue is *favoured*: it may go over the limit until it is whole. There is one favoured at a time, so the sum stays
   below the limit plus one frame.
3. Buffers that make no progress while others wait are given up: the server closes their connections (see `Server.sweep`).

Loop thread only; no clock, no I/O.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from logbroker.net.limits import RECEIVE_BYTES


class BudgetWaiter(Protocol):
    """Who waits for memory."""

    def budget_granted(self, granted_bytes: int) -> None:
        """Go on: with a buffer larger by `granted_bytes` (already counted), or with reading where it is 0."""
        ...


class RequestBudget:
    """The sums, the queue, and who may go over.

    Args:
        limit_bytes: None for no limit.
        wake: Called when memory came back and someone waits; arranges for `hand_out` to run soon, once.
    """

    __slots__ = ("_favoured", "_queue", "_wake", "buffers_bytes", "limit_bytes", "requests_bytes")

    def __init__(self, limit_bytes: int | None, wake: Callable[[], None]) -> None:
        self.limit_bytes = sys.maxsize if limit_bytes is None else limit_bytes
        self.requests_bytes = 0
        self.buffers_bytes = 0
        self._wake = wake
        self._queue: OrderedDict[BudgetWaiter, int] = OrderedDict()  # to the bytes wanted; 0: to read
        self._favoured: BudgetWaiter | None = None

    @property
    def used_bytes(self) -> int:
        """What is held now."""
        return self.requests_bytes + self.buffers_bytes

    @property
    def exhausted(self) -> bool:
        """Whether whoever wants to read another request must queue: all is used, or someone was here before."""
        return self.requests_bytes + self.buffers_bytes >= self.limit_bytes or bool(self._queue)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def favoured(self) -> BudgetWaiter | None:
        """The one that may go over the limit."""
        return self._favoured

    def grow_buffer(self, waiter: BudgetWaiter, extra_bytes: int) -> bool:
        """Count a larger buffer for a frame that isn't whole.

        Returns:
            Whether it may be allocated now; if not, `waiter.budget_granted(extra_bytes)` follows.
        """
        if waiter is self._favoured or (
            not self._queue and self.used_bytes + extra_bytes <= self.limit_bytes
        ):
            self.buffers_bytes += extra_bytes
            return True
        self._queue[waiter] = extra_bytes  # who queued to read and came to want a buffer keeps the place
        self._wake()
        return False

    def wait_to_read(self, waiter: BudgetWaiter) -> None:
        """Queue a connection that may read again when there is room."""
        self._queue.setdefault(waiter, 0)

    def release_buffer(self, size_bytes: int) -> None:
        """Give back what a buffer held."""
        self.buffers_bytes -= size_bytes
        if self._queue:
            self._wake()

    def request_done(self, size_bytes: int) -> None:
        """Give back what a request held: it is answered."""
        self.requests_bytes -= size_bytes
        if self._queue:
            self._wake()

    def finished(self, waiter: BudgetWaiter) -> None:
        """`waiter`'s frame is whole, so it is favoured no more."""
        if waiter is self._favoured:
            self._favoured = None
            if self._queue:
                self._wake()

    def forget(self, waiter: BudgetWaiter) -> None:
        """`waiter` is gone."""
        self._queue.pop(waiter, None)
        self.finished(waiter)

    def is_queued(self, waiter: BudgetWaiter) -> bool:
        """Whether it is the budget that `waiter` waits for."""
        return waiter in self._queue

    def hand_out(self) -> bool:
        """Let those go on for whom there is room, in order.

        Readers are taken to use a whole read each, though nothing is counted before it came.

        Returns:
            Whether to call again shortly: someone still waits, and there may be room once it is known what the
            readers that went on have read.
        """
        presumed_bytes = 0
        while self._queue:
            waiter, want_bytes = next(iter(self._queue.items()))
            free_bytes = self.limit_bytes - self.used_bytes
            if want_bytes <= free_bytes - presumed_bytes and free_bytes > presumed_bytes:
                del self._queue[waiter]
                if want_bytes:
                    self.buffers_bytes += want_bytes
                else:
                    presumed_bytes += RECEIVE_BYTES
                waiter.budget_granted(want_bytes)
            elif presumed_bytes or not self._favour_one():
                break
        return bool(self._queue) and presumed_bytes > 0

    def _favour_one(self) -> bool:
        if self._favoured is not None or self.requests_bytes > 0:
            return False
        for waiter, want_bytes in self._queue.items():
            if want_bytes:
                del self._queue[waiter]
                self._favoured = waiter
                self.buffers_bytes += want_bytes
                waiter.budget_granted(want_bytes)
                return True
        return False
