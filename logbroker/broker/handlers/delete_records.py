"""DeleteRecords (API key 21), versions 0-2: move the start of partitions to an offset (KIP-107).

Offset -1 means the high watermark. The answer comes when the new start is durable: it never moves back, not even by a crash. What
isn't durable after `timeout_ms` is answered with REQUEST_TIMED_OUT, and happens nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.replication.partition import Partition
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


HIGH_WATERMARK: Final = -1
_PENDING: Final = -2
"""Error code of a partition that isn't answered yet; never sent."""


def handle(
    broker: Broker, context: RequestContext, request: DeleteRecordsRequest
) -> Completion[DeleteRecordsResponse]:
    """Announce every new start, answer when the last one is durable."""
    deletion = _Deletion()
    for topic in request.topics:
        results = DeleteRecordsTopicResult(name=topic.name)
        deletion.response.topics.append(results)
        for wanted in topic.partitions:
            result = DeleteRecordsPartitionResult(
                partition_index=wanted.partition_index, low_watermark=-1, error_code=_PENDING
            )
            results.partitions.append(result)
            try:
                partition = broker.replicas.partition(topic.name, wanted.partition_index)
                deletion.begin(partition, wanted.offset, result)
            except BrokerError as error:
                result.error_code = error.code
    deletion.one_less()
    if not deletion.done.done:
        timer = broker.timers.call_later(max(request.timeout_ms, 0), deletion.time_out)
        deletion.on_end = timer.cancel
    return deletion.done


class _Deletion:
    """One request on its way."""

    def __init__(self) -> None:
        self.response = DeleteRecordsResponse()
        self.done: Completion[DeleteRecordsResponse] = Completion()
        self.on_end: Callable[[], None] | None = None
        self._left = 1

    def begin(self, partition: Partition, offset: int, result: DeleteRecordsPartitionResult) -> None:
        """Announce a partition's new start. Raises BrokerError."""
        if partition.internal:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION)
        if "delete" not in partition.config.cleanup_policy:
            raise BrokerError(ErrorCode.POLICY_VIOLATION)
        log = partition.log

        def settled(code: ErrorCode) -> None:
            if result.error_code == _PENDING:
                result.error_code = code
                if not code:
                    result.low_watermark = log.start_offset
            self.one_less()

        self._left += 1
        try:
            log.delete_records(partition.high_watermark if offset == HIGH_WATERMARK else offset, settled)
        except BrokerError:
            self._left -= 1
            raise

    def one_less(self) -> None:
        """A partition is settled, or all are begun."""
        self._left -= 1
        if not self._left:
            self._end()

    def time_out(self) -> None:
        """Tell what isn't durable yet that it took too long."""
        for topic in self.response.topics:
            for result in topic.partitions:
                if result.error_code == _PENDING:
                    result.error_code = ErrorCode.REQUEST_TIMED_OUT
        self._end()

    def _end(self) -> None:
        if self.on_end is not None:
            self.on_end()
        self.done.set(self.response)
