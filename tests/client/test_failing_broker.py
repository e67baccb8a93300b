"""The client while its broker is killed, stopped, restarted, or loses a topic."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.client import (
    Admin,
    BufferFullError,
    ClosedError,
    Consumer,
    DeliveryTimeoutError,
    Producer,
    RefusedError,
    UnreachableError,
)
from logbroker.testing.broker_process import BrokerProcess


@pytest.fixture
def broker(tmp_path):
    with BrokerProcess(tmp_path / "data") as running:
        yield running


async def _create(broker, name, partitions=1):
    async with Admin(broker.bootstrap) as admin:
        await admin.create_topic(name, partitions=partitions)


def test_a_killed_broker_neither_loses_nor_repeats_nor_reorders(broker):
    count = 4_000

    async def main():
        await _create(broker, "topic", 2)
        async with Producer(broker.bootstrap, batch_bytes=2_000, buffer_bytes=20_000) as producer:
            for number in range(count):
                await producer.enqueue("topic", b"%d" % number, partition=number % 2)
                if number in {1_000, 2_500}:
                    await asyncio.to_thread(broker.kill)
                    await asyncio.to_thread(broker.start)
        async with Consumer(broker.bootstrap) as consumer:
            await consumer.assign_topic("topic", at="beginning")
            records = []
            while len(records) < count:
                found = await consumer.poll(timeout_ms=5_000)
                assert found, f"{len(records)} of {count} records came"
                records += found
            assert await consumer.poll(timeout_ms=100) == []
        for partition in range(2):
            numbers = [int(record.value) for record in records if record.partition == partition]
            assert numbers == list(range(partition, count, 2))

    asyncio.run(main())


def test_a_follower_outlives_its_broker(broker):
    async def main():
        await _create(broker, "topic")
        async with Consumer(broker.bootstrap) as consumer:
            await consumer.assign_topic("topic", at="end")
            await consumer.position(("topic", 0))
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            async with Producer(broker.bootstrap) as producer:
                await producer.send("topic", b"after the restart")
            assert (await anext(consumer)).value == b"after the restart"

    asyncio.run(main())


def test_a_full_buffer_waits_and_then_says_so(broker):
    async def main():
        await _create(broker, "topic")
        async with Producer(broker.bootstrap, buffer_bytes=5_000, max_block_ms=100) as producer:
            await producer.send("topic", b"first")
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                while producer.buffered_bytes < 4_900:
                    await producer.enqueue("topic", bytes(76))
                with pytest.raises(BufferFullError, match="buffer of 5000 bytes stayed full for 100 ms"):
                    await producer.enqueue("topic", bytes(100))
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            await producer.flush()
            assert producer.buffered_bytes == 0
            assert (await producer.send("topic", b"last")).offset == producer.acknowledged_records - 1

    asyncio.run(main())


def test_a_record_that_nobody_acknowledges_fails_in_time(broker):
    async def main():
        await _create(broker, "topic")
        producer = await Producer(broker.bootstrap, request_timeout_ms=100, delivery_timeout_ms=300).start()
        await producer.send("topic", b"first")
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(
                DeliveryTimeoutError, match=r"not acknowledged within 300 ms.*may have been written"
            ):
                await producer.send("topic", b"second")
            delivery = await producer.enqueue("topic", b"third")
            await producer.abort()
            with pytest.raises(ClosedError):
                await delivery
        finally:
            os.kill(broker.pid, signal.SIGCONT)

    asyncio.run(main())


def test_a_topic_that_is_deleted_under_its_reader(broker):
    async def main():
        await _create(broker, "topic")
        async with Consumer(broker.bootstrap) as consumer, Admin(broker.bootstrap) as admin:
            await consumer.assign_topic("topic", at="beginning")
            assert await consumer.poll(timeout_ms=100) == []
            await admin.delete_topic("topic")
            with pytest.raises(RefusedError) as refused:
                await consumer.poll(timeout_ms=20_000)
            assert refused.value.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    asyncio.run(main())


def test_a_broker_that_is_gone(broker):
    broker.stop()
    for kind in (Producer, Consumer, Admin):
        with pytest.raises(UnreachableError, match=r"is the broker running\?"):
            asyncio.run(kind(broker.bootstrap).start())
    broker.start()
