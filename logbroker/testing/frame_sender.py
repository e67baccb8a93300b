"""Send frames that may be anything to a broker, over many connections, and see that each gets an answer or a closed connection.

Behind each frame goes an ApiVersions request, the *sentinel*: its answer shows that the frame before it was dealt with, also where a frame has
no answer (acks=0). Where neither comes within the time that the frame may take, it is `silent`; a connection that was closed, or is
in doubt, is replaced. A frame whose length is wrong is sent without sentinel, and its connection closed right after it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from logbroker.testing.frame_fuzz import PARKING, Frame
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.headers import decode_response_header

CONNECTIONS: Final = 8
PARKED_S: Final = 0.15
"""How long an answer is waited for that may rightly be late."""
ANSWER_S: Final = 10.0
"""How long any other answer may take, on a machine that does other things as well."""
SENTINEL_ID: Final = 0x5EA71E1
SENTINEL: Final = struct.pack(">ihhih", 10, ApiKey.API_VERSIONS, 0, SENTINEL_ID, -1)


@dataclass(slots=True)
class Outcome:
    """What became of the frames, counted."""

    sent: int = 0
    answered: int = 0
    closed: int = 0
    sentinels: int = 0
    parked: int = 0
    done: Counter[ApiKey] = field(default_factory=Counter)
    """Frames of which all was done that they ask for: answered, and no error in the answer."""
    by_api: Counter[tuple[ApiKey, int]] = field(default_factory=Counter)
    silent: list[Frame] = field(default_factory=list)
    """Frames that got neither an answer nor a closed connection, and had no right to."""


class _Peer(asyncio.Protocol):
    """Collects whole response frames."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.closed = False
        self.frames = 0
        self.last = b""
        """The last response that wasn't the sentinel's."""
        self._buffer = bytearray()
        self._sentinel: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 8:
            length, correlation_id = struct.unpack_from(">ii", buffer, at)
            if len(buffer) - at < length + 4:
                break
            if correlation_id == SENTINEL_ID:
                self._set(True)
            else:
                self.frames += 1
                self.last = bytes(buffer[at + 4 : at + 4 + length])
            at += length + 4
        del buffer[:at]

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._set(False)

    def sentinel(self) -> asyncio.Future[bool]:
        """Becomes True when the sentinel is answered, False when the connection is closed."""
        self._sentinel = asyncio.get_running_loop().create_future()
        if self.closed:
            self._set(False)
        return self._sentinel

    def _set(self, value: bool) -> None:
        if self._sentinel is not None and not self._sentinel.done():
            self._sentinel.set_result(value)


async def send_all(
    bootstrap: str, frames: Iterable[Frame], outcome: Outcome, *, connections: int = CONNECTIONS
) -> None:
    """Send every frame, and count in `outcome` what became of it. Raises OSError: the broker takes no connections."""
    host, _, port = bootstrap.rpartition(":")
    source = iter(frames)
    await asyncio.gather(*(_send_some(host, int(port), source, outcome) for _ in range(connections)))


async def _send_some(host: str, port: int, source: Iterable[Frame], outcome: Outcome) -> None:
    loop = asyncio.get_running_loop()
    peer: _Peer | None = None
    try:
        for frame in source:
            if peer is None or peer.closed:
                _, peer = await loop.create_connection(_Peer, host, port)
            outcome.sent += 1
            outcome.by_api[frame.api_key, frame.version] += 1
            if frame.misframed:
                peer.transport.write(frame.data)
                peer.transport.close()
                peer = None
                continue
            before = peer.frames
            done = peer.sentinel()
            peer.transport.write(frame.data + SENTINEL)
            may_park = frame.mutated or frame.api_key in PARKING
            try:
                passed = await asyncio.wait_for(done, PARKED_S if may_park else ANSWER_S)
            except TimeoutError:
                if may_park:
                    outcome.parked += 1
                else:
                    outcome.silent.append(frame)
                peer.transport.abort()
                peer = None
                continue
            outcome.sentinels += passed
            if peer.frames > before:
                outcome.answered += 1
                outcome.done[frame.api_key] += not frame.mutated and _is_done(frame, peer.last)
            if not passed:
                outcome.closed += 1
    finally:
        if peer is not None:
            peer.transport.abort()


def _is_done(frame: Frame, response: bytes) -> bool:
    """Whether there is something in the response, and no error."""
    _, position = decode_response_header(frame.api_key, frame.version, response)
    codes = list(_error_codes(codec.decode_response(frame.api_key, frame.version, response, position)))
    return bool(codes) and not any(codes)


def _error_codes(message: Any) -> Iterator[int]:
    if isinstance(message, list):
        for item in message:
            yield from _error_codes(item)
    elif dataclasses.is_dataclass(message):
        for each in dataclasses.fields(message):
            value = getattr(message, each.name)
            if each.name.endswith("error_code"):
                yield value
            else:
                yield from _error_codes(value)


class Recent:
    """An iterable that remembers the last frames it gave out, for the report of a failure."""

    def __init__(self, frames: Iterable[Frame], keep: int = 64) -> None:
        self._frames = iter(frames)
        self.last: deque[Frame] = deque(maxlen=keep)

    def __iter__(self) -> Recent:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames)
        self.last.append(frame)
        return frame
