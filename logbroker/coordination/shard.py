"""One partition of an internal topic as a coordinator sees it: the write path and the life of its state.

    ABSENT --load--> LOADING --> ACTIVE --append failed after the log took it--> FAILED --(backoff)--> LOADING
       ^                 |          |
       +----- unload ----+----------+

Write path. `write` takes the records of one event whose effect is already in the state machine's memory, and queues
them. At the end of the loop tick everything queued becomes one batch (more, if it exceeds the batch limit), appended in
one call. When the log says *durable*, each event's `done(NONE)` runs, in order.

- The append is refused (raises): nothing of it is in the log. Every event in it is undone, newest first, then told the
  error. Nothing later exists that could have built on it: later events of the tick were in the same batch.
- A transaction's records and its marker are batches of their own, appended at once, behind everything that was queued before
  them: a refusal (a fenced producer, say) concerns nobody else.
- The append fails after it got its offset: whether the records survive is known only by the log. The shard
  fails: everybody is answered, the memory is dropped, and the log is read again after a while.
- Nothing is heard within the write timeout: the events are told REQUEST_TIMED_OUT. Their records may still become
  durable, and count when they do.

Crash story: what was answered NONE is in the log and will be replayed. What was queued or appended but not answered may
or may not be there; nobody was told.

Loop thread only. No task and no future per write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Generic, TypeVar

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.log import AppendOutcome, CoordinatorLog
from logbroker.coordination.machine import Done, Record, StateMachine, Undo
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.records.batch import HEADER_SIZE
from logbroker.records.builder import BatchBuilder

_log = logs.get("coordination")

_RECORD_OVERHEAD = 32
"""More than a record's lengths, deltas, attributes and header count take."""

M = TypeVar("M", bound=StateMachine)


class ShardState(Enum):
    """Where a shard is in its life; the value is what metrics call it."""

    ABSENT = "absent"
    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"


_NOT_ACTIVE: dict[ShardState, ErrorCode] = {
    ShardState.ABSENT: ErrorCode.NOT_COORDINATOR,
    ShardState.LOADING: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ShardState.FAILED: ErrorCode.NOT_COORDINATOR,
}


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Bounds of the write path.

    Attributes:
        batch_bytes: Largest batch, `max.message.bytes` of the internal topic.
        timeout_ms: How long an event waits for its records to become durable (`offsets.commit.timeout.ms`).

    """

    batch_bytes: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class ShardServices:
    """What a shard is handed: where time comes from, and `defer`, which calls back at the end of the loop tick."""

    clock: Clock
    timers: Timers
    defer: Callable[[Callable[[], None]], object]
    limits: WriteLimits


class _Event:
    """One event's records on their way to the log; without records, somebody who waits for what is before it."""

    __slots__ = ("done", "records", "size_bytes", "undo")

    def __init__(self, records: Sequence[Record], size_bytes: int, done: Done, undo: Undo | None) -> None:
        self.records = records
        self.size_bytes = size_bytes
        self.done: Done | None = done
        self.undo = undo

    def finish(self, error: ErrorCode) -> None:
        """Tell the outcome, once."""
        done = self.done
        if done is not None:
            self.done = None
            done(error)


class _Append:
    """A batch that the log has: events wait for it in order."""

    __slots__ = ("deadline", "events")

    def __init__(self, events: list[_Event], deadline: float) -> None:
        self.events = events
        self.deadline = deadline


class Shard(Generic[M]):
    """Writes, waits and life of one partition's coordinator state.

    Attributes:
        topic, index: The partition, for messages.
        state: Where it is in its life.
        reason: Why it is FAILED, for people; empty otherwise.

    """

    __slots__ = (
        "_appends",
        "_flush_due",
        "_log",
        "_machine",
        "_open",
        "_services",
        "_timer",
        "index",
        "on_failure",
        "reason",
        "state",
        "topic",
    )

    def __init__(self, topic: str, index: int, services: ShardServices) -> None:
        self.topic = topic
        self.index = index
        self.state = ShardState.ABSENT
        self.reason = ""
        self.on_failure: Callable[[], None] | None = None
        self._services = services
        self._log: CoordinatorLog | None = None
        self._machine: M | None = None
        self._open: list[_Event] = []
        self._flush_due = False
        self._appends: deque[_Append] = deque()
        self._timer: TimerHandle | None = None

    def begin_loading(self) -> None:
        """Say that a load is under way: requests get COORDINATOR_LOAD_IN_PROGRESS."""
        self.state = ShardState.LOADING
        self.reason = ""

    def activate(self, log: CoordinatorLog, machine: M) -> None:
        """Serve from `machine`, which has replayed everything, and write to `log`."""
        self._log = log
        self._machine = machine
        self.state = ShardState.ACTIVE
        self.reason = ""
        machine.loaded()

    def fail(self, reason: str) -> None:
        """Stop serving: forget the state and answer everybody NOT_COORDINATOR. Does nothing when not loading or active."""
        if self.state in (ShardState.LOADING, ShardState.ACTIVE):
            self._drop(ShardState.FAILED, reason)

    def unload(self) -> None:
        """Stop serving for good, as `fail` but without blame; any state."""
        self._drop(ShardState.ABSENT, "")

    def machine(self) -> M:
        """The state machine, if the shard serves.

        Raises:
            BrokerError: COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR.

        """
        if self.state is ShardState.ACTIVE and self._machine is not None:
            return self._machine
        raise BrokerError(
            _NOT_ACTIVE.get(self.state, ErrorCode.NOT_COORDINATOR),
            f"{self.topic}-{self.index} is {self.state.value}" + (f": {self.reason}" if self.reason else ""),
        )

    def write(self, records: Sequence[Record], done: Done, undo: Undo | None = None) -> None:
        """Make `records` durable, then call `done`.

        The state machine has applied their effect already, or applies it in `done`; `undo` takes it back if the log refuses
        the records. `done` is never called before this returns.

        Raises:
            BrokerError: Nothing was queued and neither callback will be called: RECORD_LIST_TOO_LARGE when the records
                exceed the batch limit, NOT_COORDINATOR when the shard does not serve.

        """
        _, size_bytes = self._writable(records)
        self._open.append(_Event(records, size_bytes, done, undo))
        if not self._flush_due:
            self._flush_due = True
            self._services.defer(self._flush)

    def flush(self) -> None:
        """Append what is queued without waiting for the end of the tick; what is refused is taken back before this returns."""
        self._flush_queued()

    def write_transactional(
        self, producer_id: int, producer_epoch: int, records: Sequence[Record], done: Done
    ) -> None:
        """Append `records` as a batch of a producer's transaction, now; `done` when it is durable.

        The batch has no sequence numbers: a coordinator writes it once. The state machine calls `flush`, applies the effect, calls
        this, and takes the effect back if this raises.

        Raises:
            BrokerError: Nothing was appended and `done` will not be called: RECORD_LIST_TOO_LARGE, NOT_COORDINATOR,
                INVALID_PRODUCER_EPOCH, COORDINATOR_NOT_AVAILABLE, or what was wrong with the log.

        """
        log, size_bytes = self._writable(records)
        batch = _batch_of(
            records,
            self._services.clock.wall_ms(),
            BatchBuilder(producer_id=producer_id, producer_epoch=producer_epoch, transactional=True),
        )
        self._write_now(
            _Event(records, size_bytes, done, None),
            partial(log.append_as_leader, batch, from_client=False),
        )

    def write_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        *,
        commit: bool,
        transaction_version: int,
        done: Done,
    ) -> None:
        """Append the marker that ends a producer's transaction, now, as `write_transactional`; `done` when it is durable.

        Raises:
            BrokerError: Nothing was appended and `done` will not be called: INVALID_PRODUCER_EPOCH,
                TRANSACTION_COORDINATOR_FENCED, NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, or what was wrong with the log.

        """
        log, _ = self._writable(())
        self._write_now(
            _Event((), 0, done, None),
            partial(
                log.append_marker,
                producer_id,
                producer_epoch,
                coordinator_epoch,
                commit=commit,
                transaction_version=transaction_version,
            ),
        )

    def after_writes(self, done: Done) -> None:
        """Call `done` when everything written so far is durable, or at once when it is.

        This is how a read waits for what it has seen. Errors are those of the writes: with what is still queued it is refused,
        and where the last append is late already it is told REQUEST_TIMED_OUT at once.
        """
        reader = _Event((), 0, done, None)
        if self._open:
            self._open.append(reader)
        else:
            self._follow_last([reader])

    @property
    def pending_writes(self) -> int:
        """Events that wait for durability."""
        return len(self._open) + sum(len(append.events) for append in self._appends)

    def _writable(self, records: Sequence[Record]) -> tuple[CoordinatorLog, int]:
        """The log, and at least what `records` add to a batch, if they can be written."""
        log = self._log
        if self.state is not ShardState.ACTIVE or log is None:
            raise BrokerError(ErrorCode.NOT_COORDINATOR, f"{self.topic}-{self.index} is {self.state.value}")
        size_bytes = _size_bound(records)
        limit = self._services.limits.batch_bytes
        if size_bytes + HEADER_SIZE > limit:
            raise BrokerError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"{len(records)} records of about {size_bytes} bytes exceed the {limit} bytes that a batch of "
                f"{self.topic} may have; raise offsets.topic max.message.bytes or send less at once",
            )
        return log, size_bytes

    def _write_now(self, event: _Event, append: Callable[..., object]) -> None:
        """Append `event` in a batch that nothing else shares."""
        if self._open:
            # What was flushed was refused, and whoever was told so has written again: that stands before this.
            raise BrokerError(
                ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{self.topic}-{self.index} has writes before it"
            )
        error = self._append([event], append)
        if error is not None:
            raise error

    def _flush(self) -> None:
        """End of the tick."""
        self._flush_due = False
        self._flush_queued()

    def _flush_queued(self) -> None:
        """Append what was queued, as few batches as the limit allows, in order."""
        events = self._open
        self._open = []
        limit = self._services.limits.batch_bytes
        position = 0
        while position < len(events) and self._log is not None:
            first = position
            size_bytes = HEADER_SIZE
            while position < len(events) and size_bytes + events[position].size_bytes <= limit:
                size_bytes += events[position].size_bytes
                position += 1
            records = [record for event in events[first:position] for record in event.records]
            if not records:
                # Only readers are left, whose writes went in the batch before.
                self._follow_last(events[first:position])
                continue
            batch = _batch_of(records, self._services.clock.wall_ms(), BatchBuilder())
            error = self._append(
                events[first:position], partial(self._log.append_as_leader, batch, from_client=False)
            )
            if error is not None:
                # What was queued behind it may have been built on it.
                _refuse(events[first:], error.code)
                return
        for event in events[position:]:  # the shard stopped serving meanwhile
            event.finish(ErrorCode.NOT_COORDINATOR)

    def _append(self, events: list[_Event], do_append: Callable[..., object]) -> BrokerError | None:
        services = self._services
        append = _Append(events, services.clock.monotonic() + services.limits.timeout_ms / 1000)
        self._appends.append(append)
        try:
            do_append(on_done=partial(self._appended, append))
        except BrokerError as error:
            self._appends.remove(append)
            return error
        except Exception as error:
            # An unforeseen error of the layers below: the state is taken back all the same, or memory and log differ.
            _log.error("append failed", topic=self.topic, partition=self.index, error=error)
            self._appends.remove(append)
            return BrokerError(ErrorCode.UNKNOWN_SERVER_ERROR, "append failed")
        if self._timer is None and self._appends:
            self._timer = services.timers.call_at(self._appends[0].deadline, self._overdue)
        return None

    def _follow_last(self, readers: list[_Event]) -> None:
        appends = self._appends
        if appends and appends[-1].deadline > self._services.clock.monotonic():
            appends[-1].events.extend(readers)
            return
        error = ErrorCode.REQUEST_TIMED_OUT if appends else ErrorCode.NONE
        for reader in readers:
            reader.finish(error)

    def _appended(self, append: _Append, outcome: AppendOutcome) -> None:
        error = outcome.error
        if error != ErrorCode.NONE:
            self.fail(f"a write failed after it was appended: {error.name}")
            return
        appends = self._appends
        if append not in appends:
            return  # The shard was unloaded in the meantime; whoever waited has had an answer.
        # Appends become durable in order, so whatever lies before this one is durable too.
        while appends:
            first = appends.popleft()
            for event in first.events:
                event.finish(ErrorCode.NONE)
            if first is append:
                break

    def _overdue(self) -> None:
        self._timer = None
        services = self._services
        now = services.clock.monotonic()
        for append in list(self._appends):
            if append.deadline > now:
                break
            for event in append.events:
                event.finish(ErrorCode.REQUEST_TIMED_OUT)
        later = next((append.deadline for append in self._appends if append.deadline > now), None)
        if later is not None and self._timer is None:
            self._timer = services.timers.call_at(later, self._overdue)

    def _drop(self, state: ShardState, reason: str) -> None:
        machine, appends, opened = self._machine, self._appends, self._open
        self.state = state
        self.reason = reason
        self._machine = None
        self._log = None
        self._appends = deque()
        self._open = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if reason:
            _log.error("coordinator stopped serving", topic=self.topic, partition=self.index, reason=reason)
        if machine is not None:
            machine.unloaded(ErrorCode.NOT_COORDINATOR)
        for append in appends:
            for event in append.events:
                event.finish(ErrorCode.NOT_COORDINATOR)
        for event in opened:
            event.finish(ErrorCode.NOT_COORDINATOR)
        if state is ShardState.FAILED and self.on_failure is not None:
            self.on_failure()


def _refuse(events: list[_Event], error: ErrorCode) -> None:
    """Take back what `events` changed, newest first, then tell them why."""
    for event in reversed(events):
        if event.undo is not None:
            event.undo()
    for event in events:
        event.finish(error)


def _size_bound(records: Sequence[Record]) -> int:
    """At least what `records` add to a batch."""
    return sum(len(key) + (len(value) if value else 0) + _RECORD_OVERHEAD for key, value in records)


def _batch_of(records: Sequence[Record], now_ms: int, builder: BatchBuilder) -> bytearray:
    for key, value in records:
        builder.append(now_ms, key, value)
    return builder.build()
