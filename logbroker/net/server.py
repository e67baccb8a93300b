"""What all connections of a broker share: bounds, request memory, the flush at the end of a tick, the sweep.

One `Server` serves every listener of a broker, on one event loop. Connections register here; nothing here waits for
any of them. Two things run by themselves: `flush` once at the end of each loop tick in which something was answered,
and `sweep` once a second, which closes what is idle, stuck or stalled (no timer per connection).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.net.budget import Lane, RequestBudget
from logbroker.net.closing_log import ClosingLog
from logbroker.net.counters import NetworkCounters
from logbroker.net.limits import PEEK_BYTES, RECEIVE_BYTES, REPLY_BYTES_LEAST, ServerLimits
from logbroker.net.listener import Listener
from logbroker.net.server_connection import ServerConnection

_log = logs.get("net")

SWEEP_PERIOD_S: Final = 1.0
HAND_OUT_AGAIN_S: Final = 0.001

FrameHandler = Callable[[ServerConnection, memoryview], bool]
"""Takes one whole frame, without its length, writable and never reused. It opens a `Reply` with
`connection.admit`, or calls `connection.refuse`; False leaves the frame for when everything in flight on the
connection is answered (never if nothing is). It doesn't raise."""


class Server:
    """The server side of the network layer.

    Args:
        on_frame: Called with each frame, in the order in which a connection sent them.
        limits: The bounds.
        clock: Measures waits.

    Attributes:
        connections: Those that are open.
        slow_readers: Those whose peers take their replies too slowly; the others hold little.
        counters: Sums for metrics.
        budget: The memory that all requests share.
    """

    def __init__(self, on_frame: FrameHandler, limits: ServerLimits, clock: Clock) -> None:
        self.on_frame = on_frame
        self.limits = limits
        self.monotonic = clock.monotonic
        self.now = clock.monotonic()
        self.counters = NetworkCounters()
        self.connections: set[ServerConnection] = set()
        self.slow_readers: set[ServerConnection] = set()
        self.listeners: list[Listener] = []
        self.budget = RequestBudget(limits.queued_max_bytes, self._hand_out_soon)
        # One buffer for every connection: the transport fills it and hands it over in one go, and it is copied out.
        self.receive_buffer = bytearray(RECEIVE_BYTES)
        self.receive_view = memoryview(self.receive_buffer)
        self.peek_view = self.receive_view[:PEEK_BYTES]
        self._loop = asyncio.get_running_loop()
        self._by_address: Counter[str] = Counter()
        self._dirty: list[ServerConnection] = []
        self._hand_out_scheduled = False
        self._closing_log = ClosingLog(self.now)
        self._all_closed = asyncio.Event()  # set while there is no connection
        self._all_closed.set()
        self._sweep_timer = self._loop.call_later(SWEEP_PERIOD_S, self._sweep_and_again)

    # ---- starting and stopping ----

    async def listen(self, name: str, host: str, port: int, *, backlog: int = 1024) -> Listener:
        """Open a listening socket; see `Listener.open`.

        Raises:
            ConfigError: the address can't be used; says why and what to do.
        """
        listener = await Listener.open(
            lambda: ServerConnection(self, name),
            name,
            host,
            port,
            backlog=backlog,
            send_buffer_bytes=self.limits.send_buffer_bytes,
        )
        self.listeners.append(listener)
        return listener

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections stay."""
        for listener in self.listeners:
            listener.close()

    async def stop(self, timeout_s: float) -> int:
        """Accept no more, answer what is in flight, close; what takes longer than `timeout_s` is cut off.

        May be called again meanwhile, with less time: both calls end then.

        Returns:
            How many connections were cut off.
        """
        self.stop_accepting()
        for connection in list(self.connections):
            connection.end()
        await self._wait_closed(timeout_s)
        cut_off = [connection for connection in self.connections if not connection.discarding]
        for connection in list(self.connections):
            connection.abort()
        await self._wait_closed(SWEEP_PERIOD_S)
        self._sweep_timer.cancel()
        if cut_off:
            _log.warning(
                "connections were cut off: their requests were not done in time", connections=len(cut_off)
            )
        return len(cut_off)

    async def _wait_closed(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), timeout_s)

    def reconfigure(self, **changes: int) -> None:
        """Change some of the limits, named as in `ServerLimits`; those of memory and queues count from now on."""
        self.limits = replace(self.limits, **changes)

    # ---- what connections call ----

    def opened(self, connection: ServerConnection) -> None:
        """Take in a new connection, or close it if there are too many."""
        address = connection.address
        limits = self.limits
        if len(self.connections) >= limits.connections_max:
            reason = f"max.connections ({limits.connections_max}) are open already"
        elif self._by_address[address] >= limits.connections_per_address_max:
            reason = f"max.connections.per.ip ({limits.connections_per_address_max}) are open from {address} already"
        else:
            reason = ""
        # A refused one is counted as well, until it is lost a moment later.
        self.connections.add(connection)
        self._all_closed.clear()
        self._by_address[address] += 1
        if reason:
            self.counters.refused += 1
            self.log_closing(connection, reason)
            connection.abort()
        else:
            self.counters.accepted += 1

    def lost(self, connection: ServerConnection) -> None:
        """Forget a connection that is gone."""
        self.connections.discard(connection)
        self.slow_readers.discard(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]
        if not self.connections:
            self._all_closed.set()

    def reply_room(self) -> int:
        """The bytes that one more large reply may have: what slow readers leave, but `REPLY_BYTES_LEAST` always."""
        room = self.limits.replies_max_bytes
        if self.slow_readers:
            room -= self.unsent_bytes()
        return max(room, REPLY_BYTES_LEAST)

    def unsent_bytes(self) -> int:
        """Bytes of replies that wait for slow readers."""
        return sum(connection.unsent_bytes for connection in self.slow_readers)

    def flush_soon(self, connection: ServerConnection) -> None:
        """Have `connection` flushed at the end of this tick, with all others."""
        if not self._dirty:
            self._loop.call_soon(self.flush)
        self._dirty.append(connection)

    def flush(self) -> None:
        """Write what is ready, on every connection that has something: one call each.

        Runs by itself; whoever has just answered many requests may call it to save a turn of the loop.
        """
        dirty, self._dirty = self._dirty, []
        now = self.monotonic()
        for connection in dirty:
            try:
                connection.flush(now)
            except Exception as error:
                _log.error("replying failed; the connection is closed", client=connection.peer, error=error)
                connection.abort()

    def log_closing(self, connection: ServerConnection, reason: str, level: str = "warning") -> None:
        """Say in one line why `connection` is closed."""
        self._closing_log.write(self.monotonic(), connection.address, connection.peer, reason, level)

    # ---- what runs by itself ----

    def _hand_out_soon(self) -> None:
        if not self._hand_out_scheduled:
            self._hand_out_scheduled = True
            self._loop.call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._hand_out_scheduled = False
        if self.budget.hand_out() and not self._hand_out_scheduled:
            self._hand_out_scheduled = True
            self._loop.call_later(HAND_OUT_AGAIN_S, self._hand_out)

    def _sweep_and_again(self) -> None:
        try:
            self.sweep()
        finally:
            self._sweep_timer = self._loop.call_later(SWEEP_PERIOD_S, self._sweep_and_again)

    def sweep(self) -> None:
        """Close what is idle, what is stuck, and, while memory is short, what holds it for nothing."""
        now = self.monotonic()
        limits = self.limits
        idle_s = limits.idle_max_ms / 1000
        stuck_s = limits.stuck_reader_timeout_ms / 1000
        for connection in list(self.connections):
            if connection.is_stuck(now, stuck_s):
                self.counters.closed_stuck += 1
                self.log_closing(
                    connection, f"it took nothing of the replies that wait for it for {stuck_s:g} s"
                )
                connection.abort()
            elif connection.lingers_too_long(now):
                connection.abort()
            elif connection.is_idle(now, idle_s):
                self.counters.closed_idle += 1
                half = connection.half_received
                # An idle client is no news; one that left half a request is.
                level = "warning" if half else "debug"
                self.log_closing(
                    connection, f"silent for {idle_s:g} s{', with ' if half else ''}{half}", level
                )
                connection.end()
        if self.budget.waiting:
            for lane in self.budget.lanes:
                if self.budget.waiting_in(lane):
                    self._give_up_stalled(lane, now)
        self._closing_log.roll(now)

    def _give_up_stalled(self, lane: Lane, now: float) -> None:
        """Close connections that keep others waiting in `lane` and make no request of what they hold, the largest first."""
        slow_s = self.limits.stalled_frame_timeout_ms / 1000
        silent_s = self.limits.silent_frame_timeout_ms / 1000
        lane_of = self.budget.lane_of
        stalled = [
            (connection.stalled_bytes(now, slow_s, silent_s), connection) for connection in self.connections
        ]
        wanted_bytes = self.budget.wanted_bytes(lane)
        for held_bytes, connection in sorted(stalled, key=lambda entry: -entry[0]):
            if not held_bytes or wanted_bytes <= 0:
                break
            if lane_of(held_bytes) is not lane:
                continue
            wanted_bytes -= held_bytes
            self.counters.closed_stalled += 1
            self.log_closing(
                connection,
                f"it held room for {held_bytes:,} bytes of requests without getting on with them, while "
                f"{self.budget.waiting_in(lane)} others waited for it (queued.max.request.bytes)",
            )
            connection.abort()
