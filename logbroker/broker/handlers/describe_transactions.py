"""DescribeTransactions (API key 65), version 0: where transactional ids stand (KIP-664).

Each with its state, producer, time-out, when its transaction began, and the partitions in it. Errors of each: INVALID_REQUEST
(an empty id), TRANSACTIONAL_ID_NOT_FOUND, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from logbroker.broker.context import RequestContext
from logbroker.transactions.service import HasTransactions
from logbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
)


def handle(
    broker: HasTransactions, context: RequestContext, request: DescribeTransactionsRequest
) -> DescribeTransactionsResponse:
    """Answered at once, out of memory."""
    described = [broker.transactions.describe(name) for name in request.transactional_ids]
    return DescribeTransactionsResponse(transaction_states=described)
