"""AlterReplicaLogDirs (API key 34), versions 1 and 2: let a replica lie in another log directory (KIP-113).

- A partition that lies in that directory already is where it should be: done. One that is in another stays there, as this broker
  doesn't copy logs between directories: INVALID_REQUEST. To fill a new disk, create topics: new partitions go to the
  directory with the fewest.
- A directory that isn't configured: LOG_DIR_NOT_FOUND; one that is offline, or a partition in one: KAFKA_STORAGE_ERROR; a
  partition that isn't there: UNKNOWN_TOPIC_OR_PARTITION.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, give_way
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: AlterReplicaLogDirsRequest
) -> AlterReplicaLogDirsResponse:
    """Say of each partition whether it is where it should be."""
    directories = {directory.path: directory for directory in broker.replicas.log_dirs()}
    results: dict[str, AlterReplicaLogDirTopicResult] = {}
    done = 0
    for asked in request.dirs:
        directory = directories.get(asked.path)
        held = set() if directory is None else {(name, index) for name, index, _ in directory.partitions}
        for topic in asked.topics:
            result = results.setdefault(topic.name, AlterReplicaLogDirTopicResult(topic.name))
            for index in topic.partitions:
                if directory is None:
                    code = ErrorCode.LOG_DIR_NOT_FOUND
                elif not directory.online:
                    code = ErrorCode.KAFKA_STORAGE_ERROR
                else:
                    code = _place(broker, topic.name, index, here=(topic.name, index) in held)
                result.partitions.append(AlterReplicaLogDirPartitionResult(index, code))
            done += 1
            await give_way(done)
    return AlterReplicaLogDirsResponse(results=list(results.values()))


def failure(
    context: RequestContext, request: AlterReplicaLogDirsRequest, code: ErrorCode, message: str | None
) -> AlterReplicaLogDirsResponse:
    """The same error for every partition."""
    return AlterReplicaLogDirsResponse(
        results=[
            AlterReplicaLogDirTopicResult(
                topic.name, [AlterReplicaLogDirPartitionResult(index, code) for index in topic.partitions]
            )
            for asked in request.dirs
            for topic in asked.topics
        ]
    )


def _place(broker: AdminBroker, topic: str, index: int, *, here: bool) -> ErrorCode:
    partition = broker.metadata.image.partition(topic, index)
    if partition is None:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if broker.metadata.is_offline(partition):
        return ErrorCode.KAFKA_STORAGE_ERROR
    return ErrorCode.NONE if here else ErrorCode.INVALID_REQUEST
