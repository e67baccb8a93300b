"""What a coordinator needs of a partition: append, and read everything from the start.

`logbroker.replication`'s Partition is one of these; a test may bring its own. Keeping the interface this narrow is what
lets a coordinator run on a simulated log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from logbroker.base.error_codes import ErrorCode
from logbroker.base.types import Buffer


class AppendOutcome(Protocol):
    """How an append ended."""

    @property
    def error(self) -> ErrorCode:
        """NONE when the batch is durable."""
        ...


class CoordinatorLog(Protocol):
    """One partition of an internal topic, led by this broker. Loop thread only."""

    @property
    def log_start_offset(self) -> int:
        """First offset that can be read."""
        ...

    @property
    def log_end_offset(self) -> int:
        """Offset that the next record gets."""
        ...

    def append_as_leader(
        self,
        batch: bytearray,
        *,
        from_client: bool = True,
        on_done: Callable[[AppendOutcome], None],
    ) -> object:
        """Append one batch, in order, at once; the batch belongs to the log from here on.

        `on_done` is called once, on the loop's thread, when the batch is durable or can't become so.

        Raises:
            BrokerError: Nothing was appended, and `on_done` will not be called.

        """
        ...

    def append_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        *,
        commit: bool,
        transaction_version: int = 0,
        on_done: Callable[[AppendOutcome], None],
    ) -> object:
        """End a producer's transaction with a control batch, in order, at once; `on_done` as with `append_as_leader`.

        With transaction version 2 the marker's epoch must be newer than that of the transaction's records (KIP-890).

        Raises:
            BrokerError: Nothing was appended: INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, or what an append may raise.

        """
        ...

    async def read_async(self, offset: int, max_bytes: int) -> list[Buffer]:
        """Whole batches from the one that holds `offset` on, about `max_bytes` of them and at least one.

        Raises:
            BrokerError: The log can't be read.

        """
        ...
