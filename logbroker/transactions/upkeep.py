"""What the transaction coordinator does by the clock.

Every `transaction.abort.timed.out.transaction.cleanup.interval.ms` it aborts what takes too long; every
`transaction.remove.expired.transaction.cleanup.interval.ms` it forgets ids that nobody uses, a shard at a time.

Loop thread only.
"""

from __future__ import annotations

from typing import Final

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.errors import LogbrokerError
from logbroker.base.tasks import TaskScope
from logbroker.coordination.rounds import Rounds
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.metadata.service import MetadataService
from logbroker.transactions.machine import TransactionMachine

OVERDUE_AT_ONCE: Final = 500
OVERDUE_PAUSE_MS: Final = 100
"""How many transactions are aborted before the loop gets a rest: after a long stop all that were open may be overdue."""

_log = logs.get("transactions")


class Upkeep:
    """Time-outs and expiry, over all shards.

    Args:
        runtime: The shards.
        metadata: Settings, and producer ids for those whose epochs run out.
        clock, timers, tasks: As the service has them.

    """

    def __init__(
        self,
        runtime: CoordinatorRuntime[TransactionMachine],
        metadata: MetadataService,
        clock: Clock,
        timers: Timers,
        tasks: TaskScope,
    ) -> None:
        self._runtime = runtime
        self._metadata = metadata
        self._clock = clock
        self._timers = timers
        self._tasks = tasks
        self._overdue_timer: TimerHandle | None = None
        self._expiry = Rounds(
            runtime,
            TransactionMachine.drop_expired,
            lambda: metadata.image.settings.transaction_remove_expired_transaction_cleanup_interval_ms,
            clock,
            timers,
        )

    def start(self) -> None:
        """Begin to watch the clock."""
        self._look_for_overdue()
        self._expiry.start()

    def stop(self) -> None:
        """Watch it no longer."""
        self._expiry.stop()
        if self._overdue_timer is not None:
            self._overdue_timer.cancel()

    def _look_for_overdue(self) -> None:
        settings = self._metadata.image.settings
        self._look_in(settings.transaction_abort_timed_out_transaction_cleanup_interval_ms)

    def _look_in(self, delay_ms: int) -> None:
        when = self._clock.monotonic() + delay_ms / 1000
        self._overdue_timer = self._timers.call_at(when, self._abort_overdue)

    def _abort_overdue(self) -> None:
        left = OVERDUE_AT_ONCE
        try:
            for machine in list(self._runtime.machines()):
                found = machine.overdue(left)
                left -= len(found)
                for transactional_id in found:
                    if not machine.abort_overdue(transactional_id, None):
                        work = self._abort_overdue_with_id(machine, transactional_id)
                        self._tasks.start(work, "producer id")
        finally:
            if left:
                self._look_for_overdue()
            else:
                self._look_in(OVERDUE_PAUSE_MS)

    async def _abort_overdue_with_id(self, machine: TransactionMachine, transactional_id: str) -> None:
        try:
            machine.abort_overdue(transactional_id, await self._metadata.next_producer_id())
        except LogbrokerError as error:
            _log.warning("no producer id", transactional_id=transactional_id, reason=str(error))
