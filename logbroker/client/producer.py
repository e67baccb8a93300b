"""The producer: hand it records, and it tells you when the broker has them.

    async with Producer("127.0.0.1:9092") as producer:
        where = await producer.send("orders", b"...", key=b"42")       # returns once the record is acknowledged
        delivery = await producer.enqueue("orders", b"...")            # returns once the record is in the buffer
        where = await delivery                                         # ... and this when it is acknowledged

`send` is the simple way, and quick where many tasks send at a time; `enqueue` pipelines from one task. By default a
record is written exactly once and in order per partition, however often a broker or a connection fails meanwhile
(idempotence, KIP-98: see `partition_queue.py`), and acknowledged by all in-sync replicas.

Leaving the `async with` block waits until everything enqueued is acknowledged, and raises the first failure that
nobody awaited: no error means that all of it was written. Leaving it with an exception gives up what isn't
acknowledged yet.

One producer belongs to one event loop and may be shared by all its tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias

from logbroker.base.errors import ConfigError
from logbroker.base.types import Buffer
from logbroker.client.cluster import Cluster
from logbroker.client.delivery import Delivery, ProducerBatch, RecordMetadata
from logbroker.client.errors import BufferFullError, ClosedError, RecordTooLargeError
from logbroker.client.partition_queue import PartitionQueue
from logbroker.client.partitioner import StickyChoice, partition_for_key
from logbroker.client.sender import Sender, SenderOptions
from logbroker.client.types import Headers
from logbroker.net.client_connection import REQUEST_TIMEOUT_MS
from logbroker.records.batch import HEADER_SIZE
from logbroker.records.builder import BatchBuilder
from logbroker.records.compression import CODEC_NAMES

__all__ = ["Acks", "Producer"]

Acks: TypeAlias = Literal["all", 0, 1, -1]

BATCH_BYTES = 128 * 1024
BUFFER_BYTES = 32 * 1024 * 1024
MAX_REQUEST_BYTES = 1024 * 1024
MAX_IN_FLIGHT = 5
DELIVERY_TIMEOUT_MS = 120_000
MAX_BLOCK_MS = 60_000
BREATH_BYTES = 128 * 1024
"""How much may be enqueued before the event loop gets a turn."""

FAILURES_REMEMBERED = 1_000
"""How many failed batches are kept for `flush` to report."""

_RECORD_OVERHEAD_BYTES = 24
"""About what a record adds to key, value and headers: lengths, deltas, attributes."""

_HEADER_OVERHEAD_BYTES = 10
_CreateHeaders: TypeAlias = Sequence[tuple[str, bytes | None]]


class _TopicState:
    """The queues of a topic's partitions, and where records without a key go."""

    __slots__ = ("queues", "sticky")

    def __init__(self, sticky: StickyChoice) -> None:
        self.queues: list[PartitionQueue] = []
        self.sticky = sticky


class Producer:
    """Writes records to topics; see the module for how to use it."""

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str = "logbroker-producer",
        acks: Acks = "all",
        idempotent: bool | None = None,
        compression: str = "none",
        compression_level: int | None = None,
        linger_ms: float = 0,
        batch_bytes: int = BATCH_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
        max_block_ms: int = MAX_BLOCK_MS,
        partitioner: Callable[[Buffer, int], int] = partition_for_key,
    ) -> None:
        """Take the settings; nothing is opened before `start` (or `async with`).

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            client_id: how the broker names this client.
            acks: "all" (or -1): every in-sync replica has it. 1: the leader has it. 0: it was sent, nobody knows more.
            idempotent: no duplicates and no reordering by retries; needs acks="all", with which it is the default.
            compression: none, gzip, snappy, lz4 or zstd.
            compression_level: effort in the codec's own scale; None is a sensible middle.
            linger_ms: how long a batch that isn't full waits for more, even while nothing is in flight.
            batch_bytes: how large a batch grows before the next one is begun; at most what the topic's
                `max.message.bytes` allows.
            buffer_bytes: bound on all records not yet acknowledged; past it `send` and `enqueue` wait.
            max_request_bytes: bound on one request and so, before compression, on one record.
            max_in_flight: requests without an answer per broker, 1 to 5.
            request_timeout_ms: how long a broker may take to answer before it is asked again elsewhere.
            delivery_timeout_ms: how long a record may take, retries and all, before it fails.
            max_block_ms: how long `send` and `enqueue` may wait for metadata and for room in the buffer.
            partitioner: (key, number of partitions) to partition, for records with a key; Java's by default.

        Raises:
            ConfigError: a value that can't be used, or two that exclude each other.

        """
        if acks not in {"all", -1, 0, 1}:
            raise ConfigError(f"acks is {acks!r}; it may be all, 1 or 0")
        wire_acks = -1 if acks == "all" else int(acks)
        if idempotent and wire_acks != -1:
            raise ConfigError(
                f"an idempotent producer needs acks=all, it has acks={acks}; set idempotent=False or acks=all"
            )
        if compression not in CODEC_NAMES:
            raise ConfigError(f"compression {compression!r} is unknown; use one of {', '.join(CODEC_NAMES)}")
        if not 1 <= max_in_flight <= MAX_IN_FLIGHT:
            raise ConfigError(
                f"max_in_flight is {max_in_flight}; a broker recognises duplicates within 1 to {MAX_IN_FLIGHT}"
            )
        for name, value in (
            ("batch_bytes", batch_bytes),
            ("buffer_bytes", buffer_bytes),
            ("max_request_bytes", max_request_bytes),
            ("request_timeout_ms", request_timeout_ms),
            ("delivery_timeout_ms", delivery_timeout_ms),
        ):
            if value <= 0:
                raise ConfigError(f"{name} is {value}; it must be above 0")
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._codec = CODEC_NAMES[compression]
        self._level = compression_level
        self._batch_bytes = min(batch_bytes, max_request_bytes)
        self._buffer_bytes = buffer_bytes
        self._max_request_bytes = max_request_bytes
        self._delivery_timeout_ms = delivery_timeout_ms
        self._max_block_ms = max_block_ms
        self._partitioner = partitioner
        self._options = SenderOptions(
            acks=wire_acks,
            idempotent=wire_acks == -1 if idempotent is None else idempotent,
            linger_ms=linger_ms,
            max_request_bytes=max_request_bytes,
            max_in_flight=max_in_flight,
            request_timeout_ms=request_timeout_ms,
        )
        self._cluster = Cluster(bootstrap_servers, client_id=client_id, request_timeout_ms=request_timeout_ms)
        self._sender: Sender | None = None
        self._topics: dict[str, _TopicState] = {}
        self._buffered_bytes = 0
        self._bytes_since_breath = 0
        self._room_waiters: deque[asyncio.Future[None]] = deque()
        self._failed: deque[ProducerBatch] = deque(maxlen=FAILURES_REMEMBERED)
        self._closed = False
        self.acknowledged_records = 0
        """Records written so far."""
        self.acknowledged_bytes = 0
        """Their size in bytes, about: keys, values, headers and a little for each."""

    async def start(self) -> Self:
        """Reach the cluster and get a producer id; returns the producer.

        Raises:
            UnreachableError: no bootstrap server can be reached.
            ClientError: the broker can't or won't give a producer id.

        """
        sender = Sender(self._cluster, self._options, self._on_settled)
        try:
            await self._cluster.open()
            await sender.open()
        except BaseException:
            await self._cluster.close()
            raise
        self._sender = sender
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of records that are not acknowledged yet."""
        return self._buffered_bytes

    @property
    def failure(self) -> Exception | None:
        """The first failure that nobody has awaited yet: what `flush` would raise. For loops that only enqueue."""
        return next((batch.error for batch in self._failed if batch.unseen_failures), None)

    async def send(
        self,
        topic: str,
        value: Buffer | None = None,
        *,
        key: Buffer | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        """Write a record and return where it was written, once it is acknowledged. Arguments and errors: see `enqueue`.

        Giving up the call (cancelling its task) does not take the record back.
        """
        return await (
            await self.enqueue(
                topic, value, key=key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
            )
        )

    async def enqueue(
        self,
        topic: str,
        value: Buffer | None = None,
        *,
        key: Buffer | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Delivery:
        """Put a record into the buffer, waiting while it is full, and return the promise of its acknowledgement.

        Args:
            topic: where to; created by the broker if it doesn't exist and the broker is set to do that.
            value: bytes; None is null, which on a compacted topic deletes the key.
            key: bytes; records with the same key go to the same partition. None is null.
            headers: (name, bytes or None) pairs, or a mapping.
            partition: the partition; by default the key decides, or chance.
            timestamp_ms: ms since the epoch; by default now.

        Raises:
            RefusedError: the topic doesn't exist or its name is invalid.
            RecordTooLargeError: no request could carry it.
            BufferFullError: no room within `max_block_ms`.
            ConfigError: the topic has no such partition.
            ClosedError: the producer is not open.
            TypeError: something that must be bytes isn't.

        """
        sender = self._sender
        if sender is None or self._closed or sender.fatal is not None:
            raise ClosedError("the producer is not open; use it in `async with Producer(...) as producer:`")
        size = _RECORD_OVERHEAD_BYTES
        if value is not None:
            if type(value) is not bytes:
                value = _as_bytes(value, "value")
            size += len(value)
        if key is not None:
            if type(key) is not bytes:
                key = _as_bytes(key, "key")
            size += len(key)
        pairs: _CreateHeaders = ()
        if headers:
            pairs, headers_size = _check_headers(headers)
            size += headers_size
        if size + HEADER_SIZE > self._max_request_bytes:
            raise RecordTooLargeError(
                f"a record of {size} bytes for {topic!r} does not fit into a request of {self._max_request_bytes}; raise max_request_bytes"
                " (and the topic's max.message.bytes)"
            )
        info = self._cluster.cached_topic(topic)
        if info is None:
            info = await self._cluster.topic(topic, create=True, timeout_ms=self._max_block_ms)
        if self._buffered_bytes + size > self._buffer_bytes or self._room_waiters:
            await self._wait_for_room(size)
        partition_count = len(info.partitions)
        state = self._topics.get(topic)
        if state is None:
            state = self._topics[topic] = _TopicState(StickyChoice(self._batch_bytes))
        if partition is None:
            if key is not None:
                partition = self._partitioner(key, partition_count)
            else:
                partition = state.sticky.choose(info.available, partition_count)
                state.sticky.count(size)
        if not 0 <= partition < partition_count:
            raise ConfigError(
                f"topic {topic!r} has no partition {partition}; it has 0 to {partition_count - 1}"
            )
        queues = state.queues
        while len(queues) <= partition:
            queues.append(PartitionQueue(topic, len(queues), sender.identity, self._options.max_in_flight))
        queue = queues[partition]
        batch = queue.open
        if batch is not None and batch.size_bytes + size > self._batch_bytes:
            queue.ready.append(batch)
            batch = None
        if batch is None:
            now = asyncio.get_running_loop().time()
            builder = BatchBuilder(codec=self._codec, level=self._level)
            deadline = now + self._delivery_timeout_ms / 1000
            batch = queue.open = ProducerBatch(
                topic, partition, queue.take_number(), builder=builder, created=now, deadline=deadline
            )
            sender.wake(queue)
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        batch.builder.append(timestamp_ms, key, value, pairs)  # type: ignore[union-attr]  # an open batch has one
        index = batch.count
        batch.count = index + 1
        batch.size_bytes += size
        self._buffered_bytes += size
        delivery = Delivery(batch, index, timestamp_ms)
        self._bytes_since_breath += size
        if self._bytes_since_breath >= BREATH_BYTES:
            # A loop that only enqueues would never let the event loop send anything.
            self._bytes_since_breath = 0
            await asyncio.sleep(0)
        return delivery

    async def partitions_for(self, topic: str) -> int:
        """Return how many partitions a topic has. Raises as `enqueue` does."""
        return len((await self._cluster.topic(topic, create=True, timeout_ms=self._max_block_ms)).partitions)

    async def flush(self) -> None:
        """Wait until everything enqueued so far is acknowledged or has failed.

        Raises:
            ClientError: something failed that nobody has awaited; the first such failure.

        """
        sender = self._sender
        if sender is not None:
            batches = [batch for queue in self._queues() for batch in queue.unsettled()]
            sender.flushing += 1
            sender.wake()
            try:
                for batch in batches:
                    await batch.waiter()
            finally:
                sender.flushing -= 1
            await asyncio.sleep(0)  # whoever awaits a delivery sees a failure first
        failure = self.failure
        self._failed.clear()
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Flush, then close. Raises as `flush` does, with everything closed all the same."""
        try:
            await self.flush()
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close at once; what isn't acknowledged fails with `ClosedError` and may or may not have been written."""
        self._closed = True
        if self._sender is not None:
            await self._sender.close()
            self._sender.give_up(self._queues())
        while self._room_waiters:
            self._wake_room_waiter()
        await self._cluster.close()

    def _queues(self) -> list[PartitionQueue]:
        return [queue for state in self._topics.values() for queue in state.queues]

    def _on_settled(self, batch: ProducerBatch) -> None:
        self._buffered_bytes -= batch.size_bytes
        if batch.error is not None:
            self._failed.append(batch)
        else:
            self.acknowledged_records += batch.count
            self.acknowledged_bytes += batch.size_bytes
        self._wake_room_waiter()

    async def _wait_for_room(self, size: int) -> None:
        if size > self._buffer_bytes:
            raise RecordTooLargeError(
                f"a record of {size} bytes does not fit into a buffer of {self._buffer_bytes}; raise buffer_bytes"
            )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._max_block_ms / 1000):
                first_in_line = False
                while self._buffered_bytes + size > self._buffer_bytes or (
                    self._room_waiters and not first_in_line
                ):
                    if self._closed:
                        raise ClosedError(
                            "the producer was closed while a record waited for room in its buffer"
                        )
                    waiter: asyncio.Future[None] = loop.create_future()
                    if first_in_line:
                        self._room_waiters.appendleft(waiter)
                    else:
                        self._room_waiters.append(waiter)
                    try:
                        await waiter
                    finally:
                        if waiter in self._room_waiters:
                            self._room_waiters.remove(waiter)
                    first_in_line = True
        except TimeoutError:
            raise BufferFullError(
                f"the producer's buffer of {self._buffer_bytes} bytes stayed full for {self._max_block_ms} ms; "
                "the broker is slower than the sender, or not to be reached"
            ) from None
        finally:
            self._wake_room_waiter()  # there may be room for the next in line as well

    def _wake_room_waiter(self) -> None:
        while self._room_waiters:
            waiter = self._room_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _as_bytes(value: object, what: str) -> bytes:
    """Copy what isn't `bytes`: it could change before it is sent."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{what} must be bytes or None, not {type(value).__name__}; encode it first")


def _check_headers(headers: Headers) -> tuple[_CreateHeaders, int]:
    """Return the headers as pairs, and the bytes they take in a record."""
    pairs: list[tuple[str, bytes | None]] = []
    size = 0
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(name, str):
            raise TypeError(f"a header's name must be a string, not {type(name).__name__}")
        content = None if value is None else _as_bytes(value, f"header {name!r}")
        pairs.append((name, content))
        size += (
            _HEADER_OVERHEAD_BYTES
            + len(name.encode("utf-8", "surrogateescape"))
            + (len(content) if content else 0)
        )
    return pairs, size
