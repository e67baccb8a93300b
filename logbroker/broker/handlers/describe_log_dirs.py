"""DescribeLogDirs (API key 35), versions 1 to 5: which partitions lie in which log directory, and how large they are.

- `topics` null asks for every partition; otherwise only those named are told, and what doesn't exist is left out.
- A directory that is offline: KAFKA_STORAGE_ERROR and nothing else. Sizes of its file system from version 4
  (KIP-827), whether it is cordoned from version 5 (never).
- Partitions of memory topics lie in no directory.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, LogDirView
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

_UNKNOWN_SIZE: Final = -1


def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeLogDirsRequest
) -> DescribeLogDirsResponse:
    """Describe every directory."""
    wanted: dict[str, set[int]] | None = None
    if request.topics is not None:
        wanted = {}
        for topic in request.topics:
            wanted.setdefault(topic.topic, set()).update(topic.partitions)
    return DescribeLogDirsResponse(
        results=[_describe(directory, wanted) for directory in broker.replicas.log_dirs()]
    )


def _describe(directory: LogDirView, wanted: dict[str, set[int]] | None) -> DescribeLogDirsResult:
    if not directory.online:
        return DescribeLogDirsResult(
            error_code=ErrorCode.KAFKA_STORAGE_ERROR,
            log_dir=directory.path,
            total_bytes=_UNKNOWN_SIZE,
            usable_bytes=_UNKNOWN_SIZE,
        )
    topics: dict[str, DescribeLogDirsTopic] = {}
    for name, index, size_bytes in directory.partitions:
        if wanted is not None and index not in wanted.get(name, ()):
            continue
        topic = topics.get(name)
        if topic is None:
            topic = topics[name] = DescribeLogDirsTopic(name=name)
        # A leader lags behind nobody, and there are no replicas on the move.
        topic.partitions.append(DescribeLogDirsPartition(partition_index=index, partition_size=size_bytes))
    return DescribeLogDirsResult(
        log_dir=directory.path,
        topics=list(topics.values()),
        total_bytes=directory.total_bytes,
        usable_bytes=directory.usable_bytes,
    )
