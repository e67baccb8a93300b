"""A whole broker in the test's own event loop, with real sockets, files and threads, and connections to it.

    @on_broker(message_max_bytes=2000)
    async def test_something(stage): ...

runs the test on a broker whose data lies in the test's own directory. `stage.restart()` stops it cleanly and starts it on the
same data. `stage.hold("journal")` keeps everything that is sent to that lane of the storage engine waiting, so that a test
decides when an append becomes durable.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import pathlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvloop

from logbroker.broker.broker import Broker
from logbroker.config.settings import Settings
from logbroker.metadata.controller import NewTopic
from logbroker.net.client_connection import ClientConnection
from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder
from logbroker.replication.partition import Partition
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)

TIMEOUT_S = 60.0
_API_OF_REQUEST = {f"{spec.name}Request": spec for spec in API.values()}

SMALL = {
    "log_journal_files": 2,
    "log_journal_file_bytes": 4 << 20,
    "log_journal_group_max_bytes": 1 << 20,
    "group_initial_rebalance_delay_ms": 0,
}
"""Settings under which a broker starts at once."""


class Stage:
    """A broker and the connections that a test has opened to it."""

    def __init__(self, directory: pathlib.Path, **settings: Any) -> None:
        paths = settings.pop("log_dirs", ("data",))
        self.paths = tuple(directory / path for path in paths)
        self.settings = Settings(
            **{
                **SMALL,
                "log_dirs": tuple(str(path) for path in self.paths),
                "metadata_log_dir": str(directory / "metadata"),
                "listeners": ("PLAINTEXT://127.0.0.1:0",),
                **settings,
            }
        )
        self.broker: Broker
        self._connections: list[ClientConnection] = []
        self._own: ClientConnection | None = None
        self._releases: list[threading.Event] = []

    async def __aenter__(self) -> Stage:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self.broker = Broker(self.settings)
        try:
            await self.broker.start()
        except BaseException:
            await self._stop_broker()
            raise

    async def stop(self) -> None:
        """Stop the broker, orderly; whatever was held is let go."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        await self._stop_broker()

    async def _stop_broker(self) -> None:
        for release in self._releases:
            release.set()
        self._releases.clear()
        await self.broker.stop(hurry=asyncio.Event())

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    @property
    def port(self) -> int:
        return self.broker.advertised("PLAINTEXT")[1]

    async def connect(self) -> ClientConnection:
        connection = await ClientConnection.connect("127.0.0.1", self.port)
        self._connections.append(connection)
        return connection

    async def ask(self, request: Any, version: int | None = None) -> Any:
        """The response to a request, on a connection of the stage's own."""
        if self._own is None or self._own.closed:
            self._own = await self.connect()
        spec = _API_OF_REQUEST[type(request).__name__]
        return await self._own.request(ApiKey(spec.key), request, version=version)

    async def topic(self, name: str, partitions: int = 1, **configs: str) -> Partition:
        """Create a topic; configs as in Kafka, with `_` for the dots. Its partition 0."""
        pairs = tuple((key.replace("_", "."), value) for key, value in configs.items())
        (outcome,) = await self.broker.metadata.create_topics([NewTopic(name, partitions, 1, configs=pairs)])
        assert outcome.error is None, outcome.error
        return self.partition(name)

    def partition(self, name: str, index: int = 0) -> Partition:
        return self.broker.replicas.partition(name, index)

    async def produce(
        self,
        topic: str,
        batch: Any,
        index: int = 0,
        *,
        acks: int = -1,
        timeout_ms: int = 30_000,
        version: int = 12,
        connection: ClientConnection | None = None,
    ) -> PartitionProduceResponse:
        """Send one batch and return what is said of it."""
        request = produce_request(topic, batch, index, acks=acks, timeout_ms=timeout_ms)
        if connection is not None:
            response = await connection.request(ApiKey.PRODUCE, request, version=version)
        else:
            response = await self.ask(request, version)
        return response.responses[0].partition_responses[0]

    async def fetch(self, topic: str, offset: int, index: int = 0, **options: Any) -> PartitionData:
        """Fetch one partition by name, without a session."""
        response = await self.ask(fetch_request({(topic, index): offset}, **options), 12)
        assert response.error_code == 0
        return response.responses[0].partitions[0]

    @contextmanager
    def hold(self, lane: str, directory: int = 0) -> Iterator[threading.Event]:
        """Everything that is sent to `lane` waits until the block ends, or the event that it is given is set."""
        executor = self.broker.replicas.states[directory].executor
        assert executor is not None
        release = threading.Event()
        self._releases.append(release)

        def wait() -> Iterator[None]:
            release.wait(TIMEOUT_S)
            yield

        executor.submit(lane, wait())
        try:
            yield release
        finally:
            release.set()


def on_broker(
    **settings: Any,
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Make a test of a coroutine function that takes a `stage`, and perhaps other fixtures."""

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())[1:]
        wants_path = any(parameter.name == "tmp_path" for parameter in parameters)

        @functools.wraps(test)
        def run(tmp_path: pathlib.Path, **arguments: Any) -> None:
            if wants_path:
                arguments["tmp_path"] = tmp_path

            async def main() -> None:
                async with Stage(tmp_path, **settings) as stage:
                    await test(stage, **arguments)

            run_async(main())

        if not wants_path:
            parameters.insert(0, inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def run_async(main: Coroutine[Any, Any, None], timeout_s: float = TIMEOUT_S) -> None:
    """Run a coroutine on the kind of loop that the daemon has."""

    async def bounded() -> None:
        async with asyncio.timeout(timeout_s):
            await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Let the loop turn until something is so; AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.002)


def batch_of(
    values: Sequence[bytes | tuple[bytes | None, bytes | None]],
    *,
    timestamps: Sequence[int] | int | None = None,
    codec: Codec = Codec.NONE,
    producer_id: int = -1,
    epoch: int = 0,
    sequence: int = 0,
) -> bytearray:
    """A batch as a client sends it: of values, or of (key, value); the time is now unless `timestamps` say otherwise."""
    builder = BatchBuilder(
        codec=codec,
        producer_id=producer_id,
        producer_epoch=epoch if producer_id >= 0 else -1,
        base_sequence=sequence if producer_id >= 0 else -1,
    )
    now_ms = time.time_ns() // 1_000_000
    for number, item in enumerate(values):
        if timestamps is None:
            timestamp = now_ms
        else:
            timestamp = timestamps if isinstance(timestamps, int) else timestamps[number]
        key, value = item if isinstance(item, tuple) else (None, item)
        builder.append(timestamp, key, value)
    return builder.build()


def produce_request(
    topic: str, batch: Any, index: int = 0, *, acks: int = -1, timeout_ms: int = 30_000, **names: Any
) -> ProduceRequest:
    """One batch for one partition."""
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index, batch)], **names)
    return ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=[data])


def fetch_request(
    offsets: dict[tuple[Any, int], int],
    *,
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    max_bytes: int = 1 << 20,
    partition_max_bytes: int = 1 << 20,
    epoch: int = -1,
    **fields: Any,
) -> FetchRequest:
    """Fetch these (topic name or id, partition): offset, in this order."""
    topics: dict[Any, FetchTopic] = {}
    for (topic, index), offset in offsets.items():
        named = {"topic": topic} if isinstance(topic, str) else {"topic_id": topic}
        topics.setdefault(topic, FetchTopic(**named)).partitions.append(
            FetchPartition(
                partition=index,
                fetch_offset=offset,
                partition_max_bytes=partition_max_bytes,
                current_leader_epoch=epoch,
            )
        )
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        topics=list(topics.values()),
        **fields,
    )


def bytes_of(data: PartitionData) -> bytes:
    """The records of a partition as they came."""
    records = data.records
    if records is None:
        return b""
    return b"".join(records) if isinstance(records, list) else bytes(records)
