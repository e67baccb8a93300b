"""Fetch over real sockets: every version, the byte limits, the long poll and what ends it, reads from the disk, errors."""

from __future__ import annotations

import asyncio
import os
import time
from uuid import UUID

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, fetch_request, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import fetch
from logbroker.metadata.controller import TopicToDelete
from logbroker.net.client_connection import ClientConnection, ConnectionLostError
from logbroker.records.batch import Codec, iter_batches
from logbroker.storage import vfs
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from logbroker.wire.messages.fetch import FetchRequest, FetchResponse, ReplicaState

VERSIONS = range(4, API[ApiKey.FETCH].max_version + 1)
LONG_MS = 30_000
"""A long poll's time in tests that must not wait so long."""


def base_offsets(data) -> list[int]:
    return [header.base_offset for _, header in iter_batches(bytes_of(data), verify_crc=True)]


async def fill(stage: Stage, topic: str, batches: int, value_bytes: int = 1000, index: int = 0) -> int:
    """Append batches of one record, all of one size, which is returned."""
    size = 0
    for number in range(batches):
        batch = batch_of([b"%04d" % number + bytes(value_bytes - 4)])
        size = len(batch)
        assert (await stage.produce(topic, batch, index)).error_code == 0
    return size


@on_broker()
async def test_every_version_reads_by_name_or_by_id(stage: Stage):
    partition = await stage.topic("t", 2)
    await fill(stage, "t", 3)
    assert VERSIONS[-1] == 18
    for version in VERSIONS:
        name = "t" if version < 13 else partition.topic_id
        request = fetch_request({(name, 0): 1, (name, 1): 0, (name, 9): 0})
        response = await stage.ask(request, version)
        assert response.error_code == 0
        assert response.session_id == 0
        (topic,) = response.responses
        assert topic.topic == ("t" if version < 13 else "")
        assert version < 13 or topic.topic_id == partition.topic_id
        found, empty, absent = topic.partitions
        assert (found.error_code, found.high_watermark, found.last_stable_offset) == (0, 3, 3)
        assert found.log_start_offset == (0 if version >= 5 else -1)
        assert base_offsets(found) == [1, 2]
        assert found.aborted_transactions is None
        assert found.preferred_read_replica == -1
        assert (empty.error_code, empty.high_watermark, bytes_of(empty)) == (0, 0, b"")
        assert empty.records is not None, "no records are no null"
        assert (absent.error_code, absent.high_watermark) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)


@on_broker()
async def test_topics_that_do_not_exist(stage: Stage):
    await stage.topic("t")
    response = await stage.ask(fetch_request({("nowhere", 0): 0}, max_wait_ms=LONG_MS), 12)
    assert response.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for topic_id in (UUID(int=0), UUID(int=99)):
        response = await stage.ask(fetch_request({(topic_id, 0): 0}, max_wait_ms=LONG_MS), 13)
        assert response.responses[0].topic_id == topic_id
        assert response.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


@on_broker()
async def test_offsets_out_of_range_are_told_at_once(stage: Stage):
    await stage.topic("t")
    await fill(stage, "t", 5)
    await delete_records(stage, "t", 2)
    for offset, code in ((-1, 1), (0, 1), (1, 1), (2, 0), (4, 0), (6, 1), (2**62, 1)):
        data = await stage.fetch("t", offset, max_wait_ms=LONG_MS)
        assert data.error_code == code, offset
        if code:
            assert (data.high_watermark, data.log_start_offset, bytes_of(data)) == (-1, -1, b"")
        else:
            assert (data.high_watermark, data.log_start_offset) == (5, 2)


async def delete_records(stage: Stage, topic: str, offset: int) -> None:
    asked = DeleteRecordsTopic(topic, [DeleteRecordsPartition(0, offset)])
    response = await stage.ask(DeleteRecordsRequest([asked], timeout_ms=5000))
    assert response.topics[0].partitions[0].error_code == 0


@on_broker()
async def test_read_committed_on_a_plain_topic(stage: Stage):
    await stage.topic("t")
    await fill(stage, "t", 2)
    for version in VERSIONS[:9]:
        response = await stage.ask(fetch_request({("t", 0): 0}, isolation_level=1), version)
        data = response.responses[0].partitions[0]
        assert (data.high_watermark, data.last_stable_offset, data.aborted_transactions) == (2, 2, [])
        assert base_offsets(data) == [0, 1]


@on_broker()
async def test_leader_epochs_are_compared(stage: Stage):
    partition = await stage.topic("t")
    await fill(stage, "t", 1)
    await stage.broker.metadata.bump_leader_epochs([(partition.topic_id, 0)])
    assert partition.leader_epoch == 1
    for version in (9, 12):
        for epoch, code in ((-1, 0), (0, 74), (1, 0), (2, 75)):
            response = await stage.ask(fetch_request({("t", 0): 0}, epoch=epoch), version)
            assert response.responses[0].partitions[0].error_code == code
    assert ErrorCode.FENCED_LEADER_EPOCH == 74
    assert ErrorCode.UNKNOWN_LEADER_EPOCH == 75


@on_broker()
async def test_followers_are_refused_and_debuggers_served(stage: Stage):
    partition = await stage.topic("t")
    await fill(stage, "t", 1)
    request = fetch_request({("t", 0): 0}, replica_id=3)
    response = await stage.ask(request, 12)
    assert response.responses[0].partitions[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    request = fetch_request({(partition.topic_id, 0): 0}, replica_state=ReplicaState(3, 1))
    response = await stage.ask(request, 17)
    assert response.responses[0].partitions[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    response = await stage.ask(fetch_request({("t", 0): 0}, replica_id=-2), 12)
    assert base_offsets(response.responses[0].partitions[0]) == [0]


# ---- byte limits


@on_broker()
async def test_one_whole_batch_however_small_the_limits(stage: Stage):
    await stage.topic("t", 2)
    size = await fill(stage, "t", 3)
    await fill(stage, "t", 3, index=1)
    for limits in (
        {"max_bytes": 1},
        {"max_bytes": 0},
        {"partition_max_bytes": 1, "max_bytes": 10},
        {"max_bytes": size},
    ):
        response = await stage.ask(fetch_request({("t", 0): 0, ("t", 1): 0}, **limits), 12)
        first, second = response.responses[0].partitions
        assert len(bytes_of(first)) == size, limits
        assert bytes_of(second) == b"", "only the first partition with data"
        assert second.error_code == 0
    response = await stage.ask(fetch_request({("t", 0): 3, ("t", 1): 0}, max_bytes=1), 12)
    first, second = response.responses[0].partitions
    assert bytes_of(first) == b""
    assert len(bytes_of(second)) == size, "the first one *with data*"


@on_broker()
async def test_limits_cut_in_the_middle_of_a_batch_and_never_past_them(stage: Stage):
    await stage.topic("t", 3)
    for index in range(3):
        size = await fill(stage, "t", 4, index=index)
    offsets = {("t", index): 0 for index in range(3)}
    request = fetch_request(offsets, max_bytes=5 * size, partition_max_bytes=2 * size + 10)
    parts = [bytes_of(p) for p in (await stage.ask(request, 12)).responses[0].partitions]
    assert [len(part) for part in parts] == [2 * size + 10, 2 * size + 10, 0], (
        "the third's first batch doesn't fit"
    )
    assert base_offsets_of(parts[0]) == [0, 1]


def base_offsets_of(records: bytes) -> list[int]:
    return [header.base_offset for _, header in iter_batches(records)]


@on_broker(fetch_max_bytes=3000)
async def test_the_broker_bounds_a_response(stage: Stage):
    await stage.topic("t", 4)
    for index in range(4):
        await fill(stage, "t", 3, index=index)
    response = await stage.ask(
        fetch_request({("t", index): 0 for index in range(4)}, max_bytes=1 << 30, min_bytes=1 << 29), 12
    )
    assert sum(len(bytes_of(p)) for p in response.responses[0].partitions) <= 3000


@on_broker()
async def test_a_batch_larger_than_the_limits_comes_whole(stage: Stage):
    await stage.topic("t", max_message_bytes="3000000")
    batch = batch_of([os.urandom(2_500_000)])
    assert (await stage.produce("t", bytearray(batch))).error_code == 0
    data = await stage.fetch("t", 0, max_bytes=100, partition_max_bytes=100)
    assert bytes_of(data)[61:] == batch[61:]


# ---- the long poll


async def parked(stage: Stage, connection: ClientConnection, request: FetchRequest, version: int = 12):
    """Send a fetch, and return its answer's future when it waits."""
    already = len(stage.broker.fetch_waits)
    answer = connection.send(ApiKey.FETCH, request, version=version)
    await until(lambda: len(stage.broker.fetch_waits) > already)
    return answer


@on_broker()
async def test_an_append_wakes_who_waits(stage: Stage):
    await stage.topic("t", 2)
    await stage.topic("u")
    connection = await stage.connect()
    offsets = {("u", 0): 0, ("t", 0): 0, ("t", 1): 0}
    answer = await parked(stage, connection, fetch_request(offsets, max_wait_ms=LONG_MS))
    await fill(stage, "t", 1, index=1)
    response = await asyncio.wait_for(answer, 5)
    assert [base_offsets(p) for topic in response.responses for p in topic.partitions] == [[], [], [0]]
    assert len(stage.broker.fetch_waits) == 0


@on_broker()
async def test_nothing_comes_and_the_time_is_up(stage: Stage):
    await stage.topic("t")
    began = time.monotonic()
    data = await stage.fetch("t", 0, max_wait_ms=100)
    assert 0.1 <= time.monotonic() - began < 5
    assert (data.error_code, bytes_of(data)) == (0, b"")


@on_broker()
async def test_min_bytes_collects(stage: Stage):
    await stage.topic("t", 2)
    connection = await stage.connect()
    size = len(batch_of([bytes(1000)]))
    request = fetch_request({("t", 0): 0, ("t", 1): 0}, max_wait_ms=LONG_MS, min_bytes=4 * size)
    answer = await parked(stage, connection, request)
    await fill(stage, "t", 2)
    await fill(stage, "t", 1, index=1)
    assert not answer.done()
    await fill(stage, "t", 1, index=1)
    response = await asyncio.wait_for(answer, 5)
    assert [base_offsets(p) for p in response.responses[0].partitions] == [[0, 1], [0, 1]]


@on_broker()
async def test_min_bytes_and_the_end_of_a_segment(stage: Stage):
    await stage.topic("t", internal_segment_bytes="2000")
    connection = await stage.connect()
    answer = await parked(
        stage, connection, fetch_request({("t", 0): 0}, max_wait_ms=LONG_MS, min_bytes=1500)
    )
    await fill(stage, "t", 5)  # five segments: reads never cross one
    response = await asyncio.wait_for(answer, 5)
    assert base_offsets(response.responses[0].partitions[0])[0] == 0


@on_broker()
async def test_who_asks_for_more_than_may_be_sent_waits_for_what_may_be_sent(stage: Stage):
    await stage.topic("t", 2)
    connection = await stage.connect()
    size = len(batch_of([bytes(1000)]))
    request = fetch_request({("t", 0): 0}, max_wait_ms=LONG_MS, min_bytes=1 << 20, max_bytes=2 * size)
    answer = await parked(stage, connection, request)
    await fill(stage, "t", 2)
    assert base_offsets((await asyncio.wait_for(answer, 5)).responses[0].partitions[0]) == [0, 1]
    # Room is left, but the next batch doesn't fit into it: waiting longer would not help.
    offsets = {("t", 0): 0, ("t", 1): 0}
    await fill(stage, "t", 2, index=1)
    request = fetch_request(offsets, max_wait_ms=LONG_MS, min_bytes=2 * size + 50, max_bytes=2 * size + 50)
    response = await asyncio.wait_for(connection.request(ApiKey.FETCH, request, version=12), 5)
    assert len(bytes_of(response.responses[0].partitions[0])) == 2 * size


@on_broker()
async def test_a_partition_at_its_limit_doesnt_count_for_more(stage: Stage):
    await stage.topic("t", 2)
    connection = await stage.connect()
    size = len(batch_of([bytes(1000)]))
    request = fetch_request(
        {("t", 0): 0, ("t", 1): 0}, max_wait_ms=LONG_MS, min_bytes=3 * size, partition_max_bytes=2 * size
    )
    answer = await parked(stage, connection, request)
    await fill(stage, "t", 6)
    assert not answer.done()
    await fill(stage, "t", 1, index=1)
    response = await asyncio.wait_for(answer, 5)
    assert [base_offsets(p) for p in response.responses[0].partitions] == [[0, 1], [0]]


@on_broker()
async def test_a_topic_that_is_deleted_wakes_who_waits(stage: Stage):
    for version, code in (
        (12, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (15, ErrorCode.UNKNOWN_TOPIC_ID),
    ):
        for storage in ("log", "memory"):
            partition = await stage.topic("t", storage_type=storage)
            connection = await stage.connect()
            name = "t" if version < 13 else partition.topic_id
            answer = await parked(
                stage, connection, fetch_request({(name, 0): 0}, max_wait_ms=LONG_MS), version
            )
            await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
            response = await asyncio.wait_for(answer, 5)
            assert response.responses[0].partitions[0].error_code == code


@on_broker(log_dirs=("one", "two"))
async def test_a_directory_that_fails_wakes_who_waits(stage: Stage):
    await stage.topic("t", 2)
    partitions = [stage.partition("t", index) for index in range(2)]
    assert partitions[0].log.host is not partitions[1].log.host
    for version, code in (
        (12, ErrorCode.KAFKA_STORAGE_ERROR),
        (5, ErrorCode.NOT_LEADER_OR_FOLLOWER),
    ):
        connection = await stage.connect()
        request = fetch_request({("t", 0): 0, ("t", 1): 0}, max_wait_ms=LONG_MS)
        if version == 12:
            answer = await parked(stage, connection, request, version)
            partitions[0].log.host.fail(OSError(5, "the test says so"))
        else:
            answer = connection.send(ApiKey.FETCH, request, version=version)
        response = await asyncio.wait_for(answer, 5)
        bad, good = response.responses[0].partitions
        assert bad.error_code == code
        assert good.error_code == 0


@on_broker()
async def test_who_leaves_is_forgotten(stage: Stage):
    await stage.topic("t")
    connection = await stage.connect()
    answer = await parked(stage, connection, fetch_request({("t", 0): 0}, max_wait_ms=LONG_MS))
    connection.close()
    with pytest.raises(ConnectionLostError):
        await answer
    await until(lambda: len(stage.broker.fetch_waits) == 0)
    assert (await stage.produce("t", batch_of([b"v"]))).error_code == 0


@on_broker()
async def test_a_stopping_broker_answers_who_waits(stage: Stage):
    await stage.topic("t")
    connection = await ClientConnection.connect("127.0.0.1", stage.port)
    answer = await parked(stage, connection, fetch_request({("t", 0): 0}, max_wait_ms=LONG_MS))
    await stage.stop()
    assert (await asyncio.wait_for(answer, 5)).responses[0].partitions[0].error_code == 0
    connection.close()
    await stage.start()


@on_broker()
async def test_reads_are_not_repeated_for_every_small_append(stage: Stage, monkeypatch):
    from logbroker.replication.partition import Partition

    await stage.topic("t")
    connection = await stage.connect()
    size = len(batch_of([bytes(1000)]))
    request = fetch_request({("t", 0): 0}, max_wait_ms=LONG_MS, min_bytes=20 * size)
    answer = await parked(stage, connection, request)
    reads = []
    read = Partition.read
    monkeypatch.setattr(Partition, "read", lambda *args, **kw: reads.append(1) or read(*args, **kw))
    await fill(stage, "t", 20)
    assert len(base_offsets((await asyncio.wait_for(answer, 5)).responses[0].partitions[0])) == 20
    assert len(reads) == 1


@on_broker()
async def test_a_wake_looks_at_the_partition_that_woke_it(stage: Stage, monkeypatch):
    """A consumer of a thousand partitions must not have all of them looked at for every append to one."""
    from logbroker.storage.log import Log

    await stage.topic("t", 50)
    connection = await stage.connect()
    size = len(batch_of([bytes(1000)]))
    offsets = {("t", index): 0 for index in range(50)}
    request = fetch_request(offsets, max_wait_ms=LONG_MS, min_bytes=4 * size)
    answer = await parked(stage, connection, request)
    looks = []
    refusal = Log.refusal.fget
    monkeypatch.setattr(Log, "refusal", property(lambda log: looks.append(log.index) or refusal(log)))
    for index in (3, 4, 4):
        await fill(stage, "t", 1, index=index)
    assert looks == [3, 4, 4]
    await fill(stage, "t", 1, index=5)
    response = await asyncio.wait_for(answer, 5)
    found = {p.partition_index: base_offsets(p) for p in response.responses[0].partitions if p.records}
    assert found == {3: [0], 4: [0, 1], 5: [0]}


# ---- reads that wait for the disk


@pytest.fixture
def cold(monkeypatch):
    """Nothing is in the page cache: no read is answered without waiting."""
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)


@on_broker()
async def test_what_is_not_in_the_page_cache_is_read_on_a_lane(stage: Stage, cold):
    await stage.topic("t", 3, internal_segment_bytes="2500")
    for index in range(3):
        await fill(stage, "t", 7, index=index)
    await stage.restart()  # the tails are gone
    for version in (4, 12):
        for offset in (0, 3, 6):
            response = await stage.ask(
                fetch_request({("t", i): offset for i in range(3)}, max_wait_ms=LONG_MS), version
            )
            for data in response.responses[0].partitions:
                assert data.error_code == 0
                assert base_offsets(data)[0] == offset


@on_broker()
async def test_the_loop_goes_on_while_a_read_waits(stage: Stage, cold):
    await stage.topic("t")
    await stage.topic("u")
    await fill(stage, "t", 2)
    await stage.restart()
    reader = await stage.connect()
    with stage.hold("read"), stage.hold("walk"):
        answer = reader.send(ApiKey.FETCH, fetch_request({("t", 0): 0}), version=12)
        assert (await stage.produce("u", batch_of([b"v"]))).error_code == 0
        assert (await stage.produce("t", batch_of([b"v"]))).base_offset == 2
        assert not answer.done()
    assert base_offsets((await answer).responses[0].partitions[0])[:2] == [0, 1]


@on_broker()
async def test_who_leaves_while_the_disk_is_read(stage: Stage, cold):
    await stage.topic("t")
    await fill(stage, "t", 2)
    await stage.restart()
    reader = await stage.connect()
    with stage.hold("read"), stage.hold("walk"):
        answer = reader.send(ApiKey.FETCH, fetch_request({("t", 0): 0}), version=12)
        await stage.ask(fetch_request({("nowhere", 0): 0}), 12)  # by now the other one is under way
        reader.close()
        with pytest.raises(ConnectionLostError):
            await answer
    assert base_offsets(await stage.fetch("t", 0)) == [0, 1]


@on_broker()
async def test_a_parked_fetch_that_ends_on_the_disk(stage: Stage, monkeypatch):
    await stage.topic("t", 2)
    await fill(stage, "t", 2)
    await stage.restart()
    connection = await stage.connect()
    answer = await parked(
        stage,
        connection,
        fetch_request({("t", 0): 0, ("t", 1): 0}, max_wait_ms=LONG_MS, min_bytes=2500),
    )
    monkeypatch.setattr(vfs.OsFile, "pread_nowait", lambda *_: None)
    await fill(stage, "t", 1, index=1)
    response = await asyncio.wait_for(answer, 5)
    assert [base_offsets(p) for p in response.responses[0].partitions] == [[0, 1], [0]]


@on_broker()
async def test_the_real_page_cache_dropped(stage: Stage):
    await stage.topic("t")
    await fill(stage, "t", 50, value_bytes=20_000)
    await stage.restart()
    path = stage.partition("t").log.segments[0].path
    descriptor = os.open(path, os.O_RDONLY)
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    data = await stage.fetch("t", 0, max_bytes=4 << 20, partition_max_bytes=4 << 20)
    assert len(base_offsets(data)) == 50


@on_broker()
async def test_retention_takes_the_file_while_it_is_read(stage: Stage, cold):
    await stage.topic("t", internal_segment_bytes="1500", file_delete_delay_ms="0")
    await fill(stage, "t", 6)
    await stage.restart()
    reader = await stage.connect()
    with stage.hold("read"), stage.hold("walk"):
        answer = reader.send(ApiKey.FETCH, fetch_request({("t", 0): 0}), version=12)
        await delete_records(stage, "t", 4)
        path = stage.partition("t").log.path
        await until(lambda: not os.path.exists(f"{path}/{0:020d}.log"))
    assert (await answer).responses[0].partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert stage.broker.replicas.states[0].online
    assert base_offsets(await stage.fetch("t", 4)) == [4]


@on_broker()
async def test_a_read_that_fails_takes_the_directory_offline(stage: Stage, cold, monkeypatch):
    await stage.topic("t")
    await fill(stage, "t", 2)
    await stage.restart()

    def fail(*_: object) -> bytes:
        raise OSError(5, "the test says so")

    monkeypatch.setattr(vfs.OsFile, "pread", fail)
    assert (await stage.fetch("t", 0)).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert not stage.broker.replicas.states[0].online
    assert "no log directory is left" in await asyncio.wait_for(stage.broker.wait_failed(), 5)


def overwrite(path: str, position: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(data)


@on_broker()
async def test_damaged_bytes_are_refused_reported_and_counted(stage: Stage, caplog):
    await stage.topic("t")
    await fill(stage, "t", 3)
    await stage.restart()
    log = stage.partition("t").log
    overwrite(log.segments[0].path, 8, b"\xff" * 8)
    answer = await stage.fetch("t", 0)
    assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert stage.broker.replicas.states[0].online, "only the partition is hurt"
    assert log.host.stats.damaged_reads == 1
    (line,) = [record.fields for record in caplog.records if "damaged" in record.message]
    assert line["partition"] == "t-0"


@on_broker()
async def test_a_cold_disk_and_a_lost_index(stage: Stage, cold, monkeypatch):
    """The way to the last batch leads past all others: a lane goes it at once, and the first answer has the batch."""
    await stage.topic("t")
    await fill(stage, "t", 400, value_bytes=20_000)
    await stage.restart()
    log = stage.partition("t").log
    log.segments[0].index.reset()
    walks = []
    fetch_missing = fetch.fetch_missing

    async def counted(log, missing, fetched):
        walks.append([error.walk is not None for error in missing])
        await fetch_missing(log, missing, fetched)

    monkeypatch.setattr(fetch, "fetch_missing", counted)
    data = await stage.fetch("t", 399, max_wait_ms=LONG_MS)
    assert (data.error_code, base_offsets(data)) == (0, [399])
    assert walks == [[True], [False]], "the walk, then what its last read left out of the batch"


@on_broker()
async def test_a_cold_disk_and_damage_on_the_way(stage: Stage, cold, monkeypatch):
    """What isn't a batch ends the walk there, and the answer is an error, not an empty one."""
    await stage.topic("t")
    size = await fill(stage, "t", 40, value_bytes=20_000)
    await stage.restart()
    log = stage.partition("t").log
    for position, field in ((30 * size + 8, b"\x7f" * 4), (30 * size + 16, b"\x09"), (30 * size, bytes(8))):
        path = log.segments[0].path
        log.segments[0].index.reset()
        before = log.host.pool.get(path).pread(len(field), position)
        overwrite(path, position, field)
        assert (await stage.fetch("t", 39)).error_code == ErrorCode.KAFKA_STORAGE_ERROR
        overwrite(path, position, before)
        assert base_offsets(await stage.fetch("t", 39)) == [39]
    assert stage.broker.replicas.states[0].online


@on_broker()
async def test_a_log_that_grows_while_the_disk_is_read(stage: Stage, cold, monkeypatch):
    """New batches reach the file in every round; the fetch ends with what is there, and is never empty."""
    await stage.topic("t")
    await fill(stage, "t", 10)
    await stage.restart()
    rounds = []
    fetch_missing = fetch.fetch_missing

    async def growing(log, missing, fetched):
        rounds.append(len(missing))
        await fill(stage, "t", 1)
        log.host.checkpointer.start()
        await until(lambda: log.segments[-1].written == log.segments[-1].size)
        await fetch_missing(log, missing, fetched)

    monkeypatch.setattr(fetch, "fetch_missing", growing)
    reader = await stage.connect()
    request = fetch_request({("t", 0): 0}, max_bytes=1 << 20, partition_max_bytes=1 << 20)
    (data,) = (await reader.request(ApiKey.FETCH, request, version=12)).responses[0].partitions
    assert base_offsets(data)[:10] == list(range(10))
    assert len(rounds) < fetch.DISK_ROUNDS_MAX
    assert len(rounds) > 3, "the growth was seen"


@on_broker()
async def test_disk_rounds_are_bounded(stage: Stage, cold, monkeypatch):
    """A file that can't be read through must not keep its reader for ever."""
    from logbroker.storage.segment import Reader, WouldBlockError

    await stage.topic("t", 2)
    await fill(stage, "t", 2)
    await fill(stage, "t", 2, index=1)
    await stage.restart()
    rounds = []
    slow = stage.partition("t").log.segments[0].path
    read = Reader.read

    def never(self, path: str, size: int, position: int) -> bytes:
        if path == slow and size > 1000:
            rounds.append(1)
            raise WouldBlockError(path, size, position)
        return read(self, path, size, position)

    monkeypatch.setattr(Reader, "read", never)
    response = await stage.ask(fetch_request({("t", 0): 0, ("t", 1): 0}), 12)
    first, second = response.responses[0].partitions
    assert (first.error_code, bytes_of(first)) == (0, b"")
    assert base_offsets(second) == [0, 1]
    assert len(rounds) <= fetch.DISK_ROUNDS_MAX + 1


@on_broker()
async def test_all_codecs_come_as_they_were_sent(stage: Stage):
    await stage.topic("t")
    for offset, codec in enumerate(Codec):
        batch = batch_of([b"v" * 1000], codec=codec)
        await stage.produce("t", bytearray(batch))
        stored = bytes_of(await stage.fetch("t", offset))
        assert stored[16:] == batch[16:]


@on_broker()
async def test_a_request_without_partitions_is_answered_at_once(stage: Stage):
    for version in VERSIONS:
        response = await asyncio.wait_for(stage.ask(fetch_request({}, max_wait_ms=LONG_MS), version), 5)
        assert isinstance(response, FetchResponse)
        assert (response.error_code, response.responses, response.session_id) == (0, [], 0)
