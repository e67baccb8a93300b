"""Fetched bytes of one partition, decoded batch by batch as they are asked for. No I/O.

A Fetch answer carries whole record batches, the first of which may begin before the offset asked for and the last
of which may be cut short. Headers are walked when the bytes arrive, because the next fetch must know where to go on;
payloads are unpacked and decoded, and their CRC checked, only when the reader gets there.

With read_committed the answer also lists the transactions that were aborted in its range. Their records are left out:
from a transaction's first offset on, batches of its producer are skipped until its abort marker (KIP-98).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from logbroker.base.errors import BrokerError
from logbroker.client.errors import DamagedBatchError
from logbroker.client.types import TopicPartition
from logbroker.records.batch import BatchHeader, check_crc, iter_batches
from logbroker.records.iterator import Record, decode_records, iter_records

__all__ = ["ConsumerRecord", "FetchedRecords", "TimestampType"]

TimestampType: TypeAlias = Literal["CreateTime", "LogAppendTime"]

_CONTROL_KEY = struct.Struct(">hh")
_ABORT_MARKER = 0
_new = tuple.__new__


class ConsumerRecord(NamedTuple):
    """A record as it was read.

    Attributes:
        topic, partition, offset: where it stands.
        timestamp_ms: ms since the epoch; -1 if it has none.
        timestamp_type: whose clock that is: the producer's (CreateTime) or the broker's (LogAppendTime).
        key, value: bytes, or None for null.
        headers: (name, bytes or None) pairs.

    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    timestamp_type: TimestampType
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class FetchedRecords:
    """The batches that one Fetch answer holds of one partition.

    Attributes:
        size_bytes: how many bytes it keeps in memory.
        next_offset: the offset to fetch from next.

    """

    __slots__ = (
        "_aborted",
        "_aborted_producers",
        "_batch_end",
        "_batches",
        "_buffer",
        "_check_crcs",
        "_damage",
        "_max_decompressed_bytes",
        "_partition",
        "_records",
        "_timestamp_type",
        "next_offset",
        "size_bytes",
    )

    def __init__(
        self,
        partition: TopicPartition,
        buffer: memoryview,
        fetch_offset: int,
        *,
        aborted: Iterable[tuple[int, int]] = (),
        check_crcs: bool = True,
        max_decompressed_bytes: int,
    ) -> None:
        """Walk the headers in `buffer`; `aborted` are (producer id, first offset) pairs, none with read_uncommitted."""
        self._partition = partition
        self._buffer = buffer
        self._check_crcs = check_crcs
        self._max_decompressed_bytes = max_decompressed_bytes
        self._aborted = deque(sorted(aborted, key=lambda entry: entry[1]))
        self._aborted_producers: set[int] = set()
        self._batches: deque[tuple[int, BatchHeader]] = deque()
        self._records: deque[Record] = deque()
        self._timestamp_type: TimestampType = "CreateTime"
        self._batch_end = fetch_offset
        self._damage: DamagedBatchError | None = None
        self.size_bytes = len(buffer)
        self.next_offset = fetch_offset
        try:
            for position, header in iter_batches(buffer):
                if header.next_offset <= self.next_offset:
                    continue  # the broker began its answer with a batch before the one we need
                self._batches.append((position, header))
                self.next_offset = header.next_offset
        except BrokerError as error:
            self._damage = DamagedBatchError(*partition, self.next_offset, self.next_offset + 1, str(error))

    @property
    def exhausted(self) -> bool:
        """Whether everything was taken."""
        return not self._records and not self._batches and self._damage is None

    def take(self, position: int, max_records: int) -> tuple[list[ConsumerRecord], int]:
        """Return up to `max_records` records from `position` on, and the position that follows them.

        The position also moves past what holds no records to return: markers, aborted transactions, compacted batches.

        Raises:
            DamagedBatchError: the next batch can't be decoded; nothing was taken.

        """
        taken: list[ConsumerRecord] = []
        while not self._records:
            if not self._batches:
                if self._damage is not None:
                    raise self._damage
                return taken, position
            batch_position, header = self._batches[0]
            if header.next_offset > position:
                self._decode(batch_position, header, position)
            self._batches.popleft()
            if not self._records:
                position = max(position, header.next_offset)
        records = self._records
        topic, partition = self._partition
        timestamp_type = self._timestamp_type
        for _ in range(min(max_records, len(records))):
            offset, timestamp_ms, key, value, headers = records.popleft()
            taken.append(
                _new(
                    ConsumerRecord,
                    (
                        topic,
                        partition,
                        offset,
                        timestamp_ms,
                        timestamp_type,
                        None if key is None else bytes(key),
                        None if value is None else bytes(value),
                        tuple(
                            [(name, None if content is None else bytes(content)) for name, content in headers]
                        )
                        if headers
                        else (),
                    ),
                )
            )
        # A batch may end beyond its last record: compaction keeps the offsets of what it removed.
        return taken, taken[-1].offset + 1 if records else self._batch_end

    def _decode(self, batch_position: int, header: BatchHeader, position: int) -> None:
        """Put the batch's records from `position` on into `_records`, unless none of them is for the reader."""
        try:
            if self._check_crcs:
                check_crc(self._buffer, header, batch_position)
            while self._aborted and self._aborted[0][1] <= header.last_offset:
                self._aborted_producers.add(self._aborted.popleft()[0])
            if header.is_control:
                self._see_marker(batch_position, header)
                return
            if header.is_transactional and header.producer_id in self._aborted_producers:
                return
            records = decode_records(
                self._buffer,
                batch_position,
                header=header,
                max_decompressed_bytes=self._max_decompressed_bytes,
            )
        except BrokerError as error:
            raise DamagedBatchError(
                *self._partition, header.base_offset, header.next_offset, str(error)
            ) from error
        self._timestamp_type = "LogAppendTime" if header.is_log_append_time else "CreateTime"
        if records and records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        self._records.extend(records)
        self._batch_end = header.next_offset

    def _see_marker(self, batch_position: int, header: BatchHeader) -> None:
        """An abort marker ends what is to be skipped of its producer."""
        for record in iter_records(self._buffer, batch_position, header=header):
            if record.key is not None and len(record.key) >= _CONTROL_KEY.size:
                _, kind = _CONTROL_KEY.unpack_from(record.key)
                if kind == _ABORT_MARKER:
                    self._aborted_producers.discard(header.producer_id)
