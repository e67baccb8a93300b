"""Transactions from outside: which there are, where they stand, which one holds up a partition, and ending it; for `Admin`.

A transaction that hangs (its producer is gone, and no coordinator will ever end it) keeps everyone who reads only what was committed
from all that comes after its first record. `abort` ends it in one partition by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from logbroker.client.cluster import Cluster
from logbroker.client.coordinators import TRANSACTION, check, until_found, with_coordinator
from logbroker.client.leaders import LeaderAnswers, ask_leaders
from logbroker.client.types import PartitionProducer, TopicPartition, Transaction, TransactionListing
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    TopicRequest,
)
from logbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
)
from logbroker.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from logbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

__all__ = ["abort", "describe", "list_transactions", "producers"]

_BY_HAND = -1
"""The coordinator epoch of a marker that no coordinator wrote: it is taken whichever epoch wrote before."""


async def list_transactions(cluster: Cluster, states: Iterable[str] = ()) -> list[TransactionListing]:
    """Return the transactional ids of every broker, with where each stands; only those in `states`, where any are given.

    Raises:
        RefusedError: a broker refused.
        UnsupportedByBrokerError: it is too old.

    """
    request = ListTransactionsRequest(state_filters=list(states))

    async def of(node_id: int) -> ListTransactionsResponse:
        async def attempt() -> ListTransactionsResponse:
            response: ListTransactionsResponse = await cluster.ask(
                ApiKey.LIST_TRANSACTIONS, request, node_id=node_id
            )
            check(response.error_code, f"the transactions of broker {node_id}")
            return response

        return await until_found(cluster, attempt)

    answers = await asyncio.gather(*(of(node_id) for node_id in cluster.brokers))
    return sorted(
        TransactionListing(entry.transactional_id, entry.producer_id, entry.transaction_state)
        for answer in answers
        for entry in answer.transaction_states
    )


async def describe(cluster: Cluster, transactional_id: str) -> Transaction:
    """Return where the transaction of an id stands, and the partitions that are in it.

    Raises:
        RefusedError: TRANSACTIONAL_ID_NOT_FOUND, ...

    """

    async def attempt(node_id: int) -> Transaction:
        response: DescribeTransactionsResponse = await cluster.ask(
            ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest([transactional_id]), node_id=node_id
        )
        found = response.transaction_states[0]
        check(found.error_code, f"transactional id {transactional_id!r}")
        return Transaction(
            transactional_id=transactional_id,
            state=found.transaction_state,
            coordinator=node_id,
            producer_id=found.producer_id,
            producer_epoch=found.producer_epoch,
            timeout_ms=found.transaction_timeout_ms,
            started_ms=found.transaction_start_time_ms,
            partitions=tuple(
                TopicPartition(topic.topic, index)
                for topic in found.topics
                for index in sorted(topic.partitions)
            ),
        )

    return await with_coordinator(cluster, transactional_id, attempt, kind=TRANSACTION)


async def producers(
    cluster: Cluster, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, tuple[PartitionProducer, ...]]:
    """Return the idempotent and transactional producers that each partition remembers.

    Raises:
        RefusedError: a topic or partition doesn't exist, or a broker refused.

    """

    async def ask(
        leader: int, asked: Sequence[TopicPartition]
    ) -> LeaderAnswers[tuple[PartitionProducer, ...]]:
        topics: dict[str, TopicRequest] = {}
        for name, index in asked:
            topics.setdefault(name, TopicRequest(name)).partition_indexes.append(index)
        response: DescribeProducersResponse = await cluster.ask(
            ApiKey.DESCRIBE_PRODUCERS, DescribeProducersRequest(list(topics.values())), node_id=leader
        )
        answers = LeaderAnswers[tuple[PartitionProducer, ...]]()
        for topic in response.topics:
            for entry in topic.partitions:
                found = tuple(
                    PartitionProducer(
                        producer.producer_id,
                        producer.producer_epoch,
                        producer.last_sequence,
                        producer.last_timestamp,
                        producer.coordinator_epoch,
                        producer.current_txn_start_offset,
                    )
                    for producer in entry.active_producers
                )
                answers.add(TopicPartition(topic.name, entry.partition_index), entry.error_code, found)
        return answers

    return await ask_leaders(cluster, list(partitions), ask)


async def abort(cluster: Cluster, partition: TopicPartition, producer: PartitionProducer) -> None:
    """End a producer's open transaction in one partition, as aborted. Its coordinator isn't asked and doesn't learn of it.

    Raises:
        RefusedError: INVALID_PRODUCER_EPOCH (it isn't the producer's epoch any more), ...

    """
    topic = WritableTxnMarkerTopic(partition.topic, [partition.partition])
    marker = WritableTxnMarker(
        producer_id=producer.producer_id,
        producer_epoch=producer.producer_epoch,
        transaction_result=False,
        topics=[topic],
        coordinator_epoch=_BY_HAND,
    )
    await cluster.refresh([partition.topic])
    leader = cluster.leader(partition.topic, partition.partition)
    response: WriteTxnMarkersResponse = await cluster.ask(
        ApiKey.WRITE_TXN_MARKERS, WriteTxnMarkersRequest([marker]), node_id=leader, retry=False
    )
    code = response.markers[0].topics[0].partitions[0].error_code
    check(code, f"the marker in {partition.topic}-{partition.partition}")
