"""Keeps records of the assigned partitions in memory, ready to be taken: long-polls every leader involved.

Per leader one Fetch is under way at a time, for all of its partitions that may take more; it waits at the broker
until there is something. Bounds: `fetch_max_bytes` an answer, two answers per partition kept, `buffer_bytes` in all,
after which nothing is fetched until the reader catches up.

`pump` starts what can be started and never waits, as in `sender.py`. A seek makes a partition forget what it has; an
answer to a request from before the seek is dropped.

What goes wrong for good with a partition is kept as its error and raised from `take`, once; a partition that
lost its leader is only looked up again. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError
from logbroker.client.cluster import Cluster
from logbroker.client.errors import RefusedError, error_code_of
from logbroker.client.fetched import ConsumerRecord, FetchedRecords
from logbroker.client.offsets import list_offsets
from logbroker.client.staleness import StaleTopics
from logbroker.client.types import IsolationLevel, OffsetSpec, Topic, TopicPartition
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from logbroker.wire.schema import ZERO_UUID

__all__ = ["FetchOptions", "Fetcher", "PartitionReader"]

_FIRST_VERSION_WITH_TOPIC_IDS = 13
_ANSWERS_KEPT = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What a `Fetcher` must know; the consumer documents them."""

    isolation_level: IsolationLevel
    reset_to: OffsetSpec | None
    min_bytes: int
    max_wait_ms: int
    fetch_max_bytes: int
    partition_max_bytes: int
    buffer_bytes: int
    check_crcs: bool
    max_decompressed_bytes: int


class PartitionReader:
    """Where one assigned partition stands.

    Attributes:
        position: offset of the next record to hand out; -1 while it isn't known.
        start_from: where to look the position up while it isn't known: an `OffsetSpec`, or a timestamp in ms.
        generation: counts seeks; what belongs to an earlier one is dropped.
        fetched: answers not taken yet.
        high_watermark, log_start_offset: as last heard; -1 before.

    """

    __slots__ = (
        "_failures",
        "error",
        "fetched",
        "generation",
        "high_watermark",
        "log_start_offset",
        "looking_up",
        "partition",
        "paused",
        "position",
        "retry_at",
        "start_from",
    )

    def __init__(self, partition: TopicPartition, start_from: int) -> None:
        self.partition = partition
        self.position = -1
        self.start_from = start_from
        self.generation = 0
        self.fetched: deque[FetchedRecords] = deque()
        self.high_watermark = -1
        self.log_start_offset = -1
        self.paused = False
        self.looking_up = False
        self.error: ClientError | None = None
        self.retry_at = 0.0
        self._failures = 0

    @property
    def fetch_offset(self) -> int:
        """The offset to fetch from: after what is kept."""
        return self.fetched[-1].next_offset if self.fetched else self.position

    def move(self, position: int, start_from: int = OffsetSpec.LATEST) -> None:
        """Forget what is kept and go on at `position`; if that is -1, where `start_from` says."""
        self.position = position
        self.start_from = start_from
        self.generation += 1
        self.fetched.clear()
        self.error = None
        self.retry_at = 0.0

    def failed(self, now: float, cluster: Cluster) -> None:
        """Leave the partition alone for a while."""
        self.retry_at = now + cluster.backoff_seconds(self._failures)
        self._failures += 1

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._failures = 0


class Fetcher:
    """The fetching half of a consumer."""

    def __init__(self, cluster: Cluster, options: FetchOptions) -> None:
        self.readers: dict[TopicPartition, PartitionReader] = {}
        self.pump_due = False
        self._cluster = cluster
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._busy_nodes: set[int] = set()
        self._stale_topics = StaleTopics(cluster, self._start, self._check_topics, self.pump)
        self._tasks: set[asyncio.Task[None]] = set()
        self._buffered_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turn: deque[PartitionReader] = deque()
        self._fatal: BaseException | None = None
        self._closed = False

    async def close(self) -> None:
        """Stop fetching."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._news.set()

    def assign(self, partitions: Iterable[TopicPartition], start_from: int) -> None:
        """Read exactly these partitions; those read before go on where they are, new ones start at `start_from`."""
        previous = self.readers
        self.readers = {
            partition: previous.get(partition) or PartitionReader(partition, start_from)
            for partition in partitions
        }
        self._turn = deque(self.readers.values())
        self._recount()
        self._pump_soon()

    def seek(self, partition: TopicPartition, position: int, start_from: int = OffsetSpec.LATEST) -> None:
        """Go on elsewhere; `position` -1 means where `start_from` says."""
        self.readers[partition].move(position, start_from)
        self._recount()
        self._pump_soon()

    def take(self, max_records: int) -> list[ConsumerRecord]:
        """Return up to `max_records` records that are here, of as many partitions as it takes, none of a paused one.

        Raises:
            ClientError: a partition failed and there was nothing to return before that; raised once per failure.

        """
        if self._fatal is not None:
            raise ClientError(f"the consumer can't go on: {self._fatal}") from self._fatal
        taken: list[ConsumerRecord] = []
        for _ in range(len(self._turn)):
            reader = self._turn[0]
            if not reader.paused:
                try:
                    self._take_from(reader, max_records, taken)
                except ClientError as error:
                    reader.error = error
                if reader.error is not None and not taken:
                    failure, reader.error = reader.error, None
                    self._turn.rotate(-1)
                    raise failure
                if len(taken) >= max_records:
                    break
            self._turn.rotate(-1)
        return taken

    async def breathe(self) -> None:
        """Fetch what may be fetched now that something was taken, and let the event loop take what came."""
        self.pump()
        await asyncio.sleep(0)

    async def wait(self, timeout_seconds: float | None) -> None:
        """Wait until there may be something to take, at most `timeout_seconds`."""
        self.pump()
        self._news.clear()
        if any(reader.fetched and not reader.paused for reader in self.readers.values()):
            return
        if self._fatal is not None or any(reader.error is not None for reader in self.readers.values()):
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def pump(self) -> None:
        """Look up unknown positions and fetch whatever may be fetched."""
        self.pump_due = False
        if self._closed:
            return
        now = self._loop.time()
        wake_at = math.inf
        unknown: list[PartitionReader] = []
        by_leader: dict[int, list[PartitionReader]] = {}
        for reader in self.readers.values():
            if reader.paused or reader.error is not None or len(reader.fetched) >= _ANSWERS_KEPT:
                continue
            if reader.retry_at > now:
                wake_at = min(wake_at, reader.retry_at)
            elif reader.position < 0:
                if not reader.looking_up:
                    unknown.append(reader)
            elif self._buffered_bytes < self._options.buffer_bytes:
                leader = self._cluster.leader(*reader.partition)
                if leader < 0:
                    self._refresh(reader.partition.topic)
                elif leader not in self._busy_nodes:
                    by_leader.setdefault(leader, []).append(reader)
        if unknown:
            for reader in unknown:
                reader.looking_up = True
            # The task starts later: a seek may come in between, and must win.
            self._start(self._look_up([(reader, reader.generation) for reader in unknown]))
        for leader, readers in by_leader.items():
            self._busy_nodes.add(leader)
            self._start(self._fetch(leader, readers))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at < math.inf:
            self._timer = self._loop.call_at(wake_at, self.pump)

    def _pump_soon(self) -> None:
        """Pump at the end of this loop tick: whoever assigns and then seeks wants one fetch, from where he ends up."""
        self._loop.call_soon(self.pump)

    def _take_from(self, reader: PartitionReader, max_records: int, taken: list[ConsumerRecord]) -> None:
        while reader.fetched and len(taken) < max_records:
            fetched = reader.fetched[0]
            records, reader.position = fetched.take(reader.position, max_records - len(taken))
            taken += records
            if fetched.exhausted:
                reader.fetched.popleft()
                self._buffered_bytes -= fetched.size_bytes
                self.pump_due = True

    def _recount(self) -> None:
        self._buffered_bytes = sum(
            fetched.size_bytes for reader in self.readers.values() for fetched in reader.fetched
        )

    # What takes time.

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Let nothing fail silently: an unexpected error of a task ends the consumer."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fatal = task.exception()
            self._news.set()

    async def _look_up(self, asked: list[tuple[PartitionReader, int]]) -> None:
        """Find out where to start; what was sought elsewhere since (a newer generation) stays there."""
        wanted = {reader.partition: reader.start_from for reader, _ in asked}
        try:
            found = await list_offsets(self._cluster, wanted, self._options.isolation_level)
            # A time after the last record has no offset: then it is the end.
            ends = [partition for partition, at in found.items() if at.offset < 0]
            if ends:
                found.update(
                    await list_offsets(
                        self._cluster, dict.fromkeys(ends, OffsetSpec.LATEST), self._options.isolation_level
                    )
                )
            for reader, generation in asked:
                if reader.generation == generation:
                    reader.position = found[reader.partition].offset
        except ClientError as error:
            for reader, generation in asked:
                if reader.generation == generation:
                    reader.error = error
                    reader.failed(self._loop.time(), self._cluster)
        finally:
            for reader, _ in asked:
                reader.looking_up = False
        self._news.set()
        self.pump()

    async def _fetch(self, leader: int, readers: list[PartitionReader]) -> None:
        try:
            await self._fetch_once(leader, readers)
        except ClientError as error:
            _log.debug("fetching from broker %d: %s", leader, error)
            for reader in readers:
                self._stumbled(reader)
        finally:
            self._busy_nodes.discard(leader)
        self.pump()

    async def _fetch_once(self, leader: int, readers: list[PartitionReader]) -> None:
        options = self._options
        connection = await self._cluster.connection(leader, "fetch")
        topics: dict[str, FetchTopic] = {}
        asked: dict[TopicPartition, tuple[PartitionReader, int, int]] = {}
        all_have_ids = True
        for reader in readers:
            name, index = reader.partition
            known: Topic | None = self._cluster.cached_topic(name)
            partition = self._cluster.partition(name, index)
            if known is None or partition is None or reader.position < 0:
                continue  # a seek or a metadata refresh came in between
            topic = topics.get(name)
            if topic is None:
                all_have_ids = all_have_ids and known.topic_id != ZERO_UUID
                topic = topics[name] = FetchTopic(topic=name, topic_id=known.topic_id)
            asked[reader.partition] = (reader, reader.generation, reader.fetch_offset)
            topic.partitions.append(
                FetchPartition(
                    partition=index,
                    current_leader_epoch=partition.leader_epoch,
                    fetch_offset=reader.fetch_offset,
                    partition_max_bytes=options.partition_max_bytes,
                )
            )
        if not asked:
            return
        request = FetchRequest(
            max_wait_ms=options.max_wait_ms,
            min_bytes=options.min_bytes,
            max_bytes=options.fetch_max_bytes,
            isolation_level=options.isolation_level,
            topics=list(topics.values()),
        )
        version = connection.version(
            ApiKey.FETCH, at_most=None if all_have_ids else _FIRST_VERSION_WITH_TOPIC_IDS - 1
        )
        response: FetchResponse = await connection.request(
            ApiKey.FETCH,
            request,
            version=version,
            timeout_ms=options.max_wait_ms + self._cluster.request_timeout_ms,
        )
        if response.error_code:
            raise RefusedError(error_code_of(response.error_code), f"fetch from broker {leader}")
        for answer in response.responses:
            name = answer.topic or self._cluster.topic_name(answer.topic_id) or ""
            for data in answer.partitions:
                entry = asked.pop(TopicPartition(name, data.partition_index), None)
                if entry is not None and entry[0].generation == entry[1]:
                    self._take_answer(entry[0], entry[2], data)
        for reader, _, _ in asked.values():
            self._stumbled(reader)
        self._news.set()

    def _take_answer(self, reader: PartitionReader, fetch_offset: int, data: PartitionData) -> None:
        code = error_code_of(data.error_code)
        if code == ErrorCode.OFFSET_OUT_OF_RANGE:
            self._out_of_range(reader, fetch_offset)
        elif code:
            if code.retriable:
                self._stumbled(reader)
            else:
                reader.error = RefusedError(
                    code, f"fetch from {reader.partition.topic}-{reader.partition.partition}"
                )
                reader.failed(self._loop.time(), self._cluster)
        else:
            reader.succeeded()
            reader.high_watermark = data.high_watermark
            reader.log_start_offset = data.log_start_offset
            if isinstance(data.records, list):
                raise ClientError("a decoded Fetch answer has its records in one piece")
            if not data.records:
                return
            aborted = [(entry.producer_id, entry.first_offset) for entry in data.aborted_transactions or ()]
            fetched = FetchedRecords(
                reader.partition,
                memoryview(data.records),
                fetch_offset,
                aborted=aborted if self._options.isolation_level == IsolationLevel.READ_COMMITTED else (),
                check_crcs=self._options.check_crcs,
                max_decompressed_bytes=self._options.max_decompressed_bytes,
            )
            if not fetched.exhausted:
                reader.fetched.append(fetched)
                self._buffered_bytes += fetched.size_bytes

    def _out_of_range(self, reader: PartitionReader, fetch_offset: int) -> None:
        if reader.fetched:
            reader.failed(self._loop.time(), self._cluster)  # what is kept comes first; then we shall see
            return
        if self._options.reset_to is None:
            name, index = reader.partition
            reader.error = RefusedError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"offset {fetch_offset} of {name}-{index}",
                "seek to an offset that exists, or set auto_offset_reset to earliest or latest",
            )
            reader.failed(self._loop.time(), self._cluster)
        else:
            _log.warning("offset %d of %s-%d is out of range: reset", fetch_offset, *reader.partition)
            reader.move(-1, self._options.reset_to)

    def _stumbled(self, reader: PartitionReader) -> None:
        """Something is wrong that newer metadata may put right."""
        reader.failed(self._loop.time(), self._cluster)
        self._refresh(reader.partition.topic)

    def _refresh(self, topic: str) -> None:
        if not self._closed:
            self._stale_topics.add(topic)

    async def _check_topics(self, topics: set[str]) -> None:
        await asyncio.gather(*(self._check_topic(topic) for topic in topics))

    async def _check_topic(self, topic: str) -> None:
        """A topic that is gone is an error of its partitions, not something to wait for."""
        try:
            await self._cluster.topic(topic, timeout_ms=0)
        except RefusedError as error:
            if error.code.retriable and error.code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                return
            for reader in self.readers.values():
                if reader.partition.topic == topic:
                    reader.error = error
                    reader.failed(self._loop.time(), self._cluster)
            self._news.set()
