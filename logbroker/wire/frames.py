"""Frames: a 4-byte big-endian length, then that many bytes. What lengths are believed, and how frames are put together.

A length is the first thing that a stranger sends, so it is checked before a single byte is set aside for it. Whoever
speaks another protocol on this port gives an absurd one; its first bytes often say which protocol it was,
and the error names it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire.headers import encode_request_header, response_has_tagged_header

LENGTH_BYTES: Final = 4

_LENGTH: Final = Struct(">i")
_LENGTH_AND_RESPONSE_V0: Final = Struct(">ii")
_LENGTH_AND_RESPONSE_V1: Final = Struct(">iix")

_HTTP_METHODS: Final = (
    b"GET ",
    b"HEAD",
    b"POST",
    b"PUT ",
    b"DELE",
    b"CONN",
    b"OPTI",
    b"TRAC",
    b"PATC",
    b"PRI ",
)
_TLS_HANDSHAKE: Final = b"\x16\x03"


def frame_length(buffer: Buffer, position: int, frame_bytes_max: int, *, what: str = "request") -> int:
    """Return the length of the frame that starts at `position`: the bytes that follow the length itself.

    Args:
        buffer: At least `LENGTH_BYTES` bytes at `position`.
        position: Where the length stands.
        frame_bytes_max: The longest frame that is taken (`socket.request.max.bytes`).
        what: What the frame should be, for the error's text.

    Raises:
        ProtocolError: negative, or more than `frame_bytes_max`; names the number, and the protocol the peer seems
            to speak.
    """
    (length,) = _LENGTH.unpack_from(buffer, position)
    if 0 <= length <= frame_bytes_max:
        return int(length)
    foreign = spoken_instead(buffer[position : position + LENGTH_BYTES])
    if foreign is not None:
        raise ProtocolError(foreign)
    if length < 0:
        raise ProtocolError(f"a {what} of negative length {length}")
    raise ProtocolError(f"a {what} of {length} bytes, more than the {frame_bytes_max} that are taken")


def spoken_instead(start: Buffer) -> str | None:
    """Return a clause on what a peer speaks whose first four bytes are `start`, or None where it can't be told."""
    first = bytes(start[:LENGTH_BYTES])
    if first[:2] == _TLS_HANDSHAKE:
        return "the peer speaks TLS to a port without it: set security.protocol=PLAINTEXT in the client"
    if first in _HTTP_METHODS or first == b"HTTP":
        return "the peer speaks HTTP, not the Kafka protocol"
    if first == b"SSH-":
        return "the peer speaks SSH, not the Kafka protocol"
    return None


def request_frame(
    api_key: int, version: int, correlation_id: int, client_id: str | None, message: list[Buffer]
) -> list[Buffer]:
    """Return a whole request frame, length and header included; `message` as an encoder returned it."""
    header = encode_request_header(api_key, version, correlation_id, client_id)
    length = len(header) + sum(map(len, message))
    return [_LENGTH.pack(length) + header, *message]


def response_frame(api_key: int, version: int, correlation_id: int, message: list[Buffer]) -> list[Buffer]:
    """Return a whole response frame, length and header included; `message` as an encoder returned it.

    Length and header are put before the first piece, which encoders keep small where records are large.
    """
    first = message[0]
    size = len(first) if len(message) == 1 else sum(map(len, message))
    if response_has_tagged_header(api_key, version):
        start = _LENGTH_AND_RESPONSE_V1.pack(size + 5, correlation_id)
    else:
        start = _LENGTH_AND_RESPONSE_V0.pack(size + 4, correlation_id)
    return [start + first, *message[1:]]
