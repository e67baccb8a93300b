"""What becomes of a record that was handed to the producer.

Records travel in batches and their fate is the batch's: a `Delivery` is no future of its own, only a place in a
`ProducerBatch`, so that acknowledging a batch costs the same whether it holds one record or a thousand. Awaiting a
delivery that is settled already costs nothing but a tuple.

A failure that nobody awaited isn't lost: each batch counts who looked, and `Producer.flush` raises the first
failure that some delivery's owner hasn't seen.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import NamedTuple

from logbroker.records.builder import BatchBuilder

__all__ = ["Delivery", "ProducerBatch", "RecordMetadata"]

UNKNOWN_OFFSET = -1


class RecordMetadata(NamedTuple):
    """Where a record was written.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: the record's offset; -1 when the broker didn't say (acks=0, or a retry of what it already had).
        timestamp_ms: the record's timestamp as stored, in ms since the epoch.

    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class ProducerBatch:
    """The records of one partition that travel together, from the first append to the acknowledgement.

    Attributes:
        number: counts the batches of a partition; the order they must be written in.
        builder: takes the records, until the batch is sealed.
        data: the encoded batch; None until it is sealed.
        count: records in it.
        size_bytes: what it holds of the producer's buffer.
        created, deadline: loop time in seconds.
        attempts: how often it was sent.
        base_sequence: sequence of its first record; -1 until it is first sent, or without idempotence.
        maybe_appended: an attempt ended without an answer, so the broker may have it.

    """

    __slots__ = (
        "_base_offset",
        "_error",
        "_log_append_time_ms",
        "_observed",
        "_waiters",
        "attempts",
        "base_sequence",
        "builder",
        "count",
        "created",
        "data",
        "deadline",
        "maybe_appended",
        "number",
        "partition",
        "settled",
        "size_bytes",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        number: int,
        *,
        builder: BatchBuilder | None,
        created: float,
        deadline: float,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.number = number
        self.builder = builder
        self.data: bytearray | None = None
        self.count = 0
        self.size_bytes = 0
        self.created = created
        self.deadline = deadline
        self.attempts = 0
        self.base_sequence = -1
        self.maybe_appended = False
        self.settled = False
        self._base_offset = UNKNOWN_OFFSET
        self._log_append_time_ms = -1
        self._error: Exception | None = None
        self._observed = 0
        self._waiters: list[asyncio.Future[None]] | None = None

    def succeed(self, base_offset: int, log_append_time_ms: int = -1) -> None:
        """Settle: the broker has it, from `base_offset` on (`UNKNOWN_OFFSET`: it didn't say where)."""
        self._base_offset = base_offset
        self._log_append_time_ms = log_append_time_ms
        self._settle()

    def fail(self, error: Exception) -> None:
        """Settle: it will not be sent (again)."""
        self._error = error
        self._settle()

    @property
    def error(self) -> Exception | None:
        """Why it failed."""
        return self._error

    @property
    def unseen_failures(self) -> int:
        """How many of its records failed without anybody having been told."""
        return 0 if self._error is None else self.count - self._observed

    def metadata(self, index: int, timestamp_ms: int) -> RecordMetadata:
        """Return where record `index` of the settled batch stands.

        Raises:
            ClientError: the batch failed.

        """
        if self._error is not None:
            self._observed += 1
            raise self._error
        offset = self._base_offset
        return RecordMetadata(
            self.topic,
            self.partition,
            offset + index if offset >= 0 else UNKNOWN_OFFSET,
            self._log_append_time_ms if self._log_append_time_ms >= 0 else timestamp_ms,
        )

    def waiter(self) -> asyncio.Future[None]:
        """Return a new future that is done when the batch is settled; cancelling it harms nobody else."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.settled:
            future.set_result(None)
        elif self._waiters is None:
            self._waiters = [future]
        else:
            self._waiters.append(future)
        return future

    def _settle(self) -> None:
        self.settled = True
        self.builder = None
        self.data = None
        waiters, self._waiters = self._waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)


class Delivery:
    """The promise of one record's acknowledgement: `metadata = await delivery`.

    Awaiting it may be repeated, and given up, at will: neither changes what becomes of the record.
    """

    __slots__ = ("_batch", "_index", "_seen", "_timestamp_ms")

    def __init__(self, batch: ProducerBatch, index: int, timestamp_ms: int) -> None:
        self._batch = batch
        self._index = index
        self._timestamp_ms = timestamp_ms
        self._seen = False

    @property
    def partition(self) -> int:
        """The partition the record goes to."""
        return self._batch.partition

    @property
    def done(self) -> bool:
        """Whether it is known what became of the record."""
        return self._batch.settled

    def result(self) -> RecordMetadata:
        """Return where the record was written; only when `done`.

        Raises:
            ClientError: it was not acknowledged, and why; or it isn't known yet.

        """
        batch = self._batch
        if not batch.settled:
            raise asyncio.InvalidStateError("the record has not been acknowledged yet; await the delivery")
        if self._seen and batch.error is not None:
            raise batch.error
        self._seen = True
        return batch.metadata(self._index, self._timestamp_ms)

    def __await__(self) -> Generator[object, None, RecordMetadata]:
        if not self._batch.settled:
            yield from self._batch.waiter().__await__()
        return self.result()
