"""ListTransactions (API key 66), versions 0 to 2: the transactions that this broker coordinates (KIP-664).

Filtered by state and producer id, from version 1 by how long they have gone on (KIP-994), from version 2 by a pattern of
transactional ids in RE2's syntax (KIP-1152). States that nobody knows are named in the answer.

Errors: COORDINATOR_LOAD_IN_PROGRESS, INVALID_REGULAR_EXPRESSION.
"""

from __future__ import annotations

from logbroker.broker.context import RequestContext
from logbroker.transactions.service import HasTransactions
from logbroker.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse


def handle(
    broker: HasTransactions, context: RequestContext, request: ListTransactionsRequest
) -> ListTransactionsResponse:
    """Answered at once, out of memory."""
    return broker.transactions.list_all(request)
