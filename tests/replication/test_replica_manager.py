"""The replica manager under metadata changes: big topics in turns, configs on running partitions, more than one directory."""

from __future__ import annotations

import asyncio
import os
import shutil
import time

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, fetch_request, on_broker, run_async, until

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ConfigError
from logbroker.metadata.controller import MorePartitions, TopicToDelete
from logbroker.replication.replica_manager import PARTITIONS_A_TURN
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)

TOPIC = 2
SET, DELETE = 0, 1


async def alter(stage: Stage, topic: str, operation: int = SET, **configs: str | None) -> None:
    changes = [
        AlterableConfig(name=name.replace("_", "."), config_operation=operation, value=value)
        for name, value in configs.items()
    ]
    resource = AlterConfigsResource(resource_type=TOPIC, resource_name=topic, configs=changes)
    response = await stage.ask(IncrementalAlterConfigsRequest(resources=[resource]))
    assert response.responses[0].error_code == 0, response.responses[0].error_message


class Turns:
    """Counts the turns that the loop gives to others while the block runs."""

    async def _others(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    async def __aenter__(self) -> Turns:
        self.count = 0
        self._task = asyncio.ensure_future(self._others())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


@on_broker()
async def test_big_changes_are_made_in_turns(stage: Stage):
    size = 5 * PARTITIONS_A_TURN
    replicas = stage.broker.replicas
    publish = replicas.on_event
    turns: dict[str, int] = {}

    async def counted(name: str, pending) -> None:
        async with Turns() as counter:
            await pending
        turns[name] = counter.count

    def on_event(event, image):
        pending = publish(event, image)
        return None if pending is None else counted(type(event).__name__, pending)

    replicas.on_event = on_event  # the metadata asks for it anew each time
    await stage.topic("t", size)
    assert len(list(replicas)) == size
    await alter(stage, "t", retention_ms="1000")
    assert {p.config.retention_ms for p in replicas} == {1000}
    (outcome,) = await stage.broker.metadata.create_partitions([MorePartitions("t", 2 * size)])
    assert outcome.error is None
    assert len(list(replicas)) == 2 * size
    await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    assert not list(replicas)
    assert turns.keys() == {"TopicCreated", "TopicConfigChanged", "PartitionsAdded", "TopicDeleted"}
    assert all(count >= 4 for count in turns.values()), turns


@on_broker()
async def test_a_topic_made_anew_is_another(stage: Stage):
    first = await stage.topic("t")
    await stage.produce("t", batch_of([b"old"]))
    await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    with pytest.raises(BrokerError):
        stage.partition("t")
    with pytest.raises(BrokerError):
        first.append_as_leader(batch_of([b"late"]))
    second = await stage.topic("t")
    assert second.topic_id != first.topic_id
    assert (second.log_start_offset, second.log_end_offset) == (0, 0)
    with pytest.raises(BrokerError) as caught:
        stage.broker.replicas.partition_by_id(first.topic_id, 0)
    assert caught.value.code == ErrorCode.UNKNOWN_TOPIC_ID
    await stage.restart()
    assert stage.partition("t").log_end_offset == 0


# ---- configs of a running partition


@on_broker()
async def test_max_message_bytes(stage: Stage):
    await stage.topic("t")
    assert (await stage.produce("t", batch_of([bytes(2000)]))).error_code == 0
    await alter(stage, "t", max_message_bytes="1000")
    assert (await stage.produce("t", batch_of([bytes(2000)]))).error_code == ErrorCode.MESSAGE_TOO_LARGE
    await alter(stage, "t", DELETE, max_message_bytes=None)
    assert (await stage.produce("t", batch_of([bytes(2000)]))).error_code == 0


@on_broker()
async def test_compression_cleanup_and_timestamps(stage: Stage):
    partition = await stage.topic("t")
    size = len(batch_of([bytes(2000)]))
    await alter(stage, "t", compression_type="zstd", compression_zstd_level="5")
    await stage.produce("t", batch_of([bytes(2000)]))
    assert partition.log.size_bytes < size / 2
    await alter(stage, "t", message_timestamp_type="LogAppendTime")
    assert (await stage.produce("t", batch_of([b"v"], timestamps=5))).log_append_time_ms > 5
    await alter(stage, "t", cleanup_policy="compact")
    assert (await stage.produce("t", batch_of([b"v"]))).error_code == ErrorCode.INVALID_RECORD


@on_broker()
async def test_retention(stage: Stage):
    partition = await stage.topic("t")
    await stage.produce("t", batch_of([b"v"]))
    await alter(stage, "t", retention_ms="0")
    written_ms = time.time_ns() // 1_000_000
    await until(lambda: time.time_ns() // 1_000_000 > written_ms)
    await stage.broker.replicas.upkeep.retain(stage.broker.settings)
    await until(lambda: partition.log_start_offset == 1)


@on_broker()
async def test_flush_messages_back_and_forth(stage: Stage):
    partition = await stage.topic("t")
    await alter(stage, "t", flush_messages="1000")
    await until(lambda: partition.log.page_cache)
    with stage.hold("journal"):
        assert (await stage.produce("t", batch_of([b"cached"]))).base_offset == 0
    await alter(stage, "t", flush_messages="1")
    await until(lambda: not partition.log.page_cache)
    with stage.hold("journal"):
        answer = asyncio.ensure_future(stage.produce("t", batch_of([b"durable"])))
        await until(lambda: partition.log_end_offset == 2)
        await asyncio.sleep(0.02)
        assert not answer.done()
    assert (await answer).base_offset == 1


@on_broker()
async def test_min_insync_replicas(stage: Stage):
    await stage.topic("t")
    await alter(stage, "t", min_insync_replicas="2")
    assert (await stage.produce("t", batch_of([b"v"]))).error_code == ErrorCode.NOT_ENOUGH_REPLICAS


# ---- directories


@on_broker(log_dirs=("one", "two"))
async def test_partitions_are_spread_and_found_again(stage: Stage):
    await stage.topic("t", 6)
    for index in range(6):
        assert (await stage.produce("t", batch_of([b"%d" % index]), index)).error_code == 0
    sizes = [len(state.directory.logs) for state in stage.broker.replicas.states]
    assert sizes == [3, 3]
    await stage.restart()
    for index in range(6):
        assert bytes_of(await stage.fetch("t", 0, index)).endswith(b"%d\x00" % index)


@on_broker(log_dirs=("one", "two"))
async def test_one_directory_fails_and_the_other_goes_on(stage: Stage):
    await stage.topic("t", 2)
    partitions = [stage.partition("t", index) for index in range(2)]
    with stage.hold("journal", 0) as release, stage.hold("journal", 1):
        answers = []
        for index in range(2):
            connection = await stage.connect()
            answers.append(
                asyncio.ensure_future(stage.produce("t", batch_of([b"v"]), index, connection=connection))
            )
        await until(lambda: all(partition.log_end_offset == 1 for partition in partitions))
        partitions[0].log.host.fail(OSError(5, "the test says so"))
        release.set()
        assert (await answers[0]).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert (await answers[1]).error_code == 0
    for index, code in ((0, ErrorCode.KAFKA_STORAGE_ERROR), (1, 0)):
        assert (await stage.produce("t", batch_of([b"v"]), index)).error_code == code
        assert (await stage.fetch("t", 0, index)).error_code == code
    await stage.topic("new", 4)
    for index in range(4):
        assert (await stage.produce("new", batch_of([b"v"]), index)).error_code == 0


@pytest.mark.parametrize("emptied", [False, True])
@on_broker(log_dirs=("one", "two"))
async def test_a_directory_that_is_missing_at_start(stage: Stage, emptied: bool):
    await stage.topic("t", 2)
    for index in range(2):
        assert (await stage.produce("t", batch_of([b"v"]), index)).error_code == 0
    gone = stage.partition("t").log.host.path
    await stage.stop()
    shutil.move(gone, f"{gone}.away")
    if emptied:
        os.mkdir(gone)  # what is left of it when its file system isn't mounted
    await stage.start()
    for index, code in ((0, ErrorCode.KAFKA_STORAGE_ERROR), (1, 0)):
        answer = await stage.produce("t", batch_of([b"v"]), index)
        assert answer.error_code == code
        if code:
            assert "mounted" in answer.error_message
        assert (await stage.fetch("t", 0, index)).error_code == code
    response = await stage.ask(fetch_request({("t", 0): 0, ("t", 1): 0}, max_wait_ms=30_000), 12)
    assert [p.error_code for p in response.responses[0].partitions] == [ErrorCode.KAFKA_STORAGE_ERROR, 0]
    await stage.broker.replicas.upkeep.retain(stage.broker.settings)
    there = os.listdir(os.path.dirname(gone))
    assert os.listdir(gone) == [] if emptied else os.path.basename(gone) not in there, (
        "nothing takes its place"
    )
    await stage.stop()
    shutil.rmtree(gone, ignore_errors=True)
    shutil.move(f"{gone}.away", gone)
    await stage.start()
    assert stage.partition("t").log_end_offset == 1
    assert (await stage.produce("t", batch_of([b"v"]))).base_offset == 1


def test_no_directory_is_left_at_start(tmp_path):
    async def main() -> None:
        stage = Stage(tmp_path)
        await stage.start()
        await stage.topic("t")
        await stage.stop()
        shutil.rmtree(tmp_path / "data")
        with pytest.raises(ConfigError, match="mounted"):
            await stage.start()
        assert not (tmp_path / "data").exists()

    run_async(main())


def test_a_directory_of_another_broker(tmp_path):
    async def main() -> None:
        one = Stage(tmp_path / "one")
        await one.start()
        with pytest.raises(ConfigError):
            await Stage(
                tmp_path / "two", log_dirs=("../one/data",), metadata_log_dir=str(tmp_path / "m")
            ).start()
        await one.topic("t")
        assert (await one.produce("t", batch_of([b"v"]))).error_code == 0
        await one.stop()
        with pytest.raises(ConfigError):
            await Stage(
                tmp_path / "two", log_dirs=("../one/data",), metadata_log_dir=str(tmp_path / "m")
            ).start()

    run_async(main())


# ---- memory


@on_broker()
async def test_memory_topics_begin_above_everything_after_a_restart(stage: Stage):
    partition = await stage.topic("t", storage_type="memory")
    for number in range(10):
        assert (await stage.produce("t", batch_of([b"v"]))).base_offset == number
    assert partition.log.path == ""
    assert not any(name.startswith("t-") for name in os.listdir(stage.paths[0]))
    for _ in range(2):
        end = stage.partition("t").log_end_offset
        await stage.restart()
        partition = stage.partition("t")
        assert partition.log_start_offset == partition.log_end_offset >= end
        answer = await stage.produce("t", batch_of([b"again"]))
        assert (answer.error_code, answer.base_offset) == (0, partition.log_end_offset - 1)
        assert (await stage.fetch("t", end - 1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert bytes_of(await stage.fetch("t", answer.base_offset))


@on_broker()
async def test_memory_is_not_acknowledged_before_its_offsets_are_reserved(stage: Stage):
    await stage.topic("t", storage_type="memory")
    reserved = stage.broker.metadata.image.memory_offsets
    assert not reserved
    answer = await stage.produce("t", batch_of([b"v"]))
    assert answer.base_offset == 0
    (up_to,) = stage.broker.metadata.image.memory_offsets.values()
    assert up_to > 0


@on_broker()
async def test_a_memory_topic_that_is_deleted_while_its_offsets_are_reserved(stage: Stage):
    for number in range(5):
        await stage.topic("t", storage_type="memory")
        connection = await stage.connect()
        produced = asyncio.ensure_future(stage.produce("t", batch_of([b"v"]), connection=connection))
        partition = stage.partition("t")
        for _ in range(number):
            await asyncio.sleep(0)
        deleted = asyncio.ensure_future(stage.broker.metadata.delete_topics([TopicToDelete(name="t")]))
        await deleted
        code = (await produced).error_code
        assert code in {0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID}
        assert partition.log.refusal is not None
    assert stage.broker.tasks.failure is None
    assert not stage.broker.wait_failed().done()


@on_broker()
async def test_a_full_memory_partition(stage: Stage):
    await stage.topic("reject", storage_type="memory", memory_max_bytes="1048576")
    await stage.topic("evict", storage_type="memory", memory_max_bytes="1048576", memory_full_policy="evict")
    codes = [(await stage.produce("reject", batch_of([bytes(100_000)]))).error_code for _ in range(14)]
    assert codes[:10] == [0] * 10
    assert codes[-1] == ErrorCode.KAFKA_STORAGE_ERROR
    for _ in range(30):
        assert (await stage.produce("evict", batch_of([bytes(100_000)]))).error_code == 0
    partition = stage.partition("evict")
    assert partition.log.size_bytes < 1_200_000
    assert partition.log_start_offset > 15
    assert partition.log_end_offset == 30
