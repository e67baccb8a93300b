"""The settings that bound what clients may take, as the network layer wants them."""

from __future__ import annotations

from logbroker.config.settings import Settings
from logbroker.net.limits import ServerLimits


def server_limits(settings: Settings) -> ServerLimits:
    """Return the bounds of the broker's listeners. A peer that takes nothing is given as long as one that says nothing."""
    return ServerLimits(
        request_max_bytes=settings.socket_request_max_bytes,
        queued_max_bytes=settings.queued_max_request_bytes,
        in_flight_max=settings.max_in_flight_requests,
        outgoing_max_bytes=settings.socket_send_buffer_max_bytes,
        stuck_reader_timeout_ms=settings.connections_max_idle_ms,
        idle_max_ms=settings.connections_max_idle_ms,
        connections_max=settings.max_connections,
        connections_per_address_max=settings.max_connections_per_ip,
    )
