"""AddOffsetsToTxn (API key 25), versions 0 to 4: offsets of a group will be committed with the transaction (KIP-98).

The partition of `__consumer_offsets` that keeps the group's offsets is put into the transaction; answered when that is durable.
Clients of transaction version 2 don't ask: TxnOffsetCommit does it on the way (KIP-890).

Errors: INVALID_REQUEST (an empty transactional id), INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (before version 2
INVALID_PRODUCER_EPOCH), CONCURRENT_TRANSACTIONS, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.transactions.decisions import Producer
from logbroker.transactions.service import HasTransactions
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

FENCED_FROM: Final = 2
"""The version that knows PRODUCER_FENCED."""


def handle(
    broker: HasTransactions, context: RequestContext, request: AddOffsetsToTxnRequest
) -> Completion[AddOffsetsToTxnResponse]:
    """Add the group's partition, and wait for the log."""
    answer: Completion[AddOffsetsToTxnResponse] = Completion()
    version = context.api_version

    def done(error: ErrorCode) -> None:
        if error is ErrorCode.PRODUCER_FENCED and version < FENCED_FROM:
            error = ErrorCode.INVALID_PRODUCER_EPOCH
        answer.set(AddOffsetsToTxnResponse(error_code=error))

    producer = Producer(request.producer_id, request.producer_epoch)
    broker.transactions.add_offsets(request.transactional_id, producer, request.group_id).on_done(done)
    return answer
