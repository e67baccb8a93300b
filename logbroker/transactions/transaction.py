"""What is known of one transactional id, and every change that can be made to it: values and pure functions.

A `Transaction` is immutable. A change is the next value, complete; it is written as it stands, and takes the present one's
place when it is durable. Epochs follow Kafka 4.3.1:

- InitProducerId bumps the epoch, or keeps it when it is asked again by the producer that was just given it (KIP-360).
- With transaction version 2 every end of a transaction bumps it (KIP-890), so that a late batch of one transaction can't
  slip into the next. The highest epoch is never given to a client: before it, a new producer id begins at epoch 0.
- Fencing (another producer came, or the transaction took too long) is an abort whose epoch is one that no client has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from logbroker.transactions.states import AT_REST, State, check_transition

EPOCH_MAX: Final = 32_767
"""Never given to a client."""

EPOCH_LAST: Final = EPOCH_MAX - 1
"""The last epoch a client may have; then comes another producer id."""

NO_TIME: Final = -1
"""No transaction was begun."""

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transactional id.

    Attributes:
        producer_id, producer_epoch: Whom it belongs to now; the epoch is -1 before the first InitProducerId is durable.
        previous_producer_id: The one before, by which a client that missed the answer is known when epochs ran out.
        next_producer_id: The one that takes over when the transaction that is ending is complete; -1: none.
        last_epoch: The epoch before, if the same producer had it; -1: nobody may come back with it. Not in the records.
        timeout_ms: How long a transaction may take, as the producer asked.
        partitions: In the transaction.
        started_ms: When it began, `NO_TIME` when there was none; wall clock, as all times here.
        updated_ms: The last change.
        client_version: The transaction version that the client spoke: 0 or 2.

    """

    state: State
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    previous_producer_id: int = NO_PRODUCER_ID
    next_producer_id: int = NO_PRODUCER_ID
    last_epoch: int = NO_PRODUCER_EPOCH
    partitions: frozenset[TopicPartition] = frozenset()
    started_ms: int = NO_TIME
    updated_ms: int = NO_TIME
    client_version: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the producer id has no further epoch to give."""
        return self.producer_epoch >= EPOCH_LAST

    def is_overdue(self, now_ms: int) -> bool:
        """Whether it has been going on for longer than its producer said it would."""
        return self.state is State.ONGOING and self.started_ms + self.timeout_ms < now_ms


BUMPS_EPOCH_FROM: Final = 2
"""The transaction version with which every end bumps the epoch."""


def new(producer_id: int, timeout_ms: int, now_ms: int) -> Transaction:
    """A transactional id that was never seen before; nothing of it is durable yet."""
    return Transaction(
        State.EMPTY, producer_id, NO_PRODUCER_EPOCH, timeout_ms, client_version=0, updated_ms=now_ms
    )


def _change(transaction: Transaction, after: State, /, **changes: object) -> Transaction:
    check_transition(transaction.state, after)
    return replace(transaction, state=after, previous_producer_id=transaction.producer_id, **changes)  # type: ignore[arg-type]


def next_epoch(
    transaction: Transaction, timeout_ms: int, expected_epoch: int | None, now_ms: int
) -> Transaction:
    """A producer begins, or begins again: the next epoch.

    Args:
        transaction: At rest, its epochs not exhausted.
        timeout_ms: What the producer asks for.
        expected_epoch: The epoch that the producer says it has; None: it is new.
        now_ms: The wall clock.

    Raises:
        BrokerError: PRODUCER_FENCED: somebody else has come since.

    """
    epoch, last_epoch = transaction.producer_epoch + 1, NO_PRODUCER_EPOCH
    if expected_epoch is not None:
        if transaction.producer_epoch in (expected_epoch, NO_PRODUCER_EPOCH):
            last_epoch = transaction.producer_epoch
        elif expected_epoch == transaction.last_epoch:
            # The answer to the same question got lost: answer it again.
            epoch, last_epoch = transaction.producer_epoch, transaction.last_epoch
        else:
            raise BrokerError(ErrorCode.PRODUCER_FENCED)
    if epoch > EPOCH_LAST:
        raise BrokerError(
            ErrorCode.PRODUCER_FENCED, f"producer id {transaction.producer_id} has no epochs left"
        )
    return _change(
        transaction,
        State.EMPTY,
        producer_epoch=epoch,
        last_epoch=last_epoch,
        timeout_ms=timeout_ms,
        partitions=frozenset(),
        started_ms=NO_TIME,
        updated_ms=now_ms,
    )


def next_producer(
    transaction: Transaction, producer_id: int, timeout_ms: int, now_ms: int, *, keep_last_epoch: bool
) -> Transaction:
    """As `next_epoch` when epochs are exhausted: another producer id, epoch 0."""
    return _change(
        transaction,
        State.EMPTY,
        producer_id=producer_id,
        producer_epoch=0,
        last_epoch=transaction.producer_epoch if keep_last_epoch else NO_PRODUCER_EPOCH,
        timeout_ms=timeout_ms,
        partitions=frozenset(),
        started_ms=NO_TIME,
        updated_ms=now_ms,
    )


def with_partitions(
    transaction: Transaction, added: frozenset[TopicPartition], now_ms: int, client_version: int
) -> Transaction:
    """Partitions are added; the first of them begin a transaction."""
    return _change(
        transaction,
        State.ONGOING,
        partitions=transaction.partitions | added,
        started_ms=now_ms if transaction.state in AT_REST else transaction.started_ms,
        updated_ms=now_ms,
        client_version=client_version,
    )


def prepared(
    transaction: Transaction,
    *,
    commit: bool,
    now_ms: int,
    client_version: int,
    next_producer_id: int = NO_PRODUCER_ID,
) -> Transaction:
    """The outcome is decided; with transaction version 2 the epoch is bumped, for the markers too."""
    bumps = client_version >= BUMPS_EPOCH_FROM
    epoch = transaction.producer_epoch
    return _change(
        transaction,
        State.PREPARE_COMMIT if commit else State.PREPARE_ABORT,
        producer_epoch=min(epoch + 1, EPOCH_MAX) if bumps else epoch,
        last_epoch=epoch if bumps else transaction.last_epoch,
        next_producer_id=next_producer_id,
        started_ms=now_ms if transaction.state in AT_REST else transaction.started_ms,
        updated_ms=now_ms,
        client_version=client_version,
    )


def fenced(transaction: Transaction, now_ms: int, next_producer_id: int = NO_PRODUCER_ID) -> Transaction:
    """The coordinator aborts what is going on, with an epoch that its producer doesn't have."""
    fence = _change(transaction, State.PREPARE_EPOCH_FENCE)
    return prepared(
        fence,
        commit=False,
        now_ms=now_ms,
        client_version=BUMPS_EPOCH_FROM,
        next_producer_id=next_producer_id,
    )


def completed(transaction: Transaction, now_ms: int) -> Transaction:
    """Every partition has its marker; a producer id that waits takes over."""
    after = State.COMPLETE_COMMIT if transaction.state is State.PREPARE_COMMIT else State.COMPLETE_ABORT
    takes_over = (
        transaction.client_version >= BUMPS_EPOCH_FROM and transaction.next_producer_id != NO_PRODUCER_ID
    )
    return _change(
        transaction,
        after,
        producer_id=transaction.next_producer_id if takes_over else transaction.producer_id,
        producer_epoch=0 if takes_over else transaction.producer_epoch,
        next_producer_id=NO_PRODUCER_ID,
        partitions=frozenset(),
        updated_ms=now_ms,
    )
