"""Stopping: nobody new, everything in flight answered, and an end to the waiting."""

from __future__ import annotations

import asyncio

import pytest


def test_what_is_in_flight_is_answered_then_connections_close(play):
    async def scenario(net):
        busy, idle = await net.connect(), await net.connect()
        busy.send(b"l1", b"l2", b"e3")
        await net.commands.until(lambda: len(net.commands.dispatched) == 3)
        stopping = asyncio.ensure_future(net.server.stop(30.0))
        assert await idle.ended() == b""
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", net.port)
        busy.send(b"e4")
        await net.settle()
        assert len(net.commands.dispatched) == 3, "no new requests while stopping"
        assert not stopping.done()
        net.commands.answer(b"2")
        net.commands.answer(b"1")
        assert [await busy.receive() for _ in range(3)] == [b"l1", b"l2", b"e3"]
        assert await busy.ended() == b""
        assert await stopping == 0

    play(scenario)


def test_a_large_reply_is_sent_whole_before_the_end(play):
    async def scenario(net):
        client = await net.connect()
        client.writer.transport.pause_reading()
        client.send(b"b12000000")
        await net.commands.until(lambda: net.commands.dispatched)
        stopping = asyncio.ensure_future(net.server.stop(30.0))
        await net.settle()
        client.writer.transport.resume_reading()
        assert len(await client.receive()) == 12_000_000
        assert await client.ended() == b""
        assert await stopping == 0

    play(scenario)


def test_what_takes_too_long_is_cut_off(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lx")
        await net.commands.until(lambda: net.commands.open)
        assert await net.server.stop(0.05) == 1
        assert await client.ended() == b""
        assert not net.server.connections
        net.commands.answer(b"x")

    play(scenario)


def test_a_second_stop_hurries_the_first(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lx")
        await net.commands.until(lambda: net.commands.open)
        first = asyncio.ensure_future(net.server.stop(1000.0))
        await net.settle()
        assert not first.done()
        assert await net.server.stop(0.0) == 1
        assert await asyncio.wait_for(first, 10) == 0
        assert await client.ended() == b""
        net.commands.answer(b"x")

    play(scenario)


def test_a_connection_may_be_refused_twice_and_aborted(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lx")
        await net.commands.until(lambda: net.commands.open)
        (connection,) = net.connections
        connection.refuse("a reason")
        connection.refuse("another")
        assert net.server.counters.closed_invalid == 1
        connection.abort()
        await client.ended()
        await net.until(lambda: connection.closed)
        connection.abort()
        connection.end()
        connection.refuse("too late")
        assert net.server.counters.closed_invalid == 1

    play(scenario)


def test_the_last_replies_arrive_though_the_client_goes_on_sending(play):
    """A socket closed with unread bytes in it would reset the connection, and lose what was just sent."""

    async def scenario(net):
        client = await net.connect()
        client.send(b"lx", b"b30000000")
        client.send_raw(b"\xff" * 8)
        await net.until(lambda: net.server.counters.closed_invalid)
        client.send_raw(b"\xff" * 100_000)
        net.commands.answer(b"x")
        assert await client.receive() == b"lx"
        assert len(await client.receive()) == 30_000_000
        assert await client.ended() == b""
        await net.until(lambda: not net.server.connections)

    play(scenario)


def test_a_reply_on_its_way_arrives_though_garbage_follows(play):
    async def scenario(net):
        client = await net.connect()
        client.writer.transport.pause_reading()
        client.send(b"b30000000")
        await net.commands.until(lambda: net.commands.dispatched)
        await net.settle()
        client.send_raw(b"\xff" * 8)
        await net.until(lambda: net.server.counters.closed_invalid)
        client.send_raw(b"\xff" * 3_000_000)
        await net.settle()
        client.writer.transport.resume_reading()
        assert len(await client.receive()) == 30_000_000
        assert await client.ended() == b""

    play(scenario, outgoing_max_bytes=80_000_000)


def test_a_peer_that_never_closes_is_not_waited_for(play):
    async def scenario(net):
        client = await net.connect()
        client.send_raw(b"\xff" * 8)
        await net.until(lambda: net.server.counters.closed_invalid)
        net.server.sweep()
        assert net.server.connections
        net.clock.advance(1000)
        net.server.sweep()
        await net.until(lambda: not net.server.connections)

    play(scenario)
