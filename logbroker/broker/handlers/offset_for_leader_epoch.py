"""OffsetForLeaderEpoch (API key 23), versions 2-4: where a leader epoch ended, to find out what to truncate (KIP-101, KIP-320).

- The leader's own epoch ends at the high watermark.
- An earlier one ends where the next that wrote begins; if it wrote nothing itself, the answer is for the largest smaller one.
- One from before the log's start is said to end where the first known one begins: what it wrote is gone.
- For one that the leader doesn't know yet, or none at all: -1, -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.replication.partition import Partition
from logbroker.wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker


def handle(
    broker: Broker, context: RequestContext, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    """Look every partition's epoch up."""
    response = OffsetForLeaderEpochResponse()
    for topic in request.topics:
        results = OffsetForLeaderTopicResult(topic=topic.topic)
        response.topics.append(results)
        for wanted in topic.partitions:
            result = EpochEndOffset(partition=wanted.partition)
            results.partitions.append(result)
            try:
                partition = broker.replicas.partition(topic.topic, wanted.partition)
                partition.check_epoch(wanted.current_leader_epoch)
                log = partition.log
                if log.refusal is not None:
                    raise log.refusal
                result.leader_epoch, result.end_offset = _end_of(partition, wanted.leader_epoch)
            except BrokerError as error:
                result.error_code = error.code
    return response


def _end_of(partition: Partition, epoch: int) -> tuple[int, int]:
    end = partition.high_watermark
    if epoch < 0 or epoch > partition.leader_epoch:
        return -1, -1
    if epoch == partition.leader_epoch:
        return epoch, end
    epochs = partition.log.epochs
    known, known_end = epochs.end_offset(epoch, end)
    if known >= 0:
        return known, known_end
    return epoch, epochs.entries[0][1] if epochs.entries else end
