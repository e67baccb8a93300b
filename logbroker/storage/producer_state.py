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

and of a marker (KIP-98, KIP-890: `check_marker`):

    an older epoch; with transaction version 2, not a newer one INVALID_PRODUCER_EPOCH
    an older coordinator                                        TRANSACTION_COORDINATOR_FENCED

A batch older than the five isn't called a duplicate, because nothing here proves that it was ever appended: an unknown
producer may have begun at any sequence. For the same reason what is forgotten is forgotten whole, never guessed.

Entries are immutable; `record` puts a new one in the old one's place. So `capture` is one shallow copy, which another
thread may encode while the loop goes on. Everything else is the loop's alone.

Crash story: the checkpoint keeps `encode()` together with the end offset it was captured at; recovery calls `decode`, then
`record` for every batch behind that offset, in order. Kafka's own `.snapshot` files are for its tools: `snapshot_file.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.records.batch import (
    NO_SEQUENCE,
    NO_TIMESTAMP,
    SEQUENCE_MASK,
    TRANSACTIONAL_MASK,
    BatchHeader,
)
from logbroker.storage.open_transactions import OpenTransactions
from logbroker.storage.producer_entry import (
    NO_COORDINATOR_EPOCH,
    NO_OFFSET,
    ProducerEntry,
    RememberedBatch,
    decode_entries,
    encode_entries,
)
from logbroker.storage.producer_limits import ProducerLimits

__all__ = [
    "NO_COORDINATOR_EPOCH",
    "NO_OFFSET",
    "REMEMBERED_BATCHES",
    "DuplicateOf",
    "ProducerEntry",
    "ProducerStates",
    "RememberedBatch",
    "decode_entries",
    "encode_entries",
]

REMEMBERED_BATCHES = 5
"""Batches remembered of each producer: what `max.in.flight.requests.per.connection` may be at most."""

LOOK_AGAIN_MS = 1000
"""How often a partition that is full of recent producers looks for one to forget: that walks over all of them."""

TRANSACTION_VERSION_2 = 2
"""From this version on every marker bumps its producer's epoch (KIP-890)."""
EPOCH_MAX = 32_767
"""Epochs end here: a marker that aborts at it can't be newer than what it ends."""

_EVICTED_SHARE = 8  # a full table gives up an eighth at once, so that making room costs little per producer


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

    __slots__ = ("_entries", "_full_until_ms", "evicted", "limits", "transactions")

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
        self.transactions = OpenTransactions(
            (entry.transaction_first_offset, producer_id)
            for producer_id, entry in self._entries.items()
            if entry.transaction_first_offset >= 0
        )
        """Those that are open, and those whose marker isn't known to be durable."""

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

        Nothing is checked: what is in the log, counts. Control batches are for `record_marker`.

        Args:
            header: A batch with a producer id; its own base offset is not looked at.
            base_offset: Offset it was given.
            last_offset: Offset of its last record.
            now_ms: The broker's wall clock, from which idleness counts; None: the batch's max timestamp, as Kafka
                takes it (a producer of old records is then soon forgotten).

        """
        attributes = header.attributes
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
            self.transactions.begin(base_offset, header.producer_id)
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

    def check_marker(
        self, producer_id: int, producer_epoch: int, coordinator_epoch: int, transaction_version: int
    ) -> None:
        """Decide about a marker before it is appended.

        Raises:
            BrokerError: INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED.

        """
        entry = self._entries.get(producer_id)
        if entry is None:
            return
        if transaction_version >= TRANSACTION_VERSION_2:
            # The same marker once more is no harm: a transaction of that epoch has ended.
            again = producer_epoch == entry.epoch and (
                entry.transaction_first_offset < 0 or producer_epoch == EPOCH_MAX
            )
            stale = producer_epoch <= entry.epoch and not again
        else:
            stale = producer_epoch < entry.epoch
        if stale:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer id {producer_id}: a marker of epoch {producer_epoch} (transaction version "
                f"{transaction_version}), where epoch {entry.epoch} has written already",
            )
        if coordinator_epoch < entry.coordinator_epoch:
            raise BrokerError(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"producer id {producer_id}: a marker of coordinator epoch {coordinator_epoch}, "
                f"where epoch {entry.coordinator_epoch} has written already",
            )

    def record_marker(
        self,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        offset: int,
        now_ms: int | None = None,
    ) -> int:
        """Remember a marker at `offset`; returns the first offset of the transaction it ended, or `NO_OFFSET`.

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
        if ended >= 0:
            self.transactions.end(ended, offset)
        if producer_epoch != entry.epoch:
            entry = entry._replace(epoch=producer_epoch, last_sequence=NO_SEQUENCE, batches=())
        self._entries[producer_id] = entry._replace(
            last_timestamp_ms=entry.last_timestamp_ms if now_ms is None else now_ms,
            # Never below 0: it also says that there was a marker, which `truncate_to` must know.
            coordinator_epoch=max(coordinator_epoch, entry.coordinator_epoch, 0),
            transaction_first_offset=NO_OFFSET,
        )
        return ended

    @property
    def has_transactions(self) -> bool:
        """Whether anything is known here that a marker, or the lack of one, decided."""
        return bool(self.transactions) or any(
            entry.coordinator_epoch != NO_COORDINATOR_EPOCH for entry in self._entries.values()
        )

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
            cut, so it is unknown now, and so is what it wrote before them, if anything; or there were transactions, whose
            markers aren't remembered one by one. Whoever needs that builds the state anew from the log.

        """
        if self.has_transactions:
            return False
        complete = True
        for producer_id, entry in list(self._entries.items()):
            batches = entry.batches
            if not batches or batches[-1].last_offset < end_offset:
                continue
            batches = tuple(batch for batch in batches if batch.last_offset < end_offset)
            if not batches:
                complete = False
                del self._entries[producer_id]
                continue
            self._entries[producer_id] = entry._replace(
                last_sequence=batches[-1].last_sequence, batches=batches
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
