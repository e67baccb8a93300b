"""WriteTxnMarkers (API key 27), versions 1 and 2: append commit or abort markers to partitions (KIP-98).

Coordinators send it to other brokers, and `kafka-transactions abort` to get rid of a transaction that no coordinator knows of.
Answered when every marker is durable. Version 2 says which transaction version the producer spoke (KIP-890).

Errors of each partition: UNKNOWN_TOPIC_OR_PARTITION, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, KAFKA_STORAGE_ERROR; of those of
`__consumer_offsets` also NOT_COORDINATOR and COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


def handle(
    broker: Broker, context: RequestContext, request: WriteTxnMarkersRequest
) -> Completion[WriteTxnMarkersResponse]:
    """Append them all, in order, and wait for the log."""
    answer: Completion[WriteTxnMarkersResponse] = Completion()
    response = WriteTxnMarkersResponse()
    left = 1

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            answer.set(response)

    def write(marker: WritableTxnMarker, topic: str, result: WritableTxnMarkerPartitionResult) -> None:
        nonlocal left

        def done(error: ErrorCode) -> None:
            result.error_code = error
            one_less()

        left += 1
        try:
            broker.coordinators.write_marker(
                topic,
                result.partition_index,
                marker.producer_id,
                marker.producer_epoch,
                marker.coordinator_epoch,
                marker.transaction_result,
                marker.transaction_version,
            ).on_done(done)
        except BrokerError as error:
            done(error.code)

    for marker in request.markers:
        topics: list[WritableTxnMarkerTopicResult] = []
        response.markers.append(WritableTxnMarkerResult(marker.producer_id, topics))
        for topic in marker.topics:
            results = [WritableTxnMarkerPartitionResult(index) for index in topic.partition_indexes]
            topics.append(WritableTxnMarkerTopicResult(topic.name, results))
            for result in results:
                write(marker, topic.name, result)
    one_less()
    return answer
