"""Which deleted topics have left a log directory for good, so that the metadata may forget them. Loop thread only.

The metadata remembers a deleted topic for each log directory until none of its folders can come back: a folder that a crash
brings back is then known for what it is. A topic is gone when all its partitions there are.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from logbroker.storage.log_dir import LogDirectory


class Departures:
    """Counts the partitions that are on their way out."""

    def __init__(self) -> None:
        self._leaving: dict[tuple[LogDirectory, UUID], int] = {}
        self._gone: dict[LogDirectory, list[UUID]] = {}

    def expect(self, directory: LogDirectory, topic_id: UUID) -> Callable[[], None]:
        """One more partition of the topic is to go; call what is returned when it is gone, once."""
        key = directory, topic_id
        self._leaving[key] = self._leaving.get(key, 0) + 1

        def left() -> None:
            self._leaving[key] -= 1
            if not self._leaving[key]:
                del self._leaving[key]
                self._gone.setdefault(directory, []).append(topic_id)

        return left

    def take(self, directory: LogDirectory) -> list[UUID]:
        """Topics that are gone since this was last asked. A directory that is offline confirms nothing: its next start does."""
        gone = self._gone.pop(directory, [])
        return gone if directory.offline_reason is None else []
