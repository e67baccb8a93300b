"""Fetch (API key 1), versions 4-18: read batches, from the position of an offset on, as they lie in the segments.

- Served up to the high watermark; nothing is decoded. The last batch of a partition may be cut short by the byte limits, as in
  Kafka; the first partition with data sends at least one whole batch, however large.
- Fewer than `min_bytes`: the request is parked until there are enough, an error, a deletion or `max_wait_ms` (long poll).
- Bytes that the page cache doesn't hold are read on a lane, and the loop goes on meanwhile.
- Incremental sessions: `fetch_sessions.py` (KIP-227). Topics by id from version 13 (KIP-516).
- read_committed (KIP-98): served up to the last stable offset, with the aborted transactions that may have batches in it.
- This broker has no followers yet: a fetch that comes as one is refused with NOT_LEADER_OR_FOLLOWER.
- Below version 6 clients don't know KAFKA_STORAGE_ERROR, and get NOT_LEADER_OR_FOLLOWER. Whoever asks for a topic whose batches are
  packed with zstd gets them, in every version: Kafka 4 doesn't look at that any more either (KIP-110, KIP-896).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.broker.context import RequestContext
from logbroker.broker.fetch_sessions import TOPIC_ID_FROM, FetchSession, PartitionKey, Wanted
from logbroker.replication.disk_reads import Fetched, fetch_missing
from logbroker.replication.partition import Partition
from logbroker.storage.log import Log
from logbroker.storage.segment import WouldBlockError
from logbroker.storage.transactions import last_stable_offset
from logbroker.wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker

READ_COMMITTED: Final = 1
STORAGE_ERROR_FROM: Final = 6
DISK_ROUNDS_MAX: Final = 64
"""How often a fetch goes to the disk before it answers with what it has."""
DISK_ROUNDS_WHOLE: Final = 8
"""After so many rounds each one asks for half as much: under appends what is to be read may grow, and never be there whole."""


class _Mark:
    """How far a partition's visible end was when it was read, how many bytes came of it, and how many would now."""

    __slots__ = ("available_bytes", "end", "max_bytes", "position", "segment_base", "size_bytes", "stable")

    def __init__(self, log: Log, stable: int, size_bytes: int, max_bytes: int) -> None:
        self.end = log.durable_end
        self.stable = stable
        self.segment_base = log.durable_segment
        self.position = log.durable_position
        self.size_bytes = self.available_bytes = size_bytes
        self.max_bytes = max_bytes


def handle(
    broker: Broker, context: RequestContext, request: FetchRequest
) -> FetchResponse | Completion[FetchResponse] | Awaitable[FetchResponse]:
    """Read what there is; wait if it is too little."""
    try:
        session = broker.fetch_sessions.open(request, context.api_version, context.started)
    except BrokerError as error:
        return FetchResponse(error_code=error.code)
    fetch = _Fetch(broker, context, request, session)
    fetch.read()
    if fetch.missing:
        return fetch.finish_from_disk()
    if fetch.satisfied or request.max_wait_ms <= 0:
        return fetch.response()
    return fetch.park()


class _Fetch:
    """One request on its way."""

    __slots__ = (
        "_available_bytes",
        "_broker",
        "_by_id",
        "_committed",
        "_context",
        "_cut",
        "_disk_rounds",
        "_failed",
        "_fetched",
        "_follower",
        "_marks",
        "_max_bytes",
        "_max_wait_ms",
        "_min_bytes",
        "_parts",
        "_session",
        "_size_bytes",
        "_version",
        "_waiter",
        "missing",
    )

    def __init__(
        self, broker: Broker, context: RequestContext, request: FetchRequest, session: FetchSession
    ) -> None:
        self._broker = broker
        self._context = context
        self._session = session
        self._version = context.api_version
        self._by_id = self._version >= TOPIC_ID_FROM
        replica = request.replica_state
        self._follower = (request.replica_id if replica is None else replica.replica_id) >= 0
        self._committed = request.isolation_level == READ_COMMITTED
        self._max_wait_ms = request.max_wait_ms
        self._max_bytes = min(
            request.max_bytes, broker.settings.fetch_max_bytes, context.connection.server.reply_room()
        )
        self._min_bytes = min(request.min_bytes, self._max_bytes)
        self._fetched = Fetched()
        self._disk_rounds: dict[Log, int] = {}
        self._parts: dict[PartitionKey, PartitionData] = {}
        self._marks: dict[Log, _Mark] = {}
        self._available_bytes = 0
        self._size_bytes = 0
        self._failed = False
        self._cut = False
        self._waiter: Completion[FetchResponse] = Completion()
        self.missing: list[tuple[Log, WouldBlockError]] = []

    @property
    def satisfied(self) -> bool:
        """Whether the answer can go.

        There are enough bytes, or waiting gives no more of them (a segment's end, no room for the next batch), or there
        is an error to tell, or nothing was asked for.
        """
        return (
            self._size_bytes >= self._min_bytes or self._failed or self._cut or not self._session.partitions
        )

    def read(self) -> None:
        """Read every partition, within the byte limits; what isn't in the page cache ends up in `missing`."""
        self._parts = parts = {}
        self._marks = {}
        self.missing = []
        self._size_bytes = 0
        self._failed = False
        self._cut = False
        for key, wanted in self._session.partitions.items():
            try:
                parts[key] = self._read_one(self._find(key), wanted)
            except BrokerError as error:
                parts[key] = _failure(key.partition, self._code(error))
                self._failed = True
        self._available_bytes = self._size_bytes

    def _find(self, key: PartitionKey) -> Partition:
        if self._follower:
            raise BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        if self._by_id:
            return self._broker.replicas.partition_by_id(key.topic_id, key.partition)
        return self._broker.replicas.partition(key.topic, key.partition)

    def _read_one(self, partition: Partition, wanted: Wanted) -> PartitionData:
        partition.check_epoch(wanted.leader_epoch)
        log = partition.log
        high_watermark = partition.high_watermark
        stable = partition.last_stable_offset
        end = stable if self._committed else high_watermark
        parts: list[Buffer] = []
        aborted: list[AbortedTransaction] | None = [] if self._committed else None
        size = 0
        if wanted.offset != end or log.refusal is not None:
            left = max(self._max_bytes - self._size_bytes, 0)
            try:
                reader = log.host.reader(self._fetched)
                parts = partition.read(
                    wanted.offset,
                    max(min(wanted.max_bytes, left), 0)
                    >> max(self._disk_rounds.get(log, 0) - DISK_ROUNDS_WHOLE, 0),
                    reader,
                    below=end,
                    min_one=not self._size_bytes,
                )
                if parts and aborted is not None:
                    aborted = [
                        AbortedTransaction(entry.producer_id, entry.first_offset)
                        for entry in partition.aborted_in_read(wanted.offset, sum(map(len, parts)), reader)
                    ]
            except WouldBlockError as error:
                self.missing.append((log, error))
                parts = []
            size = sum(map(len, parts))
            self._size_bytes += size
            if wanted.offset < min(log.durable_segment, end) or (
                not size and left < wanted.max_bytes and wanted.offset < end
            ):
                self._cut = True
        self._marks[log] = _Mark(log, stable, size, wanted.max_bytes)
        return PartitionData(
            partition_index=partition.index,
            high_watermark=high_watermark,
            last_stable_offset=stable,
            log_start_offset=log.start_offset,
            aborted_transactions=aborted,
            records=parts or b"",
        )

    def _code(self, error: BrokerError) -> int:
        if error.code == ErrorCode.KAFKA_STORAGE_ERROR and self._version < STORAGE_ERROR_FROM:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER  # what such an old client takes as a reason to ask again
        return error.code

    async def finish_from_disk(self) -> FetchResponse:
        """Fetch the missing ranges, and read again, until nothing is missing."""
        for _ in range(DISK_ROUNDS_MAX):
            if not self.missing:
                break
            by_log: dict[Log, list[WouldBlockError]] = {}
            for log, error in self.missing:
                by_log.setdefault(log, []).append(error)
            for log, missing in by_log.items():
                self._disk_rounds[log] = self._disk_rounds.get(log, 0) + 1
                try:
                    await fetch_missing(log, missing, self._fetched)
                except BrokerError:
                    continue  # reading again says it, partition by partition
            self.read()
        return self.response()

    # Waiting

    def park(self) -> Completion[FetchResponse]:
        """Wait for more; the answer comes by `max_wait_ms` at the latest."""
        waits = self._broker.fetch_waits
        logs = list(self._marks)
        wait = waits.park(logs, self._max_wait_ms, self._look_again, self._answer)
        if wait is None:
            self._waiter.set(self.response())
            return self._waiter
        for log in logs:
            log.on_advance = waits.wake
        self._context.on_abandoned = wait.cancel
        return self._waiter

    def _look_again(self, log: Log) -> bool:
        if not self._may_be_satisfied(log):
            return False
        self.read()
        if not self.missing and not self.satisfied:
            return False
        self._send()
        return True

    def _may_be_satisfied(self, log: Log) -> bool:
        """Whether it is worth to read again, now that something happened to `log`.

        Reading for every small append what waits already would cost its square, and so would a look at every partition.
        """
        mark = self._marks.get(log)
        if mark is None or log.refusal is not None:
            return True
        if self._committed:
            stable = last_stable_offset(log)
            if stable == mark.stable:
                return False  # an open transaction hides whatever came
            if stable != log.durable_end or mark.stable != mark.end:
                return True
        if log.durable_segment != mark.segment_base:
            return True
        size = mark.size_bytes
        available = max(size, min(size + log.durable_position - mark.position, mark.max_bytes))
        self._available_bytes += available - mark.available_bytes
        mark.available_bytes = available
        return self._available_bytes >= self._min_bytes

    def _answer(self) -> None:
        self.read()
        self._send()

    def _send(self) -> None:
        if self.missing:
            self._broker.tasks.start(self._answer_from_disk(), "fetch")
        else:
            self._waiter.set(self.response())

    async def _answer_from_disk(self) -> None:
        try:
            self._waiter.set(await self.finish_from_disk())
        except Exception as error:
            self._context.route.on_error(self._context, error)

    # Answering

    def response(self) -> FetchResponse:
        """What was read; in an incremental session only partitions that have something to tell."""
        session = self._session
        response = FetchResponse(session_id=session.session_id)
        topics: dict[object, FetchableTopicResponse] = {}
        for key, data in self._parts.items():
            wanted = session.partitions.get(key)
            if wanted is None:
                continue
            has_data = bool(data.records)
            news = (
                has_data
                or data.error_code != 0
                or data.high_watermark != wanted.high_watermark
                or data.log_start_offset != wanted.log_start_offset
            )
            if session.incremental and not news:
                continue
            if data.error_code:
                wanted.forget_told()
            else:
                wanted.high_watermark = data.high_watermark
                wanted.log_start_offset = data.log_start_offset
            if session.session_id and has_data:
                session.served(key)
            name = key.topic_id if self._by_id else key.topic
            topic = topics.get(name)
            if topic is None:
                topic = topics[name] = FetchableTopicResponse(key.topic, key.topic_id)
                response.responses.append(topic)
            topic.partitions.append(data)
        return response


def _failure(index: int, code: int) -> PartitionData:
    return PartitionData(
        partition_index=index,
        error_code=code,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=None,
        records=b"",
    )
