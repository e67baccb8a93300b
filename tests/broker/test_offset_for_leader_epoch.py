"""OffsetForLeaderEpoch over real sockets, with the answers that Kafka 4.3.1 gives."""

from __future__ import annotations

from support.broker_stage import Stage, batch_of, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

VERSIONS = (2, 3, 4)


async def ask(stage: Stage, epoch: int, *, current: int = -1, index: int = 0, topic="t", version: int = 4):
    partition = OffsetForLeaderPartition(partition=index, current_leader_epoch=current, leader_epoch=epoch)
    request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic, [partition])])
    response = await stage.ask(request, version)
    (result,) = response.topics[0].partitions
    assert (response.topics[0].topic, result.partition) == (topic, index)
    return result.error_code, result.leader_epoch, result.end_offset


async def bump(stage: Stage) -> None:
    await stage.broker.metadata.bump_leader_epochs([(stage.partition("t").topic_id, 0)])


@on_broker()
async def test_epochs_and_where_they_ended(stage: Stage):
    await stage.topic("t")
    for version in VERSIONS:
        assert await ask(stage, 0, version=version) == (0, 0, 0), "nothing is written yet"
        assert await ask(stage, 1, version=version) == (0, -1, -1)
        assert await ask(stage, -1, version=version) == (0, -1, -1)
    for _ in range(3):
        await stage.produce("t", batch_of([b"v"]))
    assert await ask(stage, 0) == (0, 0, 3)
    await bump(stage)
    assert await ask(stage, 0) == (0, 0, 3)
    assert await ask(stage, 1) == (0, 1, 3), "this epoch has written nothing"
    await stage.produce("t", batch_of([b"v"]))
    await bump(stage)  # epoch 2 never writes
    await bump(stage)
    await stage.produce("t", batch_of([b"v"]))
    for version in VERSIONS:
        found = [await ask(stage, epoch, version=version) for epoch in range(5)]
        assert found == [(0, 0, 3), (0, 1, 4), (0, 1, 4), (0, 3, 5), (0, -1, -1)]
    await stage.restart()
    assert [await ask(stage, epoch) for epoch in range(5)] == found


@on_broker()
async def test_epochs_whose_records_are_deleted(stage: Stage):
    partition = await stage.topic("t")
    for _ in range(3):
        await stage.produce("t", batch_of([b"v"]))
        await bump(stage)
    codes: list[int] = []
    partition.log.delete_records(2, codes.append)
    await until(lambda: codes)
    assert await ask(stage, 0) == (0, 0, 2), "the data is gone; what is known begins at 2"
    assert await ask(stage, 1) == (0, 1, 2)
    assert await ask(stage, 2) == (0, 2, 3)


@on_broker()
async def test_the_current_epoch_is_compared(stage: Stage):
    await stage.topic("t")
    await bump(stage)
    assert await ask(stage, 0, current=0) == (ErrorCode.FENCED_LEADER_EPOCH, -1, -1)
    assert await ask(stage, 0, current=1) == (0, 0, 0)
    assert await ask(stage, 0, current=2) == (ErrorCode.UNKNOWN_LEADER_EPOCH, -1, -1)


@on_broker()
async def test_what_does_not_exist(stage: Stage):
    await stage.topic("t")
    unknown = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)
    assert await ask(stage, 0, index=3) == unknown
    assert await ask(stage, 0, topic="nowhere") == unknown


@on_broker()
async def test_a_directory_that_failed(stage: Stage):
    await stage.topic("t")
    stage.partition("t").log.host.fail(OSError(5, "the test says so"))
    assert await ask(stage, 0) == (ErrorCode.KAFKA_STORAGE_ERROR, -1, -1)
