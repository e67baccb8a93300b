"""AddPartitionsToTxn (API key 24), versions 0 to 5: these partitions are in the transaction (KIP-98, KIP-890).

Versions 0 to 3 come from producers and name one transaction; 4 and 5 come from brokers and name several, each to be changed, or only
verified: then a partition that isn't in the transaction is TRANSACTION_ABORTABLE. Answered when it is durable.

A partition that doesn't exist is UNKNOWN_TOPIC_OR_PARTITION, and the others of its transaction are OPERATION_NOT_ATTEMPTED. Other
errors are said for every partition: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (before version 2
INVALID_PRODUCER_EPOCH), CONCURRENT_TRANSACTIONS, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.transactions.decisions import Producer
from logbroker.transactions.service import HasTransactions
from logbroker.transactions.transaction import BUMPS_EPOCH_FROM, TopicPartition
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)

FENCED_FROM: Final = 2
"""The version that knows PRODUCER_FENCED."""

SEVERAL_FROM: Final = 4
"""The version that names several transactions, and that only clients of transaction version 2 lead to."""


def handle(
    broker: HasTransactions, context: RequestContext, request: AddPartitionsToTxnRequest
) -> Completion[AddPartitionsToTxnResponse]:
    """Change or verify every transaction of the request, and wait for all."""
    several = context.api_version >= SEVERAL_FROM
    transactions = request.transactions
    if not several:
        transactions = [
            AddPartitionsToTxnTransaction(
                request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id,
                request.v3_and_below_producer_epoch,
                topics=request.v3_and_below_topics,
            )
        ]
    answer: Completion[AddPartitionsToTxnResponse] = Completion()
    results: list[AddPartitionsToTxnResult] = []
    left = len(transactions) + 1

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            answer.set(
                AddPartitionsToTxnResponse(results_by_transaction=results)
                if several
                else AddPartitionsToTxnResponse(results_by_topic_v3_and_below=results[0].topic_results)
            )

    def done(
        result: AddPartitionsToTxnResult,
        asked: AddPartitionsToTxnTransaction,
        errors: Mapping[TopicPartition, ErrorCode],
    ) -> None:
        result.topic_results = _results(asked, errors)
        one_less()

    for asked in transactions:
        result = AddPartitionsToTxnResult(asked.transactional_id)
        results.append(result)
        _decide(broker, context.api_version, asked).on_done(partial(done, result, asked))
    one_less()
    return answer


def _decide(
    broker: HasTransactions, version: int, asked: AddPartitionsToTxnTransaction
) -> Completion[Mapping[TopicPartition, ErrorCode]]:
    partitions = frozenset((topic.name, index) for topic in asked.topics for index in topic.partitions)
    answer: Completion[Mapping[TopicPartition, ErrorCode]] = Completion()
    image = broker.metadata.image
    unknown = {partition for partition in partitions if image.partition(*partition) is None}
    producer = Producer(asked.producer_id, asked.producer_epoch)
    if unknown:
        answer.set(
            {
                partition: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                if partition in unknown
                else ErrorCode.OPERATION_NOT_ATTEMPTED
                for partition in partitions
            }
        )
    elif asked.verify_only:
        answer.set(broker.transactions.verify(asked.transactional_id, producer, partitions))
    else:

        def done(error: ErrorCode) -> None:
            if error is ErrorCode.PRODUCER_FENCED and version < FENCED_FROM:
                error = ErrorCode.INVALID_PRODUCER_EPOCH
            answer.set(dict.fromkeys(partitions, error))

        client_version = BUMPS_EPOCH_FROM if version >= SEVERAL_FROM else 0
        broker.transactions.add_partitions(
            asked.transactional_id, producer, partitions, client_version
        ).on_done(done)
    return answer


def _results(
    asked: AddPartitionsToTxnTransaction, errors: Mapping[TopicPartition, ErrorCode]
) -> list[AddPartitionsToTxnTopicResult]:
    topics: dict[str, dict[int, None]] = {}
    for topic in asked.topics:
        topics.setdefault(topic.name, {}).update(dict.fromkeys(topic.partitions))
    return [
        AddPartitionsToTxnTopicResult(
            name,
            [AddPartitionsToTxnPartitionResult(index, errors[name, index]) for index in indexes],
        )
        for name, indexes in topics.items()
    ]


def failure(
    context: RequestContext, request: AddPartitionsToTxnRequest, code: ErrorCode, message: str | None
) -> AddPartitionsToTxnResponse:
    """Say `code` for everything."""
    if context.api_version >= SEVERAL_FROM:
        return AddPartitionsToTxnResponse(error_code=code)
    asked = AddPartitionsToTxnTransaction(topics=request.v3_and_below_topics)
    errors = {(topic.name, index): code for topic in asked.topics for index in topic.partitions}
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=_results(asked, errors))
