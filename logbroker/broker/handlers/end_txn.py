"""EndTxn (API key 26), versions 0 to 5: commit or abort (KIP-98, KIP-890).

Answered when the outcome is durable: from then on it is certain, and markers go to every partition of the transaction. From
version 5 on, which is how a client says that it speaks transaction version 2, every end gives the producer the epoch to go on with
(and another id, when the epochs of one run out), and a transaction may be aborted of which nothing came here.

Errors: INVALID_REQUEST (an empty transactional id), INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (before version 2
INVALID_PRODUCER_EPOCH), CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.transactions.decisions import Producer
from logbroker.transactions.machine import Outcome
from logbroker.transactions.service import HasTransactions
from logbroker.transactions.transaction import BUMPS_EPOCH_FROM
from logbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse

FENCED_FROM: Final = 2
"""The version that knows PRODUCER_FENCED."""

BUMPS_FROM: Final = 5
"""The version of clients that take a new epoch from the answer."""


def handle(
    broker: HasTransactions, context: RequestContext, request: EndTxnRequest
) -> Completion[EndTxnResponse]:
    """Decide, and wait for the log."""
    answer: Completion[EndTxnResponse] = Completion()
    version = context.api_version

    def done(outcome: Outcome) -> None:
        error = outcome.error
        if error is ErrorCode.PRODUCER_FENCED and version < FENCED_FROM:
            error = ErrorCode.INVALID_PRODUCER_EPOCH
        answer.set(EndTxnResponse(0, error, outcome.producer_id, outcome.producer_epoch))

    broker.transactions.end(
        request.transactional_id,
        Producer(request.producer_id, request.producer_epoch),
        commit=request.committed,
        client_version=BUMPS_EPOCH_FROM if version >= BUMPS_FROM else 0,
    ).on_done(done)
    return answer
