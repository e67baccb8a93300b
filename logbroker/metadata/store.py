"""Where metadata is kept: the interface, and what it means that it failed.

A store keeps the outcome of every change. `commit` is all or nothing, in order, and returns only when the change would
survive a power cut. Alone, a broker has `sqlite_store.py`.

A store that can't tell whether a commit is on the disk is of no use any more: after a failed sync nothing that is read
back proves anything. So every error that isn't a caller's mistake is final: the store refuses whatever comes after, and
the broker stops. On the next start the disk says what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from logbroker.base.errors import LogbrokerError
from logbroker.metadata.events import Event


class MetadataFailedError(LogbrokerError):
    """The metadata can't be written any more; the broker must stop (exit 1). The message says where and why."""


class MetadataStore(Protocol):
    """What `MetadataService` asks of a store. Loop thread only; the work is done elsewhere."""

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        """Make `events` durable, together, after all that was committed before.

        The future raises MetadataFailedError, and so does every later commit.
        """
        ...

    async def close(self) -> None:
        """Let what is under way end, and let go of the files."""
        ...
