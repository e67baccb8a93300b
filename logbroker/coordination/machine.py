"""What a tenant of this package is: a state machine over one shard, and the records it writes.

The machine holds the state of one partition of its internal topic. It is pure in this sense: it does no I/O, and
everything it knows comes from requests, from time it is told, and from records. It answers a request with new state at
once and with records for `Shard.write`; whatever it promised in the reply waits for their durability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from logbroker.base.error_codes import ErrorCode

Record: TypeAlias = tuple[bytes, bytes | None]
"""Key and value; a value of None is a tombstone: it deletes the key, and compaction may drop both."""

Done: TypeAlias = Callable[[ErrorCode], None]
"""Called once: NONE when durable, REQUEST_TIMED_OUT when nobody knows yet, anything else when it was not written."""

Undo: TypeAlias = Callable[[], object]
"""Takes back what the state machine changed in memory for a write that was refused."""


@dataclass(frozen=True, slots=True)
class LoadedRecord:
    """The last word on one key: what a fully compacted log would hold of it."""

    offset: int
    key: bytes
    value: bytes


class StateMachine(Protocol):
    """A coordinator's state in one partition. A new one is made for every load; loop thread only."""

    def replay(self, record: LoadedRecord) -> None:
        """Take over one record; records come in offset order, each key once, tombstones never.

        Raises:
            ValueError: The record is damaged. The shard refuses to serve: guessing would lose what was acknowledged.

        """
        ...

    def loaded(self) -> None:
        """Everything was replayed; the shard serves from now on. Start timers, drop what is stale."""
        ...

    def unloaded(self, error: ErrorCode) -> None:
        """The shard serves no longer. Answer everybody who waits with `error`, cancel timers, write nothing."""
        ...
