"""A log for coordinators to run on without a disk, and a coordinator on it whose time a test turns.

`MemoryLog` keeps real batches and every rule of the interface (`coordination.log`); durability is a number that the test
moves, and it can refuse an append, fail what was appended, crash (keep what is durable and, if the test says so, some of
the rest), and be compacted as the cleaner would.

`Bench` is one shard of a coordinator with everything it needs: `tick` ends the loop's tick, `settle` makes all writes
durable, `advance` lets time pass timer by timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import ceil, inf
from typing import Generic, TypeVar

from logbroker.base.clock import ManualClock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.coordination.log import AppendOutcome
from logbroker.coordination.machine import StateMachine
from logbroker.coordination.replay import replay
from logbroker.coordination.shard import Shard, ShardServices, WriteLimits
from logbroker.records.batch import parse_header, stamp
from logbroker.records.builder import BatchBuilder
from logbroker.records.control import build_marker
from logbroker.records.iterator import decode_records

M = TypeVar("M", bound=StateMachine)


class ManualTimer:
    """A timer of `ManualTimers`."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Don't call back."""
        self.callback = None


class ManualTimers:
    """Timers that fire when the test says so, exactly in the order of their times."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._timers: list[ManualTimer] = []

    def __len__(self) -> int:
        return sum(timer.callback is not None for timer in self._timers)

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        """See `Timers`."""
        timer = ManualTimer(when, callback)
        self._timers.append(timer)
        return timer

    def next_due(self) -> float:
        """When the next timer fires; infinity if there is none."""
        self._timers = [timer for timer in self._timers if timer.callback is not None]
        return min((timer.when for timer in self._timers), default=inf)

    def expire_due(self) -> int:
        """Fire what is due; returns how many timers fired."""
        now = self._clock.monotonic()
        due = sorted((timer for timer in self._timers if timer.when <= now), key=lambda timer: timer.when)
        fired = 0
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                fired += 1
                callback()
        return fired


class Outcome:
    """How an append to a `MemoryLog` ended."""

    __slots__ = ("error",)

    def __init__(self, error: ErrorCode) -> None:
        self.error = error


class MemoryLog:
    """Batches in memory.

    Attributes:
        batches: (base offset, next offset, bytes), durable ones first.
        refusal: What the next append raises, once.
        instant: Whether appends are durable before `append_as_leader` returns.
        readable: Whether `read_async` works; KAFKA_STORAGE_ERROR otherwise.

    """

    def __init__(self, *, instant: bool = False) -> None:
        self.batches: list[tuple[int, int, bytes]] = []
        self.refusal: BrokerError | None = None
        self.instant = instant
        self.readable = True
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.high_watermark = 0
        self._waiting: list[tuple[int, Callable[[AppendOutcome], None]]] = []

    def append_as_leader(
        self, batch: bytearray, *, from_client: bool = True, on_done: Callable[[AppendOutcome], None]
    ) -> int:
        """See `CoordinatorLog`."""
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        header = parse_header(batch)
        base_offset = self.log_end_offset
        stamp(batch, base_offset, 0)
        self.log_end_offset += header.last_offset_delta + 1
        self.batches.append((base_offset, self.log_end_offset, bytes(batch)))
        self._waiting.append((self.log_end_offset, on_done))
        if self.instant:
            self.settle()
        return base_offset

    def append_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        *,
        commit: bool,
        transaction_version: int = 0,
        on_done: Callable[[AppendOutcome], None],
    ) -> int:
        """See `CoordinatorLog`."""
        batch = build_marker(producer_id, producer_epoch, coordinator_epoch, commit=commit, timestamp_ms=0)
        return self.append_as_leader(batch, from_client=False, on_done=on_done)

    async def read_async(self, offset: int, max_bytes: int) -> list[Buffer]:
        """See `CoordinatorLog`."""
        await asyncio.sleep(0)
        if not self.readable:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "the log directory is offline")
        found: list[Buffer] = []
        size_bytes = 0
        for _, next_offset, batch in self.batches:
            if next_offset > offset and (not found or size_bytes + len(batch) <= max_bytes):
                found.append(batch)
                size_bytes += len(batch)
        return found

    @property
    def undecided(self) -> int:
        """Appends that are neither durable nor failed."""
        return len(self._waiting)

    def settle(self, appends: int | None = None) -> int:
        """Make the first `appends` undecided ones durable (all, if None); returns how many there were."""
        due = self._waiting if appends is None else self._waiting[:appends]
        self._waiting = self._waiting[len(due) :]
        for next_offset, on_done in due:
            self.high_watermark = next_offset
            on_done(Outcome(ErrorCode.NONE))
        return len(due)

    def fail(self, error: ErrorCode = ErrorCode.KAFKA_STORAGE_ERROR) -> None:
        """Every undecided append fails, though its bytes may be in the log."""
        waiting, self._waiting = self._waiting, []
        for _, on_done in waiting:
            on_done(Outcome(error))

    def crashed(self, *, surviving: int = 0) -> MemoryLog:
        """The log after a crash: what was durable, and the first `surviving` batches of what was not."""
        after = MemoryLog(instant=self.instant)
        for batch in self.batches:
            if batch[1] > self.high_watermark:
                if not surviving:
                    break
                surviving -= 1
            after.batches.append(batch)
            after.log_end_offset = after.high_watermark = batch[1]
        return after

    def compacted(self) -> MemoryLog:
        """The log with the last record of every key only; offsets, order and the end stay."""
        last: dict[bytes, int] = {}
        for _, _, batch in self.batches:
            for record in decode_records(batch):
                last[bytes(record.key or b"")] = record.offset
        after = MemoryLog(instant=self.instant)
        for base_offset, next_offset, batch in self.batches:
            header = parse_header(batch)
            builder = BatchBuilder(base_offset=base_offset)
            for record in decode_records(batch):
                if last[bytes(record.key or b"")] == record.offset:
                    builder.append(record.timestamp_ms, record.key, record.value, offset=record.offset)
            if builder.record_count:
                kept = builder.build(last_offset_delta=header.last_offset_delta)
                after.batches.append((base_offset, next_offset, bytes(kept)))
        after.log_end_offset = after.high_watermark = self.log_end_offset
        return after


class Bench(Generic[M]):
    """One shard of a coordinator, its clock, its timers and its log."""

    def __init__(
        self,
        new_machine: Callable[[Bench[M], Shard[M]], M],
        *,
        topic: str = "__consumer_offsets",
        batch_bytes: int = 1_048_588,
        timeout_ms: int = 5000,
    ) -> None:
        self.topic = topic
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.log = MemoryLog()
        self._deferred: list[Callable[[], None]] = []
        self._new_machine = new_machine
        self.services = ShardServices(
            self.clock, self.timers, self._deferred.append, WriteLimits(batch_bytes, timeout_ms)
        )
        self.shard: Shard[M] = Shard(topic, 0, self.services)
        self.load()

    @property
    def machine(self) -> M:
        """The state machine; raises BrokerError when the shard does not serve."""
        return self.shard.machine()

    def load(self) -> None:
        """Load the shard from the log."""
        self.shard.begin_loading()
        replayed = asyncio.run(replay(self.log, self.topic, 0))
        machine = self._new_machine(self, self.shard)
        deque(replayed.hand_over(machine), maxlen=0)
        self.shard.activate(self.log, machine)

    def restart(self, log: MemoryLog | None = None) -> None:
        """Crash and come back, on `log` or on what survives of the present one."""
        self.log = self.log.crashed() if log is None else log
        self._deferred.clear()
        self.timers = ManualTimers(self.clock)
        self.services = ShardServices(self.clock, self.timers, self._deferred.append, self.services.limits)
        self.shard = Shard(self.topic, 0, self.services)
        self.load()

    def tick(self) -> None:
        """End the loop's tick: what was deferred runs."""
        deferred, self._deferred[:] = list(self._deferred), []
        for callback in deferred:
            callback()

    def settle(self) -> None:
        """End ticks and make writes durable until nothing is left to write."""
        while self._deferred or self.log.undecided:
            self.tick()
            self.log.settle()

    def advance(self, ms: int, *, settle: bool = True) -> None:
        """Let time pass, timer by timer; without `settle`, writes stay undecided meanwhile."""
        end_ms = self.clock.wall_ms() + ms
        while (left_ms := end_ms - self.clock.wall_ms()) > 0:
            due_ms = (self.timers.next_due() - self.clock.monotonic()) * 1000
            self.clock.advance(left_ms if due_ms >= left_ms else max(ceil(due_ms), 1))
            if self.timers.expire_due() and settle:
                self.settle()
