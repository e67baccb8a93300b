"""Opening and closing listening sockets, and what is said when it can't be done."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
import uvloop

from logbroker.base.clock import SystemClock
from logbroker.base.errors import ConfigError
from logbroker.net.limits import ServerLimits
from logbroker.net.port_owner import describe_owner
from logbroker.net.server import Server


def run(scenario):
    async def whole():
        server = Server(lambda *_: True, ServerLimits(), SystemClock())
        try:
            await scenario(server)
        finally:
            await server.stop(0.0)
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


def test_port_0_is_chosen_by_the_system_and_reported():
    async def scenario(server):
        first, second = await server.listen("A", "127.0.0.1", 0), await server.listen("B", "127.0.0.1", 0)
        assert first.port != second.port
        for listener in (first, second):
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.close()
        for _ in range(100):
            await asyncio.sleep(0)
        assert server.counters.accepted == 2

    run(scenario)


@pytest.mark.parametrize("send_buffer_bytes", [100_000, 204_800])
def test_connections_get_the_send_buffer_of_the_limits(send_buffer_bytes):
    async def scenario(server):
        server.limits = ServerLimits(send_buffer_bytes=send_buffer_bytes)
        listener = await server.listen("A", "127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for _ in range(100):
            await asyncio.sleep(0)
        (connection,) = server.connections
        accepted = connection.transport.get_extra_info("socket")
        granted_bytes = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert granted_bytes in (send_buffer_bytes, 2 * send_buffer_bytes)
        writer.close()

    run(scenario)


def test_connections_know_their_listener():
    async def scenario(server):
        await server.listen("INSIDE", "127.0.0.1", 0)
        outside = await server.listen("OUTSIDE", "127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", outside.port)
        for _ in range(100):
            await asyncio.sleep(0)
        assert [connection.listener_name for connection in server.connections] == ["OUTSIDE"]
        assert [connection.address for connection in server.connections] == ["127.0.0.1"]
        writer.close()

    run(scenario)


def test_every_interface_has_one_port():
    async def scenario(server):
        listener = await server.listen("A", "", 0)
        for address in ("127.0.0.1", "::1"):
            try:
                _, writer = await asyncio.open_connection(address, listener.port)
            except OSError:
                assert address == "::1", "IPv6 may be off, IPv4 may not"
                continue
            writer.close()

    run(scenario)


def test_a_port_that_is_taken_is_named_with_its_owner_and_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own_name = Path("/proc/self/comm").read_text().strip()

        async def scenario(server):
            with pytest.raises(ConfigError) as caught:
                await server.listen("A", "127.0.0.1", port)
            message = str(caught.value)
            assert f"127.0.0.1:{port}" in message
            assert f"(pid {os.getpid()})" in message
            assert own_name in message
            assert "--listen HOST:PORT" in message
            await server.listen("A", "127.0.0.1", 0)

        run(scenario)


def test_the_owner_of_a_free_port_is_nobody():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert describe_owner(bound.getsockname()[1]) is None


@pytest.mark.parametrize(
    ("host", "reason"), [("192.0.2.1", "no such address"), ("host.invalid", "can't listen on host.invalid")]
)
def test_other_addresses_that_can_not_be_used(host, reason):
    async def scenario(server):
        with pytest.raises(ConfigError, match=reason):
            await server.listen("A", host, 0)

    run(scenario)


def test_a_closed_listener_frees_its_port():
    async def scenario(server):
        listener = await server.listen("A", "127.0.0.1", 0)
        listener.close()
        listener.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", listener.port)
        again = await server.listen("A", "127.0.0.1", listener.port)
        assert again.port == listener.port

    run(scenario)
