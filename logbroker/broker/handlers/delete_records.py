"""DeleteRecords (API key 21), versions 0-2: move the start of partitions to an offset (KIP-107).

Offset -1 means the high watermark. The answer comes when the new start is durable: it never moves back, not even by a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.storage.log import Log
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


def handle(
    broker: Broker, context: RequestContext, request: DeleteRecordsRequest
) -> Completion[DeleteRecordsResponse]:
    """Announce every new start, answer when the last one is durable."""
    response = DeleteRecordsResponse()
    done: Completion[DeleteRecordsResponse] = Completion()
    left = 1

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set(response)

    def settle(result: DeleteRecordsPartitionResult, log: Log) -> Callable[[ErrorCode], None]:
        def settled(code: ErrorCode) -> None:
            result.error_code = code
            if not code:
                result.low_watermark = log.start_offset
            one_less()

        return settled

    for topic in request.topics:
        results = DeleteRecordsTopicResult(name=topic.name)
        response.topics.append(results)
        for wanted in topic.partitions:
            result = DeleteRecordsPartitionResult(partition_index=wanted.partition_index, low_watermark=-1)
            results.partitions.append(result)
            try:
                partition = broker.replicas.partition(topic.name, wanted.partition_index)
                if partition.internal:
                    raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION)
                if "delete" not in partition.config.cleanup_policy:
                    raise BrokerError(ErrorCode.POLICY_VIOLATION)
                offset = partition.high_watermark if wanted.offset == -1 else wanted.offset

                left += 1
                try:
                    partition.log.delete_records(offset, settle(result, partition.log))
                except BrokerError:
                    left -= 1
                    raise
            except BrokerError as error:
                result.error_code = error.code
    one_less()
    return done
