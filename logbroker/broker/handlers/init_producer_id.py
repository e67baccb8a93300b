"""InitProducerId (API key 22), versions 0-5: a producer id and epoch (KIP-98, KIP-360, KIP-890).

- Without a transactional id: a fresh id with epoch 0. Ids come from blocks that are reserved durably, so none is ever given
  twice, kill -9 included. An idempotent producer that names its present id and epoch gets a new id, as in Kafka.
- With one: the id that it has, with the next epoch, which fences whoever had it before; answered when that is durable. A
  transaction that is still going on is aborted first, and the answer is CONCURRENT_TRANSACTIONS: ask again. From version 3 on a
  producer may name the id and epoch that it has, to go on after an error without fencing itself.
- An id without an epoch, or the reverse, is INVALID_REQUEST. Version 6 (two-phase commit, KIP-939) isn't stable in Kafka 4.3.1.

Errors: INVALID_REQUEST (an empty transactional id, too), INVALID_TRANSACTION_TIMEOUT, CONCURRENT_TRANSACTIONS, PRODUCER_FENCED (before
version 4 INVALID_PRODUCER_EPOCH), NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from logbroker.transactions.decisions import Producer
from logbroker.transactions.machine import Outcome
from logbroker.transactions.service import HasTransactions
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

FENCED_FROM: Final = 4
"""The version that knows PRODUCER_FENCED."""


def handle(
    broker: HasTransactions, context: RequestContext, request: InitProducerIdRequest
) -> InitProducerIdResponse | Completion[InitProducerIdResponse] | Awaitable[InitProducerIdResponse]:
    """Give out the next id, or the next epoch of a transactional id's."""
    names_id = request.producer_id != NO_PRODUCER_ID
    if names_id != (request.producer_epoch != NO_PRODUCER_EPOCH):
        return _response(Outcome(ErrorCode.INVALID_REQUEST))
    if request.transactional_id is None:
        return _fresh(broker)
    expected = Producer(request.producer_id, request.producer_epoch) if names_id else None
    version = context.api_version
    answer: Completion[InitProducerIdResponse] = Completion()

    def done(outcome: Outcome) -> None:
        if outcome.error is ErrorCode.PRODUCER_FENCED and version < FENCED_FROM:
            outcome = Outcome(ErrorCode.INVALID_PRODUCER_EPOCH)
        answer.set(_response(outcome))

    broker.transactions.initialize(
        request.transactional_id, request.transaction_timeout_ms, expected
    ).on_done(done)
    return answer


async def _fresh(broker: HasTransactions) -> InitProducerIdResponse:
    return InitProducerIdResponse(producer_id=await broker.metadata.next_producer_id(), producer_epoch=0)


def _response(outcome: Outcome) -> InitProducerIdResponse:
    return InitProducerIdResponse(
        error_code=outcome.error, producer_id=outcome.producer_id, producer_epoch=outcome.producer_epoch
    )
