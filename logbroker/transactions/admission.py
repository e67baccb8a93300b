"""What reaches a partition belongs to a transaction (KIP-890): the coordinator is asked before the first batch is appended.

Up to transaction version 1 the coordinator must know of the partition already; with version 2 it is added on the way. A
producer that writes to several partitions at once then meets its own pending change: such a request waits for that, up to
`add.partitions.to.txn.retry.backoff.max.ms`, before it is told CONCURRENT_TRANSACTIONS.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.transactions.decisions import Producer
from logbroker.transactions.errors import refusal
from logbroker.transactions.machine import TransactionMachine
from logbroker.transactions.transaction import BUMPS_EPOCH_FROM, TopicPartition

Verdicts: TypeAlias = Mapping[TopicPartition, ErrorCode]


class Addition:
    """Partitions that are being added to a transaction for a producer that writes to them.

    Args:
        runtime: The shards.
        transactional_id, producer, wanted: What is to be added to what, and who says so.
        answer: Where the verdicts go.

    """

    __slots__ = ("_answer", "_producer", "_runtime", "_timer", "_transactional_id", "_waits_in", "_wanted")

    def __init__(
        self,
        runtime: CoordinatorRuntime[TransactionMachine],
        transactional_id: str,
        producer: Producer,
        wanted: frozenset[TopicPartition],
        answer: Completion[Verdicts],
    ) -> None:
        self._runtime = runtime
        self._transactional_id = transactional_id
        self._producer = producer
        self._wanted = wanted
        self._answer = answer
        self._timer: TimerHandle | None = None
        self._waits_in: TransactionMachine | None = None

    def start(self, timers: Timers, deadline: float) -> None:
        """Add them; what is pending before it may take until `deadline` of the monotonic clock."""
        self._timer = timers.call_at(deadline, partial(self._end, ErrorCode.CONCURRENT_TRANSACTIONS))
        self._try()

    def _try(self) -> None:
        """Once, and again when what is pending now has settled."""
        self._waits_in = None
        try:
            machine = self._runtime.machine_for(self._transactional_id)
            added = machine.add(self._transactional_id, self._producer, self._wanted, BUMPS_EPOCH_FROM)
        except BrokerError as error:
            if error.code is ErrorCode.CONCURRENT_TRANSACTIONS:
                self._waits_in = machine
                machine.when_settled(self._transactional_id, self._try)
            else:
                self._end(refusal(error))
        else:
            self._stop_timer()
            added.on_done(self._end)

    def _end(self, error: ErrorCode) -> None:
        self._stop_timer()
        if self._waits_in is not None:
            # It may be long until that settles, and its producer asks again and again.
            self._waits_in.wait_no_longer(self._transactional_id, self._try)
        self._answer.set(dict.fromkeys(self._wanted, as_partition(error)))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def as_partition(error: ErrorCode) -> ErrorCode:
    """A partition knows fenced producers by an older name."""
    return ErrorCode.INVALID_PRODUCER_EPOCH if error is ErrorCode.PRODUCER_FENCED else error
