"""DescribeProducers (API key 61), version 0: what a partition remembers of its idempotent and transactional producers (KIP-664).

It is how one finds a transaction that was left open: `kafka-transactions describe-producers`. A producer that never was told of by a
marker has coordinator epoch -1, one without an open transaction the start offset -1. Order is that of Kafka's answer: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


def handle(
    broker: Broker, context: RequestContext, request: DescribeProducersRequest
) -> DescribeProducersResponse:
    """Describe every partition that is asked for."""
    response = DescribeProducersResponse()
    for topic in request.topics:
        results = TopicResponse(name=topic.name)
        response.topics.append(results)
        for index in topic.partition_indexes:
            result = PartitionResponse(partition_index=index)
            results.partitions.append(result)
            try:
                log = broker.replicas.partition(topic.name, index).log
                if log.refusal is not None:
                    raise log.refusal
            except BrokerError as error:
                result.error_code = error.code
                result.error_message = error.message
                continue
            result.active_producers = [
                ProducerState(
                    producer_id=producer_id,
                    producer_epoch=entry.epoch,
                    last_sequence=entry.last_sequence,
                    last_timestamp=entry.last_timestamp_ms,
                    coordinator_epoch=entry.coordinator_epoch,
                    current_txn_start_offset=entry.transaction_first_offset,
                )
                for producer_id, entry in log.producers.capture().items()
            ]
    return response
