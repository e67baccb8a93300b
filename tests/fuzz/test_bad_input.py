"""What a port on a network gets to see, on a real broker: each ends in an error code or a closed connection with one log line that
names client and reason, and harms nobody else."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import time

import pytest
from support.client_driver import eventually

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.wire_client import WireClient, batch_of
from logbroker.wire.api import ApiKey
from logbroker.wire.headers import encode_request_header
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from logbroker.wire.messages.metadata import MetadataRequest

REQUEST_MAX = 2 << 20
SOON_S = 10.0


def frame(api_key, version, body=b"", length=None):
    data = struct.pack(">hhih", api_key, version, 7, -1) + body
    return struct.pack(">i", len(data) if length is None else length) + data


@pytest.fixture
def start(make_broker):
    def start(**settings):
        named = {name.replace("_", "."): str(value) for name, value in settings.items()}
        return make_broker(settings={"socket.request.max.bytes": str(REQUEST_MAX), **named}).start()

    return start


def connect(broker):
    return socket.create_connection((broker.host, broker.port), SOON_S)


def closed(connection):
    """Whether the broker closes without a word."""
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def why_closed(broker, connection):
    """The reason in the one log line on that client."""
    client = "{}:{}".format(*connection.getsockname())
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        lines = [event for event in broker.events("connection closed") if event["client"] == client]
        if lines:
            (line,) = lines
            assert line["level"] == "warning"
            return line["reason"]
        time.sleep(0.01)
    raise AssertionError(f"no line on {client}:\n{broker.log_text(20)}")


def works(broker, timeout_s=SOON_S):
    """An ordinary client is served; returns how long it took, in seconds."""
    began = time.monotonic()
    with WireClient(broker.bootstrap, timeout_s=timeout_s) as client:
        asked = [CreatableTopic(name="ordinary", num_partitions=1, replication_factor=1)]
        code = client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code
        assert code in {0, ErrorCode.TOPIC_ALREADY_EXISTS}
        answer = client.produce("ordinary", 0, batch_of([b"x"], timestamp_ms=int(time.time() * 1000)))
        assert answer.error_code == 0
        assert client.fetch("ordinary", 0, answer.base_offset).records
    return time.monotonic() - began


def rss_bytes(broker):
    with open(f"/proc/{broker.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


SPOKEN = {
    "garbage": (b"\xde\xad\xbe\xef" * 8, "length"),
    "tls": (bytes.fromhex("16030100c8010000c40303") + bytes(200), "TLS"),
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP"),
    "negative length": (struct.pack(">i", -1) + bytes(20), "length"),
    "too large": (struct.pack(">i", REQUEST_MAX + 1) + bytes(20), "socket.request.max.bytes"),
    "largest length": (struct.pack(">i", 0x7FFFFFFF), "socket.request.max.bytes"),
    "empty": (struct.pack(">i", 0), "header"),
    "short header": (struct.pack(">i", 5) + bytes(5), "header"),
    "unknown API": (frame(1000, 0), "1000"),
    "negative API": (frame(-1, 0), "-1"),
    "not offered": (frame(ApiKey.SASL_HANDSHAKE, 1), "SaslHandshake"),
    "unknown version": (frame(ApiKey.METADATA, 99), "version 99"),
    "negative version": (frame(ApiKey.METADATA, -1), "version -1"),
    "old produce": (frame(ApiKey.PRODUCE, 2, bytes(20)), "version 2"),
    "no body": (frame(ApiKey.METADATA, 1), "Metadata"),
    "huge array": (frame(ApiKey.METADATA, 1, struct.pack(">i", 0x7FFFFFFF)), "array"),
    "negative string": (frame(ApiKey.METADATA, 1, struct.pack(">ih", 1, -5)), "Metadata"),
    "endless varint": (frame(ApiKey.METADATA, 12, b"\x00" + b"\xff" * 12), "Metadata"),
}


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_no_request_closes_the_connection_with_one_line(start, name):
    broker = start()
    spoken, word = SPOKEN[name]
    with connect(broker) as connection:
        connection.sendall(spoken)
        assert closed(connection)
        assert word.lower() in why_closed(broker, connection).lower()
    works(broker)


def test_only_api_versions_answers_a_version_nobody_knows(start):
    broker = start()
    with connect(broker) as connection:
        connection.sendall(frame(ApiKey.API_VERSIONS, 77, b"\x00" * 8))
        length, correlation_id, code = struct.unpack(">iih", connection.recv(10, socket.MSG_WAITALL))
        assert correlation_id == 7
        assert code == ErrorCode.UNSUPPORTED_VERSION
        assert len(connection.recv(length - 6, socket.MSG_WAITALL)) == length - 6
        connection.sendall(frame(ApiKey.METADATA, 1, struct.pack(">i", 0)))  # and goes on
        assert len(connection.recv(8, socket.MSG_WAITALL)) == 8


def test_replies_before_a_bad_frame_still_come(start):
    broker = start()
    with connect(broker) as connection:
        connection.sendall(frame(ApiKey.METADATA, 1, struct.pack(">i", 0)) + b"\xff" * 30)
        length, correlation_id = struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))
        assert correlation_id == 7
        assert len(connection.recv(length - 4, socket.MSG_WAITALL)) == length - 4
        assert closed(connection)


def test_half_frames_take_no_memory_and_harm_nobody(start):
    broker = start(queued_max_request_bytes=8 << 20)
    works(broker)
    before = rss_bytes(broker)
    with contextlib.ExitStack() as stack:
        for _ in range(300):  # promised: 600 MB
            connection = stack.enter_context(connect(broker))
            connection.sendall(struct.pack(">i", REQUEST_MAX) + b"\x00\x00\x00\x09")
        assert works(broker) < 5
        assert rss_bytes(broker) - before < 40 << 20
    works(broker)


def test_requests_in_flight_share_their_memory(start):
    broker = start(queued_max_request_bytes=4 << 20)
    works(broker)
    before = rss_bytes(broker)
    whole = bytes(frame(ApiKey.PRODUCE, 3, b"\xff\xff\xff\xff\x00\x00\x03\xe8" + bytes(REQUEST_MAX - 100)))
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(broker)) for _ in range(40)]
        for connection in connections:  # half of two megabytes each: together ten times the budget
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.send(whole[: len(whole) // 2])
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert rss_bytes(broker) - before < 30 << 20
            time.sleep(0.05)
    works(broker)


def test_who_holds_request_memory_for_nothing_is_given_up(start):
    broker = start(queued_max_request_bytes=4 << 20)
    works(broker)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(3):
            connection = stack.enter_context(connect(broker))
            connection.sendall(frame(ApiKey.PRODUCE, 3, bytes(REQUEST_MAX // 2), length=REQUEST_MAX - 100))
            connections.append(connection)
        assert works(broker) < 2
        assert closed(connections[0])
        assert "queued.max.request.bytes" in why_closed(broker, connections[0])
        assert broker.metric("logbroker_connections_closed_stalled_total") >= 1


def test_stuck_large_frames_keep_no_ordinary_client_waiting(make_broker):
    """The settings as they come: 200 frames of 50 MB, half sent and then silent, hold more than there is to hold."""
    broker = make_broker().start()
    works(broker)
    half = frame(ApiKey.PRODUCE, 3, bytes(1 << 20), length=50 << 20)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(connect(broker))
            connection.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < len(half):
                    sent += connection.send(half[sent:])
        with WireClient(broker.bootstrap) as client:
            for size_bytes in (10, 1000, 30_000, 60_000, 200_000, 1_000_000) * 3:
                began = time.monotonic()
                batch = batch_of([bytes(size_bytes)], timestamp_ms=int(time.time() * 1000))
                assert client.produce("ordinary", 0, batch).error_code == 0
                assert time.monotonic() - began < 2, f"{size_bytes} bytes"
        assert works(broker) < 2
    works(broker)


def much_to_fetch(broker, size_bytes):
    """Produce a little more than so many bytes in batches of 500,000, and return the request for as many."""
    with WireClient(broker.bootstrap) as writer:
        for _ in range(size_bytes // 500_000 + 2):
            writer.produce("ordinary", 0, batch_of([b"z" * 500_000], timestamp_ms=int(time.time() * 1000)))
    partition = FetchPartition(partition=0, fetch_offset=1, partition_max_bytes=size_bytes)
    wanted = FetchTopic(topic="ordinary", partitions=[partition])
    return FetchRequest(max_bytes=size_bytes, session_epoch=-1, topics=[wanted])


def test_a_slow_reader_is_bounded_and_alone(start):
    broker = start(socket_send_buffer_max_bytes=1 << 20)
    works(broker)
    request = much_to_fetch(broker, 8 << 20)
    before = rss_bytes(broker)
    with WireClient(broker.bootstrap) as slow:
        slow.socket.settimeout(1)
        with contextlib.suppress(ConnectionError):
            for _ in range(5000):  # 40 GB of replies, if they were made
                slow.send(ApiKey.FETCH, request)
        assert works(broker) < 5
        assert rss_bytes(broker) - before < 60 << 20


def test_slow_readers_together_are_bounded(start):
    """Each of them asks for 16 MB and takes nothing; who reads goes on, and gets as much as ever when they are gone."""
    limit_bytes = 16 << 20
    broker = start(queued_max_reply_bytes=limit_bytes)
    works(broker)
    request = much_to_fetch(broker, limit_bytes)
    before = rss_bytes(broker)
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            slow = stack.enter_context(WireClient(broker.bootstrap))
            slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            for _ in range(5):
                slow.send(ApiKey.FETCH, request)
            assert works(broker) < 5
        waiting_bytes = broker.metric("logbroker_reply_memory_bytes")
        assert limit_bytes / 2 < waiting_bytes < 2 * limit_bytes + 12 * (9 << 20)
        assert rss_bytes(broker) - before < 150 << 20  # without the bound: 12 x 16 MB and more
        with WireClient(broker.bootstrap) as honest:
            response = honest.call(ApiKey.FETCH, request)
            assert 500_000 < len(response.responses[0].partitions[0].records) <= 1 << 20
    eventually(lambda: broker.metric("logbroker_reply_memory_bytes"), 0)
    with WireClient(broker.bootstrap) as honest:
        response = honest.call(ApiKey.FETCH, request)
        assert len(response.responses[0].partitions[0].records) > limit_bytes - (1 << 20)


def test_connections_are_bounded(start):
    broker = start(max_connections=100)
    with contextlib.ExitStack() as stack:
        kept = []
        for _ in range(150):
            connection = stack.enter_context(connect(broker))
            connection.sendall(frame(ApiKey.METADATA, 1, struct.pack(">i", 0)))
            connection.settimeout(SOON_S)
            try:
                if connection.recv(4):
                    kept.append(connection)
            except ConnectionResetError:
                pass
        assert len(kept) == 100
        broker.wait_event("connection closed")
        lines = [
            event for event in broker.events("connection closed") if "max.connections" in event["reason"]
        ]
        assert 1 <= len(lines) <= 20
    deadline = time.monotonic() + SOON_S
    while True:  # the broker has to notice first that they are gone
        try:
            works(broker)
            break
        except ConnectionError:
            assert time.monotonic() < deadline


def test_connections_do_not_take_the_last_descriptor(make_broker):
    """Whoever could, would take a log directory offline, with the next file that the engine opens."""
    broker = make_broker()
    broker.launch()
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (512, 512))  # before its interpreter has come far
    broker.wait_ready()
    assert broker.events(
        "fewer connections than max.connections are let in: the process may not open more files"
    )
    with WireClient(broker.bootstrap) as client, contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(connect(broker))
        for number in range(20):
            asked = [CreatableTopic(name=f"t{number}", num_partitions=10, replication_factor=1)]
            assert (
                client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code == 0
            )
            batch = batch_of([b"x"], timestamp_ms=int(time.time() * 1000))
            assert client.produce(f"t{number}", 0, batch).error_code == 0
    broker.wait_event("connection closed")
    assert not [event for event in broker.events() if event["level"] == "error"]


def test_thousands_of_connections(start):
    broker = start(max_connections=5000)
    works(broker)
    before = rss_bytes(broker)
    with contextlib.ExitStack() as stack:
        for _ in range(800):
            stack.enter_context(connect(broker)).sendall(b"\x00\x00")
        assert works(broker) < 5
        assert rss_bytes(broker) - before < 30 << 20


def test_a_client_id_that_is_no_text(start):
    broker = start()
    header = encode_request_header(ApiKey.METADATA, 1, 1, "abc").replace(b"abc", b"\xff\xfe\xfd")
    with connect(broker) as connection:
        connection.sendall(struct.pack(">i", len(header) + 4) + header + struct.pack(">i", 0))
        assert struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))[1] == 1, "answered, as by Kafka"


def test_metadata_of_an_impossible_topic_name(start):
    broker = start()
    with WireClient(broker.bootstrap) as client:
        from logbroker.wire.messages.metadata import MetadataRequestTopic

        for name in ("", ".", "..", "a/b", "n" * 250, "a\0b", "ü"):
            answer = client.call(
                ApiKey.METADATA,
                MetadataRequest(topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=True),
            )
            assert answer.topics[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
