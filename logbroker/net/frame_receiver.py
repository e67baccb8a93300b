"""A client's receiving end: bytes from the socket in, whole frames out.

Small frames are copied out of one scratch buffer, so that a decoded message may keep slices of its frame for as long as
it likes; a large one is received straight into a buffer of its own size, which is bounded by what the
connection allows. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from logbroker.base.errors import ProtocolError
from logbroker.wire.frames import LENGTH_BYTES, frame_length

__all__ = ["FrameReceiver"]

SCRATCH_BYTES = 64 * 1024


class FrameReceiver(asyncio.BufferedProtocol):
    """Cuts what arrives into frames.

    Args:
        max_frame_bytes: the largest frame that is taken; a larger one ends the connection.
        on_frame: called with each frame, its length field left out.
        on_lost: called when the transport is gone, or with a `ProtocolError` when what came is no frame.
        on_writable: called with False when the socket takes no more bytes, with True when it does again.

    """

    __slots__ = (
        "_frame",
        "_frame_filled",
        "_max_frame_bytes",
        "_on_frame",
        "_on_lost",
        "_on_writable",
        "_scratch",
        "_scratch_filled",
    )

    def __init__(
        self,
        max_frame_bytes: int,
        on_frame: Callable[[memoryview], None],
        on_lost: Callable[[BaseException | None], None],
        on_writable: Callable[[bool], None],
    ) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._scratch = bytearray(SCRATCH_BYTES)
        self._scratch_filled = 0
        self._frame: bytearray | None = None
        self._frame_filled = 0

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: the rest of a large frame, or the scratch buffer."""
        if self._frame is not None:
            return memoryview(self._frame)[self._frame_filled :]
        return memoryview(self._scratch)[self._scratch_filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` that arrived and hand on every frame that is whole now."""
        if self._frame is not None:
            self._frame_filled += nbytes
            if self._frame_filled == len(self._frame):
                frame, self._frame = self._frame, None
                self._on_frame(memoryview(frame))
            return
        self._scratch_filled += nbytes
        self._cut_scratch()

    def _cut_scratch(self) -> None:
        filled = self._scratch_filled
        position = 0
        while filled - position >= LENGTH_BYTES:
            try:
                size = frame_length(self._scratch, position, self._max_frame_bytes, what="response")
            except ProtocolError as error:
                self._on_lost(error)
                return
            start = position + LENGTH_BYTES
            if filled - start >= size:
                position = start + size
                self._on_frame(memoryview(bytes(memoryview(self._scratch)[start:position])))
                continue
            if LENGTH_BYTES + size > SCRATCH_BYTES:
                self._frame = bytearray(size)
                self._frame_filled = filled - start
                self._frame[: self._frame_filled] = memoryview(self._scratch)[start:filled]
                position = filled
            break
        left = filled - position
        if left and position:
            self._scratch[:left] = self._scratch[position:filled]
        self._scratch_filled = left

    def eof_received(self) -> bool:
        """Let the transport close itself."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the connection that the transport is gone."""
        self._on_lost(exc)

    def pause_writing(self) -> None:
        """Remember that the socket takes no more for now."""
        self._on_writable(False)

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._on_writable(True)
