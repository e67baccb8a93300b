"""What stands between a log and durability: a log directory (`log_dir.py`), or memory (`memory_host.py`). Loop thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.storage.append import JournalItem
from logbroker.storage.segment import Reader

if TYPE_CHECKING:
    from logbroker.storage.log import Log


class LogHost(Protocol):
    """What makes a log's appends durable."""

    clock: Clock

    def enqueue(self, item: JournalItem) -> None:
        """Take an append or a control entry, in order."""
        ...

    def reader(self, fetched: dict[tuple[str, int, int], bytes] | None = None) -> Reader:
        """Reads segments for the loop; with `fetched` it never blocks."""
        ...

    def advance_start(self, log: Log, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """Make a new log start durable, then drop what lies below."""
        ...

    def rolled(self, log: Log) -> None:
        """A new, empty segment has begun at the log's end."""
        ...

    def retain(self, log: Log, now_ms: int, decide: Callable[[Log, int], int]) -> None:
        """Roll the active segment if it is old, and move the log's start to where `decide(log, now_ms)` says."""
        ...

    def refuse_append(self, log: Log) -> BrokerError | None:
        """Why nothing can be appended to `log` now (offline, the disk's reserve is reached), or None."""
        ...
