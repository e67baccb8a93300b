"""OffsetForLeaderEpoch (API key 23), versions 2-4: where a leader epoch ended, to find out what to truncate (KIP-101, KIP-320).

The answer for an epoch this partition doesn't know is the end of the largest smaller one; -1, -1 if there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
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
                if wanted.leader_epoch == partition.leader_epoch:
                    result.leader_epoch, result.end_offset = wanted.leader_epoch, partition.high_watermark
                else:
                    result.leader_epoch, result.end_offset = log.epochs.end_offset(
                        wanted.leader_epoch, partition.high_watermark
                    )
            except BrokerError as error:
                result.error_code = error.code
    return response
