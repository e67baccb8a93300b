"""Frames out of the byte stream, however it is cut; buffers that grow with what came and belong to their frame."""

from __future__ import annotations

import random
import tracemalloc
from struct import pack

import pytest

from logbroker.net.limits import FIRST_BUFFER_BYTES, PEEK_BYTES, RECEIVE_BYTES


def test_one_byte_at_a_time(play):
    async def scenario(net):
        client = await net.connect()
        for byte in b"".join(pack(">i", len(body)) + body for body in (b"efirst", b"e", b"esecond")):
            client.send_raw(bytes([byte]))
            await client.drain()
            await net.settle()
        assert [await client.receive() for _ in range(3)] == [b"efirst", b"e", b"esecond"]

    play(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_any_sizes_cut_anywhere(play, seed):
    """Sizes around every boundary of the receiver, in pieces that fall anywhere."""
    generator = random.Random(seed)
    interesting = [
        1,
        2,
        500,
        4091,
        4092,
        4093,
        4096,
        32_764,
        32_768,
        65_531,
        65_532,
        65_536,
        200_000,
        1_000_003,
    ]
    bodies = [
        b"e%06d" % number + generator.randbytes(max(0, generator.choice(interesting) - 7))
        for number in range(40)
    ]
    stream = b"".join(pack(">i", len(body)) + body for body in bodies)

    async def scenario(net):
        client = await net.connect()

        async def send():
            position = 0
            while position < len(stream):
                size = generator.choice([1, 3, 4, 5, 1000, 4096, 65_536, 300_000, 2_000_000])
                client.send_raw(stream[position : position + size])
                position += size
                await client.drain()
                if generator.random() < 0.5:
                    await net.settle()

        import asyncio

        sender = asyncio.ensure_future(send())
        for body in bodies:
            assert await client.receive() == body
        await sender

    play(scenario)


def test_frames_that_are_kept_stay_as_they_were(play):
    """Handlers keep slices of frames (batches on their way to the disk) while the connection goes on receiving."""
    bodies = [
        bytes([101]) + bytes([number % 251]) * size
        for number, size in enumerate([10, 3000, 90_000, 10, 400_000] * 6)
    ]

    async def scenario(net):
        client, other = await net.connect(), await net.connect()
        for body in bodies:
            client.send(body)
            other.send(b"e" + b"\xff" * 5000)
            assert await client.receive() == body
            await other.receive()
        kept = [frame for frame in net.commands.frames if frame[1] != 0xFF or len(frame) != 5001]
        assert [bytes(frame) for frame in kept] == bodies
        for frame in kept:
            frame[0:1] = b"x"  # writable: the log stamps the base offset in place
        assert all(bytes(frame[1:]) == body[1:] for frame, body in zip(kept, bodies, strict=True))

    play(scenario)


def test_a_large_frame_is_received_straight_into_its_own_buffer(play):
    async def scenario(net):
        client = await net.connect()
        for size in (1_000_000, 1_000_000, 700_000):
            client.send(b"e" + bytes(size - 1))
            await client.receive()
        for frame, size in zip(net.commands.frames, (1_000_000, 1_000_000, 700_000), strict=True):
            assert len(frame.obj) == 4 + size, (
                "its buffer holds more than the frame: something else keeps it alive"
            )

    play(scenario)


def test_a_promise_alone_gets_next_to_no_memory(play):
    promise = pack(">i", 100_000_000)

    async def scenario(net):
        clients = [await net.connect() for _ in range(20)]
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for client in clients:
                client.send_raw(promise + b"e")
            await net.until(lambda: net.server.counters.received_bytes == 20 * 5)
            grown = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        assert 0 < net.server.budget.buffers_bytes <= 20 * FIRST_BUFFER_BYTES
        assert grown < 20 * 4 * FIRST_BUFFER_BYTES

    play(scenario)


def test_a_buffer_is_never_longer_than_twice_what_came(play):
    async def scenario(net):
        client = await net.connect()
        client.send_raw(pack(">i", 50_000_000) + b"e")
        sent = 5
        for _ in range(40):
            client.send_raw(bytes(100_000))
            await client.drain()
            sent += 100_000
            await net.until(lambda: net.server.counters.received_bytes == sent)  # noqa: B023
            assert net.server.budget.buffers_bytes <= max(2 * sent, FIRST_BUFFER_BYTES)

    play(scenario)


def test_what_a_connection_has_sent_whole_it_may_promise_again(play):
    """No regrowing, and so no copying, for a producer of large batches."""

    async def scenario(net):
        client = await net.connect()
        client.send(b"e" + bytes(999_999))
        await client.receive()
        client.send_raw(pack(">i", 1_000_000) + b"e")
        await net.until(lambda: net.server.budget.buffers_bytes)
        assert net.server.budget.buffers_bytes == 1_000_004

    play(scenario)


def test_after_a_large_frame_only_a_little_is_read_until_the_next_length_is_known(play):
    """So that the bulk of the next one is received in its place, not in the shared buffer."""

    async def scenario(net):
        client = await net.connect()
        client.send(b"e")
        await client.receive()
        (connection,) = net.connections
        assert len(connection.get_buffer(-1)) == RECEIVE_BYTES
        client.send(b"e" + bytes(500_000))
        await client.receive()
        assert len(connection.get_buffer(-1)) == PEEK_BYTES
        client.send(b"e")
        await client.receive()
        assert len(connection.get_buffer(-1)) == RECEIVE_BYTES

    play(scenario)


def test_empty_and_largest_frames_are_frames(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"e" + bytes(RECEIVE_BYTES - 1))
        assert len(await client.receive()) == RECEIVE_BYTES
        client.send(b"")
        await net.commands.until(lambda: len(net.commands.frames) == 2)
        assert len(net.commands.frames[1]) == 0

    play(scenario, request_max_bytes=RECEIVE_BYTES)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (pack(">i", -1), "negative length -1"),
        (pack(">i", -(2**31)), "negative length"),
        (pack(">i", 1001), "1001"),
        (pack(">i", 2**31 - 1), "2147483647"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\xff" * 1000, "negative length"),
    ],
)
def test_what_is_no_frame_closes_with_one_line_that_says_so(play, closings, start, reason):
    async def scenario(net):
        client = await net.connect()
        peer = "{}:{}".format(*client.writer.get_extra_info("sockname"))
        client.send(b"eone")
        client.send_raw(start)
        client.send(b"etwo")
        assert await client.receive() == b"eone"
        assert await client.ended() == b""
        await net.until(lambda: not net.server.connections)
        ((client_named, said),) = closings()
        assert client_named == peer
        assert reason in said
        assert net.commands.dispatched == [b"eone"]
        assert net.server.counters.closed_invalid == 1

    play(scenario, request_max_bytes=1000)


def test_requests_before_garbage_are_still_answered(play):
    async def scenario(net):
        client = await net.connect()
        client.send(b"lone", b"ltwo")
        client.send_raw(b"GET / HTTP/1.1\r\n\r\n")
        await net.until(lambda: net.server.counters.closed_invalid)
        net.commands.answer(b"two")
        await net.settle()
        assert net.server.connections, "closed with requests in flight"
        net.commands.answer(b"one")
        assert await client.receive() == b"lone"
        assert await client.receive() == b"ltwo"
        assert await client.ended() == b""

    play(scenario)


def test_garbage_in_a_loop_does_not_fill_the_log(play, closings):
    async def scenario(net):
        for _ in range(60):
            client = await net.connect()
            client.send_raw(b"\xff" * 8)
            await client.ended()
        assert net.server.counters.closed_invalid == 60
        assert len(closings()) == 10

    play(scenario)
