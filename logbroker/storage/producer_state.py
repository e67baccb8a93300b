"""What a partition remembers of idempotent producers, so that a batch sent twice is appended once (KIP-98, KIP-360).

Of each producer id: its epoch, its last five batches (sequences and the offsets they got) and when it last wrote. A batch
must begin where the last one ended; one that equals a remembered batch is a duplicate, which the caller answers with
the first one's offsets *once those are durable*. Five is what a producer may have in flight.

The answers are those of Kafka 4.3.1:

    the next sequence, or 0 with a newer epoch                  append
    same epoch and sequences as one of the five                 duplicate
    an older epoch                                              INVALID_PRODUCER_EPOCH
    any other sequence, older batches than the five too         OUT_OF_ORDER_SEQUENCE_NUMBER
    an unknown producer (new, expired, its records gone)        append, at any sequence
    not transactional while its transaction is open             INVALID_TXN_STATE

A batch older than the five isn't called a duplicate, because nothing here proves that it was ever appended: an unknown
producer may have begun at any sequence. For the same reason what is forgotten is forgotten whole, never guessed.

Entries are immutable; `record` puts a new one in the old one's place. So `capture` is one shallow copy, which another
thread may encode while the loop goes on. Everything else is the loop's alone.

Crash story: the checkpoint keeps `encode()` together with the end offset it was captured at; recovery calls `decode`, then
`record` for every batch behind that offset, in order. Kafka's own `.snapshot` files are for its tools: `snapshot_file.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import (
    CONTROL_MASK,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    SEQUENCE_MASK,
    TRANSACTIONAL_MASK,
    BatchHeader,
)
from logbroker.storage.producer_limits import ProducerLimits

REMEMBERED_BATCHES = 5
"""Batches remembered of each producer: what `max.in.flight.requests.per.connection` may be at most."""

LOOK_AGAIN_MS = 1000
"""How often a partition that is full of recent producers looks for one to forget: that walks over all of them."""

NO_COORDINATOR_EPOCH = -1
NO_OFFSET = -1

_EVICTED_SHARE = 8  # a full table gives up an eighth at once, so that making room costs little per producer


class RememberedBatch(NamedTuple):
    """A batch that was appended. Sequences are `NO_SEQUENCE` for a coordinator's batch, which has none."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp: int
    """The batch's max timestamp: its append time, on a LogAppendTime topic."""


class ProducerEntry(NamedTuple):
    """All that is known of one producer."""

    epoch: int
    last_sequence: int
    """`NO_SEQUENCE`: nothing of this epoch yet, the next is 0."""
    batches: tuple[RememberedBatch, ...]
    """Of this epoch, oldest first, at most `REMEMBERED_BATCHES`."""
    last_timestamp_ms: int
    """When it last wrote; decides when it is forgotten."""
    coordinator_epoch: int
    """Epoch of the coordinator that wrote its last transaction marker."""
    transaction_first_offset: int
    """First offset of its open transaction; `NO_OFFSET`: none is open."""


class DuplicateOf(NamedTuple):
    """The batch that a client sent again."""

    base_offset: int
    last_offset: int
    append_time_ms: int
    """What the answer's log append time is on a LogAppendTime topic; elsewhere it is -1."""


_new = tuple.__new__


class ProducerStates:
    """The producers of one partition.

    Args:
        entries: Those that it begins with.
        limits: How many it may remember; the broker's object, once the partition is in service.

    """

    __slots__ = ("_entries", "_full_until_ms", "evicted", "limits")

    def __init__(
        self,
        entries: Mapping[int, ProducerEntry] | None = None,
        *,
        limits: ProducerLimits | None = None,
    ) -> None:
        self._entries: dict[int, ProducerEntry] = dict(entries or {})
        self.limits = limits or ProducerLimits()
        self._full_until_ms = 0
        self.evicted = 0
        """Producers forgotten to make room, so far."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, producer_id: int) -> ProducerEntry | None:
        """What is known of a producer."""
        return self._entries.get(producer_id)

    # The hot path

    def check(self, header: BatchHeader, now_ms: int) -> DuplicateOf | None:
        """Decide about a client's (or coordinator's) batch before it is appended; changes nothing that it says.

        Args:
            header: A batch with a producer id, as `batch.validate_from_client` passed it.
            now_ms: The broker's wall clock.

        Returns:
            None: append it, then call `record`. Else the batch that it repeats.

        Raises:
            BrokerError: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE;
                THROTTLING_QUOTA_EXCEEDED when the partition can't remember another producer.

        """
        entry = self._entries.get(header.producer_id)
        if entry is None:
            if len(self._entries) >= self.limits.per_partition:
                self._make_room(header.producer_id, now_ms)
            return None
        epoch, last_sequence, _, _, _, transaction_first_offset = entry
        if (
            header.producer_epoch == epoch
            and header.base_sequence == (last_sequence + 1) & SEQUENCE_MASK
            and (transaction_first_offset < 0 or header.attributes & TRANSACTIONAL_MASK)
        ):
            return None
        return self._check_closely(header, entry)

    def record(
        self, header: BatchHeader, base_offset: int, last_offset: int, now_ms: int | None = None
    ) -> None:
        """Remember a batch that was appended at these offsets; also in recovery and in what a leader replicated.

        Nothing is checked: what is in the log, counts. A control batch ends the producer's transaction.

        Args:
            header: A batch with a producer id; its own base offset is not looked at.
            base_offset: Offset it was given.
            last_offset: Offset of its last record.
            now_ms: The broker's wall clock, from which idleness counts; None: the batch's max timestamp, as Kafka
                takes it (a producer of old records is then soon forgotten).

        """
        attributes = header.attributes
        if attributes & CONTROL_MASK:
            self.record_marker(header.producer_id, header.producer_epoch, NO_COORDINATOR_EPOCH, now_ms)
            return
        timestamp = header.max_timestamp
        first_sequence = header.base_sequence
        if first_sequence >= 0:
            last_sequence = (first_sequence + header.last_offset_delta) & SEQUENCE_MASK
        else:
            last_sequence = NO_SEQUENCE
        batch = _new(RememberedBatch, (first_sequence, last_sequence, base_offset, last_offset, timestamp))
        epoch = header.producer_epoch
        entries = self._entries
        entry = entries.get(header.producer_id)
        if entry is None:
            if len(entries) >= self.limits.per_partition:
                self._evict(None)
            batches: tuple[RememberedBatch, ...] = (batch,)
            coordinator_epoch, transaction_first_offset = NO_COORDINATOR_EPOCH, NO_OFFSET
        else:
            known_epoch, _, batches, _, coordinator_epoch, transaction_first_offset = entry
            batches = (*batches[1 - REMEMBERED_BATCHES :], batch) if epoch == known_epoch else (batch,)
        if attributes & TRANSACTIONAL_MASK and transaction_first_offset < 0:
            transaction_first_offset = base_offset
        entries[header.producer_id] = _new(
            ProducerEntry,
            (
                epoch,
                last_sequence,
                batches,
                timestamp if now_ms is None else now_ms,
                coordinator_epoch,
                transaction_first_offset,
            ),
        )

    def _check_closely(self, header: BatchHeader, entry: ProducerEntry) -> DuplicateOf | None:
        """Everything but the expected next batch, in Kafka's order."""
        producer_id = header.producer_id
        sequence = header.base_sequence
        if header.producer_epoch == entry.epoch:
            last_sequence = header.last_sequence
            for batch in entry.batches:
                if (
                    batch.first_sequence == sequence
                    and batch.last_sequence == last_sequence
                    and sequence >= 0
                ):
                    return DuplicateOf(batch.base_offset, batch.last_offset, batch.timestamp)
        elif header.producer_epoch < entry.epoch:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer id {producer_id}: epoch {header.producer_epoch} is older than {entry.epoch}, "
                "which has written already",
            )
        elif sequence > 0:
            raise BrokerError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer id {producer_id}: epoch {header.producer_epoch} follows {entry.epoch} and must begin "
                f"at sequence 0, not {sequence}",
            )
        if (
            header.producer_epoch == entry.epoch
            and sequence >= 0
            and sequence != (entry.last_sequence + 1) & SEQUENCE_MASK
        ):
            raise BrokerError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer id {producer_id}, epoch {entry.epoch}: sequence {sequence} where "
                f"{(entry.last_sequence + 1) & SEQUENCE_MASK} should follow {entry.last_sequence}",
            )
        if entry.transaction_first_offset >= 0 and not header.attributes & TRANSACTIONAL_MASK:
            raise BrokerError(
                ErrorCode.INVALID_TXN_STATE,
                f"producer id {producer_id}: a batch outside its transaction, "
                f"which is open since offset {entry.transaction_first_offset}",
            )
        return None

    # Transactions: what the log itself knows of them

    def record_marker(
        self, producer_id: int, producer_epoch: int, coordinator_epoch: int, now_ms: int | None = None
    ) -> int:
        """Remember a transaction marker; returns the first offset of the transaction it ended, or `NO_OFFSET`.

        A marker with a newer epoch fences the older one: its batches are forgotten and the next sequence is 0.
        """
        entry = self._entries.get(producer_id)
        if entry is None:
            if len(self._entries) >= self.limits.per_partition:
                self._evict(None)
            entry = ProducerEntry(
                producer_epoch, NO_SEQUENCE, (), NO_TIMESTAMP, NO_COORDINATOR_EPOCH, NO_OFFSET
            )
        ended = entry.transaction_first_offset
        if producer_epoch != entry.epoch:
            entry = entry._replace(epoch=producer_epoch, last_sequence=NO_SEQUENCE, batches=())
        self._entries[producer_id] = entry._replace(
            last_timestamp_ms=entry.last_timestamp_ms if now_ms is None else now_ms,
            coordinator_epoch=max(coordinator_epoch, entry.coordinator_epoch),
            transaction_first_offset=NO_OFFSET,
        )
        return ended

    # Forgetting

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget who has written nothing for `expiration_ms` and has no transaction open; returns how many."""
        latest = now_ms - expiration_ms
        gone = [
            producer_id
            for producer_id, entry in self._entries.items()
            if entry.last_timestamp_ms <= latest and entry.transaction_first_offset < 0
        ]
        for producer_id in gone:
            del self._entries[producer_id]
        return len(gone)

    def truncate_to(self, end_offset: int) -> bool:
        """Forget batches that reach to `end_offset` or beyond: the log was cut there.

        Returns:
            Whether what is left is all that replaying the log would give. False: a producer's last five batches were all
            cut, so it is unknown now, and so is what it wrote before them, if anything; whoever needs
            that builds the state anew from a checkpoint and the log. Transaction markers are not remembered one by one,
            so one that was cut is not undone: with transactions, always build anew.

        """
        complete = True
        for producer_id, entry in list(self._entries.items()):
            batches = entry.batches
            transaction = entry.transaction_first_offset
            first_cut = end_offset
            if batches and batches[-1].last_offset >= end_offset:
                first_cut = min(batch.base_offset for batch in batches if batch.last_offset >= end_offset)
                batches = tuple(batch for batch in batches if batch.last_offset < end_offset)
                if not batches:
                    complete = False
                    del self._entries[producer_id]
                    continue
            elif transaction < end_offset:
                continue
            self._entries[producer_id] = entry._replace(
                last_sequence=batches[-1].last_sequence if batches else NO_SEQUENCE,
                batches=batches,
                transaction_first_offset=NO_OFFSET if transaction >= first_cut else transaction,
            )
        return complete

    def _make_room(self, producer_id: int, now_ms: int) -> None:
        """Before a new producer's first batch. Raises BrokerError when everybody is too recent to be forgotten."""
        per_partition, protected_idle_ms = self.limits.per_partition, self.limits.protected_idle_ms
        if now_ms >= self._full_until_ms:
            if self._evict(now_ms - protected_idle_ms):
                return
            self._full_until_ms = now_ms + LOOK_AGAIN_MS
        raise BrokerError(
            ErrorCode.THROTTLING_QUOTA_EXCEEDED,
            f"producer id {producer_id} is one too many: the partition remembers {per_partition} idempotent producers "
            f"that wrote within {protected_idle_ms} ms; share producers, add partitions, or raise "
            "max.producer.ids.per.partition",
        )

    def _evict(self, latest_ms: int | None) -> int:
        """Forget the most idle eighth, of those idle since `latest_ms` and without a transaction; returns how many."""
        idle = sorted(
            (entry.last_timestamp_ms, producer_id)
            for producer_id, entry in self._entries.items()
            if entry.transaction_first_offset < 0
            and (latest_ms is None or entry.last_timestamp_ms <= latest_ms)
        )
        kept = self.limits.per_partition
        del idle[max(len(self._entries) - kept, kept // _EVICTED_SHARE) + 1 :]
        for _, producer_id in idle:
            del self._entries[producer_id]
        self.evicted += len(idle)
        return len(idle)

    # Checkpoints

    def capture(self) -> dict[int, ProducerEntry]:
        """All entries as they are now; later changes don't show in it, so another thread may encode it."""
        return self._entries.copy()

    def copy(self) -> ProducerStates:
        """An independent state that starts out the same."""
        return ProducerStates(self._entries, limits=self.limits)

    def encode(self) -> bytes:
        """See `encode_entries`."""
        return encode_entries(self._entries)

    @classmethod
    def decode(cls, data: Buffer, *, path: str = "producer state", position: int = 0) -> ProducerStates:
        """The state that `encode` wrote: see `decode_entries`."""
        return cls(decode_entries(data, path=path, position=position))


_VERSION = 1
_HEAD = struct.Struct(">BI")
_ENTRY = struct.Struct(">qhiqiqB")
_BATCH = struct.Struct(">iqiq")
_CRC = struct.Struct(">I")


def encode_entries(entries: Mapping[int, ProducerEntry]) -> bytes:
    """One partition's producers as bytes, for the checkpoint.

        version u8 = 1, entry count u32
        entry: producer id i64, epoch i16, last sequence i32, last timestamp i64 (ms), coordinator epoch i32,
               transaction's first offset i64, batch count u8
        batch: last sequence i32, last offset i64, offset delta i32, timestamp i64 (ms)
        CRC-32C u32 over everything before it

    Offsets of a batch are as far apart as its sequences, so one delta serves both. Any thread.
    """
    parts = [_HEAD.pack(_VERSION, len(entries))]
    for producer_id, entry in entries.items():
        epoch, last_sequence, batches, last_timestamp_ms, coordinator_epoch, transaction = entry
        parts.append(
            _ENTRY.pack(
                producer_id,
                epoch,
                last_sequence,
                last_timestamp_ms,
                coordinator_epoch,
                transaction,
                len(batches),
            )
        )
        for _, last, base_offset, last_offset, timestamp in batches:
            parts.append(_BATCH.pack(last, last_offset, last_offset - base_offset, timestamp))
    body = b"".join(parts)
    return body + _CRC.pack(crc32c(body))


def decode_entries(data: Buffer, *, path: str, position: int = 0) -> dict[int, ProducerEntry]:
    """What `encode_entries` wrote.

    Args:
        data: All of it and nothing else.
        path: The file it comes from, for the error.
        position: Where in that file it begins.

    Raises:
        CorruptionError: the bytes are not what was written.

    """
    size = len(data)
    if size < _HEAD.size + _CRC.size:
        raise CorruptionError(path, position, f"{size} bytes are no producer state")
    end = size - _CRC.size
    stored = _CRC.unpack_from(data, end)[0]
    computed = crc32c(memoryview(data)[:end])
    if stored != computed:
        raise CorruptionError(
            path, position, f"producer state: CRC is {stored:#010x}, its bytes give {computed:#010x}"
        )
    version, count = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise CorruptionError(
            path, position, f"producer state of version {version}, this broker reads {_VERSION}"
        )
    entries: dict[int, ProducerEntry] = {}
    at = _HEAD.size
    try:
        for _ in range(count):
            (
                producer_id,
                epoch,
                last_sequence,
                last_timestamp_ms,
                coordinator_epoch,
                transaction,
                batch_count,
            ) = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            batches = []
            for _ in range(batch_count):
                last, last_offset, delta, timestamp = _BATCH.unpack_from(data, at)
                at += _BATCH.size
                first = (last - delta) & SEQUENCE_MASK if last >= 0 else NO_SEQUENCE
                batches.append(RememberedBatch(first, last, last_offset - delta, last_offset, timestamp))
            entries[producer_id] = ProducerEntry(
                epoch, last_sequence, tuple(batches), last_timestamp_ms, coordinator_epoch, transaction
            )
    except struct.error:
        at = size
    if at != end:
        raise CorruptionError(path, position, f"producer state: {count} entries don't end at byte {end}")
    return entries
