"""Fetch (API key 1), versions 4-18: read batches, from the position of an offset on, as they lie in the segments.

- Served up to the high watermark; nothing is decoded. The last batch of a partition may be cut short by the byte limits, as in
  Kafka; the first partition with data sends at least one whole batch, however large.
- Fewer than `min_bytes`: the request is parked until an append, a failure or `max_wait_ms` (long poll).
- Bytes that the page cache doesn't hold are read on a lane, and the loop goes on meanwhile.
- Incremental sessions: `fetch_sessions.py` (KIP-227). Topics by id from version 13 (KIP-516).
- read_committed: there are no transactions yet, so the last stable offset is the high watermark and nothing is aborted.
- This broker has no followers yet: a fetch that comes as one is refused with NOT_LEADER_OR_FOLLOWER.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError
from logbroker.base.types import Buffer
from logbroker.broker.context import RequestContext
from logbroker.broker.fetch_sessions import TOPIC_ID_FROM, FetchSession, PartitionKey, Wanted
from logbroker.replication.disk_reads import FetchedRanges, FileRange, fetch_ranges
from logbroker.replication.partition import Partition
from logbroker.storage.log import Log
from logbroker.storage.segment import WouldBlockError
from logbroker.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker

READ_COMMITTED: Final = 1
DEBUGGING_REPLICA: Final = -2


def handle(
    broker: Broker, context: RequestContext, request: FetchRequest
) -> FetchResponse | Completion[FetchResponse] | Awaitable[FetchResponse]:
    """Read what there is; wait if it is too little."""
    try:
        session = broker.fetch_sessions.open(request, context.api_version, context.started)
    except BrokerError as error:
        return FetchResponse(error_code=error.code)
    replica_id = request.replica_id if request.replica_state is None else request.replica_state.replica_id
    fetch = _Fetch(
        broker, request, session, by_id=context.api_version >= TOPIC_ID_FROM, follower=replica_id >= 0
    )
    fetch.read()
    if fetch.missing:
        return fetch.finish_from_disk()
    if fetch.satisfied or request.max_wait_ms <= 0:
        return fetch.response()
    return fetch.park(context)


class _Fetch:
    """One request on its way."""

    __slots__ = (
        "_broker",
        "_by_id",
        "_fetched",
        "_follower",
        "_parts",
        "_request",
        "_session",
        "failed",
        "missing",
        "size_bytes",
        "waiter",
    )

    def __init__(
        self, broker: Broker, request: FetchRequest, session: FetchSession, *, by_id: bool, follower: bool
    ) -> None:
        self._broker = broker
        self._request = request
        self._session = session
        self._by_id = by_id
        self._follower = follower
        self._fetched: FetchedRanges = {}
        self._parts: dict[PartitionKey, PartitionData] = {}
        self.missing: list[tuple[Log, FileRange]] = []
        self.size_bytes = 0
        self.failed = False
        self.waiter: Completion[FetchResponse] | None = None

    @property
    def satisfied(self) -> bool:
        """Whether the answer can go: enough bytes, or an error to tell."""
        return self.size_bytes >= self._request.min_bytes or self.failed or not self._session.partitions

    def read(self) -> None:
        """Read every partition, within the byte limits; what isn't in the page cache ends up in `missing`."""
        request = self._request
        left = min(request.max_bytes, self._broker.settings.fetch_max_bytes)
        self._parts = parts = {}
        self.missing = []
        self.size_bytes = 0
        self.failed = False
        for key, wanted in self._session.partitions.items():
            try:
                partition = self._find(key)
                data, size = self._read_one(partition, wanted, left)
            except BrokerError as error:
                data, size = _failure(key.partition, error.code), 0
                self.failed = True
            except CorruptionError:
                data, size = _failure(key.partition, ErrorCode.KAFKA_STORAGE_ERROR), 0
                self.failed = True
            parts[key] = data
            left -= size
            self.size_bytes += size

    def _find(self, key: PartitionKey) -> Partition:
        if self._follower:
            raise BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        if self._by_id:
            return self._broker.replicas.partition_by_id(key.topic_id, key.partition)
        return self._broker.replicas.partition(key.topic, key.partition)

    def _read_one(self, partition: Partition, wanted: Wanted, left: int) -> tuple[PartitionData, int]:
        partition.check_epoch(wanted.leader_epoch)
        log = partition.log
        high_watermark = partition.high_watermark
        parts: list[Buffer] = []
        size = 0
        if wanted.offset != high_watermark or log.refusal is not None:
            try:
                parts = partition.read(
                    wanted.offset,
                    max(min(wanted.max_bytes, left), 0),
                    log.host.reader(self._fetched),
                    min_one=not self.size_bytes,
                )
                size = sum(map(len, parts))
            except WouldBlockError as error:
                self.missing.append((log, error.key))
            except OSError as error:
                partition.disk_failed(error)
                raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR) from error
        data = PartitionData(
            partition_index=partition.index,
            high_watermark=high_watermark,
            last_stable_offset=high_watermark,
            log_start_offset=log.start_offset,
            aborted_transactions=[] if self._request.isolation_level == READ_COMMITTED else None,
            records=parts or b"",
        )
        return data, size

    async def finish_from_disk(self) -> FetchResponse:
        """Fetch the missing ranges, and read again, until nothing is missing."""
        while self.missing:
            by_log: dict[Log, list[FileRange]] = {}
            for log, key in self.missing:
                by_log.setdefault(log, []).append(key)
            for log, keys in by_log.items():
                try:
                    self._fetched.update(await fetch_ranges(log, keys))
                except BrokerError:
                    continue  # reading again says it, partition by partition
            self.read()
        return self.response()

    # Waiting

    def park(self, context: RequestContext) -> Completion[FetchResponse]:
        """Wait for more; the answer comes by `max_wait_ms` at the latest."""
        waiter: Completion[FetchResponse] = Completion()
        self.waiter = waiter
        found: list[Partition] = []
        for key in self._session.partitions:
            try:
                found.append(self._find(key))
            except BrokerError:
                continue
        wait = self._broker.fetch_waits.park(
            found, self._request.max_wait_ms, self._look_again, self._give_up
        )
        if wait is None:
            waiter.set(self.response())
            return waiter
        for partition in found:
            partition.log.on_advance = self._broker.wake_fetches
        context.on_abandoned = wait.cancel
        return waiter

    def _look_again(self) -> bool:
        self.read()
        if self.missing:
            self._broker.tasks.start(self._answer_from_disk(), "fetch")
            return True
        if not self.satisfied:
            return False
        self._answer()
        return True

    def _give_up(self) -> None:
        self.read()
        if self.missing:
            self._broker.tasks.start(self._answer_from_disk(), "fetch")
        else:
            self._answer()

    async def _answer_from_disk(self) -> None:
        response = await self.finish_from_disk()
        if self.waiter is not None:
            self.waiter.set(response)

    def _answer(self) -> None:
        if self.waiter is not None:
            self.waiter.set(self.response())

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
            wanted.high_watermark = data.high_watermark if data.error_code == 0 else -2
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
