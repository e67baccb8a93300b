"""Topics that live in memory only (`storage.type=memory`): the same log, a host without files.

A batch is acknowledged in the next loop tick; nothing of it survives the process. What survives is that *offsets are never given
twice*: they are reserved in blocks in the metadata store before any of the block is acknowledged, and after a restart the log starts
above every offset it may have given out. A committed offset never points into another life.

A full partition (`memory.max.bytes`) refuses appends, or loses its oldest segments (`memory.full.policy=evict`). Loop thread only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from uuid import UUID

from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.config.topic import TopicConfig
from logbroker.storage.append import JournalItem
from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import MapCache
from logbroker.storage.journal_format import BATCH
from logbroker.storage.log import Log
from logbroker.storage.segment import Reader
from logbroker.storage.vfs import OsVfs

RESERVE_OFFSETS = 1_000_000
"""Offsets reserved at a time; the next block is asked for when half of this one is used."""

SEGMENTS_MIN = 8
"""A full partition has at least so many segments, so that evicting one frees a part, not everything."""

Reserve = Callable[[UUID, int, int], Awaitable[None]]
"""reserve(topic id, partition, up_to): returns when the block is durable."""


class MemoryHost:
    """Implements `LogHost` for every memory partition of a broker."""

    def __init__(
        self,
        clock: Clock,
        reserve: Reserve,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self.clock = clock
        self._reserve = reserve
        self._call_soon = call_soon
        self._spawn = spawn
        self._queued: list[JournalItem] = []
        self._scheduled = False
        self._reserved: dict[Log, int] = {}
        self._asked: dict[Log, int] = {}
        self._waiting: dict[Log, list[JournalItem]] = {}
        self._bytes: dict[Log, int] = {}
        pool = FilePool(OsVfs(), 1)
        self._reader = Reader(pool, MapCache(pool, 1))

    def create_log(
        self, topic: str, partition: int, topic_id: UUID, config: TopicConfig, *, start_offset: int
    ) -> Log:
        """A partition that begins, empty, at `start_offset` (everything below counts as given out)."""
        log = Log(
            self, "", topic, partition, topic_id, config, start_offset=start_offset, end_offset=start_offset
        )
        log.created = True
        self._reserved[log] = start_offset
        self._asked[log] = start_offset
        self._bytes[log] = 0
        self.configure(log, config)
        return log

    def delete_log(self, log: Log) -> None:
        """Forget a partition and everything in it."""
        log.refuse(BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"{log.name} was deleted"))
        for table in (self._reserved, self._asked, self._bytes):
            table.pop(log, None)
        self._refuse_waiting(log, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def _refuse_waiting(self, log: Log, code: ErrorCode) -> None:
        for item in self._waiting.pop(log, []):
            item.error = code
            if item.on_done is not None:
                item.on_done(item)

    def configure(self, log: Log, config: TopicConfig) -> None:
        """Follow a topic's configuration, which may have changed."""
        log.segment_bytes_max = max(1, config.memory_max_bytes // SEGMENTS_MIN)
        log.configure(config)  # the active segment, too, has the new bound

    def reader(self, fetched: dict[tuple[str, int, int], bytes] | None = None) -> Reader:
        """A reader; memory partitions never touch a file with it."""
        return self._reader

    # LogHost

    def refuse_append(self, log: Log) -> BrokerError | None:
        """See `LogHost`: a full partition refuses, or evicts."""
        held = self._bytes[log]
        if held < log.config.memory_max_bytes:
            return None
        if log.config.memory_full_policy == "reject":
            return StorageOfflineError(
                f"{log.name} holds {held} bytes in memory and memory.max.bytes is {log.config.memory_max_bytes}; "
                "consume and delete records, raise the limit, or set memory.full.policy=evict"
            )
        while held >= log.config.memory_max_bytes and log.segments[0].size:
            if len(log.segments) == 1:
                log.roll()
            self._drop(log, log.segments[1].base_offset)
            held = self._bytes[log]
        return None

    def rolled(self, log: Log) -> None:
        """See `LogHost`; there are no files to put anything beside."""

    def enqueue(self, item: JournalItem) -> None:
        """See `LogHost`."""
        if item.kind == BATCH:
            self._bytes[item.log] += item.size
            if isinstance(
                item.buffer, memoryview
            ):  # don't keep a whole received frame alive for a slice of it
                item.buffer = bytearray(item.buffer)
        self._queued.append(item)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._settle)

    def advance_start(self, log: Log, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """See `LogHost`; there is nothing to make durable: after a restart the log is empty anyway."""
        if offset > log.segments[-1].base_offset and offset == log.end_offset:
            log.roll()
        self._drop(log, offset)
        on_done(ErrorCode.NONE)

    def retain(self, log: Log, now_ms: int, decide: Callable[[Log, int], int]) -> None:
        """Roll the active segment if it is old, and move the log's start to where `decide(log, now_ms)` says."""
        if log.refusal is not None:
            return
        log.roll_if_due(now_ms)
        start = decide(log, now_ms)
        if start > log.start_offset:
            self.advance_start(log, start, lambda _: None)

    def _drop(self, log: Log, offset: int) -> None:
        for segment in log.drop_below(offset):
            self._bytes[log] -= segment.size

    def _settle(self) -> None:
        self._scheduled = False
        queued, self._queued = self._queued, []
        touched: dict[Log, None] = {}
        for item in queued:
            log = item.log
            log.queued_bytes = 0
            if log not in self._reserved:
                item.error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                if item.on_done is not None:
                    item.on_done(item)
            elif log in self._waiting or item.next_offset > self._reserved[log]:
                self._waiting.setdefault(log, []).append(item)
                self._ask(log, item.next_offset)
            else:
                self._acknowledge(item)
                touched[log] = None
                if item.next_offset > self._reserved[log] - RESERVE_OFFSETS // 2:
                    self._ask(log, self._reserved[log] + 1)
        for log in touched:
            if log.on_advance is not None:
                log.on_advance(log)

    def _acknowledge(self, item: JournalItem) -> None:
        if item.kind == BATCH:
            item.log.made_durable(item.next_offset, item.segment_base, item.position + item.size)
            if item.on_done is not None:
                item.on_done(item)
        else:
            item.log.settle_duplicates()

    def _ask(self, log: Log, offset: int) -> None:
        if offset <= self._asked[log]:
            return
        up_to = offset + RESERVE_OFFSETS
        self._asked[log] = up_to
        self._spawn(self._reserve_block(log, up_to))

    async def _reserve_block(self, log: Log, up_to: int) -> None:
        try:
            await self._reserve(log.topic_id, log.index, up_to)
        except BrokerError as error:  # the topic is being deleted, or too much waits for the metadata's disk
            if log in self._reserved:
                self._asked[log] = self._reserved[log]
                self._refuse_waiting(log, error.code)
            return
        if log not in self._reserved:
            return
        self._reserved[log] = up_to
        waiting = self._waiting.pop(log, None)
        if waiting:
            self._queued[:0] = waiting
            self._settle()
