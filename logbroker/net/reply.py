"""The slot that each request takes in its connection, from arrival to reply.

Replies leave in the order of the requests, however their answers come. A `Reply` is the one object that a request
costs; the broker's `RequestContext` extends it. It is answered once: whatever comes later is ignored, as a time-out
may race with the real answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from logbroker.base.metrics import Histogram
from logbroker.base.types import Buffer

if TYPE_CHECKING:
    from logbroker.net.server_connection import ServerConnection

Payload: TypeAlias = bytes | bytearray | memoryview | list[Buffer]
"""Whole frames, the 4-byte length included; a list is sent piece by piece and not copied when it is large."""


class Reply:
    """A place in the order of replies.

    Attributes:
        connection: Where it goes.
        request_bytes: What the request holds of the request budget until it is answered.
        started: Monotonic seconds at which the last byte of the request arrived.
        stats: Counts the microseconds until the reply was written; None for requests nobody counts.
        payload: The answer, or None as long as there is none.
        on_abandoned: May be set by who waits for something to answer it with (a long poll): called, instead of waiting
            on, when the connection is lost first. The request then counts as answered. Without it, what the
            request holds stays counted until somebody answers it, though nobody reads the answer.
        reply_bytes: Length of `payload`.
    """

    __slots__ = ("connection", "on_abandoned", "payload", "reply_bytes", "request_bytes", "started", "stats")

    connection: ServerConnection
    request_bytes: int
    started: float
    stats: Histogram | None
    payload: Payload | None
    reply_bytes: int
    on_abandoned: Callable[[], None] | None

    def __init__(
        self, connection: ServerConnection, request_bytes: int, started: float, stats: Histogram | None = None
    ) -> None:
        self.connection = connection
        self.request_bytes = request_bytes
        self.started = started
        self.stats = stats
        self.payload = None
        self.reply_bytes = 0
        self.on_abandoned = None

    @property
    def answered(self) -> bool:
        """Whether there is an answer already, sent or not."""
        return self.payload is not None

    def send_frame(self, payload: Payload) -> None:
        """Answer with whole frames; they leave when everything before them has left, at the end of this loop tick.

        The buffers must stay as they are until then: they are handed to the transport without a copy.
        """
        if self.payload is not None:
            return
        self.payload = payload
        self.reply_bytes = len(payload) if type(payload) is bytes else _size(payload)
        self.connection.answered(self)

    def send_nothing(self) -> None:
        """The request has no reply (a produce with acks=0): the slot vanishes when its turn comes."""
        self.send_frame(b"")


def _size(payload: Payload) -> int:
    return sum(map(len, payload)) if type(payload) is list else len(payload)
