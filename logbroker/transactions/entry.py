"""One transactional id in its coordinator's memory: what is durable of it, what is under way, and who waits for that."""

from __future__ import annotations

from collections.abc import Callable

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import NO_PRODUCER_EPOCH
from logbroker.transactions.markers import MarkerSender
from logbroker.transactions.states import State
from logbroker.transactions.transaction import Transaction


class Entry:
    """One transactional id.

    Attributes:
        transaction: What is durable of it.
        pending: The state it is on its way to; None: nothing is under way.
        markers: Those that are on their way.
        waiters: Who is called when nothing is pending any more, in order.

    """

    __slots__ = ("markers", "pending", "transaction", "waiters")

    def __init__(self, known: Transaction) -> None:
        self.transaction = known
        self.pending: State | None = None
        self.markers: MarkerSender | None = None
        self.waiters: dict[Callable[[], None], None] = {}

    @property
    def is_known(self) -> bool:
        """Whether anything of it is durable, and will be."""
        return self.transaction.producer_epoch != NO_PRODUCER_EPOCH and self.pending is not State.DEAD

    def require_settled(self) -> None:
        """Raise CONCURRENT_TRANSACTIONS while a change is pending."""
        if self.pending is not None:
            raise BrokerError(ErrorCode.CONCURRENT_TRANSACTIONS)

    def settle(self) -> None:
        """Nothing is pending any more: wake up whoever waits for that."""
        self.pending = None
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter()
