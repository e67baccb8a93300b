"""Commit and abort markers on their way to the partitions of one transaction.

All markers are sent at once; those that fail are sent again, together, after a pause that doubles, until none is left: the
outcome is decided and durable, so there is no giving up. A directory that is offline keeps its partitions waiting until the
broker has it back; a partition that is gone needs no marker.

A partition that refuses a marker for good (it has heard of a later epoch of the producer, or of a later coordinator, as
after `kafka-transactions abort`) has no such transaction open any more: that counts as done, and is logged.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from logbroker.base import failpoints, logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.transactions.transaction import TopicPartition

RETRY_PAUSE_S: Final = 0.05
RETRY_PAUSE_MAX_S: Final = 5.0
"""Between two attempts to write the markers that failed: the first time, and at most."""

_REFUSED_FOR_GOOD: Final = frozenset(
    {ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.TRANSACTION_COORDINATOR_FENCED}
)

NEXT_MARKER = failpoints.declare(
    "transaction.marker",
    "partitions before this one were handed the marker, this one and those behind it not",
)

_log = logs.get("transactions")


class WriteMarker(Protocol):
    """Appends one marker to one partition, whoever looks after it."""

    def __call__(
        self,
        topic: str,
        partition: int,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        commit: bool,
        transaction_version: int,
        /,
    ) -> Completion[ErrorCode]:
        """Append it; NONE when it is durable. Raises BrokerError: it was not appended."""
        ...


@dataclass(frozen=True, slots=True)
class Marker:
    """What is written into every partition of a transaction."""

    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    commit: bool
    transaction_version: int


@dataclass(frozen=True, slots=True)
class MarkerServices:
    """What sending needs.

    Attributes:
        write: Appends a marker.
        exists: Whether there is such a partition.

    """

    write: WriteMarker
    exists: Callable[[str, int], bool]
    clock: Clock
    timers: Timers


class MarkerSender:
    """The markers of one transaction.

    Args:
        transactional_id: For the log.
        marker: What to write.
        partitions: Where.
        done: Called once, when every partition has it; perhaps from within `start`.
        services: See there.

    Attributes:
        waiting: Partitions that don't have it yet.

    """

    __slots__ = (
        "_attempt",
        "_cancelled",
        "_done",
        "_failed",
        "_in_flight",
        "_marker",
        "_pause_s",
        "_services",
        "_timer",
        "_transactional_id",
        "waiting",
    )

    def __init__(
        self,
        transactional_id: str,
        marker: Marker,
        partitions: Iterable[TopicPartition],
        done: Callable[[], None],
        services: MarkerServices,
    ) -> None:
        self._transactional_id = transactional_id
        self._marker = marker
        self._done = done
        self._services = services
        self._failed: dict[TopicPartition, ErrorCode] = {}
        self._in_flight = 0
        self._attempt = 0
        self._pause_s = RETRY_PAUSE_S
        self._timer: TimerHandle | None = None
        self._cancelled = False
        self.waiting = set(partitions)

    def start(self) -> None:
        """Send them."""
        self._send()

    def cancel(self) -> None:
        """Send no more and tell nobody: this broker coordinates the transaction no longer."""
        self._cancelled = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self) -> None:
        self._timer = None
        self._attempt += 1
        self._failed = {}
        targets = sorted(self.waiting)
        self._in_flight = len(targets) + 1  # one for this call, so that no answer within it ends the attempt
        marker = self._marker
        for target in targets:
            if NEXT_MARKER.armed:
                NEXT_MARKER.hit()
            try:
                outcome = self._services.write(
                    *target,
                    marker.producer_id,
                    marker.producer_epoch,
                    marker.coordinator_epoch,
                    marker.commit,
                    marker.transaction_version,
                )
            except BrokerError as error:
                self._answered(target, error.code)
            except Exception as error:
                _log.error("a transaction marker could not be sent", partition=_name(target), error=error)
                self._answered(target, ErrorCode.UNKNOWN_SERVER_ERROR)
            else:
                outcome.on_done(partial(self._answered, target))
        self._one_less()

    def _answered(self, target: TopicPartition, error: ErrorCode) -> None:
        if error == ErrorCode.NONE or not self._services.exists(*target):
            self.waiting.discard(target)
        elif error in _REFUSED_FOR_GOOD:
            self.waiting.discard(target)
            _log.warning(
                "a partition has ended this transaction already",
                partition=_name(target),
                transactional_id=self._transactional_id,
                producer_id=self._marker.producer_id,
                reason=ErrorCode(error).name,
            )
        else:
            self._failed[target] = ErrorCode(error)
        self._one_less()

    def _one_less(self) -> None:
        self._in_flight -= 1
        if self._in_flight or self._cancelled:
            return
        if not self.waiting:
            self._done()
            return
        if self._attempt == 1:
            target, error = next(iter(self._failed.items()))
            _log.debug(
                "transaction markers wait for their partitions",
                transactional_id=self._transactional_id,
                partitions=len(self.waiting),
                first=_name(target),
                reason=error.name,
            )
        when = self._services.clock.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, RETRY_PAUSE_MAX_S)
        self._timer = self._services.timers.call_at(when, self._send)


def _name(target: TopicPartition) -> str:
    return f"{target[0]}-{target[1]}"
