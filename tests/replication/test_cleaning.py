"""Compaction in a whole broker: it comes by itself, in its own process, and readers, replays and stops go on beside it."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest
from support.broker_stage import Stage, batch_of, on_broker, until

from logbroker.coordination.replay import replay
from logbroker.records.batch import iter_batches
from logbroker.records.iterator import decode_records
from logbroker.storage import vfs
from logbroker.storage.cleaner import CleanerOptions, job_of
from logbroker.storage.cleaning_choice import Dirtiness
from logbroker.storage.compaction import Compaction
from logbroker.storage.executor import run_to_end

SOON = {"log_cleaner_backoff_ms": 10, "log_checkpoint_interval_ms": 100}
COMPACT = {
    "cleanup_policy": "compact",
    "internal_segment_bytes": "4000",
    "min_cleanable_dirty_ratio": "0.01",
    "file_delete_delay_ms": "0",
}


async def fill(stage: Stage, batches: int = 150, seed: int = 1, topic: str = "t") -> dict[bytes, bytes]:
    """Random records under few keys; the latest of each."""
    rng = random.Random(seed)
    latest = {}
    for number in range(batches):
        records = [(b"k%d" % rng.randrange(12), b"%d-%d " % (seed, number) * 9) for _ in range(3)]
        assert (await stage.produce(topic, batch_of(records))).error_code == 0
        latest |= dict(records)
    return latest


async def read(stage: Stage, topic: str = "t") -> list[tuple[int, bytes, bytes]]:
    """(offset, key, value) of everything, as a consumer gets it."""
    offset, end = 0, stage.partition(topic).high_watermark
    found = []
    while offset < end:
        data = await stage.fetch(topic, offset)
        assert data.error_code == 0, data.error_code
        before = offset
        for position, header in iter_batches(data.records, verify_crc=True):
            found += [
                (record.offset, bytes(record.key), bytes(record.value))
                for record in decode_records(data.records[position : position + header.size_bytes])
                if record.offset >= offset
            ]
            offset = header.next_offset
        assert offset > before
    assert [one[0] for one in found] == sorted({one[0] for one in found})
    return found


def cleaned(stage: Stage, topic: str = "t") -> bool:
    log = stage.partition(topic).log
    return log.first_dirty == log.segments[-1].base_offset > 0


@on_broker(**SOON)
async def test_it_comes_by_itself_and_is_remembered(stage: Stage):
    await stage.topic("t", **COMPACT)
    latest = await fill(stage)
    await until(lambda: cleaned(stage))
    left = await read(stage)
    assert {key: value for _, key, value in left} == latest
    assert len(left) < 150
    log = stage.partition("t").log
    assert log.host.stats.cleaner_passes
    dirty = log.first_dirty
    await stage.restart()
    assert stage.partition("t").log.first_dirty == dirty
    assert await read(stage) == left


@on_broker(log_cleaner_enable=False, **SOON)
async def test_it_can_be_turned_off(stage: Stage):
    await stage.topic("t", **COMPACT)
    await fill(stage)
    cleaning = stage.broker.replicas.cleaning
    for _ in range(3):
        cleaning.tick(stage.broker.settings)
        await asyncio.sleep(0)
    assert not cleaning._looking
    assert stage.partition("t").log.first_dirty == 0


@on_broker(**SOON)
async def test_readers_go_on_while_segments_are_replaced(stage: Stage, monkeypatch):
    """Nothing is in the page cache, so that every read is begun before a swap and ended after it, now and then."""
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)
    await stage.topic("t", **COMPACT)
    latest = await fill(stage, 60)
    pool = stage.partition("t").log.host.pool
    for round_ in range(2, 6):
        latest |= await fill(stage, 40, round_)
        for _ in range(3):
            assert {key: value for _, key, value in await read(stage)} == latest
    await until(lambda: pool.replacements > 3)
    assert {key: value for _, key, value in await read(stage)} == latest


@on_broker(**SOON)
async def test_a_replay_gives_the_same_state_before_and_after(stage: Stage):
    partition = await stage.topic("t", **{**COMPACT, "min_cleanable_dirty_ratio": "1.0"})
    await fill(stage)
    before = [(one.offset, one.key, one.value) for one in list(await replay(partition, "t", 0))]
    partition.log.roll()
    host = partition.log.host
    host.configure(partition.log, partition.config)
    stage.broker.replicas._configure(
        partition, type(partition.config).resolve(stage.broker.settings, _dotted(COMPACT))
    )
    await until(lambda: cleaned(stage))
    after = [(one.offset, one.key, one.value) for one in list(await replay(partition, "t", 0))]
    assert before == after
    assert host.stats.cleaner_removed_records


def _dotted(configs: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "."): value for name, value in configs.items()}


@on_broker(log_cleaner_io_max_bytes_per_second=1.0, **SOON)
async def test_a_process_that_dies_is_replaced(stage: Stage):
    await stage.topic("t", **COMPACT)
    latest = await fill(stage)
    cleaning = stage.broker.replicas.cleaning
    stats = stage.partition("t").log.host.stats
    await until(lambda: any(runner.pid > 0 for runner in cleaning._running))  # it is very slow
    os.kill(next(iter(cleaning._running)).pid, signal.SIGKILL)
    await until(lambda: stats.cleaner_failures == 1)
    assert {key: value for _, key, value in await read(stage)} == latest


@on_broker(log_cleaner_io_max_bytes_per_second=1.0, **SOON)
async def test_a_stop_does_not_wait_for_a_pass(stage: Stage):
    await stage.topic("t", **COMPACT)
    await fill(stage)
    cleaning = stage.broker.replicas.cleaning
    await until(lambda: any(runner.pid > 0 for runner in cleaning._running))
    pid = next(iter(cleaning._running)).pid
    await stage.restart()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@on_broker(log_cleaner_enable=False)
async def test_the_rate_is_kept(stage: Stage, monkeypatch):
    partition = await stage.topic("t", **COMPACT)
    await fill(stage)
    log = partition.log
    host = log.host
    host.checkpointer.start()
    await until(lambda: host.stats.checkpoints > 1 and not host.checkpointer.running)
    found = Dirtiness(log, log.segments[:-1], 0, 0, 1, overdue=False)
    job = job_of(found, CleanerOptions(max_bytes_per_second=1e6), 0)
    pauses: list[float] = []
    work = Compaction(vfs.OsVfs(), job, pause=pauses.append)
    indexed, error = run_to_end(work.index_steps())
    assert error is None
    assert sum(pauses) >= indexed.bytes_read / 1e6 * 0.5
    for group in indexed.groups:
        _, error = run_to_end(work.rewrite_steps(group))
        assert error is None
    for name in os.listdir(log.path):
        if name.endswith(".cleaned"):
            os.unlink(f"{log.path}/{name}")
