"""Start and stop of a broker: what is left behind when it fails, who is answered when it ends, what is there afterwards."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, on_broker, produce_request, run_async, until

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError, LogbrokerError
from logbroker.net.client_connection import ClientConnection, ConnectionLostError, UnreachableError
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import EARLIEST, LATEST, WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic


def threads() -> set[str]:
    """Names of the threads, without those that the loop keeps for itself."""
    return {t.name for t in threading.enumerate() if not t.name.startswith(("asyncio_", "uvloop_"))}


def test_a_start_that_fails_leaves_nothing_behind(tmp_path):
    async def main() -> None:
        before = threads()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            stage = Stage(tmp_path, listeners=(f"PLAINTEXT://127.0.0.1:{port}",))
            with pytest.raises((OSError, LogbrokerError)) as caught:
                await stage.start()
            assert (
                isinstance(caught.value, ConfigError | LogbrokerError)
                or caught.value.errno == errno.EADDRINUSE
            )
        await until(lambda: threads() <= before)
        again = Stage(tmp_path)
        await again.start()  # the directory is nobody's now
        await again.topic("t")
        await again.stop()
        await until(lambda: threads() <= before)

    run_async(main())


def test_data_without_its_metadata_is_not_begun_anew(tmp_path):
    async def main() -> None:
        stage = Stage(tmp_path)
        await stage.start()
        await stage.topic("t")
        await stage.produce("t", batch_of([b"v"]))
        await stage.stop()
        (tmp_path / "metadata").rename(tmp_path / "elsewhere")
        with pytest.raises(LogbrokerError):
            await stage.start()
        assert not (tmp_path / "metadata").exists() or not any((tmp_path / "metadata").iterdir())
        (tmp_path / "metadata").rmdir() if (tmp_path / "metadata").exists() else None
        (tmp_path / "elsewhere").rename(tmp_path / "metadata")
        await stage.start()
        assert stage.partition("t").log_end_offset == 1
        await stage.stop()

    run_async(main())


def test_stopping_before_and_without_a_start(tmp_path):
    async def main() -> None:
        stage = Stage(tmp_path)
        from logbroker.broker.broker import Broker

        broker = Broker(stage.settings)
        with pytest.raises(RuntimeError):
            broker.wait_failed()
        broker.fail("nobody listens yet")
        await broker.stop(hurry=asyncio.Event())

    run_async(main())


@on_broker()
async def test_a_restart_finds_everything(stage: Stage):
    await stage.topic("t", 3, retention_ms="-1")
    for index in range(3):
        for number in range(4):
            await stage.produce("t", batch_of([b"%d-%d" % (index, number)]), index)
    ids = stage.partition("t").topic_id
    for _ in range(2):
        await stage.restart()
        assert stage.partition("t").topic_id == ids
        assert stage.partition("t").config.retention_ms == -1
        for index in range(3):
            assert b"%d-3" % index in bytes_of(await stage.fetch("t", 3, index))
            assert stage.partition("t", index).leader_epoch == 0, "a clean stop begins no new epoch"
        assert stage.broker.startup_report["clean"] is True
        assert stage.broker.startup_report["replayed_batches"] == 0


@on_broker()
async def test_a_stop_answers_what_is_in_flight(stage: Stage):
    await stage.topic("t")
    partition = stage.partition("t")
    connection = await ClientConnection.connect("127.0.0.1", stage.port)
    with stage.hold("journal") as release:
        answers = [
            connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"%d" % n])), version=9)
            for n in range(5)
        ]
        await until(lambda: partition.log_end_offset == 5)
        stopping = asyncio.ensure_future(stage.broker.stop(hurry=asyncio.Event()))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        with pytest.raises(UnreachableError):
            await ClientConnection.connect("127.0.0.1", stage.port)
        release.set()
        responses = await asyncio.gather(*answers)
        await stopping
    offsets = [response.responses[0].partition_responses[0].base_offset for response in responses]
    assert offsets == list(range(5))
    connection.close()
    await stage.start()
    assert stage.partition("t").log_end_offset == 5


@on_broker()
async def test_a_hurried_stop_waits_for_no_client(stage: Stage):
    await stage.topic("t")
    partition = stage.partition("t")
    connection = await ClientConnection.connect("127.0.0.1", stage.port)
    hurry = asyncio.Event()
    with stage.hold("journal") as release:
        answer = connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"v"])), version=9)
        await until(lambda: partition.log_end_offset == 1)
        stopping = asyncio.ensure_future(stage.broker.stop(hurry=hurry))
        await asyncio.sleep(0.02)
        assert not answer.done()
        hurry.set()
        with pytest.raises(ConnectionLostError):
            await answer
        release.set()
        await stopping
    await stage.start()
    assert stage.partition("t").log_end_offset == 1, "what was appended is flushed nevertheless"


@on_broker(log_dirs=("one", "two"))
async def test_the_last_directory_fails_the_broker(stage: Stage):
    await stage.topic("t", 2)
    failed = asyncio.ensure_future(stage.broker.wait_failed())
    for index in range(2):
        assert not failed.done()
        stage.partition("t", index).log.host.fail(OSError(5, "the test says so"))
        await asyncio.sleep(0)
    assert "no log directory is left" in await failed
    assert (await stage.produce("t", batch_of([b"v"]))).error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_an_unclean_stop_begins_a_new_leader_epoch(make_broker: Callable[..., BrokerProcess]):
    broker = make_broker().start()
    client = WireClient(broker.bootstrap)
    client.call(
        ApiKey.CREATE_TOPICS,
        CreateTopicsRequest([CreatableTopic("t", 2, 1), CreatableTopic("quiet", 1, 1)], timeout_ms=10_000),
    )
    from support.broker_stage import batch_of as batch

    for kills in range(1, 4):
        assert client.produce("t", 0, batch([b"%d" % kills])).base_offset == kills - 1
        client.close()
        broker.kill()
        broker.start()
        client = WireClient(broker.bootstrap)
        asked = ListOffsetsTopic("t", [ListOffsetsPartition(partition_index=0, timestamp=LATEST)])
        response = client.call(ApiKey.LIST_OFFSETS, ListOffsetsRequest(replica_id=-1, topics=[asked]), 7)
        found = response.topics[0].partitions[0]
        assert (found.offset, found.leader_epoch) == (kills, kills)
        assert broker.events("serving")[-1]["clean"] is False
    assert client.offset("t", 0, EARLIEST) == (0, 0)
    client.close()


def test_starting_is_quick(tmp_path):
    async def main() -> None:
        stage = Stage(tmp_path)
        began = time.monotonic()
        await stage.start()
        assert time.monotonic() - began < 5
        await stage.stop()

    run_async(main())
