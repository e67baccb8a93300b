"""DescribeTopicPartitions (API key 75), version 0: partitions in portions, for tools (KIP-966).

- Topics are told in the order of their names, whatever the order asked for; no names asks for all.
- At most `response_partition_limit` partitions (at least one, at most `max.request.partition.size.limit`); where more
  are left `next_cursor` says where to go on, and the client sends it back as `cursor`.
- A cursor whose topic is not among the names asked for, or whose index is negative: INVALID_REQUEST.
- Eligible leader replicas are empty: with a whole in-sync set there are no others.
"""

from __future__ import annotations

from bisect import bisect_left

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS, AdminBroker, partition_view
from logbroker.broker.context import RequestContext
from logbroker.metadata.image import TopicImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import is_internal, name_problem
from logbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponseCursor,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)


def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeTopicPartitionsRequest
) -> DescribeTopicPartitionsResponse:
    """Describe the next portion."""
    image = broker.metadata.image
    limit = max(1, min(request.response_partition_limit, image.settings.max_request_partition_size_limit))
    names = sorted({topic.name for topic in request.topics} if request.topics else image.topics)
    cursor = request.cursor
    first_index = 0
    if cursor is not None:
        if cursor.partition_index < 0:
            raise BrokerError(ErrorCode.INVALID_REQUEST)
        start = bisect_left(names, cursor.topic_name)
        if request.topics and names[start : start + 1] != [cursor.topic_name]:
            raise BrokerError(ErrorCode.INVALID_REQUEST)
        names = names[start:]
        if names and names[0] == cursor.topic_name:
            first_index = cursor.partition_index
    response = DescribeTopicPartitionsResponse()
    for name in names:
        if limit == 0:
            response.next_cursor = DescribeTopicPartitionsResponseCursor(name, first_index)
            break
        topic = image.topic(name)
        if topic is None:
            response.topics.append(_unknown(name))
        else:
            end = min(first_index + limit, len(topic.partitions))
            response.topics.append(_portion(broker.metadata, topic, first_index, end))
            limit -= max(0, end - first_index)
            if end < len(topic.partitions):
                response.next_cursor = DescribeTopicPartitionsResponseCursor(name, end)
                break
        first_index = 0
    return response


def failure(
    context: RequestContext, request: DescribeTopicPartitionsRequest, code: ErrorCode, message: str | None
) -> DescribeTopicPartitionsResponse:
    """The same error for every topic."""
    return DescribeTopicPartitionsResponse(
        topics=[
            DescribeTopicPartitionsResponseTopic(
                error_code=code, name=topic.name, topic_authorized_operations=OPERATIONS_NOT_ASKED
            )
            for topic in request.topics
        ]
    )


def _unknown(name: str) -> DescribeTopicPartitionsResponseTopic:
    invalid = name_problem(name) is not None
    return DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.INVALID_TOPIC_EXCEPTION if invalid else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        name=name,
        is_internal=is_internal(name),
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _portion(
    metadata: MetadataService, topic: TopicImage, start: int, end: int
) -> DescribeTopicPartitionsResponseTopic:
    partitions = []
    for index in range(start, end):
        partition = topic.partitions[index]
        view = partition_view(metadata, partition)
        partitions.append(
            DescribeTopicPartitionsResponsePartition(
                error_code=view.error,
                partition_index=index,
                leader_id=view.leader,
                leader_epoch=partition.leader_epoch,
                replica_nodes=list(partition.replicas),
                isr_nodes=list(partition.isr),
                eligible_leader_replicas=[],
                last_known_elr=[],
                offline_replicas=view.offline_replicas,
            )
        )
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.internal,
        partitions=partitions,
        topic_authorized_operations=TOPIC_OPERATIONS,
    )
