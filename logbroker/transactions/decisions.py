"""What a request does to a transactional id: pure functions of the transaction, the request and the time.

Each returns a `Transaction` (write it; it is the next state), `Answer` (nothing changes), or `NEEDS_PRODUCER_ID` (ask again with
one); BrokerError is raised where it is refused. Checks and their order are those of Kafka 4.3.1. The machine has already answered
CONCURRENT_TRANSACTIONS where a change is pending, but for `verify`, which doesn't care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from logbroker.transactions import transaction as changes
from logbroker.transactions.states import AT_REST, PREPARED, State
from logbroker.transactions.transaction import (
    BUMPS_EPOCH_FROM,
    EPOCH_LAST,
    TopicPartition,
    Transaction,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The request is answered from what is known: error NONE, and this producer id and epoch."""

    producer_id: int = NO_PRODUCER_ID
    producer_epoch: int = NO_PRODUCER_EPOCH


class NeedsProducerId:
    """A change can't be decided without a fresh producer id."""


NEEDS_PRODUCER_ID: Final = NeedsProducerId()

Decision: TypeAlias = Transaction | Answer | NeedsProducerId


@dataclass(frozen=True, slots=True)
class Producer:
    """Who a producer says it is."""

    producer_id: int
    producer_epoch: int


def _refused(code: ErrorCode, message: str = "") -> BrokerError:
    return BrokerError(code, message)


def initialize(
    transaction: Transaction,
    expected: Producer | None,
    timeout_ms: int,
    now_ms: int,
    fresh_producer_id: int | None,
) -> Decision:
    """InitProducerId: the next epoch; or, while a transaction is going on, its abort, to be answered CONCURRENT_TRANSACTIONS.

    Raises:
        BrokerError: PRODUCER_FENCED, CONCURRENT_TRANSACTIONS.

    """
    if expected is not None and not (
        transaction.producer_epoch == NO_PRODUCER_EPOCH
        or expected.producer_id == transaction.producer_id
        or (
            expected.producer_id == transaction.previous_producer_id and expected.producer_epoch >= EPOCH_LAST
        )
    ):
        raise _refused(ErrorCode.PRODUCER_FENCED)
    state = transaction.state
    if state in PREPARED:
        raise _refused(ErrorCode.CONCURRENT_TRANSACTIONS)
    if state is State.ONGOING:
        return fence(transaction, now_ms, fresh_producer_id)
    _require_at_rest(transaction)
    expected_epoch = None if expected is None else expected.producer_epoch
    if transaction.is_exhausted and expected_epoch in (None, transaction.producer_epoch):
        if fresh_producer_id is None:
            return NEEDS_PRODUCER_ID
        return changes.next_producer(
            transaction, fresh_producer_id, timeout_ms, now_ms, keep_last_epoch=expected is not None
        )
    return changes.next_epoch(transaction, timeout_ms, expected_epoch, now_ms)


def fence(
    transaction: Transaction, now_ms: int, fresh_producer_id: int | None
) -> Transaction | NeedsProducerId:
    """The coordinator aborts what is going on: it took too long, or another producer came."""
    if not transaction.is_exhausted:
        return changes.fenced(transaction, now_ms)
    if fresh_producer_id is None:
        return NEEDS_PRODUCER_ID
    return changes.fenced(transaction, now_ms, fresh_producer_id)


def check_producer(transaction: Transaction, producer: Producer) -> None:
    """Refuse whoever isn't the transactional id's producer.

    Raises:
        BrokerError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED.

    """
    if producer.producer_id != transaction.producer_id:
        raise _refused(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if producer.producer_epoch != transaction.producer_epoch:
        raise _refused(ErrorCode.PRODUCER_FENCED)


def add_partitions(
    transaction: Transaction,
    producer: Producer,
    partitions: frozenset[TopicPartition],
    client_version: int,
    now_ms: int,
) -> Transaction | Answer:
    """AddPartitionsToTxn and AddOffsetsToTxn.

    Raises:
        BrokerError: as `check_producer`; CONCURRENT_TRANSACTIONS.

    """
    check_producer(transaction, producer)
    if transaction.state in PREPARED:
        raise _refused(ErrorCode.CONCURRENT_TRANSACTIONS)
    if transaction.state is State.ONGOING and partitions <= transaction.partitions:
        return Answer()
    return changes.with_partitions(transaction, partitions, now_ms, client_version)


def verify(
    transaction: Transaction, producer: Producer, partitions: frozenset[TopicPartition]
) -> frozenset[TopicPartition]:
    """AddPartitionsToTxn with VerifyOnly: the partitions that are not in the transaction (TRANSACTION_ABORTABLE).

    Raises:
        BrokerError: as `add_partitions`.

    """
    check_producer(transaction, producer)
    if transaction.state in PREPARED:
        raise _refused(ErrorCode.CONCURRENT_TRANSACTIONS)
    return partitions - transaction.partitions


def end(
    transaction: Transaction,
    producer: Producer,
    *,
    commit: bool,
    client_version: int,
    now_ms: int,
    fresh_producer_id: int | None,
) -> Decision:
    """EndTxn.

    Raises:
        BrokerError: as `check_producer`; CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE.

    """
    if client_version >= BUMPS_EPOCH_FROM:
        return _end_and_bump(
            transaction,
            producer,
            commit=commit,
            client_version=client_version,
            now_ms=now_ms,
            fresh_producer_id=fresh_producer_id,
        )
    check_producer(transaction, producer)
    state = transaction.state
    if state is State.ONGOING:
        return changes.prepared(transaction, commit=commit, now_ms=now_ms, client_version=client_version)
    if state is (State.COMPLETE_COMMIT if commit else State.COMPLETE_ABORT):
        return Answer(transaction.producer_id, transaction.producer_epoch)
    raise _not_now(state, commit=commit)


def _end_and_bump(
    transaction: Transaction,
    producer: Producer,
    *,
    commit: bool,
    client_version: int,
    now_ms: int,
    fresh_producer_id: int | None,
) -> Decision:
    """EndTxn from version 5 on, where an epoch that is behind by one tells a question asked again from the next one."""
    state = transaction.state
    epoch = producer.producer_epoch
    took_over = (
        transaction.previous_producer_id == producer.producer_id
        and epoch == EPOCH_LAST
        and transaction.producer_epoch == 0
    )
    bumped = transaction.producer_epoch == epoch + 1
    is_current = epoch == transaction.producer_epoch
    if producer.producer_id != transaction.producer_id and not took_over:
        raise _refused(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if state in PREPARED:
        is_valid = bumped
    elif state in (State.COMPLETE_COMMIT, State.COMPLETE_ABORT):
        is_valid = bumped or took_over or is_current
    else:
        is_valid = is_current
    if not is_valid:
        raise _refused(ErrorCode.PRODUCER_FENCED)
    again = bumped or took_over
    if again and state is (State.COMPLETE_COMMIT if commit else State.COMPLETE_ABORT):
        return Answer(transaction.producer_id, transaction.producer_epoch)
    # A producer may abort a transaction that it believes to have, and of which nothing came here.
    begins_nothing = not again and not commit and state in AT_REST
    if state is not State.ONGOING and not begins_nothing:
        raise _not_now(state, commit=commit)
    if transaction.is_exhausted and fresh_producer_id is None:
        return NEEDS_PRODUCER_ID
    return changes.prepared(
        transaction,
        commit=commit,
        now_ms=now_ms,
        client_version=client_version,
        next_producer_id=(
            fresh_producer_id
            if transaction.is_exhausted and fresh_producer_id is not None
            else NO_PRODUCER_ID
        ),
    )


def _not_now(state: State, *, commit: bool) -> BrokerError:
    """What an EndTxn is told that comes at the wrong time."""
    if state is (State.PREPARE_COMMIT if commit else State.PREPARE_ABORT):
        return _refused(ErrorCode.CONCURRENT_TRANSACTIONS)
    return _refused(ErrorCode.INVALID_TXN_STATE)


def _require_at_rest(transaction: Transaction) -> None:
    if transaction.state not in AT_REST:
        raise RuntimeError(f"a transaction is in state {transaction.state.name}, which is only ever pending")
