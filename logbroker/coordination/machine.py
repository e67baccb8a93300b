"""What a tenant of this package is: a state machine over one shard, and the records it writes.

The machine holds the state of one partition of its internal topic. It is pure in this sense: it does no I/O, and
everything it knows comes from requests, from time it is told, and from records. It answers a request with new state at
once and with records for `Shard.write`; whatever it promised in the reply waits for their durability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from logbroker.base.error_codes import ErrorCode

Record: TypeAlias = tuple[bytes, bytes | None]
"""Key and value; a value of None is a tombstone: it deletes the key, and compaction may drop both."""

Done: TypeAlias = Callable[[ErrorCode], None]
"""Called once: NONE when durable, REQUEST_TIMED_OUT when nobody knows yet, anything else when it was not written."""

Undo: TypeAlias = Callable[[], object]
"""Takes back what the state machine changed in memory for a write that was refused."""


class LoadedRecord(NamedTuple):
    """The last word on one key: what a fully compacted log would hold of it."""

    offset: int
    key: bytes
    value: bytes


class RecordWriter(Protocol):
    """What a state machine writes to: a `shard.Shard`."""

    def write(self, records: Sequence[Record], done: Done, undo: Undo | None = None) -> None:
        """See `Shard.write`."""
        ...

    def after_writes(self, done: Done) -> None:
        """See `Shard.after_writes`."""
        ...


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


@runtime_checkable
class TransactionalMachine(Protocol):
    """A state machine whose records may be parts of producers' transactions."""

    def replay_open(
        self, producer_id: int, producer_epoch: int, record: LoadedRecord, *, is_superseded: bool
    ) -> None:
        """Take over a record of a transaction that has no marker in the log; after all others, in offset order.

        `is_superseded`: a later record of the key counts already, and wins whatever becomes of the transaction.

        Raises:
            ValueError: The record is damaged.

        """
        ...
