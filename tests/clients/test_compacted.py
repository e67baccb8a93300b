"""Unmodified clients read a compacted topic to its end, gaps and all, and see the last value of every key."""

from __future__ import annotations

import base64
import random
import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from logbroker.testing.broker_process import BrokerProcess

SETTINGS = {"log.cleaner.backoff.ms": "20", "log.checkpoint.interval.ms": "150"}
CONFIG = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "internal.segment.bytes": "20000",
    "delete.retention.ms": "0",
}
RECORDS = 3000
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def compacted(tmp_path_factory):
    """A broker with a topic whose sealed segments are all compacted, and what must be read."""
    broker = BrokerProcess(tmp_path_factory.mktemp("compacted") / "data", settings=SETTINGS)
    with broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("c", 1, config=CONFIG)])["c"].result()
        rng = random.Random(1)
        latest: dict[bytes, bytes | None] = {}
        producer = Producer(
            {"bootstrap.servers": broker.bootstrap, "linger.ms": 5, "compression.type": "lz4"}
        )
        for number in range(RECORDS):
            key = b"key-%d" % rng.randrange(50)
            value = None if rng.random() < 0.05 else b"%d-" % number + rng.randbytes(40).hex().encode()
            producer.produce("c", value, key)
            latest[key] = value
            if not number % 20:
                producer.flush()
        producer.flush()
        deadline = time.monotonic() + TIMEOUT_S
        removed = 0.0
        while removed < 1500:
            assert time.monotonic() < deadline, f"only {removed} records were removed"
            removed = broker.metric("logbroker_cleaner_removed_records_total")
        yield broker, latest


def test_librdkafka(compacted):
    broker, latest = compacted
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "g", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition("c", 0, OFFSET_BEGINNING)])
    found: dict[bytes, bytes | None] = {}
    offsets = []
    while (message := consumer.poll(TIMEOUT_S)) is not None:
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            break
        offsets.append(message.offset())
        found[message.key()] = message.value()
    consumer.close()
    assert offsets == sorted(set(offsets))
    assert len(offsets) < 1600
    expected = {key: value for key, value in latest.items() if value is not None}
    assert {key: value for key, value in found.items() if value is not None} == expected


@pytest.fixture(scope="module")
def java(compacted, make_driver):
    broker, _ = compacted
    return make_driver("java", broker.bootstrap)


@pytest.mark.java
@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
def test_java(compacted, java, isolation):
    _, latest = compacted
    read = java.call("consume", topic="c", spans={0: [0, RECORDS]}, isolation=isolation)
    offsets = [record["o"] for record in read]
    assert offsets == sorted(set(offsets))
    assert len(offsets) < 1600
    found = {record["k"]: record["v"] for record in read}
    expected = {packed(key): packed(value) for key, value in latest.items() if value is not None}
    assert {key: value for key, value in found.items() if value is not None} == expected


def packed(content):
    return base64.b64encode(content).decode()
