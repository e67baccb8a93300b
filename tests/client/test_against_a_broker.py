"""The client against a real broker, over real sockets."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError
from logbroker.client import (
    Admin,
    ClosedError,
    Consumer,
    OffsetSpec,
    Producer,
    RecordTooLargeError,
    RefusedError,
    TopicPartition,
    partition_for_key,
)
from logbroker.testing.chaos_proxy import ChaosProxy

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture
def topic(bootstrap_servers, new_topic_name):
    return asyncio.run(_create(bootstrap_servers, new_topic_name(), 1))


@pytest.fixture
def topic_of_three(bootstrap_servers, new_topic_name):
    return asyncio.run(_create(bootstrap_servers, new_topic_name(), 3))


async def _create(bootstrap_servers, name, partitions, **configs):
    async with Admin(bootstrap_servers) as admin:
        await admin.create_topic(name, partitions=partitions, configs=configs)
    return name


async def read_all(bootstrap_servers, topic, **options):
    """Every record of a topic, partition by partition."""
    async with Consumer(bootstrap_servers, **options) as consumer:
        partitions = await consumer.assign_topic(topic, at="beginning")
        ends = await consumer.end_offsets(partitions)
        records = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            records += await consumer.poll(timeout_ms=200)
    return sorted(records, key=lambda record: (record.partition, record.offset))


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_sent_is_read_back(bootstrap_servers, topic, codec):
    async def main():
        sent = [
            (b"key", b"value", (("name", b"content"), ("name", None), ("", b""))),
            (None, b"value without a key", ()),
            (b"key without a value", None, ()),
            (None, None, ()),
            (b"", b"", ()),
            (bytes(range(256)), os.urandom(10_000), (("bytes", bytes(range(256))),)),
            (b"long", b"x" * 100_000, ()),
        ]
        async with Producer(bootstrap_servers, compression=codec) as producer:
            for number, (key, value, headers) in enumerate(sent):
                where = await producer.send(
                    topic, value, key=key, headers=headers, timestamp_ms=1_000_000 + number
                )
                assert where == (topic, 0, number, 1_000_000 + number)
            deliveries = [await producer.enqueue(topic, b"%d" % number * 10) for number in range(500)]
            offsets = [(await delivery).offset for delivery in deliveries]
            assert offsets == list(range(len(sent), len(sent) + 500))
        records = await read_all(bootstrap_servers, topic)
        assert [(record.key, record.value, record.headers) for record in records[: len(sent)]] == sent
        assert [record.timestamp_ms for record in records[: len(sent)]] == [
            1_000_000 + n for n in range(len(sent))
        ]
        assert {record.timestamp_type for record in records} == {"CreateTime"}
        assert [record.value for record in records[len(sent) :]] == [
            b"%d" % number * 10 for number in range(500)
        ]

    asyncio.run(main())


def test_many_records_arrive_in_order(bootstrap_servers, topic_of_three):
    async def main():
        count = 20_000
        async with Producer(bootstrap_servers, batch_bytes=8_000) as producer:
            for number in range(count):
                await producer.enqueue(topic_of_three, b"%d" % number, key=b"%d" % (number % 50))
        records = await read_all(bootstrap_servers, topic_of_three)
        assert len(records) == count
        by_key = {}
        for record in records:
            assert record.partition == partition_for_key(record.key, 3)
            by_key.setdefault(record.key, []).append(int(record.value))
        for key, numbers in by_key.items():
            assert numbers == list(range(int(key), count, 50))

    asyncio.run(main())


def test_records_without_a_key_come_to_all_partitions(bootstrap_servers, topic_of_three):
    async def main():
        async with Producer(bootstrap_servers, batch_bytes=2_000) as producer:
            for _ in range(2_000):
                await producer.enqueue(topic_of_three, b"x" * 20)
            assert producer.buffered_bytes > 0
            await producer.flush()
            assert producer.buffered_bytes == 0
            assert producer.acknowledged_records == 2_000
        records = await read_all(bootstrap_servers, topic_of_three)
        assert len(records) == 2_000
        assert {record.partition for record in records} == {0, 1, 2}

    asyncio.run(main())


@pytest.mark.parametrize("acks", ["all", 1, 0])
def test_every_acks_gets_records_there(bootstrap_servers, topic, acks):
    async def main():
        async with Producer(bootstrap_servers, acks=acks) as producer:
            where = await producer.send(topic, b"one", partition=0)
            assert where.offset == (-1 if acks == 0 else 0)
        for _ in range(100):
            records = await read_all(bootstrap_servers, topic)
            if records:
                break
        assert [record.value for record in records] == [b"one"]

    asyncio.run(main())


def test_a_million_bytes(bootstrap_servers, topic):
    async def main():
        value = os.urandom(1_000_000)
        async with Producer(bootstrap_servers) as producer:
            await producer.send(topic, value)
            with pytest.raises(RecordTooLargeError, match="max_request_bytes"):
                await producer.send(topic, bytes(2_000_000))
        assert [record.value for record in await read_all(bootstrap_servers, topic)] == [value]

    asyncio.run(main())


def test_a_refused_record_says_why_and_harms_no_other(bootstrap_servers, new_topic_name):
    async def main():
        topic = await _create(bootstrap_servers, new_topic_name(), 1, **{"max.message.bytes": "1000"})
        async with Producer(bootstrap_servers, batch_bytes=900) as producer:
            assert (await producer.send(topic, b"small")).offset == 0
            with pytest.raises(RefusedError) as refused:
                await producer.send(topic, bytes(2_000))
            assert refused.value.code == ErrorCode.MESSAGE_TOO_LARGE
            assert (await producer.send(topic, b"small again")).offset == 1

    asyncio.run(main())


def test_leaving_the_producer_raises_what_nobody_has_seen(bootstrap_servers, new_topic_name):
    async def main():
        topic = await _create(bootstrap_servers, new_topic_name(), 1, **{"max.message.bytes": "1000"})
        with pytest.raises(RefusedError):
            async with Producer(bootstrap_servers) as producer:
                await producer.enqueue(topic, bytes(2_000))
        producer = await Producer(bootstrap_servers).start()
        delivery = await producer.enqueue(topic, bytes(2_000))
        with pytest.raises(RefusedError):
            await delivery
        await producer.close()  # it was seen
        with pytest.raises(ClosedError):
            await producer.send(topic, b"")

    asyncio.run(main())


def test_topics_and_partitions_that_do_not_exist(bootstrap_servers, topic, new_topic_name):
    async def main():
        async with Producer(bootstrap_servers) as producer:
            with pytest.raises(RefusedError) as refused:
                await producer.send("not a name", b"")
            assert refused.value.code == ErrorCode.INVALID_TOPIC_EXCEPTION
            with pytest.raises(ConfigError, match="has no partition 1"):
                await producer.send(topic, b"", partition=1)
        async with Consumer(bootstrap_servers) as consumer:
            with pytest.raises(RefusedError) as refused:
                await consumer.assign_topic(new_topic_name())
            assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            with pytest.raises(ConfigError, match="has no partition 1"):
                await consumer.assign([(topic, 1)])

    asyncio.run(main())


def test_a_topic_is_created_by_writing_to_it(bootstrap_servers, new_topic_name):
    async def main():
        topic = new_topic_name()
        async with Producer(bootstrap_servers) as producer:
            await producer.send(topic, b"first")
        assert [record.value for record in await read_all(bootstrap_servers, topic)] == [b"first"]

    asyncio.run(main())


def test_seeking(bootstrap_servers, topic):
    async def main():
        partition = TopicPartition(topic, 0)
        async with Producer(bootstrap_servers) as producer, Consumer(bootstrap_servers) as consumer:
            for number in range(10):
                await producer.send(topic, b"%d" % number, timestamp_ms=1_000 + 10 * number)

            async def values(count):
                found = []
                while len(found) < count:
                    found += [record.value for record in await consumer.poll(max_records=count - len(found))]
                return found

            await consumer.assign([partition])
            assert await consumer.position(partition) == 10
            consumer.seek_to_beginning()
            assert await values(2) == [b"0", b"1"]
            assert await consumer.position(partition) == 2
            consumer.seek(partition, 7)
            assert await values(1) == [b"7"]
            consumer.seek_to_timestamp(1_035, partition)
            assert await values(2) == [b"4", b"5"]
            consumer.seek_to_timestamp(9_999)
            assert await consumer.position(partition) == 10
            consumer.seek_to_end(partition)
            assert await consumer.poll(timeout_ms=10) == []
            await producer.send(topic, b"10")
            assert await values(1) == [b"10"]
            assert await consumer.beginning_offsets([partition]) == {partition: 0}
            assert await consumer.end_offsets([partition]) == {partition: 11}
            found = await consumer.offsets_for_timestamps({partition: 1_041})
            assert found[partition][:2] == (5, 1_050)

    asyncio.run(main())


def test_following_wakes_up_when_something_comes(bootstrap_servers, topic_of_three):
    async def main():
        async with (
            Consumer(bootstrap_servers, fetch_max_wait_ms=20_000) as consumer,
            Producer(bootstrap_servers) as producer,
        ):
            await consumer.assign_topic(topic_of_three, at="end")
            for partition in consumer.assignment:
                await consumer.position(partition)
            for number in range(20):
                started = time.monotonic()
                await producer.send(topic_of_three, b"%d" % number, partition=number % 3)
                assert (await anext(consumer)).value == b"%d" % number
                assert time.monotonic() - started < 5

    asyncio.run(main())


def test_an_offset_out_of_range(bootstrap_servers, topic):
    async def main():
        async with Producer(bootstrap_servers) as producer:
            await producer.send(topic, b"only")
        async with Consumer(bootstrap_servers) as consumer:
            await consumer.assign([(topic, 0)])
            consumer.seek((topic, 0), 5)
            with pytest.raises(RefusedError, match="seek to an offset that exists") as refused:
                await consumer.poll(timeout_ms=10_000)
            assert refused.value.code == ErrorCode.OFFSET_OUT_OF_RANGE
            consumer.seek((topic, 0), 0)
            assert [record.value for record in await consumer.poll(timeout_ms=10_000)] == [b"only"]
        async with Consumer(bootstrap_servers, auto_offset_reset="earliest") as consumer:
            await consumer.assign([(topic, 0)])
            consumer.seek((topic, 0), 5)
            assert [record.value for record in await consumer.poll(timeout_ms=10_000)] == [b"only"]

    asyncio.run(main())


def test_pausing_and_the_bound_on_what_is_fetched(bootstrap_servers, topic_of_three):
    async def main():
        async with Producer(bootstrap_servers) as producer:
            for number in range(300):
                await producer.enqueue(topic_of_three, bytes(1_000), partition=number % 3)
        async with Consumer(bootstrap_servers, buffer_bytes=10_000, partition_max_bytes=5_000) as consumer:
            partitions = await consumer.assign_topic(topic_of_three, at="beginning")
            consumer.pause(partitions[0])
            seen = []
            while len(seen) < 200:
                seen += [record.partition for record in await consumer.poll(max_records=7)]
            assert sorted(seen) == [1] * 100 + [2] * 100
            assert await consumer.poll(timeout_ms=50) == []
            consumer.resume(partitions[0])
            while len(seen) < 300:
                seen += [record.partition for record in await consumer.poll()]
            assert seen[200:] == [0] * 100

    asyncio.run(main())


def test_administering_topics(bootstrap_servers, new_topic_name):
    async def main():
        name = new_topic_name()
        async with Admin(bootstrap_servers) as admin:
            await admin.create_topic(
                name, partitions=2, configs={"retention.ms": "100000"}, validate_only=True
            )
            await admin.create_topic(name, partitions=2, configs={"retention.ms": "100000"})
            for kwargs, code in (
                ({"name": name}, ErrorCode.TOPIC_ALREADY_EXISTS),
                ({"name": "no/name"}, ErrorCode.INVALID_TOPIC_EXCEPTION),
                ({"name": new_topic_name(), "configs": {"no.such.config": "1"}}, ErrorCode.INVALID_CONFIG),
                ({"name": new_topic_name(), "replication_factor": 99}, ErrorCode.INVALID_REPLICATION_FACTOR),
            ):
                with pytest.raises(RefusedError) as refused:
                    await admin.create_topic(**kwargs)
                assert refused.value.code == code
            described = await admin.describe_topic(name)
            assert (described.name, len(described.partitions), described.available) == (name, 2, (0, 1))
            await admin.create_partitions(name, 3)
            assert len((await admin.describe_topic(name)).partitions) == 3
            with pytest.raises(RefusedError) as refused:
                await admin.create_partitions(name, 2)
            assert refused.value.code == ErrorCode.INVALID_PARTITIONS
            await admin.alter_topic_configs(name, {"max.message.bytes": "5000"}, delete=["retention.ms"])
            configs = {entry.name: entry for entry in await admin.topic_configs(name)}
            assert configs["max.message.bytes"].value == "5000"
            assert configs["max.message.bytes"].source.name == "DYNAMIC_TOPIC_CONFIG"
            assert configs["retention.ms"].is_default
            with pytest.raises(RefusedError) as refused:
                await admin.alter_topic_configs(name, {"max.message.bytes": "many"})
            assert refused.value.code == ErrorCode.INVALID_CONFIG
            assert name in [topic.name for topic in await admin.list_topics()]
            await admin.delete_topic(name)
            with pytest.raises(RefusedError) as refused:
                await admin.delete_topic(name)
            assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            with pytest.raises(RefusedError):
                await admin.describe_topic(name)

    asyncio.run(main())


def test_describing_the_cluster_and_its_directories(bootstrap_servers, topic):
    async def main():
        async with Admin(bootstrap_servers) as admin:
            cluster = await admin.describe_cluster()
            assert cluster.cluster_id
            (broker,) = cluster.brokers
            assert cluster.controller == broker.node_id
            assert f"{broker.host}:{broker.port}" == bootstrap_servers
            configs = await admin.broker_configs(broker.node_id)
            assert "log.segment.bytes" in [entry.name for entry in configs]
            (log_dir,) = await admin.describe_log_dirs(topics=[topic])
            assert [(replica.topic, replica.partition) for replica in log_dir.replicas] == [(topic, 0)]
            assert log_dir.error == ErrorCode.NONE

    asyncio.run(main())


def test_offsets_and_deleting_records(bootstrap_servers, topic):
    async def main():
        partition = TopicPartition(topic, 0)
        async with Producer(bootstrap_servers) as producer:
            for number in range(10):
                await producer.send(topic, b"%d" % number, timestamp_ms=5_000 - 100 * number)
        async with Admin(bootstrap_servers) as admin:
            newest = await admin.list_offsets({partition: OffsetSpec.MAX_TIMESTAMP})
            assert newest[partition][:2] == (0, 5_000)
            assert await admin.delete_records({partition: 4}) == {partition: 4}
            assert (await admin.list_offsets({partition: OffsetSpec.EARLIEST}))[partition].offset == 4
            with pytest.raises(RefusedError) as refused:
                await admin.delete_records({partition: 11})
            assert refused.value.code == ErrorCode.OFFSET_OUT_OF_RANGE
            assert await admin.delete_records({partition: -1}) == {partition: 10}
            with pytest.raises(RefusedError) as refused:
                await admin.list_offsets({TopicPartition(topic, 1): OffsetSpec.LATEST})
            assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert await read_all(bootstrap_servers, topic) == []

    asyncio.run(main())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 20))])
def test_a_bad_network_neither_loses_nor_repeats_nor_reorders(bootstrap_servers, topic_of_three, seed):
    async def main():
        host, _, port = bootstrap_servers.partition(":")
        count = 2_000
        async with ChaosProxy(host, int(port), seed=seed) as proxy:
            async with Producer(proxy.bootstrap_servers, batch_bytes=400) as producer:
                await producer.partitions_for(topic_of_three)
                proxy.cut_chance = 0.1
                for number in range(count):
                    await producer.enqueue(topic_of_three, b"%d" % number, partition=number % 3)
                await producer.flush()
            assert proxy.cuts > 0
            proxy.cut_chance = 0
            async with Consumer(
                proxy.bootstrap_servers, fetch_max_bytes=4_000, partition_max_bytes=2_000
            ) as consumer:
                proxy.cut_chance = 0.05
                await consumer.assign_topic(topic_of_three, at="beginning")
                records = []
                while len(records) < count:
                    records += await consumer.poll()
        for partition in range(3):
            numbers = [int(record.value) for record in records if record.partition == partition]
            assert numbers == list(range(partition, count, 3))

    asyncio.run(main())


def test_other_clients_read_what_we_wrote_and_we_what_they_wrote(bootstrap_servers, topic):
    confluent_kafka = pytest.importorskip("confluent_kafka")

    async def write_ours():
        for codec in CODECS:
            async with Producer(bootstrap_servers, compression=codec) as producer:
                for number in range(20):
                    await producer.enqueue(
                        topic, f"ours {codec} {number}".encode(), key=b"k", headers={"h": b"1"}
                    )

    asyncio.run(write_ours())
    for codec in CODECS:
        theirs = confluent_kafka.Producer({"bootstrap.servers": bootstrap_servers, "compression.type": codec})
        for number in range(20):
            theirs.produce(topic, f"theirs {codec} {number}".encode(), headers=[("h", b"1")])
        assert theirs.flush(30) == 0
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False}
    )
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        seen_by_them = []
        while len(seen_by_them) < 200:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            seen_by_them.append((message.value(), message.headers()))
    finally:
        consumer.close()
    seen_by_us = asyncio.run(read_all(bootstrap_servers, topic))
    assert [(record.value, list(record.headers)) for record in seen_by_us] == seen_by_them
    assert len({value for value, _ in seen_by_them}) == 200
