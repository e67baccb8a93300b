"""Transactional batches of a Produce request: what the transaction coordinator must be asked before they are appended (KIP-890).

A partition's log knows its open transactions, so only the first batch of a transaction in a partition is asked about; no other
produce comes here. From Produce 12 on the partition is added to the transaction in the same breath, below that it must have been.

While the answer is awaited the request's connection is *held*: its later produces wait behind it, in order, or the sequences of an
idempotent producer would arrive in disorder. A connection has `server.limits.in_flight_max` of them at most; other
connections go on. Loop thread only.

Between question and append the transaction may be ended by a marker (its time is over, or its producer was fenced). What was admitted
then belongs to nothing, and an append would open a transaction that nobody ever ends. With transaction version 2 the marker's newer
epoch refuses the batch. Below, the producer's entry in the log, which every marker replaces, must be what it was when the
question was asked.

A producer that a partition doesn't know may begin at any sequence. But a batch that is refused for the moment is sent again, and what the
producer has sent behind it must not begin in its place. With transaction version 2 every transaction has an epoch of its own, so
only sequence 0 begins; below, the sequences of refused batches are remembered (`RefusedBatches`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.records.batch import HEADER_SIZE, TRANSACTIONAL_MASK
from logbroker.replication.partition import Partition
from logbroker.storage.producer_entry import ProducerEntry

ADDS_PARTITIONS_FROM: Final = 12
"""Produce versions from here on speak transaction version 2."""
ABORTABLE_FROM: Final = 11
"""Older clients don't know TRANSACTION_ABORTABLE."""
_ATTRIBUTES_LOW_BYTE: Final = 22
_PRODUCER: Final = Struct(">qh")
_SEQUENCE: Final = Struct(">i")
_SEQUENCE_AT: Final = 53
_PRODUCER_AT: Final = 43

_COORDINATOR_AWAY: Final = frozenset(
    {
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)

REFUSED_MAX: Final = 10_000
"""Producers whose refused batches are remembered; of more, the earliest are forgotten."""

Key = tuple[str, int]


class RefusedBatches:
    """The lowest sequences of batches that were refused for the moment, of producers that their partitions don't know."""

    __slots__ = ("_lowest",)

    def __init__(self) -> None:
        self._lowest: OrderedDict[tuple[UUID, int, int, int], int] = OrderedDict()

    def note(self, partition: Partition, producer: tuple[int, int], sequence: int) -> None:
        """A batch was refused."""
        key = (partition.topic_id, partition.index, *producer)
        self._lowest[key] = min(sequence, self._lowest.get(key, sequence))
        if len(self._lowest) > REFUSED_MAX:
            self._lowest.popitem(last=False)

    def overtakes(self, partition: Partition, producer: tuple[int, int], sequence: int) -> bool:
        """Whether a batch, which would begin its producer, comes before one that was refused; else it begins."""
        key = (partition.topic_id, partition.index, *producer)
        if sequence > self._lowest.get(key, sequence):
            return True
        self._lowest.pop(key, None)
        return False


class Question(NamedTuple):
    """The partitions of one request that the coordinator is asked about."""

    producer_id: int
    producer_epoch: int
    partitions: dict[Key, ProducerEntry | None]
    """And what each knew of the producer when it was asked."""


def is_transactional(records: Buffer | None) -> bool:
    """Whether a partition's records say that they belong to a transaction."""
    return (
        records is not None
        and len(records) >= HEADER_SIZE
        and bool(records[_ATTRIBUTES_LOW_BYTE] & TRANSACTIONAL_MASK)
    )


def producer_of(records: Buffer) -> tuple[int, int]:
    """Producer id and epoch in a batch's header."""
    producer_id, epoch = _PRODUCER.unpack_from(records, _PRODUCER_AT)
    return producer_id, epoch


def question_of(batches: Iterable[tuple[Partition, Buffer]]) -> Question | None:
    """What must be asked about these transactional batches; None if nothing.

    Raises:
        BrokerError: INVALID_PRODUCER_ID_MAPPING for batches of several producers.

    """
    producer: tuple[int, int] | None = None
    asked: dict[Key, ProducerEntry | None] = {}
    for partition, records in batches:
        its = producer_of(records)
        if its[0] < 0:
            continue  # the append says what is wrong with it
        if producer is None:
            producer = its
        elif its != producer:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_ID_MAPPING, "the transactional batches are of several producers"
            )
        if not _is_decided(partition, *its):
            asked[partition.topic, partition.index] = partition.log.producers.get(its[0])
    if producer is None or not asked:
        return None
    return Question(*producer, asked)


def _is_decided(partition: Partition, producer_id: int, producer_epoch: int) -> bool:
    """Whether the partition knows enough: the transaction is open, or a newer epoch has written, and the append refuses this one."""
    entry = partition.log.producers.get(producer_id)
    return entry is not None and (
        producer_epoch < entry.epoch
        or (entry.transaction_first_offset >= 0 and producer_epoch == entry.epoch)
    )


def check_admitted(
    partition: Partition,
    records: Buffer,
    version: int,
    question: Question | None,
    verdicts: Mapping[Key, ErrorCode],
    *,
    verified: bool,
    refused: RefusedBatches | None = None,
) -> None:
    """Decide about a transactional batch that is to be appended now.

    Args:
        partition: Where it goes.
        records: The batch.
        version: Of the request.
        question: What was asked for its request.
        verdicts: What the answer was.
        verified: Whether a batch that nobody was asked about is refused (`transaction.partition.verification.enable`).
        refused: The broker's memory of those that are to come again.

    Raises:
        BrokerError: What Kafka makes of the coordinator's verdict; INVALID_TXN_STATE when there is no transaction;
            OUT_OF_ORDER_SEQUENCE_NUMBER for a batch that would begin its producer, and has overtaken another.

    """
    producer_id, producer_epoch = producer_of(records)
    known = partition.log.producers.get(producer_id)
    sequence = _SEQUENCE.unpack_from(records, _SEQUENCE_AT)[0]
    key = partition.topic, partition.index
    error = verdicts.get(key, ErrorCode.NONE)
    if error != ErrorCode.NONE:
        refusal = _refusal(error, version)
        if known is None and refused is not None and refusal.code is ErrorCode.NOT_ENOUGH_REPLICAS:
            refused.note(partition, (producer_id, producer_epoch), sequence)
        raise refusal
    if producer_id < 0 or _is_decided(partition, producer_id, producer_epoch):
        return
    if question is None or key not in question.partitions:
        if verified:
            raise BrokerError(
                ErrorCode.INVALID_TXN_STATE, f"{partition.log.name}: the batch is in no transaction under way"
            )
        return
    if known is None:
        if version >= ADDS_PARTITIONS_FROM:
            overtakes = sequence > 0
        else:
            overtakes = refused is not None and refused.overtakes(
                partition, (producer_id, producer_epoch), sequence
            )
        if overtakes:
            raise BrokerError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"{partition.log.name}: producer id {producer_id} can't begin at sequence {sequence}",
            )
    elif version < ADDS_PARTITIONS_FROM and known is not question.partitions[key]:
        raise BrokerError(
            ErrorCode.INVALID_TXN_STATE, f"{partition.log.name}: the batch's transaction was ended meanwhile"
        )


def _refusal(error: ErrorCode, version: int) -> BrokerError:
    """A coordinator's verdict in words that a producer's clients know."""
    if error in _COORDINATOR_AWAY or (
        error is ErrorCode.CONCURRENT_TRANSACTIONS and version < ADDS_PARTITIONS_FROM
    ):
        # Retriable for every client, and no reason to ask for new metadata.
        return BrokerError(
            ErrorCode.NOT_ENOUGH_REPLICAS, f"the transaction can't be verified now: {error.name}"
        )
    if error is ErrorCode.PRODUCER_FENCED:
        return BrokerError(ErrorCode.INVALID_PRODUCER_EPOCH)
    if error is ErrorCode.INVALID_TXN_STATE or (
        error is ErrorCode.TRANSACTION_ABORTABLE and version < ABORTABLE_FROM
    ):
        return BrokerError(ErrorCode.INVALID_TXN_STATE, "the partition was not added to the transaction")
    return BrokerError(error)
