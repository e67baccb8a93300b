"""ElectLeaders (API key 43), versions 0 to 2: let a partition's preferred replica lead it, or any (KIP-183, KIP-460).

- One broker has one replica of each partition, which leads it: ELECTION_NOT_NEEDED, whichever kind of election it is. Where
  its log directory is offline there is nobody to elect: PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE.
- `topic_partitions` null asks for all that need it: every topic is named, with those partitions that couldn't be helped.
- No election changes anything here, so there is nothing to wait for and nothing that must be durable.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, give_way
from logbroker.broker.context import RequestContext
from logbroker.metadata.service import MetadataService
from logbroker.wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)

PREFERRED: Final = 0
UNCLEAN: Final = 1
_NOT_AVAILABLE: Final = {
    PREFERRED: ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
    UNCLEAN: ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
}


async def handle(
    broker: AdminBroker, context: RequestContext, request: ElectLeadersRequest
) -> ElectLeadersResponse:
    """Say of each partition that its leader is the one it should be, or that there can be none."""
    metadata, kind = broker.metadata, request.election_type
    if kind not in _NOT_AVAILABLE:
        return failure(context, request, ErrorCode.INVALID_REQUEST, f"Unknown election type {kind}")
    results = []
    if request.topic_partitions is None:
        for done, (name, topic) in enumerate(list(metadata.image.topics.items()), 1):
            outcomes = [_elect(metadata, name, index, kind) for index in range(len(topic.partitions))]
            unhelped = [
                outcome for outcome in outcomes if outcome.error_code != ErrorCode.ELECTION_NOT_NEEDED
            ]
            results.append(ReplicaElectionResult(name, unhelped))
            await give_way(done)
    else:
        for done, asked in enumerate(request.topic_partitions, 1):
            outcomes = [_elect(metadata, asked.topic, index, kind) for index in asked.partitions]
            results.append(ReplicaElectionResult(asked.topic, outcomes))
            await give_way(done)
    return ElectLeadersResponse(replica_election_results=results)


def failure(
    context: RequestContext, request: ElectLeadersRequest, code: ErrorCode, message: str | None
) -> ElectLeadersResponse:
    """The same error for every partition that was named."""
    return ElectLeadersResponse(
        error_code=code,
        replica_election_results=[
            ReplicaElectionResult(
                asked.topic, [PartitionResult(index, code, message) for index in asked.partitions]
            )
            for asked in request.topic_partitions or ()
        ],
    )


def _elect(metadata: MetadataService, topic: str, index: int, kind: int) -> PartitionResult:
    partition = metadata.image.partition(topic, index)
    if partition is None:
        unknown = (
            f"topic as {topic}" if metadata.image.topic(topic) is None else f"partition as {topic}-{index}"
        )
        return PartitionResult(index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such {unknown}")
    if metadata.is_offline(partition):
        return PartitionResult(
            index, _NOT_AVAILABLE[kind], "The log directory of its only replica is offline."
        )
    return PartitionResult(
        index, ErrorCode.ELECTION_NOT_NEEDED, "Leader election not needed for topic partition."
    )
