"""What becomes due with time for the logs of a broker: retention, and idempotent producers that are long silent.

Each is a walk over all logs (`turns.py`); a pass that is still under way when the next is due takes its place. A reopened
segment's newest timestamp is learnt here (`learn_times.py`), and only as far as retention asks: the oldest segments first, up
to the first that stays. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable

from logbroker.base.clock import Clock
from logbroker.config.settings import Settings
from logbroker.replication.learn_times import learn_times
from logbroker.replication.partition import Partition
from logbroker.replication.turns import in_turns
from logbroker.storage.retention import retained_start


class Upkeep:
    """The passes, and when each is due.

    Args:
        clock: Its wall time is what records are old by; what is due goes by monotonic time.
        partitions: All partitions there are now.
        spawn: Starts a pass as a task.
    """

    def __init__(
        self,
        clock: Clock,
        partitions: Callable[[], Iterable[Partition]],
        spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._clock = clock
        self._partitions = partitions
        self._spawn = spawn
        self._began = {self.retain: clock.monotonic(), self.expire_producers: clock.monotonic()}
        self._running: set[Callable[[Settings], Coroutine[object, object, None]]] = set()

    def tick(self, settings: Settings) -> None:
        """Start what is due."""
        self._start_if_due(self.retain, settings.log_retention_check_interval_ms, settings)
        self._start_if_due(self.expire_producers, settings.producer_id_expiration_check_interval_ms, settings)

    def _start_if_due(
        self,
        work: Callable[[Settings], Coroutine[object, object, None]],
        interval_ms: int,
        settings: Settings,
    ) -> None:
        now = self._clock.monotonic()
        if work in self._running or now - self._began[work] < interval_ms / 1000:
            return
        self._began[work] = now
        self._running.add(work)
        self._spawn(self._run(work, settings))

    async def _run(
        self, work: Callable[[Settings], Coroutine[object, object, None]], settings: Settings
    ) -> None:
        try:
            await work(settings)
        finally:
            self._running.discard(work)

    # The passes

    async def expire_producers(self, settings: Settings) -> None:
        """Forget producers that wrote nothing for `producer.id.expiration.ms`."""
        now_ms = self._clock.wall_ms()
        async for partition in in_turns(self._partitions()):
            partition.log.producers.expire(now_ms, settings.producer_id_expiration_ms)

    async def retain(self, _: Settings) -> None:
        """Roll segments that are old, and move log starts to what `retention.ms` and `retention.bytes` leave."""
        now_ms = self._clock.wall_ms()
        async for partition in in_turns(self._partitions()):
            log = partition.log
            if await self._learn_times(partition, now_ms):
                log.host.retain(log, now_ms, retained_start)

    async def _learn_times(self, partition: Partition, now_ms: int) -> bool:
        """Learn the times of as many segments as retention looks at; False if they can't be read."""
        log = partition.log
        retention_ms = log.config.retention_ms
        if retention_ms < 0 or "delete" not in log.config.cleanup_policy:
            return True
        for segment in list(log.segments):
            if not segment.times_known and not await learn_times(partition, segment):
                return False
            if now_ms - segment.max_timestamp <= retention_ms:
                break
        return log.refusal is None
