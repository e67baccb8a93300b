"""The consumer without a group: it reads the partitions it is told to, from where it is told to.

    async with Consumer("127.0.0.1:9092") as consumer:
        await consumer.assign_topic("orders", at="beginning")
        async for record in consumer:
            print(record.partition, record.offset, record.value)

Fetching goes on in the background, long-polling every leader involved, within bounds (`fetcher.py`); records are decoded
when they are asked for. Order holds within a partition; partitions take turns.

One consumer belongs to one event loop and to one task at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from logbroker.base.errors import ConfigError
from logbroker.client.cluster import Cluster
from logbroker.client.errors import ClosedError
from logbroker.client.fetched import ConsumerRecord
from logbroker.client.fetcher import Fetcher, FetchOptions, PartitionReader
from logbroker.client.offsets import list_offsets
from logbroker.client.types import IsolationLevel, OffsetAt, OffsetSpec, TopicPartition
from logbroker.net.client_connection import REQUEST_TIMEOUT_MS
from logbroker.records.compression import DEFAULT_MAX_DECOMPRESSED_BYTES

__all__ = ["Consumer", "StartAt"]

StartAt: TypeAlias = Literal["beginning", "end"]
"""Where to start reading: the first offset there is, or what comes from now on."""

FETCH_MIN_BYTES = 1
FETCH_MAX_WAIT_MS = 500
FETCH_MAX_BYTES = 50 * 1024 * 1024
PARTITION_MAX_BYTES = 1024 * 1024
BUFFER_BYTES = 64 * 1024 * 1024
POLL_MAX_RECORDS = 500

_RESETS: Final[dict[str, OffsetSpec | None]] = {
    "earliest": OffsetSpec.EARLIEST,
    "latest": OffsetSpec.LATEST,
    "none": None,
}
_ISOLATION: Final = {
    "read_uncommitted": IsolationLevel.READ_UNCOMMITTED,
    "read_committed": IsolationLevel.READ_COMMITTED,
}
_STARTS: Final = {"beginning": OffsetSpec.EARLIEST, "end": OffsetSpec.LATEST}


class Consumer:
    """Reads records of assigned partitions; see the module for how to use it."""

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str = "logbroker-consumer",
        isolation_level: str = "read_uncommitted",
        auto_offset_reset: str = "none",
        fetch_min_bytes: int = FETCH_MIN_BYTES,
        fetch_max_wait_ms: int = FETCH_MAX_WAIT_MS,
        fetch_max_bytes: int = FETCH_MAX_BYTES,
        partition_max_bytes: int = PARTITION_MAX_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        check_crcs: bool = True,
        max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
    ) -> None:
        """Take the settings; nothing is opened before `start` (or `async with`).

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence.
            client_id: how the broker names this client.
            isolation_level: read_uncommitted, or read_committed: nothing of open or aborted transactions.
            auto_offset_reset: what to do when the position is not in the log (any more): earliest and latest go on
                there, none raises OFFSET_OUT_OF_RANGE.
            fetch_min_bytes, fetch_max_wait_ms: how much the broker gathers before it answers, and for how long.
            fetch_max_bytes: bound on one answer.
            partition_max_bytes: bound on what one answer holds of one partition (a larger batch comes alone).
            buffer_bytes: past this many bytes fetched and not read nothing more is fetched.
            check_crcs: check the CRC of every batch.
            max_decompressed_bytes: bound on what one batch may unpack to.
            request_timeout_ms: how long a broker may take to answer, beyond `fetch_max_wait_ms`.

        Raises:
            ConfigError: a value that can't be used.

        """
        if isolation_level not in _ISOLATION:
            raise ConfigError(
                f"isolation_level {isolation_level!r} is unknown; use one of {', '.join(_ISOLATION)}"
            )
        if auto_offset_reset not in _RESETS:
            raise ConfigError(
                f"auto_offset_reset {auto_offset_reset!r} is unknown; use one of {', '.join(_RESETS)}"
            )
        for name, value in (
            ("fetch_max_bytes", fetch_max_bytes),
            ("partition_max_bytes", partition_max_bytes),
            ("buffer_bytes", buffer_bytes),
            ("request_timeout_ms", request_timeout_ms),
        ):
            if value <= 0:
                raise ConfigError(f"{name} is {value}; it must be above 0")
        self._options = FetchOptions(
            isolation_level=_ISOLATION[isolation_level],
            reset_to=_RESETS[auto_offset_reset],
            min_bytes=fetch_min_bytes,
            max_wait_ms=fetch_max_wait_ms,
            fetch_max_bytes=fetch_max_bytes,
            partition_max_bytes=partition_max_bytes,
            buffer_bytes=buffer_bytes,
            check_crcs=check_crcs,
            max_decompressed_bytes=max_decompressed_bytes,
        )
        self._cluster = Cluster(bootstrap_servers, client_id=client_id, request_timeout_ms=request_timeout_ms)
        self._fetcher: Fetcher | None = None

    async def start(self) -> Self:
        """Reach the cluster; returns the consumer.

        Raises:
            UnreachableError: no bootstrap server can be reached.

        """
        try:
            await self._cluster.open()
        except BaseException:
            await self._cluster.close()
            raise
        self._fetcher = Fetcher(self._cluster, self._options)
        return self

    async def close(self) -> None:
        """Stop fetching and close every connection."""
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            await fetcher.close()
        await self._cluster.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # What to read, and from where.

    @property
    def assignment(self) -> list[TopicPartition]:
        """The partitions that are read."""
        return list(self._open_fetcher().readers)

    async def partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic.

        Raises:
            RefusedError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, ...

        """
        self._open_fetcher()
        return [
            TopicPartition(topic, partition.index)
            for partition in (await self._cluster.topic(topic)).partitions
        ]

    async def assign(self, partitions: Iterable[tuple[str, int]], *, at: StartAt = "end") -> None:
        """Read exactly these (topic, partition) pairs; those read before go on where they are, new ones start at `at`.

        Raises:
            RefusedError: a topic doesn't exist.
            ConfigError: a topic has no such partition.

        """
        wanted = [TopicPartition(topic, partition) for topic, partition in partitions]
        for topic in dict.fromkeys(partition.topic for partition in wanted):
            existing = set(await self.partitions_of(topic))
            for partition in wanted:
                if partition.topic == topic and partition not in existing:
                    raise ConfigError(
                        f"topic {topic!r} has no partition {partition.partition}; it has 0 to {len(existing) - 1}"
                    )
        self._open_fetcher().assign(wanted, _STARTS[at])

    async def assign_topic(self, topic: str, *, at: StartAt = "end") -> list[TopicPartition]:
        """Read every partition of a topic, and only those; returns them. Raises as `assign` does."""
        partitions = await self.partitions_of(topic)
        self._open_fetcher().assign(partitions, _STARTS[at])
        return partitions

    def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on at `offset` of an assigned partition.

        Raises:
            ConfigError: the partition is not assigned, or the offset is negative.

        """
        if offset < 0:
            raise ConfigError(f"offset {offset} is negative; offsets start at 0")
        self._open_fetcher().seek(self._reader(partition).partition, offset)

    def seek_to_beginning(self, *partitions: tuple[str, int]) -> None:
        """Go on at the first offset there is, of all assigned partitions if none is named. Raises as `seek` does."""
        self._seek_all(partitions, OffsetSpec.EARLIEST)

    def seek_to_end(self, *partitions: tuple[str, int]) -> None:
        """Go on with what comes from now on, of all assigned partitions if none is named. Raises as `seek` does."""
        self._seek_all(partitions, OffsetSpec.LATEST)

    def seek_to_timestamp(self, timestamp_ms: int, *partitions: tuple[str, int]) -> None:
        """Go on at the first record that is not older than `timestamp_ms`, at the end if there is none. Raises as `seek` does."""
        if timestamp_ms < 0:
            raise ConfigError(f"timestamp {timestamp_ms} is negative; it is in ms since the epoch")
        self._seek_all(partitions, timestamp_ms)

    def pause(self, *partitions: tuple[str, int]) -> None:
        """Return nothing of these partitions until `resume`; what is fetched stays."""
        for partition in partitions:
            self._reader(partition).paused = True

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Undo `pause`."""
        for partition in partitions:
            self._reader(partition).paused = False
        self._open_fetcher().pump()

    async def position(self, partition: tuple[str, int]) -> int:
        """Return the offset of the next record to be returned of an assigned partition.

        Raises:
            ConfigError: it is not assigned.
            ClientError: where it starts could not be found out.

        """
        reader = self._reader(partition)
        fetcher = self._open_fetcher()
        while reader.position < 0:
            await fetcher.wait(None)
            if reader.error is not None:
                error, reader.error = reader.error, None
                raise error
        return reader.position

    # What there is.

    async def beginning_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Return the first offset there is, per partition. Raises as `list_offsets` does."""
        return await self._offsets(partitions, OffsetSpec.EARLIEST)

    async def end_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Return the offset after the last readable record, per partition. Raises as `list_offsets` does."""
        return await self._offsets(partitions, OffsetSpec.LATEST)

    async def offsets_for_timestamps(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAt]:
        """Return, per partition, the first record that is not older than a timestamp in ms; offset -1 if there is none.

        Raises:
            RefusedError: a partition doesn't exist, or a broker refused.
            ClientError: a leader was not to be reached.

        """
        self._open_fetcher()
        return await list_offsets(self._cluster, timestamps, self._options.isolation_level)

    # Reading.

    async def poll(
        self, *, max_records: int = POLL_MAX_RECORDS, timeout_ms: int | None = 1_000
    ) -> list[ConsumerRecord]:
        """Return the records that are here, at least one, or none after `timeout_ms` (None: wait for ever).

        Raises:
            DamagedBatchError: the next batch can't be read; its message says how to go past it.
            RefusedError: a topic is gone, the position is not in the log, ...
            ClientError: a leader can't be found or reached.

        """
        fetcher = self._open_fetcher()
        loop = asyncio.get_running_loop()
        deadline = None if timeout_ms is None else loop.time() + timeout_ms / 1000
        while True:
            if fetcher.pump_due:
                await fetcher.breathe()
            records = fetcher.take(max_records)
            if records:
                return records
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return records
            await fetcher.wait(left)
            fetcher = self._open_fetcher()

    def __aiter__(self) -> Self:
        """Iterate over records for ever."""
        return self

    async def __anext__(self) -> ConsumerRecord:
        return (await self.poll(max_records=1, timeout_ms=None))[0]

    def _open_fetcher(self) -> Fetcher:
        if self._fetcher is None:
            raise ClosedError("the consumer is not open; use it in `async with Consumer(...) as consumer:`")
        return self._fetcher

    def _reader(self, partition: tuple[str, int]) -> PartitionReader:
        reader = self._open_fetcher().readers.get(TopicPartition(*partition))
        if reader is None:
            raise ConfigError(
                f"partition {partition[1]} of {partition[0]!r} is not assigned; call assign first"
            )
        return reader

    def _seek_all(self, partitions: Sequence[tuple[str, int]], start_from: int) -> None:
        fetcher = self._open_fetcher()
        for partition in partitions or list(fetcher.readers):
            fetcher.seek(self._reader(partition).partition, -1, start_from)

    async def _offsets(
        self, partitions: Iterable[tuple[str, int]], spec: OffsetSpec
    ) -> dict[TopicPartition, int]:
        self._open_fetcher()
        wanted = {TopicPartition(*partition): int(spec) for partition in partitions}
        found = await list_offsets(self._cluster, wanted, self._options.isolation_level)
        return {partition: answer.offset for partition, answer in found.items()}
