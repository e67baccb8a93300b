"""What clients may take of the broker: the bounds on frames, memory, connections and time.

Plain values, so that this layer knows nothing of settings files; the broker fills them from its settings (the Kafka
or logbroker setting that each one comes from is named beside it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECEIVE_BYTES: Final = 64 * 1024
"""The most one read takes in while frames are small; shared by all connections of a server."""

PEEK_BYTES: Final = 4 * 1024
"""The read after a large frame: long enough to learn the next length, short enough to be copied for nothing."""

PEEK_AFTER_BYTES: Final = 32 * 1024
"""From this size on a frame that was cut by a read makes the next read a peek."""

SMALL_FRAME_BYTES: Final = 64 * 1024
"""Up to this length frames go in the small lane of request memory (see `budget`)."""

ORDINARY_FRAME_BYTES: Final = 2 * 1024 * 1024
"""Up to this length, in the ordinary one: clients' batches are 1 MB at most unless somebody chose otherwise."""

FIRST_BUFFER_BYTES: Final = 16 * 1024
"""What a promise alone gets: the first buffer of a frame that isn't whole yet, on a connection that showed nothing."""

TRUSTED_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""A connection that has sent a whole frame gets buffers of that size at once, up to this; growth is geometric above."""

JOIN_BYTES: Final = 64 * 1024
"""Replies of one tick are copied into one piece up to this size, and handed over as a list of pieces above."""

PROGRESS_BYTES: Final = 64 * 1024
"""What a half-received frame must gain within `stalled_frame_timeout_ms` while others wait for request memory."""

LINGER_S: Final = 1.0
"""How long a connection that we closed is read from, and what comes thrown away, until the peer closes too. A socket
closed with unread bytes resets the connection, and the last replies might never arrive."""

REPLY_BYTES_LEAST: Final = 1 << 20
"""What a fetch may answer with however much waits for slow readers: others go on, if in smaller steps."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ServerLimits:
    """The bounds of one server, over all its listeners.

    Attributes:
        request_max_bytes: The largest frame, without its length (`socket.request.max.bytes`).
        queued_max_bytes: Memory of all requests in flight and all frames half received (`queued.max.request.bytes`);
            None for no bound.
        in_flight_max: Unanswered requests of one connection (`max.in.flight.requests`).
        outgoing_max_bytes: Replies of one connection that the peer hasn't taken yet; beyond it no more of its
            requests are read (`socket.send.buffer.max.bytes`). One reply may go over it.
        replies_max_bytes: The same of all connections together; beyond it a fetch gets `REPLY_BYTES_LEAST` at most
            (`queued.max.reply.bytes`).
        send_buffer_bytes: What the kernel may buffer of one connection's replies (`socket.send.buffer.bytes`); -1 leaves
            it to the kernel, which lets it grow to megabytes: a large reply then goes out to memory and back for the
            peer, instead of through the processor's cache. Linux grants twice as much, for its own bookkeeping.
        stuck_reader_timeout_ms: How long a peer may take nothing of what waits for it.
        idle_max_ms: How long a connection may be silent with nothing in flight (`connections.max.idle.ms`).
        stalled_frame_timeout_ms: While others wait for request memory, how long a connection may hold some of it with
            a frame that gains less than `PROGRESS_BYTES`, or isn't dispatched.
        silent_frame_timeout_ms: The same, where nothing at all comes of the frame.
        connections_max: Connections at once (`max.connections`).
        connections_per_address_max: Connections at once from one address (`max.connections.per.ip`).
    """

    request_max_bytes: int = 104_857_600
    queued_max_bytes: int | None = 134_217_728
    in_flight_max: int = 1000
    outgoing_max_bytes: int = 16_777_216
    replies_max_bytes: int = 268_435_456
    send_buffer_bytes: int = 204_800
    stuck_reader_timeout_ms: int = 600_000
    idle_max_ms: int = 600_000
    stalled_frame_timeout_ms: int = 10_000
    silent_frame_timeout_ms: int = 3_000
    connections_max: int = 10_000
    connections_per_address_max: int = 10_000
