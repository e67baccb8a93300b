"""InitProducerId (API key 22), versions 0-6: a producer id and epoch for an idempotent producer (KIP-98, KIP-360).

Ids come from blocks that are reserved durably, so none is ever given twice, kill -9 included. An idempotent producer that
names its present id and epoch gets a new id, as in Kafka. Transactions are not built yet: a transactional id is refused with
INVALID_REQUEST, which clients treat as fatal instead of asking for ever; so is an id without an epoch, or the reverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


async def handle(
    broker: Broker, context: RequestContext, request: InitProducerIdRequest
) -> InitProducerIdResponse:
    """Give out the next id, with epoch 0."""
    half_named = (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH)
    if request.transactional_id is not None or half_named:
        return InitProducerIdResponse(error_code=ErrorCode.INVALID_REQUEST, producer_id=-1, producer_epoch=-1)
    return InitProducerIdResponse(producer_id=await broker.metadata.next_producer_id(), producer_epoch=0)
