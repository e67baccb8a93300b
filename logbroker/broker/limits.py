"""The settings that bound what clients may take, as the network layer wants them."""

from __future__ import annotations

import resource
import sys
from typing import Final

from logbroker.config.settings import Settings
from logbroker.net.limits import ServerLimits

OTHER_DESCRIPTORS: Final = 64
"""What is left to the journal, metadata, directories being synced, and threads, of the half of the process's descriptors that
segments can't take."""

CONNECTIONS_LEAST: Final = 16
"""Connections that are let in however few files the process may open."""


def server_limits(settings: Settings) -> ServerLimits:
    """Return the bounds of the broker's listeners. A peer that takes nothing is given as long as one that says nothing."""
    return ServerLimits(
        request_max_bytes=settings.socket_request_max_bytes,
        queued_max_bytes=settings.queued_max_request_bytes,
        in_flight_max=settings.max_in_flight_requests,
        outgoing_max_bytes=settings.socket_send_buffer_max_bytes,
        replies_max_bytes=settings.queued_max_reply_bytes,
        send_buffer_bytes=settings.socket_send_buffer_bytes,
        stuck_reader_timeout_ms=settings.connections_max_idle_ms,
        idle_max_ms=settings.connections_max_idle_ms,
        connections_max=min(settings.max_connections, connections_openable(settings)),
        connections_per_address_max=settings.max_connections_per_ip,
    )


def connections_openable(settings: Settings) -> int:
    """How many connections the process has descriptors for.

    Where clients could take the last one, the next file that the storage engine opens would take its directory offline.
    """
    return max(_descriptors() // 2 - OTHER_DESCRIPTORS - listen_backlog(settings), CONNECTIONS_LEAST)


def listen_backlog(settings: Settings) -> int:
    """Connections that may wait to be accepted: all of them are, before the first can be refused and gives its descriptor back."""
    return min(settings.socket_listen_backlog_size, max(_descriptors() // 8, 1))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
