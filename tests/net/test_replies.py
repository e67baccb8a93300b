"""Replies: in the order of the requests, in one write a tick, and no client harmed by another."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from logbroker.net.reply import Reply


class CountingTransport:
    """Passes everything on; counts the writes."""

    def __init__(self, transport):
        self.transport = transport
        self.writes = []

    def __getattr__(self, name):
        return getattr(self.transport, name)

    def write(self, data):
        self.writes.append(len(data))
        self.transport.write(data)

    def writelines(self, pieces):
        self.writes.append(sum(map(len, pieces)))
        self.transport.writelines(pieces)


@pytest.mark.parametrize("order", list(permutations([b"a", b"b", b"c", b"d"]))[::5])
def test_replies_leave_in_the_order_of_requests(play, order):
    async def scenario(net):
        client = await net.connect()
        client.send(b"la", b"enow", b"lb", b"n", b"lc", b"ld", b"elast")
        await net.commands.until(lambda: len(net.commands.dispatched) == 7)
        for name in order:
            net.commands.answer(name)
            await net.settle()
        received = [await client.receive() for _ in range(6)]
        assert received == [b"la", b"enow", b"lb", b"lc", b"ld", b"elast"]

    play(scenario)


def test_all_that_is_ready_in_a_tick_leaves_in_one_write(play):
    async def scenario(net):
        client = await net.connect()
        client.send(*(b"l%d" % number for number in range(50)))
        await net.commands.until(lambda: len(net.commands.open) == 50)
        (connection,) = net.connections
        connection.transport = counting = CountingTransport(connection.transport)
        for number in reversed(range(50)):
            net.commands.answer(b"%d" % number)
        for number in range(50):
            assert await client.receive() == b"l%d" % number
        assert len(counting.writes) == 1
        client.send(*(b"e%d" % number for number in range(50)))
        for number in range(50):
            assert await client.receive() == b"e%d" % number
        assert len(counting.writes) == 2

    play(scenario)


def test_a_large_reply_goes_out_in_pieces_and_whole(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"e1", b"b5000000", b"e2")
        assert await client.receive() == b"e1"
        assert await client.receive() == bytes(5_000_000)
        assert await client.receive() == b"e2"

    play(scenario)


def test_requests_without_reply_leave_nothing_behind(play):
    async def scenario(net):
        client = await net.connect()
        client.send(*[b"n"] * 3000, b"eend")
        assert await client.receive() == b"eend"
        (connection,) = net.connections
        assert connection.unanswered == 0
        assert not connection._slots
        assert net.server.budget.used_bytes == 0

    play(scenario)


def test_a_second_answer_is_ignored(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lx", b"ly")
        await net.commands.until(lambda: len(net.commands.open) == 2)
        reply, body = net.commands.open[b"x"]
        net.commands.answer(b"x")
        Reply.send_frame(reply, b"\0\0\0\1!")
        net.commands.answer(b"y")
        Reply.send_frame(reply, b"\0\0\0\1!")
        assert [await client.receive(), await client.receive()] == [b"lx", b"ly"]
        client.send(b"eend")
        assert await client.receive() == b"eend"
        assert body == b"lx"

    play(scenario)


def test_a_request_that_waits_harms_no_other_connection(play):
    async def scenario(net):
        stuck, lively = await net.connect(), await net.connect()
        stuck.send(b"sstuck", b"ebehind")
        await net.commands.until(lambda: net.commands.open)
        for number in range(100):
            lively.send(b"e%d" % number)
            assert await lively.receive() == b"e%d" % number
        net.commands.answer(b"stuck")
        assert [await stuck.receive(), await stuck.receive()] == [b"sstuck", b"ebehind"]

    play(scenario)


def test_a_serial_request_waits_for_what_is_before_it_and_holds_what_is_behind(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"l1", b"l2", b"sx", b"l3", b"sy", b"e4")
        await net.commands.until(lambda: len(net.commands.dispatched) == 2)
        await net.settle()
        assert net.commands.dispatched == [b"l1", b"l2"]
        net.commands.answer(b"2")
        await net.settle()
        assert net.commands.dispatched == [b"l1", b"l2"]
        net.commands.answer(b"1")
        await net.commands.until(lambda: len(net.commands.dispatched) == 3)
        await net.settle()
        assert net.commands.dispatched == [b"l1", b"l2", b"sx"]
        client.send(b"e5")
        await net.settle()
        assert len(net.commands.dispatched) == 3
        net.commands.answer(b"x")
        await net.commands.until(lambda: len(net.commands.dispatched) == 4)
        await net.settle()
        assert net.commands.dispatched[3:] == [b"l3"]
        net.commands.answer(b"3")
        await net.commands.until(lambda: b"y" in net.commands.open)
        net.commands.answer(b"y")
        received = [await client.receive() for _ in range(7)]
        assert received == [b"l1", b"l2", b"sx", b"l3", b"sy", b"e4", b"e5"]

    play(scenario)


def test_a_large_frame_may_be_held_too(play):
    async def scenario(net):
        client = await net.connect()
        big = b"s" + b"\1" * 500_000
        client.send(b"lx", big, b"eend")
        await net.commands.until(lambda: net.commands.open)
        await net.until(lambda: net.server.budget.buffers_bytes > 500_000)
        assert net.commands.dispatched == [b"lx"]
        net.commands.answer(b"x")
        await net.commands.until(lambda: len(net.commands.dispatched) == 2)
        assert net.server.budget.buffers_bytes < 500_000
        net.commands.answer(b"\1" * 40)
        assert [await client.receive() for _ in range(3)] == [b"lx", big, b"eend"]

    play(scenario)


def test_answers_after_the_client_left_are_dropped(play):
    async def scenario(net):
        client, other = await net.connect(), await net.connect()
        client.send(b"lx", b"ly")
        await net.commands.until(lambda: len(net.commands.open) == 2)
        gone = []
        connection = net.commands.open[b"x"][0].connection
        connection.on_close(lambda: gone.append(1))
        client.close()
        await net.until(lambda: connection.closed)
        assert gone == [1]
        assert net.server.budget.used_bytes == 4, "a handler still holds the requests"
        net.commands.answer(b"y")
        net.commands.answer(b"x")
        assert net.server.budget.used_bytes == 0
        connection.on_close(lambda: gone.append(2))
        assert gone == [1, 2]
        other.send(b"e")
        assert await other.receive() == b"e"

    play(scenario)


def test_a_request_whose_handler_gives_up_with_the_connection_holds_nothing(play):
    """A parked fetch is cancelled when its client leaves; nobody will ever answer it."""

    async def scenario(net):
        client = await net.connect()
        client.send(b"lparked", b"lproduce")
        await net.commands.until(lambda: len(net.commands.open) == 2)
        parked, _ = net.commands.open.pop(b"parked")
        gone = []
        parked.on_abandoned = lambda: gone.append(1)
        client.close()
        await net.until(lambda: not net.server.connections)
        assert gone == [1]
        assert parked.answered
        assert net.server.budget.used_bytes == len(b"lproduce")
        net.commands.answer(b"produce")

    play(scenario)


def test_nothing_is_abandoned_that_was_answered(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lx", b"ly")
        await net.commands.until(lambda: len(net.commands.open) == 2)
        abandoned = []
        net.commands.open[b"y"][0].on_abandoned = lambda: abandoned.append(b"y")
        net.commands.answer(b"y")
        client.close()
        await net.until(lambda: not net.server.connections)
        net.commands.answer(b"x")
        assert net.server.budget.used_bytes == 0
        assert not abandoned

    play(scenario)


def test_a_handler_that_raises_costs_its_connection_only(play, caplog):
    async def scenario(net):
        broken, other = await net.connect(), await net.connect()

        def on_frame(connection, frame):
            if frame[0] == ord("!"):
                raise ValueError("a fault")
            return net.commands(connection, frame)

        net.server.on_frame = on_frame
        broken.send(b"!")
        await broken.ended()
        other.send(b"e")
        assert await other.receive() == b"e"
        assert "receiving failed" in caplog.text

    play(scenario)


def test_flush_may_be_called_early(play):
    """Who answers many requests at once may save a turn of the loop."""

    async def scenario(net):
        client = await net.connect()
        client.send(b"lx")
        await net.commands.until(lambda: net.commands.open)
        (connection,) = net.connections
        connection.transport = counting = CountingTransport(connection.transport)
        net.commands.answer(b"x")
        net.server.flush()
        assert counting.writes == [6]
        await asyncio.sleep(0)
        assert await client.receive() == b"lx"
        assert counting.writes == [6]

    play(scenario)
