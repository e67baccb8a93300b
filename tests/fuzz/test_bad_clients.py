"""Clients that keep the protocol and misbehave, on a real broker: too many of one address, silent ones, batches that lie, bombs; and
that replies keep their order whatever is asked at once."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import pytest
from crc32c import crc32c
from fuzz.test_bad_input import SOON_S, closed, connect, frame, rss_bytes, why_closed, works

from logbroker.base.error_codes import ErrorCode
from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder
from logbroker.testing.wire_client import LATEST, WireClient, batch_of
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.api_versions import ApiVersionsRequest
from logbroker.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

ASK = frame(ApiKey.METADATA, 1, struct.pack(">i", 0))
MAGIC, CRC, ATTRIBUTES, LAST_DELTA, COUNT = 16, 17, 21, 23, 57
"""Where they stand in a batch."""


def now_ms():
    return int(time.time() * 1000)


def answers(connection):
    """Whether the broker answers an ordinary request."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(ASK)
        connection.settimeout(SOON_S)
        length = connection.recv(4, socket.MSG_WAITALL)
        return bool(length) and bool(connection.recv(*struct.unpack(">i", length), socket.MSG_WAITALL))
    return False


def create(client, name, **configs):
    named = [
        CreatableTopicConfig(name=config.replace("_", "."), value=value) for config, value in configs.items()
    ]
    asked = [CreatableTopic(name=name, num_partitions=1, replication_factor=1, configs=named)]
    assert client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code == 0


def test_connections_of_one_address_are_bounded(make_broker):
    broker = make_broker(settings={"max.connections.per.ip": "20"}).start()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(broker)) for _ in range(30)]
        assert [answers(connection) for connection in connections] == [True] * 20 + [False] * 10
        assert "max.connections.per.ip (20)" in why_closed(broker, connections[20])
        other = stack.enter_context(
            socket.create_connection((broker.host, broker.port), SOON_S, ("127.0.0.2", 0))
        )
        assert answers(other)
    assert broker.metric("logbroker_connections_refused_total") == 10


def test_silent_connections_are_closed_and_busy_ones_are_not(make_broker):
    broker = make_broker(settings={"connections.max.idle.ms": "1500"}).start()
    works(broker)
    wanted = FetchTopic(topic="ordinary", partitions=[FetchPartition(partition=0, fetch_offset=1)])
    with connect(broker) as busy, connect(broker) as idle, connect(broker) as half:
        half.sendall(struct.pack(">i", 1000) + b"abc")
        with WireClient(broker.bootstrap) as parked:
            parked.send(
                ApiKey.FETCH,
                FetchRequest(max_wait_ms=5000, min_bytes=1 << 20, session_epoch=-1, topics=[wanted]),
            )
            ended = {}
            began = time.monotonic()
            while len(ended) < 2:
                assert time.monotonic() - began < SOON_S
                assert answers(busy)
                for name, connection in ("idle", idle), ("half", half):
                    connection.settimeout(0.1)
                    with contextlib.suppress(TimeoutError):
                        if name not in ended and closed(connection):
                            ended[name] = time.monotonic() - began
            assert min(ended.values()) > 1.2
            assert "3 of 1,000 bytes" in why_closed(broker, half)
            assert parked.receive().responses
            assert parked.call(ApiKey.API_VERSIONS, ApiVersionsRequest("a", "1")).api_keys, (
                "who waits for a reply isn't silent"
            )


def lying(position, form, value, *, mend=True):
    batch = batch_of([b"one", b"two"], timestamp_ms=now_ms())
    struct.pack_into(form, batch, position, value)
    if mend:
        struct.pack_into(">I", batch, CRC, crc32c(memoryview(batch)[ATTRIBUTES:]))
    return batch


def test_batches_that_lie_get_their_code_and_leave_nothing(make_broker):
    broker = make_broker().start()
    whole = batch_of([b"one", b"two"], timestamp_ms=now_ms())
    lies = [
        (b"", ErrorCode.INVALID_RECORD),
        (whole[:30], ErrorCode.INVALID_RECORD),
        (whole[:-1], ErrorCode.INVALID_RECORD),
        (whole + whole, ErrorCode.INVALID_RECORD),
        (lying(CRC, ">I", 1, mend=False), ErrorCode.CORRUPT_MESSAGE),
        (lying(MAGIC, ">b", 1), ErrorCode.INVALID_RECORD),
        (lying(MAGIC, ">b", 77), ErrorCode.CORRUPT_MESSAGE),
        (lying(8, ">i", -1), ErrorCode.CORRUPT_MESSAGE),
        (lying(8, ">i", 0x7FFFFFFF), ErrorCode.INVALID_RECORD),
        (lying(ATTRIBUTES, ">h", 5), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
        (lying(ATTRIBUTES, ">h", 0x20), ErrorCode.INVALID_RECORD),
        (lying(COUNT, ">i", -1), ErrorCode.INVALID_RECORD),
        (lying(COUNT, ">i", 0x7FFFFFFF), ErrorCode.INVALID_RECORD),
        (lying(LAST_DELTA, ">i", 0x7FFFFFFF), ErrorCode.INVALID_RECORD),
        (bytes(2 << 20), ErrorCode.INVALID_RECORD),
        (batch_of([bytes(2 << 20)], timestamp_ms=now_ms()), ErrorCode.MESSAGE_TOO_LARGE),
    ]
    with WireClient(broker.bootstrap) as client:
        create(client, "t")
        for batch, _ in lies:
            client.send_produce("t", 0, batch)
        got = [client.receive_produced().error_code for _ in lies]
        assert got == [code for _, code in lies]
        assert client.offset("t", 0, LATEST) == (0, 0)
        assert client.produce("t", 0, whole).error_code == 0
        # A produce that nobody answers can say it in one way only.
        client.send_produce("t", 0, lies[4][0], acks=0)
        with pytest.raises(ConnectionError):
            client.call(ApiKey.API_VERSIONS, ApiVersionsRequest())
    assert "CORRUPT_MESSAGE" in broker.wait_event("connection closed")["reason"]


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD, Codec.LZ4])
def test_a_compression_bomb_takes_no_memory_and_nobodys_time(make_broker, codec):
    broker = make_broker().start()
    works(broker)
    builder = BatchBuilder(codec=codec)
    for _ in range(24):
        builder.append(now_ms(), b"k", bytes(8 << 20))
    bomb = builder.build()
    with WireClient(broker.bootstrap) as client:
        create(client, "unpacked", compression_type="uncompressed")
        create(client, "compacted", cleanup_policy="compact")
        create(client, "walked", record_validation="full")
        for topic in ("unpacked", "compacted", "walked"):
            before = rss_bytes(broker)
            client.send_produce(topic, 0, bomb)
            assert works(broker) < 2
            assert client.receive_produced().error_code == ErrorCode.MESSAGE_TOO_LARGE
            assert rss_bytes(broker) - before < 48 << 20
            assert client.offset(topic, 0, LATEST) == (0, 0)


def test_replies_keep_the_order_of_requests_of_every_kind(make_broker):
    broker = make_broker().start()
    wanted = FetchTopic(topic="t", partitions=[FetchPartition(partition=0, fetch_offset=0)])
    park = FetchRequest(max_wait_ms=300, min_bytes=1 << 30, session_epoch=-1, topics=[wanted])
    latest = ListOffsetsTopic("t", [ListOffsetsPartition(partition_index=0, timestamp=LATEST)])
    with WireClient(broker.bootstrap, client_id="orderly") as client:
        create(client, "t")
        began = time.monotonic()
        sent = 0
        for _ in range(3):
            for _ in range(50):
                client.send_produce("t", 0, batch_of([b"x"], timestamp_ms=now_ms()))
            client.send(ApiKey.FETCH, park)
            client.send(ApiKey.LIST_OFFSETS, ListOffsetsRequest(replica_id=-1, topics=[latest]), 7)
            client.send_produce("t", 9, batch_of([b"x"], timestamp_ms=now_ms()))
            client.send(ApiKey.METADATA, MetadataRequest(topics=[MetadataRequestTopic(name="a/b")]))
            client.send(ApiKey.API_VERSIONS, ApiVersionsRequest("a", "1"))
            sent += 55
            works(broker)  # and nobody else waits for the parked one
        assert time.monotonic() - began < 0.9
        for turn in range(3):
            offsets = [client.receive_produced().base_offset for _ in range(50)]
            assert offsets == list(range(50 * turn, 50 * turn + 50))
            assert client.receive().responses
            assert client.receive().topics[0].partitions[0].offset == 50 * turn + 50
            assert client.receive_produced().error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            assert client.receive().topics[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
            assert client.receive().api_keys
