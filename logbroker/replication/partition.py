"""A partition as its leader sees it: the gate between requests and the log.

Alone, a broker leads every partition and is its only replica, so the high watermark is what is durable here. In a cluster it will
be what is durable on enough replicas; whoever asks goes through `high_watermark` and `watch` and won't notice.

Appending is per batch: the header is proven (`records.batch`), and records are looked at only where the topic asks for it:
another `compression.type`, `record.validation=full`, or compaction (null keys). Where they are looked at, a max timestamp in the
header that isn't theirs is put right. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError, InvalidBatchError, StorageOfflineError
from logbroker.base.types import Buffer
from logbroker.config.topic import TopicConfig
from logbroker.records.batch import (
    BatchHeader,
    Codec,
    check_timestamps,
    iter_batches,
    parse_header,
    stamp_log_append_time,
    stamp_max_timestamp,
    validate_from_client,
)
from logbroker.records.iterator import WALKED_BYTES_MAX, check_records
from logbroker.records.recompress import recompress
from logbroker.replication.disk_reads import Fetched, fetch_ranges
from logbroker.storage import transactions
from logbroker.storage.append import JournalItem
from logbroker.storage.descriptors import is_missing
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.producer_entry import NO_OFFSET
from logbroker.storage.segment import Reader, WouldBlockError
from logbroker.storage.transaction_index import AbortedTransaction

_CODECS = {
    "uncompressed": Codec.NONE,
    "gzip": Codec.GZIP,
    "snappy": Codec.SNAPPY,
    "lz4": Codec.LZ4,
    "zstd": Codec.ZSTD,
}
_GZIP_DEFAULT_LEVEL = -1
"""`compression.gzip.level` for "as the codec likes it"."""

_log = logs.get("replicas")
_damage = logs.Limited(_log, per_second=1.0, burst=20)


class Partition:
    """One partition that this broker leads."""

    __slots__ = (
        "_codec",
        "_level",
        "_plain",
        "_segment_bytes",
        "config",
        "index",
        "internal",
        "isr_size",
        "leader_epoch",
        "log",
        "topic",
        "topic_id",
    )

    def __init__(self, log: Log, leader_epoch: int, *, internal: bool = False) -> None:
        self.log = log
        self.internal = internal
        self.topic = log.topic
        self.topic_id: UUID = log.topic_id
        self.index = log.index
        self.leader_epoch = leader_epoch
        self.isr_size = 1
        self.configure(log.config)

    def configure(self, config: TopicConfig) -> None:
        """Follow a changed topic configuration."""
        self.config = config
        self._codec = _CODECS.get(config.compression_type)
        levels: dict[Codec | None, int] = {
            Codec.GZIP: config.compression_gzip_level,
            Codec.LZ4: config.compression_lz4_level,
            Codec.ZSTD: config.compression_zstd_level,
        }
        self._level = levels.get(self._codec)
        if self._codec is Codec.GZIP and self._level == _GZIP_DEFAULT_LEVEL:
            self._level = None
        self._segment_bytes = config.segment_size_bytes
        self._plain = (
            self._codec is None
            and config.record_validation == "header"
            and "compact" not in config.cleanup_policy
            and config.message_timestamp_type == "CreateTime"
        )

    @property
    def high_watermark(self) -> int:
        """Consumers see records below this."""
        return self.log.durable_end

    @property
    def last_stable_offset(self) -> int:
        """Consumers that read committed records see those below this."""
        return transactions.last_stable_offset(self.log)

    @property
    def log_start_offset(self) -> int:
        """First offset that can be read."""
        return self.log.start_offset

    @property
    def log_end_offset(self) -> int:
        """Offset of the next append."""
        return self.log.end_offset

    def check_epoch(self, current_leader_epoch: int) -> None:
        """Compare a request's idea of the leader epoch (-1: none). Raises BrokerError (KIP-320)."""
        if 0 <= current_leader_epoch != self.leader_epoch:
            if current_leader_epoch < self.leader_epoch:
                raise BrokerError(ErrorCode.FENCED_LEADER_EPOCH)
            raise BrokerError(ErrorCode.UNKNOWN_LEADER_EPOCH)

    # Appending

    def append_as_leader(
        self,
        batch: Buffer,
        *,
        from_client: bool = True,
        on_done: Callable[[JournalItem], None] | None = None,
        waiter: Any = None,
        allow_zstd: bool = True,
    ) -> JournalItem:
        """Append one v2 batch, now and in order; `on_done(item)` on the loop when it is durable or has failed.

        The item holds the offsets at once; `item.error` says how it ended. A writable `batch` is stamped in place and
        belongs to the log from here on.

        Raises:
            BrokerError: nothing was appended, with the code for the producer.

        """
        log = self.log
        config = self.config
        if not from_client:
            header = parse_header(batch)
        else:
            header = validate_from_client(
                batch, max_message_bytes=config.max_message_bytes, allow_zstd=allow_zstd
            )
            if not self._plain:
                batch, header = self._rework(batch, header)
            else:
                now_ms = log.host.clock.wall_ms()
                if (
                    not 0 <= header.base_timestamp <= header.max_timestamp
                    or header.base_timestamp < now_ms - config.message_timestamp_before_max_ms
                    or header.max_timestamp > now_ms + config.message_timestamp_after_max_ms
                ):
                    # The usual case is decided above; this one knows the others, and what to say.
                    check_timestamps(
                        header,
                        now_ms,
                        config.message_timestamp_before_max_ms,
                        config.message_timestamp_after_max_ms,
                    )
            if len(batch) > self._segment_bytes:
                raise InvalidBatchError(
                    ErrorCode.RECORD_LIST_TOO_LARGE,
                    f"the record batch has {len(batch)} bytes, segment.bytes of {log.name} allows {self._segment_bytes}",
                )
        if type(batch) is not bytearray and (type(batch) is not memoryview or batch.readonly):
            batch = bytearray(batch)
        return log.append(batch, header, self.leader_epoch, on_done, waiter)

    def append_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        *,
        commit: bool,
        transaction_version: int = 0,
        on_done: Callable[[JournalItem], None] | None = None,
        waiter: Any = None,
    ) -> JournalItem:
        """End a producer's transaction here, now and in order; `on_done(item)` as with `append_as_leader`.

        Raises:
            BrokerError: nothing was appended: INVALID_PRODUCER_EPOCH (with `transaction_version` 2 the epoch must be newer
                than the transaction's), TRANSACTION_COORDINATOR_FENCED, or what an append may raise.

        """
        return transactions.append_marker(
            self.log,
            producer_id,
            producer_epoch,
            coordinator_epoch,
            self.leader_epoch,
            commit=commit,
            transaction_version=transaction_version,
            on_done=on_done,
            waiter=waiter,
        )

    def open_transaction(self, producer_id: int) -> int:
        """The first offset of the producer's open transaction; -1: none is open."""
        entry = self.log.producers.get(producer_id)
        return NO_OFFSET if entry is None else entry.transaction_first_offset

    def aborted_transactions(self, first_offset: int, end_offset: int) -> list[AbortedTransaction]:
        """Aborted transactions with batches in this range, which ends at or below the last stable offset."""
        return transactions.aborted_transactions(self.log, first_offset, end_offset)

    def _rework(self, batch: Buffer, header: BatchHeader) -> tuple[Buffer, BatchHeader]:
        """What the topic asks for beyond the header: record checks, compaction's keys, another codec, append time."""
        config = self.config
        now_ms = self.log.host.clock.wall_ms()
        create_time = config.message_timestamp_type == "CreateTime"
        if create_time:
            check_timestamps(
                header, now_ms, config.message_timestamp_before_max_ms, config.message_timestamp_after_max_ms
            )
        compacted = "compact" in config.cleanup_policy
        codec = self._codec if self._codec is not None and self._codec != header.codec_id else None
        if compacted or codec is not None or config.record_validation == "full":
            checked = check_records(
                batch,
                header,
                require_keys=compacted,
                earliest_ms=max(now_ms - config.message_timestamp_before_max_ms, 0) if create_time else None,
                latest_ms=now_ms + config.message_timestamp_after_max_ms if create_time else None,
                max_decompressed_bytes=max(WALKED_BYTES_MAX, config.max_message_bytes),
            )
            lies = create_time and checked.max_timestamp != header.max_timestamp
            if codec is not None:
                if lies:
                    header = header._replace(max_timestamp=checked.max_timestamp)
                batch = recompress(batch, codec, level=self._level, header=header, payload=checked.payload)
                header = parse_header(batch)
                if header.size_bytes > config.max_message_bytes:
                    raise InvalidBatchError(
                        ErrorCode.MESSAGE_TOO_LARGE,
                        f"the record batch has {header.size_bytes} bytes with compression.type={config.compression_type}, "
                        f"max.message.bytes allows {config.max_message_bytes}",
                    )
            elif lies:
                batch = _writable(batch)
                header = stamp_max_timestamp(batch, checked.max_timestamp)
        if not create_time:
            batch = _writable(batch)
            header = stamp_log_append_time(batch, now_ms)
        return batch, header

    def require_isr(self) -> None:
        """For acks=all: enough replicas must be in sync. Raises BrokerError NOT_ENOUGH_REPLICAS."""
        if self.isr_size < self.config.min_insync_replicas:
            raise BrokerError(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"{self.log.name} has {self.isr_size} in-sync replica(s), min.insync.replicas asks for "
                f"{self.config.min_insync_replicas}",
            )

    # Reading

    def read(
        self, offset: int, max_bytes: int, reader: Reader, *, below: int | None = None, min_one: bool = True
    ) -> list[Buffer]:
        """Batches from `offset` up to the high watermark, or to `below`; see `Log.read`.

        Raises:
            BrokerError: OFFSET_OUT_OF_RANGE; KAFKA_STORAGE_ERROR, also for bytes that are damaged or can't be read.
            WouldBlockError: see `Reader`.

        """
        try:
            return self.log.read(offset, max_bytes, reader, below=below, min_one=min_one)
        except (CorruptionError, OSError) as error:
            raise self.unreadable(error) from error

    def aborted_in_read(self, offset: int, size_bytes: int, reader: Reader) -> list[AbortedTransaction]:
        """Aborted transactions that may have batches in what a read from `offset` gave. Raises as `read`."""
        try:
            return transactions.aborted_in_read(self.log, offset, size_bytes, reader)
        except (CorruptionError, OSError) as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: CorruptionError | OSError) -> BrokerError:
        """What a reader is told when the files can't be read; a disk's error takes the log directory offline."""
        host = self.log.host
        if isinstance(error, CorruptionError):
            if isinstance(host, LogDirectory):
                host.stats.damaged_reads += 1
            _damage.write("error", "a read met damaged bytes", partition=self.log.name, error=str(error))
        elif isinstance(host, LogDirectory) and not is_missing(error):
            host.fail(error)
        return StorageOfflineError(str(error))

    async def read_async(self, offset: int, max_bytes: int) -> list[Buffer]:
        """Whole batches from `offset` up to the high watermark, about `max_bytes` of them and at least one if there is any.

        Waits for the disk where the page cache doesn't hold the bytes.

        Raises:
            BrokerError: as `Log.read`.

        """
        fetched = Fetched()
        while True:
            try:
                parts = self.read(offset, max_bytes, self.log.host.reader(fetched))
                break
            except WouldBlockError as wanted:
                fetched.add(await fetch_ranges(self.log, [wanted.key]))
        data = memoryview(b"".join(parts))
        end = 0
        for position, header in iter_batches(data):
            end = position + header.size_bytes
        return [data[:end]] if end else []

    def __repr__(self) -> str:
        return f"<partition {self.log!r} epoch {self.leader_epoch}>"


def _writable(batch: Buffer) -> bytearray | memoryview:
    """The batch itself where it can be stamped in place, else a copy."""
    if type(batch) is bytearray or (type(batch) is memoryview and not batch.readonly):
        return batch
    return bytearray(batch)
