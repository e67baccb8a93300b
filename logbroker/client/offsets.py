"""ListOffsets and DeleteRecords: which offset a partition starts at, ends at, or had at a time, and moving its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logbroker.base.errors import ClientError
from logbroker.client.cluster import Cluster
from logbroker.client.leaders import LeaderAnswers, ask_leaders
from logbroker.client.types import IsolationLevel, OffsetAt, OffsetSpec, TopicPartition
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from logbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)

__all__ = ["delete_records", "list_offsets"]

_CONSUMER_REPLICA_ID = -1
_VERSION_WITH_MAX_TIMESTAMP = 7


async def list_offsets(
    cluster: Cluster,
    wanted: Mapping[TopicPartition, int],
    isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> dict[TopicPartition, OffsetAt]:
    """Return an offset of each partition in `wanted`.

    Args:
        cluster: whom to ask.
        wanted: per partition an `OffsetSpec`, or a timestamp in ms: then the first record at or after it counts.
        isolation_level: with READ_COMMITTED the latest offset is the last stable one.

    Raises:
        RefusedError: a topic or partition doesn't exist, or a broker refused.
        ClientError: a leader gave no answer in time, or is too old for what was asked.

    """

    async def ask(leader: int, partitions: Sequence[TopicPartition]) -> LeaderAnswers[OffsetAt]:
        topics: dict[str, ListOffsetsTopic] = {}
        for partition in partitions:
            topic = topics.setdefault(partition.topic, ListOffsetsTopic(name=partition.topic))
            topic.partitions.append(
                ListOffsetsPartition(partition_index=partition.partition, timestamp=int(wanted[partition]))
            )
        connection = await cluster.connection(leader)
        version = connection.version(ApiKey.LIST_OFFSETS)
        if version < _VERSION_WITH_MAX_TIMESTAMP and OffsetSpec.MAX_TIMESTAMP in wanted.values():
            raise ClientError(
                f"the broker at {connection.address} is too old to find the record with the latest timestamp"
            )
        request = ListOffsetsRequest(
            replica_id=_CONSUMER_REPLICA_ID,
            isolation_level=isolation_level,
            topics=list(topics.values()),
            timeout_ms=cluster.request_timeout_ms,
        )
        response: ListOffsetsResponse = await connection.request(
            ApiKey.LIST_OFFSETS, request, version=version
        )
        answers = LeaderAnswers[OffsetAt]()
        for answer in response.topics:
            for entry in answer.partitions:
                answers.add(
                    TopicPartition(answer.name, entry.partition_index),
                    entry.error_code,
                    OffsetAt(entry.offset, entry.timestamp, entry.leader_epoch),
                )
        return answers

    return await ask_leaders(cluster, wanted, ask)


async def delete_records(cluster: Cluster, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Delete the records before an offset (-1: all there are), per partition; returns the new first offsets.

    Raises:
        RefusedError: OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION, ...
        ClientError: a leader gave no answer in time.

    """

    async def ask(leader: int, partitions: Sequence[TopicPartition]) -> LeaderAnswers[int]:
        topics: dict[str, DeleteRecordsTopic] = {}
        for partition in partitions:
            topic = topics.setdefault(partition.topic, DeleteRecordsTopic(name=partition.topic))
            topic.partitions.append(DeleteRecordsPartition(partition.partition, before[partition]))
        request = DeleteRecordsRequest(topics=list(topics.values()), timeout_ms=cluster.request_timeout_ms)
        connection = await cluster.connection(leader)
        response: DeleteRecordsResponse = await connection.request(ApiKey.DELETE_RECORDS, request)
        answers = LeaderAnswers[int]()
        for answer in response.topics:
            for entry in answer.partitions:
                answers.add(
                    TopicPartition(answer.name, entry.partition_index), entry.error_code, entry.low_watermark
                )
        return answers

    return await ask_leaders(cluster, before, ask)
