"""The receiving half of a client's connection: whole frames out of the byte stream, and what pauses it.

Small frames: every read goes into one buffer that all connections of the server share, and what came is copied out at
once, as one chunk; the frames handed on are writable slices of it. A frame that a read has cut gets a buffer of its
own, and the reads that follow go straight there, so that what is large is never copied; when it is whole, it is handed
on and never used again: batches live on as slices of it. It gets its buffer once the request budget has room for all of
it, but at first no longer a one than this connection has proved it can send, and it doubles as bytes come: a promise
alone takes no memory. After a large frame the next read is a short one (a *peek*), to learn the next length before the
bulk of the frame comes.

Each frame goes to the server's `on_frame`, which may return False for "not before what is in flight is answered". Then
the frame, and what came with it, is *held*, and reading pauses. It pauses, too, for each of the reasons below.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import TYPE_CHECKING, Final

from logbroker.base import logs
from logbroker.base.errors import ProtocolError
from logbroker.net.limits import FIRST_BUFFER_BYTES, PEEK_AFTER_BYTES, PROGRESS_BYTES, TRUSTED_BUFFER_BYTES
from logbroker.wire.frames import LENGTH_BYTES, frame_length

if TYPE_CHECKING:
    from logbroker.net.server import Server

_log = logs.get("net")

_LENGTH: Final = Struct(">i")

IN_FLIGHT: Final = 1
"""`in_flight_max` requests are unanswered."""
OUTGOING: Final = 2
"""The transport holds more than half of `outgoing_max_bytes`."""
READY: Final = 4
"""Replies that are ready, but not yet handed to the transport, are more than half of
`outgoing_max_bytes`."""
HELD: Final = 8
"""Frames came that may not be dispatched yet."""
BUDGET: Final = 16
"""There is no room for more requests, of any connection."""
ENDING: Final = 32
"""The connection closes when what is in flight is answered."""

_NO_DISPATCH: Final = IN_FLIGHT | OUTGOING | READY | ENDING


class ReceivingConnection(asyncio.BufferedProtocol):
    """What `ServerConnection` is made of, apart from replies.

    Attributes:
        server: What all connections share.
        serial: Whether nothing may be dispatched before everything in flight is answered.
        discarding: Whether what still comes is thrown away.
        last_active: Monotonic seconds of the last bytes received or written.
    """

    __slots__ = (
        "_blocked",
        "_buffered_bytes",
        "_cut_bytes",
        "_filled",
        "_held",
        "_over_budget",
        "_partial",
        "_peek",
        "_prefix",
        "_progress_at",
        "_progress_filled",
        "_promised",
        "_trusted_bytes",
        "closed",
        "discarding",
        "last_active",
        "peer",
        "serial",
        "server",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peer = "?"
        self.closed = False
        self.serial = False
        self.discarding = False
        self.last_active = 0.0
        self._blocked = 0
        self._prefix = b""
        self._peek = False
        self._over_budget = False
        self._partial: memoryview | None = None
        self._filled = 0
        self._promised = 0
        self._trusted_bytes = FIRST_BUFFER_BYTES
        self._held: memoryview | None = None
        self._cut_bytes = 0
        self._buffered_bytes = 0
        self._progress_at = 0.0
        self._progress_filled = 0

    def refuse(self, reason: str) -> None:
        """Close for what the peer sent; see `ServerConnection`."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: the rest of a cut frame, or the server's shared buffer."""
        partial = self._partial
        if partial is not None:
            return partial[self._filled :]
        server = self.server
        # What comes with one read can't be refused any more, so it is a short one where memory is used up. Reading is
        # paused when it has come: libuv doesn't survive a pause while it asks for a buffer.
        budget = server.budget
        self._over_budget = over_budget = budget.exhausted
        view = server.peek_view if over_budget or self._peek or budget.waiting else server.receive_view
        prefix = self._prefix
        if prefix:
            view[: len(prefix)] = prefix
            return view[len(prefix) :]
        return view

    def buffer_updated(self, nbytes: int) -> None:
        """Parse every whole frame in what came."""
        server = self.server
        self.last_active = server.now = server.monotonic()
        server.counters.received_bytes += nbytes
        if self.discarding:
            return
        try:
            if self._partial is not None:
                self._partial_grew(nbytes)
                return
            if self._over_budget:
                self._block(BUDGET)
                server.budget.wait_to_read(self)
            received = server.receive_buffer
            end = nbytes
            if self._prefix:
                end += len(self._prefix)
                self._prefix = b""
            if end >= LENGTH_BYTES and not self._blocked and not self.serial:
                (length,) = _LENGTH.unpack_from(received)
                if length == end - LENGTH_BYTES and length <= server.limits.request_max_bytes:
                    # Exactly one frame, as from every client that waits for its replies: the cheapest way through.
                    self._peek = False
                    if server.on_frame(self, memoryview(received[LENGTH_BYTES:end])):  # type: ignore[arg-type]
                        server.counters.requests += 1
                    else:
                        self.serial = True
                        self._hold(memoryview(received[:end]))
                    return
            self._parse(memoryview(received[:end]))
        except Exception as error:
            _log.error("receiving failed; the connection is closed", client=self.peer, error=error)
            self.transport.abort()

    def budget_granted(self) -> None:
        """There is room: give the cut frame its buffer, or just read on."""
        self._progress_at = self.server.monotonic()  # until now it was kept from making any
        if self._partial is not None and not self._cut_bytes:
            self._first_buffer(self._partial)
        self._unblock(BUDGET)

    def stalled_bytes(self, now: float, slow_s: float, silent_s: float) -> int:
        """What it holds of the request budget without making a request of it, other than for want of budget.

        0 if it makes progress: `PROGRESS_BYTES` within `slow_s`, and any bytes at all within `silent_s`.
        """
        since_s = now - self._progress_at
        silent = not self._blocked and since_s >= silent_s and now - self.last_active >= silent_s
        return self.budget_bytes if silent or since_s >= slow_s else 0

    @property
    def budget_bytes(self) -> int:
        """What it holds of the request budget in frames that aren't dispatched."""
        return self._cut_bytes + (len(self._held) if self._held is not None else 0)

    @property
    def half_received(self) -> str:
        """What it has sent of a frame that isn't whole, for the log; "" if there is none."""
        if self._partial is not None:
            return f"{self._filled - LENGTH_BYTES:,} of {self._promised - LENGTH_BYTES:,} bytes of a request received"
        return f"{len(self._prefix)} of 4 bytes of a length received" if self._prefix else ""

    # ---- receiving ----

    def _parse(self, view: memoryview) -> None:
        """Dispatch the frames in `view`, which begins with a frame's length; keep what can't be dispatched yet."""
        position, end = 0, len(view)
        server = self.server
        max_bytes = server.limits.request_max_bytes
        while end - position >= LENGTH_BYTES:
            (length,) = _LENGTH.unpack_from(view, position)
            if not 0 <= length <= max_bytes:
                self._refuse_length(view[position:], max_bytes)
                return
            stop = position + LENGTH_BYTES + length
            if stop > end:
                break
            if self.serial or self._blocked & _NO_DISPATCH:
                break
            if not server.on_frame(self, view[position + LENGTH_BYTES : stop]):  # type: ignore[arg-type]
                self.serial = True
                break
            server.counters.requests += 1
            self._peek = False
            position = stop
        if position == end or self._blocked & ENDING:
            return
        if self.serial or self._blocked & _NO_DISPATCH:
            self._hold(view[position:])
        elif end - position < LENGTH_BYTES:
            self._prefix = bytes(view[position:])
        else:
            self._begin_partial(view[position:], length)

    def _refuse_length(self, view: memoryview, max_bytes: int) -> None:
        try:
            frame_length(view, 0, max_bytes)
        except ProtocolError as error:
            self.refuse(f"{error} (socket.request.max.bytes)" if view[0] < 0x80 else str(error))

    def _begin_partial(self, start: memoryview, length: int) -> None:
        """Give the frame that `start` begins a buffer of its own, now or when there is room for all of it."""
        self._promised = LENGTH_BYTES + length
        self._filled = self._progress_filled = len(start)
        self._progress_at = self.server.now
        self._partial = start
        self._buffer(len(start))
        if self.server.budget.ask(self, self._promised):
            self._first_buffer(start)
            self._unblock(BUDGET)
        else:
            self._block(BUDGET)

    def _first_buffer(self, start: memoryview) -> None:
        """The frame has its room. How much memory it takes is bounded by what came, not by what was promised."""
        self._cut_bytes = self._promised
        self._enlarge(start, min(self._promised, max(self._trusted_bytes, 2 * len(start))))

    def _partial_grew(self, nbytes: int) -> None:
        partial = self._partial
        if partial is None:  # pragma: no cover - the transport only fills what get_buffer gave
            return
        self._filled += nbytes
        if self._filled - self._progress_filled >= PROGRESS_BYTES:
            self._progress_filled = self._filled
            self._progress_at = self.last_active
        if self._filled < len(partial):
            return
        if self._filled < self._promised:
            self._enlarge(partial, min(self._promised, 2 * len(partial)))
            return
        self._partial = None
        self._give_back_cut()
        if self._promised >= PEEK_AFTER_BYTES:
            self._trusted_bytes = max(self._trusted_bytes, min(self._promised, TRUSTED_BUFFER_BYTES))
        self._parse(partial)
        self._peek = self._promised >= PEEK_AFTER_BYTES

    def _enlarge(self, partial: memoryview, size_bytes: int) -> None:
        """Move what came to a larger buffer (the old one may still be the transport's)."""
        larger = memoryview(bytearray(size_bytes))
        larger[: self._filled] = partial[: self._filled]
        self._partial = larger
        self._buffer(size_bytes - self._buffered_bytes)

    def _buffer(self, more_bytes: int) -> None:
        """Count memory taken by frames that aren't dispatched."""
        self._buffered_bytes += more_bytes
        self.server.budget.buffers_bytes += more_bytes

    def _give_back_cut(self) -> None:
        self._buffer(-self._buffered_bytes)
        if self._cut_bytes:
            cut_bytes, self._cut_bytes = self._cut_bytes, 0
            self.server.budget.give_back_cut(cut_bytes)

    # ---- holding and pausing ----

    def _hold(self, view: memoryview) -> None:
        """Keep frames until they may be dispatched; nothing is read meanwhile."""
        if self._held is not None:
            view = memoryview(bytearray(self._held) + view)
            self._give_back_held()
        self._held = view
        self._progress_at = self.server.now
        self._buffer(len(view))
        self.server.budget.charge(len(view))
        self._block(HELD)

    def _give_back_held(self) -> None:
        if self._held is not None:
            size_bytes = len(self._held)
            self._held = None
            self._buffer(-size_bytes)
            self.server.budget.give_back(size_bytes)

    def _dispatch_held(self) -> None:
        held = self._held
        if held is None or self.serial or self._blocked & _NO_DISPATCH:
            return
        self._give_back_held()
        self.server.now = self.server.monotonic()
        self._parse(held)
        if self._held is None:
            self._unblock(HELD)

    def _drop_received(self) -> None:
        self._partial = None
        self._prefix = b""
        self._give_back_held()
        self._give_back_cut()
        self.server.budget.forget(self)

    def _block(self, reason: int) -> None:
        if not self._blocked:
            self.transport.pause_reading()
        self._blocked |= reason

    def _unblock(self, reason: int) -> None:
        if not self._blocked & reason:
            return
        self._blocked &= ~reason
        if reason & _NO_DISPATCH and self._blocked & HELD:
            self._dispatch_held()
        if not self._blocked and not self.closed:
            self.transport.resume_reading()
