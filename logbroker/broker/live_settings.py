"""Settings that change while the broker runs, and that neither a topic nor a group has: limits of connections, level of the log.

Whether the file was read again (SIGHUP) or somebody altered this broker's configs or those of all, the metadata tells it as an
event, and what is in force from then on stands in the image. So there is one place that puts it into force, and a dynamic
config goes before the file in both cases. What storage and groups take from settings they take from the same event.
"""

from __future__ import annotations

from collections.abc import Awaitable

from logbroker.base import logs
from logbroker.broker.limits import server_limits
from logbroker.config.settings import Settings
from logbroker.metadata.events import BrokerConfigChanged, Event, SettingsReloaded
from logbroker.metadata.image import ClusterImage
from logbroker.net.server import Server


class LiveSettings:
    """A subscriber of the metadata.

    Args:
        server: whose limits follow.
        started_with: what the log was set up with; a level that somebody has given to the logger `root` since then stays until
            `log.level` itself is changed.
        now: what is in force at the start, dynamic configs of an earlier life included.
    """

    def __init__(self, server: Server, *, started_with: Settings, now: Settings) -> None:
        self._server = server
        self._log_level = started_with.log_level
        self._apply(now)

    def on_event(self, event: Event, image: ClusterImage) -> Awaitable[None] | None:
        """Put into force what an event may have changed."""
        if isinstance(event, BrokerConfigChanged | SettingsReloaded):
            self._apply(image.settings)
        return None

    def _apply(self, settings: Settings) -> None:
        limits = server_limits(settings)
        self._server.reconfigure(
            connections_max=limits.connections_max,
            connections_per_address_max=limits.connections_per_address_max,
            idle_max_ms=limits.idle_max_ms,
            stuck_reader_timeout_ms=limits.stuck_reader_timeout_ms,
        )
        if settings.log_level != self._log_level:
            self._log_level = settings.log_level
            logs.set_level(settings.log_level)
