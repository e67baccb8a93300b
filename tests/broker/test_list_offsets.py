"""ListOffsets over real sockets: first, last and by time, in every version, with answers held against Kafka 4.3.1's."""

from __future__ import annotations

import asyncio
import struct

import pytest
from crc32c import crc32c
from support.broker_stage import Stage, batch_of, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import list_offsets
from logbroker.records.batch import Codec
from logbroker.storage import vfs
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)

VERSIONS = range(1, API[ApiKey.LIST_OFFSETS].max_version + 1)
LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, PENDING_UPLOAD = range(-1, -7, -1)
FIRST_VERSION = {
    LATEST: 1,
    EARLIEST: 1,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    PENDING_UPLOAD: 11,
}
T0 = 1_700_000_000_000


def request(*wanted: tuple[str, int, int], epoch: int = -1) -> ListOffsetsRequest:
    return ListOffsetsRequest(
        replica_id=-1,
        topics=[
            ListOffsetsTopic(
                topic,
                [
                    ListOffsetsPartition(
                        partition_index=index, timestamp=timestamp, current_leader_epoch=epoch
                    )
                ],
            )
            for topic, index, timestamp in wanted
        ],
    )


async def ask(stage: Stage, timestamp: int, version: int = 11, **options) -> tuple[int, int, int, int]:
    response = await stage.ask(request(("t", 0, timestamp), **options), version)
    (topic,) = response.topics
    (found,) = topic.partitions
    assert (topic.name, found.partition_index) == ("t", 0)
    return found.error_code, found.timestamp, found.offset, found.leader_epoch


async def fill(stage: Stage, codec: Codec = Codec.NONE) -> None:
    """Offsets 0-2: times 1, 5, 3; 3-4: 2, 9; 5: 4."""
    for times in ((1, 5, 3), (2, 9), (4,)):
        batch = batch_of([b"v"] * len(times), timestamps=[T0 + time for time in times], codec=codec)
        assert (await stage.produce("t", batch)).error_code == 0


BY_TIME = {
    T0 - 5: (0, T0 + 1, 0, 0),
    T0 + 1: (0, T0 + 1, 0, 0),
    T0 + 2: (0, T0 + 5, 1, 0),
    T0 + 5: (0, T0 + 5, 1, 0),
    T0 + 6: (0, T0 + 9, 4, 0),
    T0 + 9: (0, T0 + 9, 4, 0),
    T0 + 10: (0, -1, -1, -1),
    0: (0, T0 + 1, 0, 0),
}


@pytest.mark.parametrize("version", VERSIONS)
@on_broker()
async def test_every_version(stage: Stage, version: int):
    await stage.topic("t")
    for timestamp, first in FIRST_VERSION.items():
        if version < first:
            assert await ask(stage, timestamp, version) == (ErrorCode.UNSUPPORTED_VERSION, -1, -1, -1)
            continue
        epoch = 0 if version >= 4 else -1
        expected = (0, -1, 0, epoch) if timestamp in {LATEST, EARLIEST, EARLIEST_LOCAL} else (0, -1, -1, -1)
        assert await ask(stage, timestamp, version) == expected, timestamp
    for unknown in (-7, -100, -(2**63)):
        assert (await ask(stage, unknown, version))[0] == ErrorCode.UNSUPPORTED_VERSION
    await fill(stage)
    assert (await ask(stage, LATEST, version))[2] == 6
    assert (await ask(stage, EARLIEST, version))[2] == 0
    for timestamp, expected in BY_TIME.items():
        found = await ask(stage, timestamp, version)
        assert found == (expected if version >= 4 else (*expected[:3], -1)), timestamp
    if version >= 7:
        assert await ask(stage, MAX_TIMESTAMP, version) == (0, T0 + 9, 4, 0)


@pytest.mark.parametrize("codec", Codec)
@on_broker()
async def test_by_time_in_every_codec_and_after_a_restart(stage: Stage, codec: Codec):
    await stage.topic("t")
    await fill(stage, codec)
    for _ in range(2):
        for timestamp, expected in BY_TIME.items():
            assert await ask(stage, timestamp) == expected, timestamp
        assert await ask(stage, MAX_TIMESTAMP) == (0, T0 + 9, 4, 0)
        await stage.restart()


@on_broker()
async def test_by_time_over_many_segments(stage: Stage):
    await stage.topic("t", internal_segment_bytes="600", index_interval_bytes="100")
    for number in range(40):
        batch = batch_of([bytes(40)] * 3, timestamps=[T0 + 10 * number + n for n in range(3)])
        await stage.produce("t", batch)
    assert len(stage.partition("t").log.segments) > 5
    for _ in range(2):
        for number in range(40):
            assert await ask(stage, T0 + 10 * number + 1) == (0, T0 + 10 * number + 1, 3 * number + 1, 0)
            following = (0, T0 + 10 * number + 10, 3 * number + 3, 0) if number < 39 else (0, -1, -1, -1)
            assert await ask(stage, T0 + 10 * number + 5) == following
        assert await ask(stage, MAX_TIMESTAMP) == (0, T0 + 392, 119, 0)
        await stage.restart()


@on_broker()
async def test_what_lies_below_the_start_is_not_found(stage: Stage):
    partition = await stage.topic("t")
    await fill(stage)
    codes: list[int] = []
    partition.log.delete_records(4, codes.append)
    await until(lambda: codes)
    assert (await ask(stage, EARLIEST))[2] == 4
    assert (await ask(stage, EARLIEST_LOCAL))[2] == 4
    # Offsets 0 to 3 lie in the same segment still, and have times that fit.
    for time in (0, 1, 2, 5, 9):
        assert await ask(stage, T0 + time) == (0, T0 + 9, 4, 0), time
    assert await ask(stage, MAX_TIMESTAMP) == (0, T0 + 9, 4, 0)
    partition.log.delete_records(5, codes.append)
    await until(lambda: len(codes) == 2)
    assert await ask(stage, T0 + 1) == (0, T0 + 4, 5, 0)
    assert await ask(stage, T0 + 5) == (0, -1, -1, -1)
    await stage.restart()
    assert await ask(stage, T0 + 1) == (0, T0 + 4, 5, 0)
    assert await ask(stage, T0 + 5) == (0, -1, -1, -1)


@on_broker()
async def test_a_header_that_promises_too_much_is_passed_over(stage: Stage):
    await stage.topic("t")
    lie = batch_of([b"v"], timestamps=T0)
    struct.pack_into(">q", lie, 35, T0 + 1000)
    struct.pack_into(">I", lie, 17, crc32c(memoryview(lie)[21:]))
    for _ in range(3):
        await stage.produce("t", bytearray(lie))
    await stage.produce("t", batch_of([b"v"], timestamps=T0 + 500))
    assert await ask(stage, T0 + 400) == (0, T0 + 500, 3, 0)
    assert await ask(stage, T0 + 900) == (0, -1, -1, -1)


@on_broker()
async def test_log_append_time(stage: Stage):
    await stage.topic("t", message_timestamp_type="LogAppendTime")
    first = await stage.produce("t", batch_of([b"a", b"b"], timestamps=5))
    assert await ask(stage, 1) == (0, first.log_append_time_ms, 0, 0)
    assert await ask(stage, MAX_TIMESTAMP) == (0, first.log_append_time_ms, 0, 0)
    assert await ask(stage, first.log_append_time_ms + 60_000) == (0, -1, -1, -1)


@on_broker()
async def test_what_is_not_durable_is_not_told(stage: Stage):
    partition = await stage.topic("t")
    await fill(stage)
    with stage.hold("journal"):
        produced = asyncio.ensure_future(stage.produce("t", batch_of([b"v"], timestamps=T0 + 50)))
        await until(lambda: partition.log_end_offset == 7)
        other = await stage.connect()

        async def told(timestamp: int) -> int:
            response = await other.request(ApiKey.LIST_OFFSETS, request(("t", 0, timestamp)), version=11)
            return response.topics[0].partitions[0].offset

        assert await told(LATEST) == 6
        assert await told(T0 + 20) == -1
        assert await told(T0 + 6) == 4
    await produced
    assert await told(LATEST) == 7
    assert await told(T0 + 20) == 6


@on_broker()
async def test_the_largest_timestamp_is_waited_for(stage: Stage, monkeypatch):
    partition = await stage.topic("t")
    with stage.hold("journal"):
        produced = asyncio.ensure_future(stage.produce("t", batch_of([b"v"], timestamps=T0)))
        await until(lambda: partition.log_end_offset == 1)
        other = await stage.connect()
        asked = asyncio.ensure_future(
            other.request(ApiKey.LIST_OFFSETS, request(("t", 0, MAX_TIMESTAMP)), version=11)
        )
        await until(lambda: len(stage.broker.fetch_waits) == 1)
    assert (await produced).base_offset == 0
    found = (await asked).topics[0].partitions[0]
    assert (found.error_code, found.timestamp, found.offset) == (0, T0, 0)
    assert not len(stage.broker.fetch_waits)

    monkeypatch.setattr(list_offsets, "DURABLE_WAIT_MAX_MS", 1)
    with stage.hold("journal"):
        produced = asyncio.ensure_future(stage.produce("t", batch_of([b"v"], timestamps=T0 + 1)))
        await until(lambda: partition.log_end_offset == 2)
        late = await other.request(ApiKey.LIST_OFFSETS, request(("t", 0, MAX_TIMESTAMP)), version=11)
        assert late.topics[0].partitions[0].offset == -1
    await produced


@on_broker()
async def test_leader_epochs(stage: Stage):
    partition = await stage.topic("t")
    await fill(stage)
    await stage.broker.metadata.bump_leader_epochs([(partition.topic_id, 0)])
    for epoch, code in ((-1, 0), (0, ErrorCode.FENCED_LEADER_EPOCH), (1, 0), (2, 75)):
        assert (await ask(stage, LATEST, epoch=epoch))[0] == code
    assert await ask(stage, LATEST) == (0, -1, 6, 1)
    assert await ask(stage, EARLIEST) == (0, -1, 0, 0)
    await stage.produce("t", batch_of([b"v"], timestamps=T0 + 100))
    assert await ask(stage, T0 + 50) == (0, T0 + 100, 6, 1)


@on_broker()
async def test_what_does_not_exist_and_what_is_named_twice(stage: Stage):
    await stage.topic("t", 2)
    await fill(stage)
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    wanted = [("t", 9, LATEST), ("nowhere", 0, LATEST), ("t", 0, LATEST), ("t", 1, LATEST)]
    response = await stage.ask(request(*wanted), 7)
    found = [(p.error_code, p.offset) for topic in response.topics for p in topic.partitions]
    assert found == [(unknown, -1), (unknown, -1), (0, 6), (0, 0)]
    response = await stage.ask(request(("t", 0, LATEST), ("t", 0, EARLIEST), ("t", 1, LATEST)), 7)
    found = [(p.error_code, p.offset) for topic in response.topics for p in topic.partitions]
    assert found == [(ErrorCode.INVALID_REQUEST, -1), (0, 0)]


@on_broker()
async def test_times_are_looked_up_on_the_disk(stage: Stage, monkeypatch):
    await stage.topic("t", internal_segment_bytes="600")
    await fill(stage)
    for _ in range(5):
        await fill(stage)
    await stage.restart()
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)
    for timestamp, expected in BY_TIME.items():
        assert await ask(stage, timestamp) == expected, timestamp
    assert (await ask(stage, MAX_TIMESTAMP))[:2] == (0, T0 + 9)


@on_broker()
async def test_a_disk_that_fails(stage: Stage, monkeypatch):
    await stage.topic("t")
    await fill(stage)
    await stage.restart()

    def fail(*_: object) -> bytes:
        raise OSError(5, "the test says so")

    monkeypatch.setattr(vfs.OsFile, "pread_nowait", fail)
    for timestamp in (T0, LATEST, EARLIEST, MAX_TIMESTAMP):
        assert (await ask(stage, timestamp))[0] == ErrorCode.KAFKA_STORAGE_ERROR
    assert not stage.broker.replicas.states[0].online


@on_broker()
async def test_memory_topics(stage: Stage):
    await stage.topic("t", storage_type="memory")
    await fill(stage)
    for timestamp, expected in BY_TIME.items():
        assert await ask(stage, timestamp) == expected, timestamp
    assert await ask(stage, MAX_TIMESTAMP) == (0, T0 + 9, 4, 0)
