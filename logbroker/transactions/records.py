"""A transaction as a record of `__transaction_state`, and back.

`last_epoch` is in no record (as in Kafka): a producer that asks InitProducerId again after its coordinator was restarted is
fenced if its first question was done.
"""

from __future__ import annotations

from logbroker.base.types import Buffer
from logbroker.coordination.formats.transaction_log import (
    VALUE_VERSION,
    PartitionsSchema,
    TransactionLogKey,
    TransactionLogValue,
    transaction_log,
)
from logbroker.coordination.machine import Record
from logbroker.transactions.states import State
from logbroker.transactions.transaction import Transaction


def by_topic(transaction: Transaction) -> dict[str, list[int]]:
    """The partitions of a transaction, topic by topic, in order."""
    topics: dict[str, list[int]] = {}
    for topic, partition in sorted(transaction.partitions):
        topics.setdefault(topic, []).append(partition)
    return topics


def encode(transactional_id: str, transaction: Transaction) -> Record:
    """The record; raises ValueError for an id that the format can't say."""
    partitions = None
    if transaction.state is not State.EMPTY:
        partitions = [PartitionsSchema(topic, ids) for topic, ids in by_topic(transaction).items()]
    value = TransactionLogValue(
        transaction.producer_id,
        transaction.previous_producer_id,
        transaction.next_producer_id,
        transaction.producer_epoch,
        -1,
        transaction.timeout_ms,
        transaction.state.value,
        partitions,
        transaction.updated_ms,
        transaction.started_ms,
        transaction.client_version,
    )
    return encode_key(transactional_id), transaction_log.encode_value(value, VALUE_VERSION)


def encode_key(transactional_id: str) -> bytes:
    """The record's key; raises ValueError for an id that the format can't say."""
    return transaction_log.encode_key(TransactionLogKey(transactional_id))


def decode(value: Buffer) -> Transaction:
    """The transaction in a record's value.

    Raises:
        ValueError: It is damaged, of a newer release, or in a state that is never written.

    """
    read = transaction_log.decode_value(value)
    state = State(read.transaction_status)
    if state in (State.DEAD, State.PREPARE_EPOCH_FENCE):
        raise ValueError(f"a transaction in state {state.name}, which is never written")
    partitions = frozenset(
        (topic.topic, partition)
        for topic in read.transaction_partitions or ()
        for partition in topic.partition_ids
    )
    return Transaction(
        state,
        read.producer_id,
        read.producer_epoch,
        read.transaction_timeout_ms,
        read.previous_producer_id,
        read.next_producer_id,
        partitions=partitions,
        started_ms=read.transaction_start_timestamp_ms,
        updated_ms=read.transaction_last_update_timestamp_ms,
        client_version=read.client_transaction_version,
    )
