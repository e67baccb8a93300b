"""What clients may take: connections, requests in flight, unsent replies, shared memory, time."""

from __future__ import annotations

from struct import pack

import pytest

from logbroker.net.limits import RECEIVE_BYTES

IDLE_MS = 600_000


# ---- one connection ----


def test_requests_in_flight_are_bounded(play):
    async def scenario(net):
        client = await net.connect()
        client.send(*(b"l%d" % number for number in range(100)))
        await net.commands.until(lambda: len(net.commands.dispatched) == 10)
        await net.settle()
        assert len(net.commands.dispatched) == 10
        for number in range(100):
            await net.commands.until(lambda: b"%d" % number in net.commands.open)  # noqa: B023
            assert len(net.commands.open) <= 10
            net.commands.answer(b"%d" % number)
            assert await client.receive() == b"l%d" % number

    play(scenario, in_flight_max=10)


def test_a_slow_reader_is_bounded_in_bytes(play):
    """It asks for 200 MB and reads nothing; then it reads, and gets everything."""
    reply_bytes, outgoing_bytes = 1_000_000, 4_000_000

    async def scenario(net):
        client = await net.connect()
        client.writer.transport.pause_reading()
        client.send(*[b"b%d" % reply_bytes] * 200)
        await client.drain()
        await net.until(lambda: net.connections and net.connections[0]._blocked)
        await net.settle()
        (connection,) = net.connections
        kernel_bytes = 20_000_000  # socket buffers, both ends
        waiting_bytes = connection.transport.get_write_buffer_size()
        assert waiting_bytes + connection._ready_bytes <= outgoing_bytes + reply_bytes + 100
        assert len(net.commands.dispatched) * reply_bytes <= outgoing_bytes + reply_bytes + kernel_bytes
        client.writer.transport.resume_reading()
        for _ in range(200):
            assert len(await client.receive()) == reply_bytes
        client.send(b"e")
        assert await client.receive() == b"e"

    play(scenario, outgoing_max_bytes=outgoing_bytes)


def test_a_slow_reader_harms_no_other(play):
    async def scenario(net):
        slow, other = await net.connect(), await net.connect()
        slow.writer.transport.pause_reading()
        slow.send(*[b"b5000000"] * 20)
        await slow.drain()
        await net.until(lambda: any(connection._blocked for connection in net.connections))
        for number in range(50):
            other.send(b"e%d" % number)
            assert await other.receive() == b"e%d" % number

    play(scenario)


def test_a_reader_that_takes_nothing_is_closed_in_the_end(play, closings):
    async def scenario(net):
        client = await net.connect()
        client.writer.transport.pause_reading()
        client.send(*[b"b5000000"] * 20)
        await client.drain()
        await net.until(lambda: net.connections and net.connections[0]._blocked)
        await net.settle()
        net.server.sweep()
        net.clock.advance(29_000)
        net.server.sweep()
        assert net.server.connections
        assert not closings()
        net.clock.advance(1_000)
        net.server.sweep()
        await net.until(lambda: not net.server.connections)
        assert net.server.counters.closed_stuck == 1
        ((_, reason),) = closings()
        assert "took nothing" in reason

    play(scenario, stuck_reader_timeout_ms=30_000)


def test_a_reader_that_takes_a_little_is_not_stuck(play):
    async def scenario(net):
        client = await net.connect()
        client.writer.transport.pause_reading()
        client.send(*[b"b5000000"] * 20)
        await client.drain()
        await net.until(lambda: net.connections and net.connections[0]._blocked)
        (connection,) = net.connections
        net.server.sweep()
        for _ in range(3):
            before = connection.transport.get_write_buffer_size()
            client.writer.transport.resume_reading()
            assert len(await client.receive()) == 5_000_000
            client.writer.transport.pause_reading()
            await net.until(lambda: connection.transport.get_write_buffer_size() != before)  # noqa: B023
            net.clock.advance(29_000)
            net.server.sweep()
        assert net.server.connections

    play(scenario, stuck_reader_timeout_ms=30_000)


# ---- time ----


def test_idle_connections_are_closed_and_busy_ones_are_not(play, closings):
    async def scenario(net):
        idle, busy, waiting = await net.connect(), await net.connect(), await net.connect()
        waiting.send(b"lx")
        await net.commands.until(lambda: net.commands.open)
        net.clock.advance(IDLE_MS - 1000)
        busy.send(b"e")
        assert await busy.receive() == b"e"
        net.server.sweep()
        assert len(net.server.connections) == 3
        net.clock.advance(1000)
        net.server.sweep()
        assert await idle.ended() == b""
        await net.until(lambda: len(net.server.connections) == 2)
        assert net.server.counters.closed_idle == 1
        net.commands.answer(b"x")
        assert await waiting.receive() == b"lx"
        busy.send(b"e")
        assert await busy.receive() == b"e"
        assert len(closings()) == 1

    play(scenario, idle_max_ms=IDLE_MS)


HALVES = pytest.mark.parametrize(
    ("half", "said"),
    [(pack(">i", 90_000) + b"abc", "3 of 90,000 bytes of a request"), (b"\0\0", "2 of 4 bytes of a length")],
)


@HALVES
def test_half_a_frame_does_not_keep_a_connection_open(play, closings, half, said):
    async def scenario(net):
        client = await net.connect()
        client.send_raw(half)
        await net.until(lambda: net.server.counters.received_bytes == len(half))
        net.clock.advance(IDLE_MS)
        net.server.sweep()
        assert await client.ended() == b""
        await net.until(lambda: not net.server.connections)
        ((_, reason),) = closings()
        assert said in reason
        assert net.server.budget.used_bytes == 0

    play(scenario, idle_max_ms=IDLE_MS)


@HALVES
def test_a_client_that_leaves_half_a_frame_has_its_line(play, closings, half, said):
    async def scenario(net):
        client, whole = await net.connect(), await net.connect()
        client.send_raw(half)
        whole.send(b"e")
        assert await whole.receive() == b"e"
        await net.until(lambda: net.server.counters.received_bytes >= len(half) + 5)
        client.close()
        whole.close()
        await net.until(lambda: not net.server.connections)
        ((_, reason),) = closings()
        assert said in reason

    play(scenario)


# ---- how many ----


def test_connections_are_bounded(play, closings):
    async def scenario(net):
        first, second = await net.connect(), await net.connect()
        third = await net.connect()
        assert await third.ended() == b""
        ((_, reason),) = closings()
        assert "max.connections (2)" in reason
        first.close()
        await net.until(lambda: len(net.server.connections) == 1)
        fourth = await net.connect()
        for client in (second, fourth):
            client.send(b"e")
            assert await client.receive() == b"e"
        assert (net.server.counters.accepted, net.server.counters.refused) == (3, 1)

    play(scenario, connections_max=2)


def test_connections_are_bounded_by_address(play, closings):
    async def scenario(net):
        await net.connect("127.0.0.1")
        await net.connect("127.0.0.1")
        refused = await net.connect("127.0.0.1")
        assert await refused.ended() == b""
        assert "max.connections.per.ip (2) are open from 127.0.0.1" in closings()[0][1]
        other = await net.connect("127.0.0.2")
        other.send(b"e")
        assert await other.receive() == b"e"
        net.server.reconfigure(connections_per_address_max=3)
        again = await net.connect("127.0.0.1")
        again.send(b"e")
        assert await again.receive() == b"e"

    play(scenario, connections_per_address_max=2)


# ---- the memory that all share ----


def test_reading_pauses_when_request_memory_is_used_up_and_resumes(play):
    limit = 1_000_000

    async def scenario(net):
        clients = [await net.connect() for _ in range(80)]
        for number, client in enumerate(clients):
            client.send(b"l%02d" % number + b"." * 49_997)
        peak = 0

        def look():
            nonlocal peak
            peak = max(peak, net.server.budget.used_bytes)
            return net.commands.open

        answered = 0
        while answered < 80:
            await net.commands.until(look)
            await net.settle()
            look()
            for name in list(net.commands.open):
                net.commands.answer(name)
                answered += 1
        for number, client in enumerate(clients):
            assert (await client.receive())[:3] == b"l%02d" % number
        # Small requests may use all of it while nobody else wants any, and what one read brings can go over it.
        assert limit - 50_000 < peak <= limit + RECEIVE_BYTES
        assert net.server.budget.used_bytes == 0

    play(scenario, queued_max_bytes=limit)


def test_small_requests_wait_too_and_in_turn(play):
    async def scenario(net):
        hogs = [await net.connect() for _ in range(6)]
        for number, hog in enumerate(hogs):
            hog.send(b"l%d" % number + b"." * 49_998)
        await net.commands.until(lambda: len(net.commands.open) == 6)
        others = [await net.connect() for _ in range(10)]
        for number, client in enumerate(others):
            client.send(*[b"e%d" % number + b"." * 5000] * 20)
        await net.settle()
        # One short read of each connection came through: that much can't be refused.
        assert len(net.commands.dispatched) - 6 <= 10
        assert net.server.budget.waiting == 10
        for name in list(net.commands.open):
            net.commands.answer(name)
        for number, client in enumerate(others):
            for _ in range(20):
                assert (await client.receive())[:2] == b"e%d" % number

    play(scenario, queued_max_bytes=300_000)


def test_half_received_frames_can_not_wait_for_each_other_for_ever(play):
    """Ten frames of 1 MB, each half sent, in a memory of 2 MB: all get through when the other halves come."""
    size = 1_000_000

    async def scenario(net):
        clients = [await net.connect() for _ in range(10)]
        for number, client in enumerate(clients):
            client.send_raw(pack(">i", size) + b"e%d" % number + bytes(size // 2))
        await net.settle()
        assert net.server.budget.waiting > 0
        for client in clients:
            client.send_raw(bytes(size - size // 2 - 2))
        peak = 0
        for number, client in enumerate(clients):
            assert (await client.receive())[:2] == b"e%d" % number
            peak = max(peak, net.server.budget.used_bytes)
        assert peak <= 2_000_000 + size + 4
        assert net.server.budget.used_bytes == 0
        assert net.server.budget.waiting == 0

    play(scenario, queued_max_bytes=2_000_000)


def test_a_frame_larger_than_the_whole_budget_gets_through_alone(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"e" + bytes(999_999), b"eend")
        assert len(await client.receive()) == 1_000_000
        assert await client.receive() == b"eend"

    play(scenario, queued_max_bytes=100_000)


def test_memory_held_for_nothing_is_given_up_when_others_wait(play, closings):
    """Peers that promise much, send some of it, and stop: they lose their connection, the honest client is served."""

    async def scenario(net):
        hostile = [await net.connect() for _ in range(5)]
        for client in hostile:
            client.send_raw(pack(">i", 50_000_000) + bytes(300_000))
        await net.until(lambda: net.server.budget.waiting == 4)
        await net.settle()
        honest = await net.connect()
        honest.send(b"e" + bytes(3_000_000))  # as large as theirs are
        await net.until(lambda: net.server.budget.waiting == 5)
        for closed in range(5):
            net.clock.advance(2_900)
            net.server.sweep()
            await net.settle()
            assert net.server.counters.closed_stalled == closed
            net.clock.advance(100)
            net.server.sweep()
            await net.until(lambda: net.server.budget.waiting == 4 - closed)  # noqa: B023
            await net.settle()
        assert len(await honest.receive()) == 3_000_001
        assert net.server.counters.closed_stalled == len(hostile)
        assert all("queued.max.request.bytes" in reason for _, reason in closings())
        assert honest.writer.get_extra_info("sockname")[1] not in [
            int(peer.rpartition(":")[2]) for peer, _ in closings()
        ]

    play(scenario, queued_max_bytes=1_000_000)


def test_frames_that_are_stuck_harm_only_frames_like_them(play):
    """No time passes, so nobody is given up; the budget is what servers have by default."""

    async def scenario(net):
        for size_bytes, stuck, served in (
            (50_000_000, 200, (5_000, 30_000, 65_000, 200_000, 1_048_576)),
            (1_000_000, 200, (5_000, 30_000, 65_000)),
            (60_000, 1000, ()),
        ):
            for _ in range(stuck):
                client = await net.connect()
                client.send_raw(pack(">i", size_bytes) + bytes(min(size_bytes // 2, 70_000)))
            lane = net.server.budget.lane_of(size_bytes)
            await net.until(lambda: net.server.budget.waiting_in(lane))  # noqa: B023
            client = await net.connect()
            for number in range(20):
                client.send(b"e%d" % number + bytes(3000))  # whole, in any read
                assert len(await client.receive()) > 3000
            for length in served:
                client.send_raw(pack(">i", length) + b"e")
                await net.settle()
                client.send_raw(bytes(length - 1))
                assert len(await client.receive()) == length
        assert net.server.counters.closed_stalled == 0

    play(scenario, connections_per_address_max=5000)


def test_slow_but_steady_senders_are_not_given_up(play):
    async def scenario(net):
        slow, other = await net.connect(), await net.connect()
        slow.send_raw(pack(">i", 900_000) + b"e")
        sent = 1
        await net.until(lambda: net.server.counters.received_bytes)
        other.send(b"lx" + bytes(900_000))
        while sent < 900_000:
            piece = min(20_000, 900_000 - sent)
            slow.send_raw(bytes(piece))
            sent += piece
            await net.settle()
            net.clock.advance(2_000)
            net.server.sweep()
        for name in list(net.commands.open):
            net.commands.answer(name)
        assert len(await slow.receive()) == 900_000
        assert net.server.counters.closed_stalled == 0

    play(scenario, queued_max_bytes=1_000_000)
