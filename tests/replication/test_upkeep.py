"""What becomes due with time: retention on disk and in memory, producers to forget, and who gets the loop meanwhile."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from support.broker_stage import Stage, batch_of, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.config.sources import ConfigSources
from logbroker.replication.turns import LOGS_A_TURN
from logbroker.storage import vfs
from logbroker.storage.producer_state import LOOK_AGAIN_MS

DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def fill(stage: Stage, ages_ms: list[int], topic: str = "t") -> None:
    """One batch, and with small segments one segment, for each age."""
    for age in ages_ms:
        answer = await stage.produce(topic, batch_of([bytes(900)], timestamps=now_ms() - age))
        assert answer.error_code == 0


async def retain(stage: Stage) -> None:
    await stage.broker.replicas.upkeep.retain(stage.broker.settings)


@pytest.mark.parametrize("storage", ["log", "memory"])
@on_broker()
async def test_by_time(stage: Stage, storage: str):
    partition = await stage.topic(
        "t", internal_segment_bytes="1000", retention_ms=str(DAY_MS), storage_type=storage
    )
    await fill(stage, [3 * DAY_MS, 2 * DAY_MS, 1000, 2 * DAY_MS, 10])
    await retain(stage)
    await until(lambda: partition.log_start_offset == 2)
    assert partition.log_end_offset == 5
    assert (await stage.fetch("t", 1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert (await stage.fetch("t", 2)).log_start_offset == 2


@pytest.mark.parametrize("storage", ["log", "memory"])
@on_broker()
async def test_the_active_segment_goes_too(stage: Stage, storage: str):
    partition = await stage.topic("t", retention_ms=str(DAY_MS), storage_type=storage)
    await fill(stage, [3 * DAY_MS, 2 * DAY_MS])
    await retain(stage)
    await until(lambda: partition.log_start_offset == 2)
    assert (await stage.produce("t", batch_of([b"v"]))).base_offset == 2
    if storage == "log":
        await stage.restart()
        assert (stage.partition("t").log_start_offset, stage.partition("t").log_end_offset) == (2, 3)


@pytest.mark.parametrize("storage", ["log", "memory"])
@on_broker()
async def test_by_size(stage: Stage, storage: str):
    partition = await stage.topic(
        "t", internal_segment_bytes="1000", retention_bytes="2500", storage_type=storage
    )
    await fill(stage, [0] * 6)
    await retain(stage)
    await until(lambda: partition.log_start_offset == 3)


@on_broker()
async def test_a_topic_that_keeps_everything(stage: Stage):
    for topic, configs in (
        ("forever", {"retention_ms": "-1"}),
        ("compacted", {"cleanup_policy": "compact"}),
    ):
        partition = await stage.topic(topic, internal_segment_bytes="1000", **configs)
        for _ in range(3):
            batch = batch_of([(b"k", bytes(900))], timestamps=now_ms() - 900 * DAY_MS)
            assert (await stage.produce(topic, batch)).error_code == 0
        await retain(stage)
        assert partition.log.announced_start == 0


@on_broker()
async def test_a_reopened_segment_learns_its_times_on_the_disk(stage: Stage, monkeypatch):
    await stage.topic("t", internal_segment_bytes="1000", retention_ms=str(DAY_MS))
    await fill(stage, [3 * DAY_MS, 2 * DAY_MS, 1000, 2 * DAY_MS, 10])
    await stage.restart()
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)
    partition = stage.partition("t")
    assert not any(segment.times_known for segment in partition.log.segments)
    await retain(stage)
    await until(lambda: partition.log_start_offset == 2)
    assert [s.times_known for s in partition.log.segments] == [True, False, False], "no more than it has to"


@on_broker()
async def test_a_segment_that_can_not_be_read_stays(stage: Stage, caplog):
    await stage.topic("t", internal_segment_bytes="1000", retention_ms=str(DAY_MS))
    await fill(stage, [3 * DAY_MS, 2 * DAY_MS])
    await stage.restart()
    log = stage.partition("t").log
    spoil(log.segments[0].path)
    await retain(stage)
    assert log.announced_start == 0
    assert any("damaged" in record.message for record in caplog.records)
    assert stage.broker.replicas.states[0].online


def spoil(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(8)
        file.write(b"\xff" * 8)


@on_broker()
async def test_segments_roll_with_time_less_jitter(stage: Stage):
    hour = 3_600_000
    await stage.topic("plain", segment_ms=str(10 * hour))
    await stage.topic("jitter", 8, segment_ms=str(10 * hour), segment_jitter_ms=str(5 * hour))
    await stage.topic("all", 8, segment_ms=str(10 * hour), segment_jitter_ms=str(20 * hour))
    assert stage.partition("plain").log.roll_ms == 10 * hour
    for topic, low in (("jitter", 5 * hour), ("all", 0)):
        times = [stage.partition(topic, index).log.roll_ms for index in range(8)]
        assert all(low <= time <= 10 * hour for time in times)
        assert len(set(times)) > 4, "they don't roll together"
    await stage.produce("plain", batch_of([b"v"], timestamps=now_ms() - 11 * hour))
    await retain(stage)
    assert len(stage.partition("plain").log.segments) == 2


@on_broker(producer_id_expiration_ms=50, producer_id_expiration_check_interval_ms=10)
async def test_silent_producers_are_forgotten(stage: Stage):
    for storage in ("log", "memory"):
        partition = await stage.topic(storage, storage_type=storage)
        await stage.produce(storage, batch_of([b"v"], producer_id=9))
        assert len(partition.log.producers) == 1
    await until(lambda: not len(stage.partition("log").log.producers))
    await until(lambda: not len(stage.partition("memory").log.producers))


@pytest.mark.parametrize("storage", ["log", "memory"])
@on_broker(max_producer_ids_per_partition=2)
async def test_producers_of_a_partition_are_bounded_by_a_setting(stage: Stage, storage: str):
    async def error_of(producer_id: int) -> int:
        return (await stage.produce("t", batch_of([b"v"], producer_id=producer_id))).error_code

    await stage.topic("t", storage_type=storage)
    full = [0, 0, ErrorCode.THROTTLING_QUOTA_EXCEEDED]
    assert [await error_of(producer_id) for producer_id in range(3)] == full
    more = msgspec.structs.replace(stage.broker.settings, max_producer_ids_per_partition=3)
    await stage.broker.reconfigure(more, ConfigSources())
    assert await error_of(2) == 0
    assert await error_of(3) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    nobody_protected = msgspec.structs.replace(more, producer_id_protected_idle_ms=0)
    await stage.broker.reconfigure(nobody_protected, ConfigSources())
    refused_ms = now_ms()
    await until(lambda: now_ms() > refused_ms + LOOK_AGAIN_MS)
    assert await error_of(3) == 0


@on_broker(log_retention_check_interval_ms=1)
async def test_retention_runs_by_itself(stage: Stage):
    partition = await stage.topic("t", internal_segment_bytes="1000", retention_ms=str(DAY_MS))
    await fill(stage, [3 * DAY_MS, 10])
    await until(lambda: partition.log_start_offset == 1)


@on_broker(log_retention_check_interval_ms=10**9)
async def test_a_pass_over_many_logs_gives_turns(stage: Stage):
    await stage.topic("t", 5 * LOGS_A_TURN, storage_type="memory")
    turns = []

    async def others() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    await asyncio.sleep(0)
    for work in (stage.broker.replicas.upkeep.retain, stage.broker.replicas.upkeep.expire_producers):
        turns.clear()
        await work(stage.broker.settings)
        assert len(turns) >= 5
    task.cancel()


@on_broker(log_retention_check_interval_ms=1)
async def test_passes_do_not_overlap(stage: Stage, monkeypatch):
    upkeep = stage.broker.replicas.upkeep
    await stage.topic("t", internal_segment_bytes="1000", retention_ms=str(DAY_MS))
    await fill(stage, [3 * DAY_MS, 10])
    await stage.restart()
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)
    upkeep = stage.broker.replicas.upkeep
    with stage.hold("read"):
        await until(lambda: upkeep.retain in upkeep._running)
        tasks = len(stage.broker.tasks)
        await asyncio.sleep(0.01)
        upkeep.tick(stage.broker.settings)
        upkeep.tick(stage.broker.settings)
        assert len(stage.broker.tasks) <= tasks
    await until(lambda: stage.partition("t").log_start_offset == 1)
