"""A dispatcher behind a real server, handlers of the test's own, and a client that speaks the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from struct import pack, unpack

import pytest
import uvloop

from logbroker.base.clock import SystemClock
from logbroker.base.metrics import Registry
from logbroker.base.tasks import TaskScope
from logbroker.broker.dispatch import Dispatcher
from logbroker.broker.handlers import ADVERTISED
from logbroker.net.limits import ServerLimits
from logbroker.net.server import Server
from logbroker.wire import codec
from logbroker.wire.frames import request_frame
from logbroker.wire.headers import decode_response_header

DEADLINE_S = 20.0


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.correlation_id = 0
        self.expected = []

    @property
    def name(self):
        return "{}:{}".format(*self.writer.get_extra_info("sockname")[:2])

    def send(self, key, version, message, *, client_id="tester", extra=b""):
        self.correlation_id += 1
        pieces = codec.encode_request(key, version, message)
        frame = b"".join(request_frame(key, version, self.correlation_id, client_id, [*pieces]))
        if extra:
            frame = pack(">i", len(frame) - 4 + len(extra)) + frame[4:] + extra
        self.writer.write(frame)
        self.expected.append((self.correlation_id, key, version))

    def send_raw(self, body):
        self.writer.write(pack(">i", len(body)) + body)

    async def receive_frame(self):
        (size,) = unpack(">i", await asyncio.wait_for(self.reader.readexactly(4), DEADLINE_S))
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE_S)

    async def receive(self):
        frame = await self.receive_frame()
        correlation_id, key, version = self.expected.pop(0)
        got, position = decode_response_header(key, version, frame)
        assert got == correlation_id
        return codec.decode_response(key, version, frame, position)

    async def call(self, key, version, message, **how):
        self.send(key, version, message, **how)
        return await self.receive()

    async def ended(self):
        rest = b""
        with contextlib.suppress(ConnectionError):
            rest = await asyncio.wait_for(self.reader.read(), DEADLINE_S)
        self.writer.close()
        return rest


class Rig:
    def __init__(self, server, tasks, port, latency):
        self.server, self.tasks, self.port, self.latency = server, tasks, port, latency
        self.clients = []

    async def connect(self):
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def settle(self):
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def play():
    return run_scenario


def run_scenario(scenario, handlers=None):
    """Run `scenario(rig)` against a broker that has `handlers` (API to module) in place of its own."""

    async def whole():
        tasks = TaskScope("test")
        latency = Registry().histograms("request_seconds", "x", ["api"])
        advertised = {**ADVERTISED, **(handlers or {})}
        dispatcher = Dispatcher("the broker", tasks, latency=latency.labels, advertised=advertised)
        server = Server(dispatcher.dispatch, ServerLimits(), SystemClock())
        listener = await server.listen("PLAINTEXT", "127.0.0.1", 0)
        rig = Rig(server, tasks, listener.port, latency)
        try:
            await scenario(rig)
        finally:
            for client in rig.clients:
                client.writer.close()
            await server.stop(0.0)
            await tasks.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(whole(), 60))


@pytest.fixture
def closings(caplog):
    caplog.set_level(logging.DEBUG, logger="logbroker")
    return lambda: [
        (record.fields["client"], record.fields["reason"])
        for record in caplog.records
        if record.getMessage() == "connection closed"
    ]
