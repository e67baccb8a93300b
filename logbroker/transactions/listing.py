"""What ListTransactions and DescribeTransactions say of the transactions of this broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import re2

from logbroker.base.error_codes import ErrorCode
from logbroker.transactions.records import by_topic
from logbroker.transactions.states import BY_LABEL
from logbroker.transactions.transaction import Transaction
from logbroker.wire.messages.describe_transactions import TopicData
from logbroker.wire.messages.describe_transactions import TransactionState as DescribedTransaction
from logbroker.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)

_RE2 = re2.Options()
_RE2.log_errors = False
"""What a client gets wrong is its own affair, told in the answer."""


def list_transactions(
    request: ListTransactionsRequest, transactions: Iterable[tuple[str, Transaction]], now_ms: int
) -> ListTransactionsResponse:
    """The transactions that pass every filter of the request (KIP-664, KIP-994, KIP-1152: pattern in RE2's syntax)."""
    matches: Callable[[str], object] | None = None
    if request.transactional_id_pattern:
        try:
            matches = re2.compile(request.transactional_id_pattern, _RE2).fullmatch
        except re2.error:
            return ListTransactionsResponse(error_code=ErrorCode.INVALID_REGULAR_EXPRESSION)
    response = ListTransactionsResponse(
        unknown_state_filters=[name for name in request.state_filters if name not in BY_LABEL]
    )
    states = {BY_LABEL[name] for name in request.state_filters if name in BY_LABEL}
    producer_ids = set(request.producer_id_filters)
    for transactional_id, transaction in transactions:
        if producer_ids and transaction.producer_id not in producer_ids:
            continue
        if request.state_filters and transaction.state not in states:
            continue
        if request.duration_filter >= 0 and now_ms - transaction.started_ms <= request.duration_filter:
            continue
        if matches is not None and not matches(transactional_id):
            continue
        response.transaction_states.append(
            TransactionState(transactional_id, transaction.producer_id, transaction.state.label)
        )
    return response


def describe(transactional_id: str, transaction: Transaction) -> DescribedTransaction:
    """One transaction with its partitions."""
    return DescribedTransaction(
        ErrorCode.NONE,
        transactional_id,
        transaction.state.label,
        transaction.timeout_ms,
        transaction.started_ms,
        transaction.producer_id,
        transaction.producer_epoch,
        [TopicData(topic, partitions) for topic, partitions in by_topic(transaction).items()],
    )


def undescribed(transactional_id: str, error: ErrorCode) -> DescribedTransaction:
    """One that can't be described."""
    return DescribedTransaction(error, transactional_id)
