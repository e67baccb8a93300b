"""OffsetCommit (API key 8), versions 2 to 10: remember how far a group has come.

Answered when the offsets are durable in `__consumer_offsets`: after a crash a group resumes at or after what was acknowledged,
and never past what was committed.

- Members commit with member id and generation, and so show that they live. A group that nobody is a member of takes
  commits from anybody (generation -1): administrators, and consumers that assign themselves.
- Versions 2 to 4 may bring a retention time, which the offset then ends with. From version 6 the leader epoch of the
  last record consumed (KIP-320), from version 7 static members (KIP-345), from version 10 topics by id (KIP-848).
- Partitions that don't exist are UNKNOWN_TOPIC_OR_PARTITION (version 10: UNKNOWN_TOPIC_ID), metadata of more than
  `offset.metadata.max.bytes` characters OFFSET_METADATA_TOO_LARGE; the others are committed all the same.

Errors of the group, in every partition: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, GROUP_ID_NOT_FOUND (from version 9;
before, ILLEGAL_GENERATION), REBALANCE_IN_PROGRESS (between join and sync), INVALID_COMMIT_OFFSET_SIZE (too much
for one batch), NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE (not durable within
`offsets.commit.timeout.ms`; it may still become so).
"""

from __future__ import annotations

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)


def handle(
    broker: HasGroups, context: RequestContext, request: OffsetCommitRequest
) -> OffsetCommitResponse | Completion[OffsetCommitResponse]:
    """Check the topics, let the group decide, and wait for the log."""
    return broker.groups.commit(request, context.api_version)


def failure(
    context: RequestContext, request: OffsetCommitRequest, code: ErrorCode, message: str | None
) -> OffsetCommitResponse:
    """Say `code` for every partition."""
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                topic.topic_id,
                [
                    OffsetCommitResponsePartition(partition.partition_index, code)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
