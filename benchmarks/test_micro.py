"""Small things, timed by pytest-benchmark: what one request, one batch or one commit costs. Run with `make micro`."""

from __future__ import annotations

import os
import uuid

import pytest
from support import Engine

from logbroker.records.batch import Codec, stamp, validate_from_client
from logbroker.records.builder import build_batch
from logbroker.records.iterator import decode_records
from logbroker.storage.journal_format import encode_commit
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

NOW_MS = 1_700_000_000_000
BATCHES = {"1 record": 1, "64 records": 64, "900 records": 900}
"""Records of 1,024 bytes in a batch."""


def batch_of(records, codec_id=Codec.NONE):
    return build_batch([(NOW_MS, None, os.urandom(1024), ()) for _ in range(records)], codec=codec_id)


@pytest.mark.parametrize("records", BATCHES.values(), ids=BATCHES.keys())
def test_validate_a_batch(benchmark, records):
    batch = batch_of(records)
    benchmark(validate_from_client, batch, max_message_bytes=1 << 20)


def test_stamp_a_batch(benchmark):
    batch = bytearray(batch_of(1))
    benchmark(stamp, batch, 123_456, 7)


@pytest.mark.parametrize("codec_id", Codec)
def test_decode_a_batch_of_64(benchmark, codec_id):
    batch = batch_of(64, codec_id)
    assert len(benchmark(lambda: list(decode_records(batch)))) == 64


@pytest.mark.parametrize("version", [7, 10, 13])
def test_decode_a_produce_request(benchmark, version):
    data = PartitionProduceData(index=3, records=batch_of(1))
    topic = TopicProduceData(name="orders", topic_id=uuid.UUID(int=5), partition_data=[data])
    request = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[topic])
    frame = memoryview(b"".join(codec.encode_request(ApiKey.PRODUCE, version, request)))
    decode = codec.request_decoder(ApiKey.PRODUCE, version)
    benchmark(decode, frame, 0)


@pytest.mark.parametrize("version", [7, 10, 13])
def test_encode_a_produce_response(benchmark, version):
    response = PartitionProduceResponse(index=3, base_offset=1 << 40, log_start_offset=0)
    topic = TopicProduceResponse(name="orders", topic_id=uuid.UUID(int=5), partition_responses=[response])
    benchmark(codec.encode_response, ApiKey.PRODUCE, version, ProduceResponse(responses=[topic]))


@pytest.mark.parametrize("partitions", [1, 100])
def test_encode_a_fetch_response(benchmark, partitions):
    records = memoryview(bytes(batch_of(64)))
    data = [
        PartitionData(partition_index=n, high_watermark=64, last_stable_offset=64, records=[records])
        for n in range(partitions)
    ]
    topic = FetchableTopicResponse(topic="orders", topic_id=uuid.UUID(int=5), partitions=data)
    benchmark(codec.encode_response, ApiKey.FETCH, 16, FetchResponse(responses=[topic]))


@pytest.mark.parametrize("entries", [1, 64, 1000])
def test_encode_a_commit(benchmark, entries):
    batch = bytes(batch_of(1))
    table = [bytes(96)] * entries
    payloads = [batch] * entries
    buffers = benchmark(encode_commit, 1, 2, 3, table, payloads, entries * len(batch))
    assert sum(map(len, buffers)) % 4096 == 0


@pytest.mark.parametrize("records", BATCHES.values(), ids=BATCHES.keys())
def test_append_a_batch(benchmark, tmp_path, records):
    """From the batch that a client sent to the queues of journal and segment, and what the lanes do with it, unsynced."""
    with Engine(tmp_path, journal_file_bytes=32 << 20, journal_group_max_bytes=4 << 20) as engine:
        log = engine.create("orders", 0)
        pristine = bytes(batch_of(records))

        def append():
            batch = bytearray(pristine)
            log.append(batch, validate_from_client(batch, max_message_bytes=1 << 20), 0, None, None)
            engine.run()

        benchmark.pedantic(append, rounds=200, warmup_rounds=20)
