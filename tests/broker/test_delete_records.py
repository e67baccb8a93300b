"""DeleteRecords over real sockets: every version, what is refused, when it is answered, and that it is final."""

from __future__ import annotations

import asyncio
import os

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.records.batch import iter_batches
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)

VERSIONS = range(API[ApiKey.DELETE_RECORDS].max_version + 1)


def request(*wanted: tuple[str, int, int], timeout_ms: int = 10_000) -> DeleteRecordsRequest:
    topics = [DeleteRecordsTopic(topic, [DeleteRecordsPartition(n, offset)]) for topic, n, offset in wanted]
    return DeleteRecordsRequest(topics, timeout_ms)


async def delete(stage: Stage, offset: int, topic: str = "t", version: int = 2, **options) -> tuple[int, int]:
    response = await stage.ask(request((topic, 0, offset), **options), version)
    (result,) = response.topics[0].partitions
    assert response.topics[0].name == topic
    return result.error_code, result.low_watermark


async def fill(stage: Stage, batches: int, topic: str = "t") -> None:
    for _ in range(batches):
        assert (await stage.produce(topic, batch_of([bytes(500), bytes(500)]))).error_code == 0


@pytest.mark.parametrize("storage", ["log", "memory"])
@on_broker()
async def test_the_start_moves_and_never_back(stage: Stage, storage: str):
    await stage.topic("t", storage_type=storage)
    assert await delete(stage, 0) == (0, 0)
    assert await delete(stage, -1) == (0, 0)
    await fill(stage, 5)
    for version in VERSIONS:
        assert await delete(stage, version + 1, version=version) == (0, version + 1)
    assert await delete(stage, 1) == (0, 3), "below the start: nothing to do"
    assert await delete(stage, 11) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert await delete(stage, -2) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert (await stage.fetch("t", 2)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    data = await stage.fetch("t", 3)
    assert data.log_start_offset == 3
    assert next(iter_batches(bytes_of(data)))[1].base_offset == 2, "batches come whole"
    assert await delete(stage, -1) == (0, 10)
    assert bytes_of(await stage.fetch("t", 10)) == b""
    assert (await stage.produce("t", batch_of([b"v"]))).base_offset == 10


@on_broker()
async def test_it_is_final(stage: Stage):
    await stage.topic("t", internal_segment_bytes="1500")
    await fill(stage, 5)
    assert await delete(stage, 5) == (0, 5)
    await stage.restart()
    assert stage.partition("t").log_start_offset == 5
    assert (await stage.fetch("t", 4)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert await delete(stage, -1) == (0, 10)
    await stage.restart()
    assert (stage.partition("t").log_start_offset, stage.partition("t").log_end_offset) == (10, 10)


@on_broker()
async def test_files_that_are_not_needed_go(stage: Stage):
    await stage.topic("t", internal_segment_bytes="1500", file_delete_delay_ms="0")
    await fill(stage, 5)
    await stage.restart()  # everything is in files now
    partition = stage.partition("t")
    assert len(partition.log.segments) > 3
    assert await delete(stage, 9) == (0, 9)
    path = partition.log.path
    await until(lambda: sum(name.endswith((".log", ".deleted")) for name in os.listdir(path)) == 1)


@on_broker()
async def test_what_is_refused(stage: Stage):
    await stage.topic("compacted", cleanup_policy="compact")
    await stage.topic("both", cleanup_policy="compact,delete")
    await stage.topic("t")
    assert await delete(stage, 0, "compacted") == (ErrorCode.POLICY_VIOLATION, -1)
    assert await delete(stage, 0, "both") == (0, 0)
    assert await delete(stage, 0, "nowhere") == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)
    response = await stage.ask(request(("t", 7, 0), ("t", 0, 99), ("t", 0, 0)), 2)
    codes = [topic.partitions[0].error_code for topic in response.topics]
    assert codes == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.OFFSET_OUT_OF_RANGE, 0]
    response = await stage.ask(request(), 2)
    assert response.topics == []
    from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest

    await stage.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 4)
    await until(lambda: stage.broker.replicas.topic("__consumer_offsets"))
    assert await delete(stage, -1, "__consumer_offsets") == (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)


@on_broker()
async def test_the_answer_comes_when_it_is_durable(stage: Stage):
    partition = await stage.topic("t", 2)
    await fill(stage, 2)
    timers = len(stage.broker.timers)
    with stage.hold("journal"):
        answer = asyncio.ensure_future(stage.ask(request(("t", 0, 3), ("t", 1, 0)), 2))
        await until(lambda: partition.log.announced_start == 3)
        await asyncio.sleep(0.05)
        assert not answer.done()
        assert partition.log_start_offset == 0
    results = [topic.partitions[0] for topic in (await answer).topics]
    assert [(result.error_code, result.low_watermark) for result in results] == [(0, 3), (0, 0)]
    assert len(stage.broker.timers) == timers, "none is left"


@on_broker()
async def test_what_is_late_is_told_so_and_happens(stage: Stage):
    partition = await stage.topic("t", 2)
    await fill(stage, 2)
    with stage.hold("journal"):
        response = await stage.ask(request(("t", 0, 3), ("t", 1, 0), timeout_ms=50), 2)
        results = [topic.partitions[0] for topic in response.topics]
        assert [(r.error_code, r.low_watermark) for r in results] == [
            (ErrorCode.REQUEST_TIMED_OUT, -1),
            (0, 0),
        ]
    await until(lambda: partition.log_start_offset == 3)


@on_broker(log_dirs=("one", "two"))
async def test_a_directory_that_fails_meanwhile(stage: Stage):
    await stage.topic("t", 2)
    await fill(stage, 2)
    partition = stage.partition("t")
    number = next(n for n, s in enumerate(stage.broker.replicas.states) if s.directory is partition.log.host)
    with stage.hold("journal", number):
        answer = asyncio.ensure_future(stage.ask(request(("t", 0, 3)), 2))
        await until(lambda: partition.log.announced_start == 3)
        partition.log.host.fail(OSError(5, "the test says so"))
    response = await answer
    assert response.topics[0].partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert await delete(stage, 3) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)
