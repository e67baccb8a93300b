"""The connection, against servers that say exactly what a test wants them to say."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.errors import ClientError, ProtocolError
from logbroker.net.client_connection import (
    ClientConnection,
    ConnectionLostError,
    UnreachableError,
    UnsupportedByBrokerError,
)
from logbroker.net.frame_receiver import SCRATCH_BYTES, FrameReceiver
from logbroker.testing.broker_process import free_port
from logbroker.wire.api import API, ApiKey
from logbroker.wire.codec import encode_response
from logbroker.wire.frames import response_frame
from logbroker.wire.headers import decode_request_header
from logbroker.wire.messages.api_versions import ApiVersion, ApiVersionsResponse
from logbroker.wire.messages.metadata import MetadataRequest, MetadataResponse

EVERY_VERSION = [ApiVersion(int(key), spec.min_version, spec.max_version) for key, spec in API.items()]


class Header(NamedTuple):
    """A request's header, by name."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str
    position: int


def plainly(_header, number):
    return MetadataResponse(cluster_id=f"answer {number}")


def nothing(_header, _number):
    return None


def framed(header, message):
    """A response as bytes."""
    body = encode_response(header.api_key, header.api_version, message)
    return b"".join(response_frame(header.api_key, header.api_version, header.correlation_id, body))


class Server:
    """A server whose connections are closed when the test is over, so that nothing is left to the garbage collector."""

    def __init__(self, serve):
        self.serve = serve
        self.writers = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _accepted(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(EOFError, OSError):
            await self.serve(reader, writer)
        writer.close()

    @property
    def writer(self):
        return self.writers[-1]


class Script(Server):
    """A server: `answer(header, number)` returns a message, raw bytes, or None to say nothing."""

    def __init__(self, answer=plainly, offered=EVERY_VERSION, junk=b""):
        super().__init__(self.follow_script)
        self.answer = answer
        self.offered = offered
        self.junk = junk
        self.news = asyncio.Event()
        self.requests = []

    async def received(self, count):
        """Wait until `count` requests have come."""
        while len(self.requests) < count:
            self.news.clear()
            await self.news.wait()

    async def follow_script(self, reader, writer):
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            header = Header(*decode_request_header(await reader.readexactly(size)))
            if header.api_key == ApiKey.API_VERSIONS:
                writer.write(framed(header, ApiVersionsResponse(api_keys=self.offered)) + self.junk)
                continue
            self.requests.append(header)
            self.news.set()
            message = self.answer(header, len(self.requests))
            if message is not None:
                writer.write(message if isinstance(message, bytes) else framed(header, message))


def scripted(test):
    """Run an async test on a loop of its own."""

    @functools.wraps(test)
    def run(*arguments, **keywords):
        asyncio.run(test(*arguments, **keywords))

    return run


async def connected(script, **options):
    return await ClientConnection.connect("127.0.0.1", script.port, **options)


@scripted
async def test_requests_are_pipelined_and_answered_in_order():
    async with Script() as script:
        connection = await connected(script)
        futures = [connection.send(ApiKey.METADATA, MetadataRequest()) for _ in range(10)]
        assert connection.in_flight == 10
        answers = [(await future).cluster_id for future in futures]
        assert answers == [f"answer {number}" for number in range(1, 11)]
        assert len({header.correlation_id for header in script.requests}) == 10
        assert script.requests[0].client_id == "logbroker"
        connection.close()


@scripted
async def test_no_more_requests_are_in_flight_than_allowed():
    async with Script(nothing) as script:
        connection = await connected(script, max_in_flight=2)
        tasks = [
            asyncio.create_task(connection.request(ApiKey.METADATA, MetadataRequest())) for _ in range(5)
        ]
        await script.received(2)
        for _ in range(100):
            await asyncio.sleep(0)
        assert connection.in_flight == len(script.requests) == 2
        script.answer = plainly
        for header in list(script.requests):
            script.writer.write(framed(header, MetadataResponse()))
        await asyncio.gather(*tasks)
        assert len(script.requests) == 5
        connection.close()


@scripted
async def test_a_waiting_request_that_is_given_up_passes_its_turn_on():
    async with Script(nothing) as script:
        connection = await connected(script, max_in_flight=1)
        first = asyncio.create_task(connection.request(ApiKey.METADATA, MetadataRequest()))
        given_up = asyncio.create_task(connection.request(ApiKey.METADATA, MetadataRequest()))
        patient = asyncio.create_task(connection.request(ApiKey.METADATA, MetadataRequest()))
        await script.received(1)
        script.answer = plainly
        given_up.cancel()
        script.writer.write(framed(script.requests[0], MetadataResponse(cluster_id="first")))
        assert (await first).cluster_id == "first"
        assert (await patient).cluster_id == "answer 2"
        connection.close()


@scripted
async def test_nobody_listens():
    port = free_port()
    with pytest.raises(
        UnreachableError, match=rf"cannot reach 127.0.0.1:{port}: connection refused; is the broker running\?"
    ):
        await ClientConnection.connect("127.0.0.1", port)
    with pytest.raises(UnreachableError, match="host name is not known"):
        await ClientConnection.connect("no-such-host.invalid", port)


@scripted
async def test_a_server_that_says_nothing():
    async def serve(reader, _writer):
        await reader.read()

    async with Server(serve) as server:
        with pytest.raises(UnreachableError, match="no answer within 50 ms"):
            await connected(server, connect_timeout_ms=50)


@pytest.mark.parametrize(
    ("speech", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"\xff\xff\xff\xff", "does not speak the Kafka protocol"),
        (struct.pack(">i", 3) + b"abc", "can't be read"),
        (struct.pack(">ii", 4, 12345), "12345"),
        (b"", "closed the connection instead of answering"),
    ],
)
@scripted
async def test_a_server_that_speaks_something_else(speech, complaint):
    async def serve(reader, writer):
        await reader.read(1000)
        writer.write(speech)

    async with Server(serve) as server:
        with pytest.raises(ClientError, match=complaint):
            await connected(server)


@scripted
async def test_the_newest_version_of_both_is_used():
    offered = [
        entry
        for entry in EVERY_VERSION
        if entry.api_key not in {ApiKey.METADATA, ApiKey.PRODUCE, ApiKey.FETCH}
    ]
    offered += [ApiVersion(int(ApiKey.METADATA), 0, 5), ApiVersion(int(ApiKey.FETCH), 90, 99)]
    async with Script(offered=offered) as script:
        connection = await connected(script)
        assert connection.version(ApiKey.METADATA) == 5
        assert connection.version(ApiKey.METADATA, at_most=3) == 3
        await connection.request(ApiKey.METADATA, MetadataRequest())
        assert script.requests[0].api_version == 5
        assert not connection.offers(ApiKey.PRODUCE)
        with pytest.raises(UnsupportedByBrokerError, match="does not offer Produce"):
            connection.version(ApiKey.PRODUCE)
        with pytest.raises(UnsupportedByBrokerError, match="Fetch versions 90 to 99"):
            connection.version(ApiKey.FETCH)
        connection.close()


@scripted
async def test_an_old_broker_answers_api_versions_with_version_0():
    asked = []

    async def serve(reader, writer):
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            header = Header(*decode_request_header(await reader.readexactly(size)))
            asked.append(header.api_version)
            supported = [ApiVersion(int(ApiKey.API_VERSIONS), 0, 2)]
            if header.api_version > 2:
                header = header._replace(api_version=0)
                writer.write(framed(header, ApiVersionsResponse(error_code=35, api_keys=supported)))
            else:
                writer.write(framed(header, ApiVersionsResponse(api_keys=supported)))

    async with Server(serve) as server:
        connection = await connected(server)
        assert asked == [API[ApiKey.API_VERSIONS].max_version, 2]
        assert connection.version(ApiKey.API_VERSIONS) == 2
        connection.close()


@scripted
async def test_an_overdue_answer_takes_the_connection_down():
    async with Script(nothing) as script:
        connection = await connected(script)
        patient = connection.send(ApiKey.METADATA, MetadataRequest(), timeout_ms=60_000)
        with pytest.raises(ConnectionLostError, match="did not answer Metadata within 30 ms"):
            await connection.request(ApiKey.METADATA, MetadataRequest(), timeout_ms=30)
        with pytest.raises(ConnectionLostError):
            await patient
        assert connection.closed
        with pytest.raises(ConnectionLostError, match="did not answer"):
            await connection.request(ApiKey.METADATA, MetadataRequest())


@scripted
async def test_everything_in_flight_learns_that_the_connection_is_gone():
    async with Script(nothing) as script:
        connection = await connected(script, max_in_flight=2)
        tasks = [
            asyncio.create_task(connection.request(ApiKey.METADATA, MetadataRequest())) for _ in range(4)
        ]
        await script.received(2)
        script.writer.transport.abort()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, ConnectionLostError)


@scripted
async def test_answers_that_nobody_asked_for_or_can_read():
    def out_of_turn(header, _number):
        return struct.pack(">iiB", 5, header.correlation_id + 1, 0)

    def cut_short(header, _number):
        return struct.pack(">iiB", 5, header.correlation_id, 0)

    async with Script(out_of_turn) as script:
        connection = await connected(script)
        with pytest.raises(ClientError, match="was due"):
            await connection.request(ApiKey.METADATA, MetadataRequest())
    async with Script(cut_short) as script:
        connection = await connected(script)
        with pytest.raises(ClientError, match="answer to Metadata version 13 that can't be read"):
            await connection.request(ApiKey.METADATA, MetadataRequest())
    async with Script(junk=struct.pack(">ii", 4, 7)) as script:
        connection = await connected(script)
        with pytest.raises(ConnectionLostError, match="nobody asked for"):
            await connection.request(ApiKey.METADATA, MetadataRequest())


class Receiving:
    """A FrameReceiver fed by hand."""

    def __init__(self, max_frame_bytes=10_000_000):
        self.frames = []
        self.lost = []
        self.receiver = FrameReceiver(
            max_frame_bytes, lambda frame: self.frames.append(bytes(frame)), self.lost.append, print
        )

    def feed(self, data):
        data = memoryview(data)
        while data:
            room = self.receiver.get_buffer(-1)
            size = min(len(room), len(data))
            assert size > 0
            room[:size] = data[:size]
            self.receiver.buffer_updated(size)
            data = data[size:]


@given(
    st.lists(
        st.one_of(
            st.integers(0, 50),
            st.sampled_from([SCRATCH_BYTES - 5, SCRATCH_BYTES - 4, SCRATCH_BYTES, 200_000]),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 100_000), min_size=1, max_size=10),
)
def test_frames_come_out_whole_however_they_arrive(sizes, cuts):
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    stream = b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)
    receiving = Receiving()
    position = 0
    for cut in cuts:
        receiving.feed(stream[position : position + cut])
        position += cut
    receiving.feed(stream[position:])
    assert receiving.frames == frames
    assert receiving.lost == []


@pytest.mark.parametrize("size", [-1, 1001, 0x7FFFFFFF])
def test_a_frame_beyond_the_bound_ends_the_connection(size):
    receiving = Receiving(max_frame_bytes=1000)
    receiving.feed(struct.pack(">i", size))
    assert isinstance(receiving.lost[0], ProtocolError)
    assert receiving.frames == []
