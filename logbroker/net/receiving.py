"""The receiving half of a client's connection: whole frames out of the byte stream, and what pauses it.

Small frames: every read goes into one buffer that all connections of the server share, and what came is copied out at
once, as one chunk; the frames handed on are writable slices of it. A frame that a read has cut gets a buffer of its
own, and the reads that follow go straight there, so that what is large is never copied; when it is whole, it is handed
on and never used again: batches live on as slices of it. Such a buffer is first as long as what this connection has
proved it can send, and doubles as bytes come: a promise alone costs nothing. After a large frame the next read is a
short one (a *peek*), to learn the next length before the bulk of the frame comes.

Each frame goes to the server's `on_frame`, which may return False for "not before what is in flight is answered". Then
the frame, and what came with it, is *held*, and reading pauses. It pauses, too, for each of the reasons below.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import TYPE_CHECKING, Final

from logbroker.base import logs
from logbroker.base.errors import ProtocolError
from logbroker.net.limits import FIRST_BUFFER_BYTES, LARGE_FRAME_BYTES, PROGRESS_BYTES, TRUSTED_BUFFER_BYTES
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
        self._over_budget = over_budget = server.budget.exhausted
        view = server.peek_view if over_budget or self._peek else server.receive_view
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

    def budget_granted(self, granted_bytes: int) -> None:
        """There is room: enlarge the cut frame's buffer, or just read on."""
        self._progress_at = self.server.monotonic()  # until now it was kept from making any
        if granted_bytes:
            self._enlarge(granted_bytes)
        self._unblock(BUDGET)

    def stalled_bytes(self, now: float, timeout_s: float) -> int:
        """What it holds of the budget in buffers that made no progress for so long, other than for want of budget."""
        if (
            not self._buffered_bytes
            or now - self._progress_at < timeout_s
            or self.server.budget.is_queued(self)
        ):
            return 0
        return self._buffered_bytes

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
        """Give the frame that `start` begins a buffer of its own; its size is bounded by what came, not by `length`."""
        self._promised = LENGTH_BYTES + length
        self._filled = self._progress_filled = len(start)
        self._progress_at = self.server.now
        self._partial = start
        self._want(min(self._promised, max(self._trusted_bytes, 2 * len(start))))

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
            self._want(min(self._promised, 2 * len(partial)))
            return
        self._partial = None
        self._release(self._buffered_bytes)
        self.server.budget.finished(self)
        if self._promised >= LARGE_FRAME_BYTES:
            self._trusted_bytes = max(self._trusted_bytes, min(self._promised, TRUSTED_BUFFER_BYTES))
        self._parse(partial)
        self._peek = self._promised >= LARGE_FRAME_BYTES

    def _want(self, size_bytes: int) -> None:
        """Enlarge the cut frame's buffer to `size_bytes`, now or when there is room."""
        extra_bytes = size_bytes - self._buffered_bytes
        if self.server.budget.grow_buffer(self, extra_bytes):
            self._enlarge(extra_bytes)
        else:
            self._block(BUDGET)

    def _enlarge(self, extra_bytes: int) -> None:
        """Move what came to a buffer that is larger by `extra_bytes` (the old one may still be the transport's)."""
        self._buffered_bytes += extra_bytes
        partial = self._partial
        if partial is not None:
            larger = memoryview(bytearray(self._buffered_bytes))
            larger[: self._filled] = partial[: self._filled]
            self._partial = larger

    # ---- holding and pausing ----

    def _hold(self, view: memoryview) -> None:
        """Keep frames until they may be dispatched; nothing is read meanwhile."""
        if self._held is not None:
            view = memoryview(bytearray(self._held) + view)
            self._release(len(self._held))
        self._held = view
        self._progress_at = self.server.now
        self._buffered_bytes += len(view)
        self.server.budget.buffers_bytes += len(view)
        self._block(HELD)

    def _dispatch_held(self) -> None:
        held = self._held
        if held is None or self.serial or self._blocked & _NO_DISPATCH:
            return
        self._held = None
        self._release(len(held))
        self.server.now = self.server.monotonic()
        self._parse(held)
        if self._held is None:
            self._unblock(HELD)

    def _release(self, size_bytes: int) -> None:
        self._buffered_bytes -= size_bytes
        self.server.budget.release_buffer(size_bytes)

    def _drop_received(self) -> None:
        self._partial = self._held = None
        self._prefix = b""
        self._release(self._buffered_bytes)
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
