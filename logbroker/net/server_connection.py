"""One client's connection: requests in, replies out in their order.

All of it runs in the loop's thread, and nothing in it waits. `receiving.py` has the half that makes frames of bytes.
Each frame goes to the server's `on_frame`, which opens a `Reply`. A connection whose first open reply is answered is put
on the server's list; one callback at the end of the loop tick writes, for each, everything that is ready, in one call.

Closing is done with care: a socket that is closed with unread bytes in it resets the connection, and what was just
sent may be lost. So a connection that ends, for what the peer sent or because the broker stops, first answers what is in
flight, then shuts its sending side, and *lingers*: what still comes is read and thrown away until the peer closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base import logs
from logbroker.base.types import Buffer
from logbroker.net.limits import JOIN_BYTES, LINGER_S, SMALL_FRAME_BYTES
from logbroker.net.receiving import ENDING, HELD, IN_FLIGHT, OUTGOING, READY, ReceivingConnection
from logbroker.net.reply import Reply

if TYPE_CHECKING:
    from logbroker.net.server import Server

_log = logs.get("net")


class ServerConnection(ReceivingConnection):
    """A client, as the broker sees it; made by `Server` for each connection accepted.

    Attributes:
        server: What all connections share.
        listener_name: The listener it came in by.
        peer: `host:port` of the client, for logs.
        address: The client's host.
        client_id, client_id_raw: As the last request said; kept so that it is decoded once.
        client_software: Name and version that the client gave in ApiVersions (KIP-511), "" before.
        closed: Whether the connection is gone.
        serial: Whether nothing may be dispatched before everything in flight is answered.
        unanswered: Requests in flight without an answer.
        last_active: Monotonic seconds of the last bytes received or written.
    """

    __slots__ = (
        "_close_callbacks",
        "_half_outgoing_max",
        "_linger_until",
        "_ready_bytes",
        "_slots",
        "_undrained_at",
        "_undrained_bytes",
        "address",
        "client_id",
        "client_id_raw",
        "client_software",
        "dirty",
        "listener_name",
        "unanswered",
    )

    def __init__(self, server: Server, listener_name: str) -> None:
        super().__init__(server)
        self.listener_name = listener_name
        self.address = "?"
        self.client_id: str | None = None
        self.client_id_raw: bytes | None = None
        self.client_software = ""
        self.dirty = False
        self.unanswered = 0
        self._slots: deque[Reply] = deque()
        self._ready_bytes = 0
        self._half_outgoing_max = server.limits.outgoing_max_bytes // 2
        self._undrained_bytes = 0
        self._undrained_at = 0.0
        self._linger_until = 0.0
        self._close_callbacks: list[Callable[[], None]] | None = None

    # ---- what the transport calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register; too many connections, and it is closed at once."""
        self.transport = transport  # type: ignore[assignment]
        self.address, self.peer = peer_names(transport.get_extra_info("peername"))
        self.last_active = self.server.monotonic()
        # Half of the bound is for what the transport holds, half for what is ready: a flush adds one to the other.
        self.transport.set_write_buffer_limits(high=self._half_outgoing_max, low=self._half_outgoing_max // 2)
        self.server.opened(self)

    def eof_received(self) -> None:
        """The peer closed: so do we, as nobody would read the replies."""
        half = self.half_received
        if half and not self._blocked & ENDING:
            self.server.log_closing(self, f"its client closed it, with {half}", "info")

    def pause_writing(self) -> None:
        """The peer takes its replies too slowly: take no more of its requests."""
        self._block(OUTGOING)
        self.server.slow_readers.add(self)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.server.slow_readers.discard(self)
        self._unblock(OUTGOING)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back; answers that still come are dropped."""
        self.closed = True
        slots, self._slots = self._slots, deque()
        self._drop_received()
        self.server.lost(self)
        callbacks = [
            reply.on_abandoned for reply in slots if reply.on_abandoned is not None and not reply.answered
        ]
        for reply in slots:
            if reply.on_abandoned is not None:
                reply.send_nothing()
        callbacks += self._close_callbacks or ()
        self._close_callbacks = None
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                _log.error("a callback at the end of a connection failed", client=self.peer, error=error)

    # ---- what the broker calls ----

    def admit(self, reply: Reply) -> None:
        """Give a request its place in the order of replies."""
        self._slots.append(reply)
        self.unanswered += 1
        server = self.server
        if reply.request_bytes <= SMALL_FRAME_BYTES:
            server.budget.small.used_bytes += reply.request_bytes  # `charge`, without the call
        else:
            server.budget.charge(reply.request_bytes)
        if self.unanswered >= server.limits.in_flight_max:
            self._block(IN_FLIGHT)

    def answered(self, reply: Reply) -> None:
        """`reply` has its payload (called by it)."""
        server = self.server
        budget = server.budget
        if reply.request_bytes <= SMALL_FRAME_BYTES and not budget.waiting:
            budget.small.used_bytes -= reply.request_bytes  # `give_back`, without the call
        else:
            budget.give_back(reply.request_bytes)
        self.unanswered -= 1
        if not self.unanswered:
            self.serial = False
        slots = self._slots
        if not slots:
            return  # the connection is gone
        self._ready_bytes += reply.reply_bytes
        if self._ready_bytes > self._half_outgoing_max:
            self._block(READY)
        if slots[0] is reply and not self.dirty:
            self.dirty = True
            server.flush_soon(self)

    def refuse(self, reason: str) -> None:
        """Close for what the peer sent, with one log line; requests before it are still answered."""
        if self._blocked & ENDING or self.closed:
            return
        self.server.counters.closed_invalid += 1
        self.server.log_closing(self, reason)
        self._end(linger=True)

    def end(self) -> None:
        """Read no more, answer what is in flight, then close."""
        if not self._blocked & ENDING and not self.closed:
            self._end(linger=bool(self._slots or self.transport.get_write_buffer_size()))

    def _end(self, *, linger: bool) -> None:
        self._block(ENDING)
        self._drop_received()
        if self._slots:
            return  # `flush` goes on when the last of them is answered
        if linger:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Everything is answered: say that nothing more comes, and close when the peer does, or soon."""
        self.discarding = True
        self._linger_until = self.server.monotonic() + LINGER_S
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close now; what waits to be sent is dropped."""
        if not self.closed:
            self.transport.abort()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when the connection is gone; at once if it is.

        For what lives as long as the connection; what belongs to one request uses its `on_abandoned`.
        """
        if self.closed:
            callback()
        elif self._close_callbacks is None:
            self._close_callbacks = [callback]
        else:
            self._close_callbacks.append(callback)

    # ---- what the server calls ----

    @property
    def unsent_bytes(self) -> int:
        """Bytes of replies that the peer hasn't taken."""
        return self._ready_bytes + self.transport.get_write_buffer_size()

    def flush(self, now: float) -> None:
        """Write every reply whose turn has come, in one call."""
        self.dirty = False
        slots = self._slots
        pieces: list[Buffer] = []
        total_bytes = 0
        while slots:
            reply = slots[0]
            payload = reply.payload
            if payload is None:
                break
            slots.popleft()
            if type(payload) is list:
                pieces += payload
            elif payload:
                pieces.append(payload)  # type: ignore[arg-type]
            total_bytes += reply.reply_bytes
            if reply.stats is not None:
                reply.stats.observe(int((now - reply.started) * 1e6))
        if total_bytes:
            self._ready_bytes -= total_bytes
            self.server.counters.sent_bytes += total_bytes
            self.last_active = now
            if len(pieces) == 1:
                self.transport.write(pieces[0])
            elif total_bytes <= JOIN_BYTES:
                self.transport.write(b"".join(pieces))
            else:
                self.transport.writelines(pieces)
        blocked = self._blocked
        if blocked:
            if blocked & IN_FLIGHT and self.unanswered < self.server.limits.in_flight_max:
                self._unblock(IN_FLIGHT)
            if blocked & READY and self._ready_bytes <= self._half_outgoing_max:
                self._unblock(READY)
            if blocked & HELD:
                self._dispatch_held()
            if blocked & ENDING and not slots and not self.discarding:
                self._linger()

    def lingers_too_long(self, now: float) -> bool:
        """Whether everything is sent, and the peer had its time to close; called at every sweep."""
        if not self.discarding:
            return False
        if self.transport.get_write_buffer_size():
            self._linger_until = now + LINGER_S
        return now >= self._linger_until

    def is_idle(self, now: float, idle_s: float) -> bool:
        """Whether nothing happened for so long, and nothing is under way."""
        return (
            now - self.last_active >= idle_s
            and not self._slots
            and not self.transport.get_write_buffer_size()
        )

    def is_stuck(self, now: float, timeout_s: float) -> bool:
        """Whether the peer has taken nothing for so long of what waits for it; called at every sweep."""
        waiting_bytes = self.transport.get_write_buffer_size()
        if not waiting_bytes or waiting_bytes < self._undrained_bytes or not self._undrained_bytes:
            self._undrained_at = now
        self._undrained_bytes = waiting_bytes
        return waiting_bytes > 0 and now - self._undrained_at >= timeout_s


def peer_names(peername: object) -> tuple[str, str]:
    """Host, and `host:port`, of a socket's peer name; IPv4 addresses mapped into IPv6 are shown as IPv4."""
    if not isinstance(peername, tuple) or len(peername) < 2:
        return "?", "?"
    host = str(peername[0]).removeprefix("::ffff:")
    return host, f"[{host}]:{peername[1]}" if ":" in host else f"{host}:{peername[1]}"
