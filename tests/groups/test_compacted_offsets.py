"""`__consumer_offsets` is compacted like any topic, and a start after that finds every group's offsets."""

from __future__ import annotations

from support.broker_stage import Stage, on_broker, until

from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)

PARTITIONS = 200
COMMITS = 100
SETTINGS = {
    "log_cleaner_backoff_ms": 10,
    "log_checkpoint_interval_ms": 100,
    "log_cleaner_min_cleanable_ratio": 0.01,
    "offsets_topic_num_partitions": 1,
    "offsets_topic_segment_bytes": 1 << 20,
}


async def commit(stage: Stage, number: int) -> set[int]:
    """Commit an offset of each partition; the error codes."""
    parts = [
        OffsetCommitRequestPartition(index, number * 1000 + index, committed_metadata="m" * 20)
        for index in range(PARTITIONS)
    ]
    topics = [OffsetCommitRequestTopic(name="t", partitions=parts)]
    answer = await stage.ask(OffsetCommitRequest(group_id="g", topics=topics), 8)
    return {part.error_code for topic in answer.topics for part in topic.partitions}


async def fetched(stage: Stage) -> dict[int, int]:
    """Committed offsets by partition; empty while the coordinator isn't there yet."""
    wanted = OffsetFetchRequestTopics(name="t", partition_indexes=list(range(PARTITIONS)))
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id="g", topics=[wanted])])
    (found,) = (await stage.ask(request, 8)).groups
    if found.error_code:
        return {}
    return {part.partition_index: part.committed_offset for part in found.topics[0].partitions}


@on_broker(**SETTINGS)
async def test_offsets_survive_compaction_and_a_start(stage: Stage):
    await stage.topic("t", PARTITIONS)
    while await commit(stage, 0) != {0}:  # the coordinator's topic is made when it is first asked for
        await stage.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 4)
    for number in range(1, COMMITS + 1):
        assert await commit(stage, number) == {0}
    log = stage.partition("__consumer_offsets").log
    assert log.config.compacted
    assert len(log.segments) > 1
    await until(lambda: log.host.stats.cleaner_removed_records > COMMITS * PARTITIONS / 3, timeout_s=40)
    await stage.restart()
    while not (offsets := await fetched(stage)):
        pass
    assert offsets == {index: COMMITS * 1000 + index for index in range(PARTITIONS)}
