"""The batches of one partition on their way to the broker: order, sequences and retries. Pure: no I/O, no clock.

What it promises, whatever answers come back and whichever don't:

- batches are written in the order they were created in, none of them twice (idempotent), and
- a batch is reported as written only if it was, as failed only if it will not be sent again.

How (KIP-98 and KIP-360, with the broker's rules as in Kafka's `ProducerAppendInfo`):

- A batch gets its sequence when it is first sent, and keeps it when it is sent again.
- When a batch comes back, nothing more is sent until everything in flight has come back too. Then what is to be
  sent again goes one at a time, in order, until all of it is written; only then several are in flight again.
- A new identity (producer id, epoch) has one batch in flight until the first is acknowledged: a broker that
  knows nothing of a producer accepts any sequence, so a second batch could overtake a first that was refused.
- A batch that fails for good leaves a gap in the sequences. The partition then takes the next epoch and counts
  from 0 again (a broker's producer state is per partition, so partitions can do that on their own), but not while
  a later batch may have been written: that one is sent again as it was, and the broker's OUT_OF_ORDER_SEQUENCE
  proves that it was not.

Without idempotence there are no sequences: one batch in flight keeps the order, and a retry may write twice.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from logbroker.base.error_codes import ErrorCode
from logbroker.client.delivery import ProducerBatch

__all__ = ["Identity", "PartitionQueue", "Verdict"]

_LAST_EPOCH = 0x7FFF
_SEQUENCE_MASK = 0x7FFFFFFF

# Answers after which the broker may hold the batch all the same.
_UNDECIDED = frozenset(
    {
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.UNKNOWN_SERVER_ERROR,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
    }
)
_RETRIED_ANYWAY = frozenset({ErrorCode.UNKNOWN_PRODUCER_ID})


class Verdict(Enum):
    """What was decided about a batch that came back."""

    WRITTEN = 1
    AGAIN = 2
    FAILED = 3


class Identity:
    """Who the broker thinks is writing: a producer id and the epoch this partition has got to."""

    __slots__ = ("epoch", "producer_id")

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.producer_id = producer_id
        self.epoch = epoch


class PartitionQueue:
    """The batches of one partition that are not settled yet.

    Attributes:
        topic, index: which partition.
        open: the batch that still takes records, or None.
        ready: sealed batches to be sent, in order.
        in_flight: batches sent and not answered, in order.
        retry_at: loop time in seconds before which nothing is sent.
        failures: how many times in a row a batch had to be sent again.
        needs_new_producer_id: the epochs are used up; set `identity` anew before sending.

    """

    __slots__ = (
        "_established",
        "_gap",
        "_max_in_flight",
        "_next_number",
        "_next_sequence",
        "failures",
        "identity",
        "in_flight",
        "index",
        "needs_new_producer_id",
        "open",
        "ready",
        "retry_at",
        "topic",
    )

    def __init__(self, topic: str, index: int, identity: Identity | None, max_in_flight: int) -> None:
        """Start empty; `identity` is None without idempotence, and then one batch is in flight at most."""
        self.topic = topic
        self.index = index
        self.identity = identity
        self.open: ProducerBatch | None = None
        self.ready: deque[ProducerBatch] = deque()
        self.in_flight: deque[ProducerBatch] = deque()
        self.retry_at = 0.0
        self.failures = 0
        self.needs_new_producer_id = False
        self._max_in_flight = max_in_flight if identity is not None else 1
        self._next_number = 0
        self._next_sequence = 0
        self._gap = False
        self._established = identity is None

    @property
    def empty(self) -> bool:
        """Whether every batch is settled."""
        return self.open is None and not self.ready and not self.in_flight

    def unsettled(self) -> list[ProducerBatch]:
        """Return every batch of the queue, the open one too, in no particular order."""
        batches = [*self.in_flight, *self.ready]
        if self.open is not None:
            batches.append(self.open)
        return batches

    def take_number(self) -> int:
        """Return the number for the next batch."""
        number = self._next_number
        self._next_number = number + 1
        return number

    def may_send(self, now: float) -> bool:
        """Whether the rules allow to send the next batch now (if there is one)."""
        in_flight = len(self.in_flight)
        if now < self.retry_at or self.needs_new_producer_id:
            return False
        if in_flight == 0:
            return True
        if self.ready and self.ready[0].attempts:
            return False  # something is being sent again: one at a time
        return self._established and not self._gap and in_flight < self._max_in_flight

    def next_batch(self) -> ProducerBatch | None:
        """Move the first ready batch in flight and return it, its sequence assigned. Only after `may_send`."""
        if not self.ready:
            return None
        if self._gap and not self.in_flight and not self.ready[0].maybe_appended:
            self._close_gap()
            if self.needs_new_producer_id:
                return None
        batch = self.ready.popleft()
        if self.identity is not None and batch.base_sequence < 0:
            batch.base_sequence = self._next_sequence
            self._next_sequence = (self._next_sequence + batch.count) & _SEQUENCE_MASK
        batch.attempts += 1
        self.in_flight.append(batch)
        return batch

    def written(self, batch: ProducerBatch) -> None:
        """The broker acknowledged a batch."""
        self.in_flight.remove(batch)
        self._established = True
        self.failures = 0

    def came_back(self, batch: ProducerBatch, code: ErrorCode, now: float) -> Verdict:
        """Decide about a batch that was answered with `code`, NETWORK_EXCEPTION if it was not answered at all.

        WRITTEN and FAILED: the batch is out of the queue, and the caller settles it. AGAIN: it is in `ready` once more.
        """
        if code == ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
            self.written(batch)
            return Verdict.WRITTEN
        first = self.in_flight[0] is batch and not (self.ready and self.ready[0].number < batch.number)
        self.in_flight.remove(batch)
        if code in _UNDECIDED:
            batch.maybe_appended = True
        again = code.retriable or code in _RETRIED_ANYWAY
        if code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
            # Behind a batch that was refused it is the expected answer, and proves that this one was not written either.
            again = self._gap or not first
            batch.maybe_appended = False
        elif code == ErrorCode.UNKNOWN_PRODUCER_ID and first:
            batch.maybe_appended = False
            self._gap = True
        if again and now < batch.deadline:
            self._put_back(batch)
            self.failures += 1
            return Verdict.AGAIN
        self._gap = self.identity is not None
        return Verdict.FAILED

    def drop_overdue(self, now: float) -> list[ProducerBatch]:
        """Take out and return the batches that are not in flight and past their deadline."""
        overdue = [batch for batch in self.ready if batch.deadline <= now]
        for batch in overdue:
            self.ready.remove(batch)
            if batch.base_sequence >= 0:
                self._gap = True
        if self.open is not None and self.open.deadline <= now:
            overdue.append(self.open)
            self.open = None
        return overdue

    def drop_all(self) -> list[ProducerBatch]:
        """Take out and return everything; the queue is of no more use."""
        batches = self.unsettled()
        self.in_flight.clear()
        self.ready.clear()
        self.open = None
        return batches

    def adopt(self, identity: Identity) -> None:
        """Go on under a new producer id, counting from 0; only while nothing is in flight."""
        self.identity = identity
        self.needs_new_producer_id = False
        self._restart_sequences()

    def _put_back(self, batch: ProducerBatch) -> None:
        """Insert a batch into `ready` where its number belongs: always near the front."""
        position = 0
        for other in self.ready:
            if other.number > batch.number:
                break
            position += 1
        self.ready.insert(position, batch)

    def _close_gap(self) -> None:
        """Nothing is in flight and nothing that follows the gap was written: take the next epoch."""
        if self.identity is None:
            self._gap = False
        elif self.identity.epoch >= _LAST_EPOCH:
            self.needs_new_producer_id = True
        else:
            self.identity = Identity(self.identity.producer_id, self.identity.epoch + 1)
            self._restart_sequences()

    def _restart_sequences(self) -> None:
        for batch in self.ready:
            batch.base_sequence = -1
        self._next_sequence = 0
        self._gap = False
        self._established = False
