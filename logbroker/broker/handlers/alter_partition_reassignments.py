"""AlterPartitionReassignments (API key 45), versions 0 and 1: let other brokers have a partition's replicas (KIP-455).

- One broker has every replica, so a partition can only be told to stay where it is (done, at once); other brokers:
  INVALID_REPLICA_ASSIGNMENT. Null replicas give up what is under way: NO_REASSIGNMENT_IN_PROGRESS, always.
"""

from __future__ import annotations

from collections.abc import Sequence

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, give_way
from logbroker.broker.context import RequestContext
from logbroker.metadata.image import ClusterImage
from logbroker.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse:
    """Check each assignment: those that can be carried out are carried out already."""
    image = broker.metadata.image
    responses = []
    for done, topic in enumerate(request.topics, 1):
        outcomes = [_reassign(image, topic.name, partition) for partition in topic.partitions]
        responses.append(ReassignableTopicResponse(topic.name, outcomes))
        await give_way(done)
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change, responses=responses
    )


def _reassign(image: ClusterImage, topic: str, asked: ReassignablePartition) -> ReassignablePartitionResponse:
    index = asked.partition_index
    if image.topic(topic) is None:
        return ReassignablePartitionResponse(
            index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {topic}."
        )
    if image.partition(topic, index) is None:
        return ReassignablePartitionResponse(
            index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find partition {topic}:{index}."
        )
    if asked.replicas is None:
        return ReassignablePartitionResponse(index, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
    problem = _problem(image, asked.replicas)
    if problem is not None:
        return ReassignablePartitionResponse(index, ErrorCode.INVALID_REPLICA_ASSIGNMENT, problem)
    return ReassignablePartitionResponse(index)


def _problem(image: ClusterImage, replicas: Sequence[int]) -> str | None:
    if not replicas:
        return "The manual partition assignment includes an empty replica list."
    for place, replica in enumerate(sorted(replicas)):
        if replica not in image.brokers:
            return f"The manual partition assignment includes broker {replica}, but no such broker is registered."
        if replica in sorted(replicas)[:place]:
            return f"The manual partition assignment includes the broker {replica} more than once."
    return None
