"""Sends the producer's batches: which, to whom, when, and what to do with the answer.

`pump` walks over the partitions that have something to send and gathers at most one batch of each into a request
per leader; it runs once per loop tick at most, whenever there may be something to do: a record was added, an
answer came, a pause is over, metadata changed. It never waits; whatever takes time runs as a task that calls `wake`.

A batch that isn't full is sent once it has lingered, if nothing of its partition is in flight: one at a time needs no
wait at all, and many at a time fill batches while an answer is under way, without a timer.

Bounds: `max_in_flight` requests per broker, `max_request_bytes` each, and the producer's buffer over all.
Order and retries are `PartitionQueue`'s business. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError
from logbroker.client.cluster import Cluster
from logbroker.client.delivery import UNKNOWN_OFFSET, ProducerBatch
from logbroker.client.errors import ClosedError, DeliveryTimeoutError, RefusedError, error_code_of
from logbroker.client.partition_queue import Identity, PartitionQueue, Verdict
from logbroker.client.staleness import StaleTopics
from logbroker.net.client_connection import ClientConnection
from logbroker.records.batch import HEADER_SIZE, parse_header
from logbroker.records.builder import write_header
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from logbroker.wire.schema import ZERO_UUID

__all__ = ["Sender", "SenderOptions"]

_FIRST_VERSION_WITH_TOPIC_IDS = 13
_ANSWER_MARGIN_MS = 5_000
"""How much longer than the broker may take (`timeout_ms` of Produce) we wait for its answer, at most."""

_log = logging.getLogger(__name__)

_Sent = list[tuple[PartitionQueue, ProducerBatch]]


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """What a `Sender` must know; the producer documents them."""

    acks: int
    idempotent: bool
    linger_ms: float
    max_request_bytes: int
    max_in_flight: int
    request_timeout_ms: int


class Sender:
    """The sending half of a producer."""

    def __init__(
        self, cluster: Cluster, options: SenderOptions, on_settled: Callable[[ProducerBatch], None]
    ) -> None:
        """`on_settled(batch)` is called once for every batch that was written or failed."""
        self.identity: Identity | None = None
        self.flushing = 0
        self.fatal: BaseException | None = None
        self._cluster = cluster
        self._options = options
        self._on_settled = on_settled
        self._loop = asyncio.get_running_loop()
        self._active: dict[PartitionQueue, None] = {}
        self._in_flight: defaultdict[int, int] = defaultdict(int)
        self._sent_over: dict[PartitionQueue, ClientConnection] = {}
        self._busy_nodes: set[int] = set()
        self._stale_topics = StaleTopics(cluster, self._start, self._refreshed, self.wake)
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def open(self) -> None:
        """Get a producer id, if the producer is to be idempotent."""
        if self._options.idempotent:
            self.identity = await self._new_identity()

    async def close(self) -> None:
        """Stop; what is not settled fails with `ClosedError`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def give_up(self, queues: Iterable[PartitionQueue]) -> None:
        """Fail everything that is not settled: the producer was closed, or can't go on."""
        self._closed = True
        reason = "was closed" if self.fatal is None else f"failed ({self.fatal})"
        for queue in queues:
            for batch in queue.drop_all():
                self._fail(batch, ClosedError(f"the producer {reason} before the record was acknowledged"))

    def wake(self, queue: PartitionQueue | None = None) -> None:
        """Look for something to send at the end of this loop tick; `queue` has got something."""
        if queue is not None:
            self._active[queue] = None
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        now = self._loop.time()
        wake_at = math.inf
        requests: dict[int, tuple[ClientConnection, _Sent]] = {}
        sizes: defaultdict[int, int] = defaultdict(int)
        for queue in list(self._active):
            first = queue.ready[0] if queue.ready else queue.open
            if first is None:
                del self._active[queue]
                continue
            if first.deadline <= now:
                self._drop_overdue(queue, now)
                self.wake()
                continue
            wake_at = min(wake_at, first.deadline)
            if not queue.ready:
                due = first.created + self._options.linger_ms / 1000
                if self.flushing:
                    pass
                elif due > now:
                    wake_at = min(wake_at, due)
                    continue
                elif queue.in_flight:
                    continue
            if not queue.may_send(now):
                if queue.retry_at > now:
                    wake_at = min(wake_at, queue.retry_at)
                continue
            leader = self._cluster.leader(queue.topic, queue.index)
            connection = self._connection_for(queue, leader)
            if connection is None:
                continue
            if not queue.ready:
                queue.ready.append(first)
                queue.open = None
            size = first.size_bytes + HEADER_SIZE
            if sizes[leader] and sizes[leader] + size > self._options.max_request_bytes:
                self.wake()  # what doesn't fit goes into the next request
                continue
            batch = queue.next_batch()
            if batch is None:
                self._start(self._renew_identity(queue))
                continue
            sizes[leader] += size
            requests.setdefault(leader, (connection, []))[1].append((queue, batch))
            # To the end of the line: with more work than requests may carry, every partition gets its turn.
            del self._active[queue]
            self._active[queue] = None
        for leader, (connection, sent) in requests.items():
            self._send(leader, connection, sent)
        self._arm_timer(wake_at)

    def _connection_for(self, queue: PartitionQueue, leader: int) -> ClientConnection | None:
        """Return the connection a queue may send over now; None if it has to wait, and see to it that it won't for ever."""
        if leader < 0:
            self._stale_topics.add(queue.topic)
            return None
        if leader in self._busy_nodes or self._in_flight[leader] >= self._options.max_in_flight:
            return None
        connection = self._cluster.open_connection(leader)
        if connection is None:
            self._busy_nodes.add(leader)
            self._start(self._connect(leader, queue.topic))
            return None
        if queue.in_flight and self._sent_over.get(queue) is not connection:
            return None  # what is in flight elsewhere must be answered first, or it could be overtaken
        return connection

    def _send(self, leader: int, connection: ClientConnection, sent: _Sent) -> None:
        acks = self._options.acks
        topics: dict[str, TopicProduceData] = {}
        all_have_ids = True
        for queue, batch in sent:
            self._encode(queue, batch)
            topic = topics.get(queue.topic)
            if topic is None:
                known = self._cluster.cached_topic(queue.topic)
                topic_id = ZERO_UUID if known is None else known.topic_id
                all_have_ids = all_have_ids and topic_id != ZERO_UUID
                topic = topics[queue.topic] = TopicProduceData(name=queue.topic, topic_id=topic_id)
            topic.partition_data.append(PartitionProduceData(queue.index, batch.data))
            self._sent_over[queue] = connection
        timeout_ms = self._options.request_timeout_ms
        request = ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=list(topics.values()))
        self._in_flight[leader] += 1
        try:
            at_most = None if all_have_ids else _FIRST_VERSION_WITH_TOPIC_IDS - 1
            version = connection.version(ApiKey.PRODUCE, at_most=at_most)
            if acks == 0:
                connection.send_unanswered(ApiKey.PRODUCE, request, version=version)
            else:
                future = connection.send(
                    ApiKey.PRODUCE,
                    request,
                    version=version,
                    timeout_ms=timeout_ms + min(timeout_ms, _ANSWER_MARGIN_MS),
                )
                future.add_done_callback(lambda done: self._answered(leader, sent, done))
                return
        except ClientError as error:
            self._in_flight[leader] -= 1
            self._all_came_back(sent, error)
            return
        self._in_flight[leader] -= 1
        for queue, batch in sent:
            queue.written(batch)
            self._succeed(batch, UNKNOWN_OFFSET, -1)
        self._busy_nodes.add(leader)
        self._start(self._drained(leader, connection))

    def _encode(self, queue: PartitionQueue, batch: ProducerBatch) -> None:
        identity = queue.identity
        if batch.data is None:
            builder = batch.builder
            if builder is None:
                raise ClientError(f"a batch for {queue.topic}-{queue.index} was sent after it was settled")
            if identity is not None:
                builder.producer_id = identity.producer_id
                builder.producer_epoch = identity.epoch
                builder.base_sequence = batch.base_sequence
            batch.data = builder.build()
            batch.builder = None
        elif identity is not None:
            header = parse_header(batch.data)
            if (header.producer_id, header.producer_epoch, header.base_sequence) != (
                identity.producer_id,
                identity.epoch,
                batch.base_sequence,
            ):
                write_header(
                    batch.data,
                    base_offset=0,
                    leader_epoch=header.partition_leader_epoch,
                    attributes=header.attributes,
                    last_offset_delta=header.last_offset_delta,
                    base_timestamp=header.base_timestamp,
                    max_timestamp=header.max_timestamp,
                    producer_id=identity.producer_id,
                    producer_epoch=identity.epoch,
                    base_sequence=batch.base_sequence,
                    record_count=header.record_count,
                )

    # What came of it.

    def _answered(self, leader: int, sent: _Sent, done: asyncio.Future[Any]) -> None:
        self._in_flight[leader] -= 1
        self.wake()
        if self._closed:
            if not done.cancelled():
                done.exception()  # everything was settled when the producer was closed
            return
        try:
            response: ProduceResponse = done.result()
        except ClientError as error:
            self._all_came_back(sent, error)
            return
        except asyncio.CancelledError:
            self._all_came_back(sent, ClientError("the request was given up"))
            return
        answers: dict[tuple[str, int], PartitionProduceResponse] = {}
        for topic in response.responses:
            name = topic.name or self._cluster.topic_name(topic.topic_id) or ""
            for entry in topic.partition_responses:
                answers[name, entry.index] = entry
        for queue, batch in sent:
            answer = answers.get((queue.topic, queue.index))
            if answer is None:
                self._came_back(
                    queue, batch, ErrorCode.NETWORK_EXCEPTION, "the broker's answer left the partition out"
                )
            elif answer.error_code:
                self._came_back(queue, batch, error_code_of(answer.error_code), answer.error_message)
            else:
                queue.written(batch)
                self._succeed(batch, answer.base_offset, answer.log_append_time_ms)

    def _all_came_back(self, sent: _Sent, error: ClientError) -> None:
        for queue, batch in sent:
            self._came_back(queue, batch, ErrorCode.NETWORK_EXCEPTION, str(error))

    def _came_back(
        self, queue: PartitionQueue, batch: ProducerBatch, code: ErrorCode, message: str | None
    ) -> None:
        now = self._loop.time()
        verdict = queue.came_back(batch, code, now)
        if verdict is Verdict.WRITTEN:
            self._succeed(batch, UNKNOWN_OFFSET, -1)
        elif verdict is Verdict.AGAIN:
            _log.debug("%s-%d: sent again after %s (%s)", queue.topic, queue.index, code.name, message)
            if code != ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
                queue.retry_at = now + self._cluster.backoff_seconds(queue.failures - 1)
                self._stale_topics.add(queue.topic)
            self.wake(queue)
        elif code.retriable:
            self._fail(
                batch, _overdue(batch, f"the last attempt got {code.name} ({message or 'no explanation'})")
            )
        else:
            self._fail(batch, RefusedError(code, f"record for {queue.topic}-{queue.index}", message))

    def _drop_overdue(self, queue: PartitionQueue, now: float) -> None:
        leader = self._cluster.leader(queue.topic, queue.index)
        why = "no leader is known" if leader < 0 else f"its leader, broker {leader}, was not reached in time"
        for batch in queue.drop_overdue(now):
            self._fail(batch, _overdue(batch, why))

    def _succeed(self, batch: ProducerBatch, base_offset: int, log_append_time_ms: int) -> None:
        batch.succeed(base_offset, log_append_time_ms)
        self._on_settled(batch)

    def _fail(self, batch: ProducerBatch, error: ClientError) -> None:
        batch.fail(error)
        self._on_settled(batch)

    # What takes time.

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.fatal = task.exception()
            _log.error("the producer can't go on", exc_info=self.fatal)
            self.give_up(list(self._active))

    async def _connect(self, leader: int, topic: str) -> None:
        try:
            await self._cluster.connection(leader)
        except ClientError as error:
            _log.debug("broker %d: %s", leader, error)
            await self._cluster.backoff(0)
            self._stale_topics.add(topic)
        finally:
            self._busy_nodes.discard(leader)
            self.wake()

    async def _drained(self, leader: int, connection: ClientConnection) -> None:
        """With acks=0 the only brake is the socket."""
        await connection.drained()
        self._busy_nodes.discard(leader)
        self.wake()

    async def _refreshed(self, _: set[str]) -> None:
        self.wake()

    async def _renew_identity(self, queue: PartitionQueue) -> None:
        try:
            queue.adopt(await self._new_identity())
        except ClientError as error:
            _log.warning("no new producer id for %s-%d yet: %s", queue.topic, queue.index, error)
            await self._cluster.backoff(0)
            queue.needs_new_producer_id = False  # the next attempt to send finds out again
        self.wake()

    async def _new_identity(self) -> Identity:
        deadline = self._loop.time() + self._cluster.api_timeout_ms / 1000
        request = InitProducerIdRequest(transaction_timeout_ms=self._options.request_timeout_ms)
        attempt = 0
        while True:
            response: InitProducerIdResponse = await self._cluster.ask(ApiKey.INIT_PRODUCER_ID, request)
            if not response.error_code:
                return Identity(response.producer_id, response.producer_epoch)
            refusal = RefusedError(error_code_of(response.error_code), "producer id")
            if not refusal.code.retriable or self._loop.time() >= deadline:
                raise refusal
            await self._cluster.backoff(attempt)
            attempt += 1

    def _arm_timer(self, wake_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at < math.inf:
            self._timer = self._loop.call_at(wake_at, self.wake)


def _overdue(batch: ProducerBatch, why: str) -> DeliveryTimeoutError:
    waited_ms = round((batch.deadline - batch.created) * 1000)
    written = "it may have been written all the same" if batch.maybe_appended else "it was not written"
    return DeliveryTimeoutError(
        f"a record for {batch.topic}-{batch.partition} was not acknowledged within {waited_ms} ms: {why}; {written}"
    )
