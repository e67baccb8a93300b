"""Topics whose leaders may have moved: their metadata is asked for again, in one request for all that were named meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from logbroker.base.errors import ClientError
from logbroker.client.cluster import Cluster

__all__ = ["StaleTopics"]

_log = logging.getLogger(__name__)


class StaleTopics:
    """Of one producer or consumer; its loop alone.

    Args:
        cluster: Whose metadata it is.
        start: Runs a coroutine as a task of the owner.
        on_refreshed: Awaited with the topics whose metadata is fresh again.
        on_end: Called when there is nothing more to ask, or a broker failed to answer and it was waited for.

    """

    def __init__(
        self,
        cluster: Cluster,
        start: Callable[[Coroutine[Any, Any, None]], None],
        on_refreshed: Callable[[set[str]], Awaitable[None]],
        on_end: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._start = start
        self._on_refreshed = on_refreshed
        self._on_end = on_end
        self._topics: set[str] = set()
        self._running = False

    def add(self, topic: str) -> None:
        """Ask for this topic's metadata, soon."""
        self._topics.add(topic)
        if not self._running:
            self._running = True
            self._start(self._refresh())

    async def _refresh(self) -> None:
        try:
            while self._topics:
                topics, self._topics = self._topics, set()
                await self._cluster.refresh(topics)
                await self._on_refreshed(topics)
                await self._cluster.backoff(0)
        except ClientError as error:
            _log.debug("metadata: %s", error)
            await self._cluster.backoff(1)
        finally:
            self._running = False
        self._on_end()
