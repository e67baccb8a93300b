"""A real server on a real socket, a handler that does what the frame says, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from struct import pack, unpack

import pytest
import uvloop

from logbroker.base.clock import ManualClock
from logbroker.net.limits import ServerLimits
from logbroker.net.reply import Reply
from logbroker.net.server import Server
from logbroker.net.server_connection import ServerConnection

DEADLINE_S = 20.0


def framed(body: bytes) -> bytes:
    return pack(">i", len(body)) + body


class Commands:
    """Does what the first byte of a frame says; the rest of it is its name.

    e: echo at once · l: echo when the test says so · n: no reply · b: as many bytes as the number that follows ·
    s: like l, but nothing else of its connection before it is answered, and it waits for what is before it
    """

    def __init__(self) -> None:
        self.server: Server
        self.frames: list[memoryview] = []
        self.dispatched: list[bytes] = []
        self.open: dict[bytes, tuple[Reply, bytes]] = {}
        self.arrived = asyncio.Event()

    def __call__(self, connection: ServerConnection, frame: memoryview) -> bool:
        command, name = bytes(frame[:1]), bytes(frame[1:41])
        if command == b"s" and connection.unanswered:
            return False
        self.frames.append(frame)
        self.dispatched.append(command + name)
        self.arrived.set()
        reply = Reply(connection, len(frame), connection.server.now)
        connection.admit(reply)
        body = bytes(frame)
        if command == b"e":
            reply.send_frame(framed(body))
        elif command == b"n":
            reply.send_nothing()
        elif command == b"b":
            size = int(name)
            reply.send_frame([pack(">i", size), memoryview(bytearray(size))])
        else:
            self.open[name] = (reply, body)
            connection.serial = connection.serial or command == b"s"
        return True

    def answer(self, name: bytes) -> None:
        reply, body = self.open.pop(name)
        reply.send_frame(framed(body))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the handler has seen enough."""
        while not condition():
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), DEADLINE_S)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *bodies: bytes) -> None:
        self.writer.write(b"".join(map(framed, bodies)))

    def send_raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def drain(self) -> None:
        await asyncio.wait_for(self.writer.drain(), DEADLINE_S)

    async def receive(self) -> bytes:
        (size,) = unpack(">i", await asyncio.wait_for(self.reader.readexactly(4), DEADLINE_S))
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE_S)

    async def ended(self) -> bytes:
        """What comes until the server closes; a reset counts as a close."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(self.reader.read(1 << 20), DEADLINE_S):
                rest += piece
        self.writer.close()
        return rest

    def close(self) -> None:
        self.writer.close()


class Net:
    """What a test of the server gets."""

    def __init__(self, server: Server, commands: Commands, port: int, clock: ManualClock) -> None:
        self.server = server
        self.commands = commands
        self.port = port
        self.clock = clock
        self.clients: list[Client] = []

    async def connect(self, source: str = "127.0.0.1") -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0), limit=1 << 24
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until something that has no event of its own is so."""
        for _ in range(200_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to be")

    async def settle(self) -> None:
        """Let everything that is on its way arrive: the kernel is done with loopback bytes when send returns."""
        for _ in range(50):
            await asyncio.sleep(0)

    @property
    def connections(self) -> list[ServerConnection]:
        return sorted(self.server.connections, key=lambda connection: connection.peer)


Scenario = Callable[[Net], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(limits: ServerLimits) -> AsyncIterator[Net]:
    commands = Commands()
    clock = ManualClock()
    server = commands.server = Server(commands, limits, clock)
    listener = await server.listen("PLAINTEXT", "127.0.0.1", 0)
    net = Net(server, commands, listener.port, clock)
    try:
        yield net
    finally:
        for client in net.clients:
            client.close()
        await server.stop(0.0)
        assert server.budget.used_bytes == sum(reply.request_bytes for reply, _ in commands.open.values())
        await asyncio.sleep(0)


@pytest.fixture(params=["uvloop", "asyncio"])
def play(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run a scenario against a fresh server, on both kinds of loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(scenario: Scenario, **limits: int) -> None:
        async def whole() -> None:
            async with serving(ServerLimits(**limits)) as net:
                await scenario(net)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(whole(), 3 * DEADLINE_S))

    return run


@pytest.fixture
def closings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Client and reason of every connection that was said to be closed."""
    caplog.set_level(logging.DEBUG, logger="logbroker")

    def read() -> list[tuple[str, str]]:
        return [
            (record.fields["client"], record.fields["reason"])  # type: ignore[attr-defined]
            for record in caplog.records
            if record.getMessage() == "connection closed"
        ]

    return read
