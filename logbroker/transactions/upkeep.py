"""What the transaction coordinator does by the clock.

Every `transaction.abort.timed.out.transaction.cleanup.interval.ms` it aborts what takes too long; every
`transaction.remove.expired.transaction.cleanup.interval.ms` it forgets ids that nobody uses, a shard at a time.

Loop thread only.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.errors import LogbrokerError
from logbroker.base.tasks import TaskScope
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import ShardState
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.metadata.service import MetadataService
from logbroker.transactions.machine import TransactionMachine

EXPIRY_STEP_MS: Final = 20
"""Between two shards that are searched for ids to forget, so that the search never holds the loop for long."""

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
        self._expiry_timer: TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the clock."""
        self._look_for_overdue()
        settings = self._metadata.image.settings
        self._expire_in(settings.transaction_remove_expired_transaction_cleanup_interval_ms, [])

    def stop(self) -> None:
        """Watch it no longer."""
        for timer in (self._overdue_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()

    def _look_for_overdue(self) -> None:
        settings = self._metadata.image.settings
        interval_ms = settings.transaction_abort_timed_out_transaction_cleanup_interval_ms
        when = self._clock.monotonic() + interval_ms / 1000
        self._overdue_timer = self._timers.call_at(when, self._abort_overdue)

    def _abort_overdue(self) -> None:
        self._look_for_overdue()
        for machine in list(self._runtime.machines()):
            for transactional_id in machine.overdue():
                if not machine.abort_overdue(transactional_id, None):
                    work = self._abort_overdue_with_id(machine, transactional_id)
                    self._tasks.start(work, "producer id")

    async def _abort_overdue_with_id(self, machine: TransactionMachine, transactional_id: str) -> None:
        try:
            machine.abort_overdue(transactional_id, await self._metadata.next_producer_id())
        except LogbrokerError as error:
            _log.warning("no producer id", transactional_id=transactional_id, reason=str(error))

    def _expire_in(self, delay_ms: int, shards: list[int]) -> None:
        when = self._clock.monotonic() + delay_ms / 1000
        self._expiry_timer = self._timers.call_at(when, partial(self._expire, shards))

    def _expire(self, shards: list[int]) -> None:
        """Search one shard for ids to forget, and come back for the next one; after the last, rest."""
        if not shards:
            shards = list(range(self._runtime.partition_count))
        shard = self._runtime.shard(shards.pop()) if shards else None
        if shard is not None and shard.state is ShardState.ACTIVE:
            shard.machine().drop_expired()
        rest_ms = self._metadata.image.settings.transaction_remove_expired_transaction_cleanup_interval_ms
        self._expire_in(EXPIRY_STEP_MS if shards else rest_ms, shards)
