"""What becomes of a record: awaiting it, giving that up, and failures that nobody saw."""

from __future__ import annotations

import asyncio

import pytest

from logbroker.base.errors import ClientError
from logbroker.client.delivery import Delivery, ProducerBatch


def batch_of(count):
    batch = ProducerBatch("topic", 1, 0, builder=None, created=0.0, deadline=1.0)
    batch.count = count
    return batch, [Delivery(batch, index, 1000 + index) for index in range(count)]


def test_each_record_of_a_batch_has_its_own_offset():
    async def main():
        batch, deliveries = batch_of(3)
        waiting = [asyncio.ensure_future(_await(delivery)) for delivery in deliveries]
        await asyncio.sleep(0)
        assert not deliveries[0].done
        with pytest.raises(asyncio.InvalidStateError):
            deliveries[0].result()
        batch.succeed(40)
        assert [await task for task in waiting] == [("topic", 1, 40 + n, 1000 + n) for n in range(3)]
        assert await deliveries[1] == ("topic", 1, 41, 1001)
        assert deliveries[2].result().offset == 42

    asyncio.run(main())


async def _await(delivery):
    return await delivery


def test_the_broker_may_have_set_the_time_or_not_said_the_offset():
    batch, deliveries = batch_of(2)
    batch.succeed(7, 5000)
    assert deliveries[1].result() == ("topic", 1, 8, 5000)
    batch, deliveries = batch_of(2)
    batch.succeed(-1)
    assert deliveries[1].result().offset == -1


def test_giving_up_one_await_harms_no_other():
    async def main():
        batch, deliveries = batch_of(1)
        given_up = asyncio.ensure_future(_await(deliveries[0]))
        patient = asyncio.ensure_future(_await(deliveries[0]))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        batch.succeed(5)
        assert (await patient).offset == 5

    asyncio.run(main())


def test_failures_are_counted_until_each_was_seen():
    batch, deliveries = batch_of(3)
    batch.fail(ClientError("no"))
    assert batch.unseen_failures == 3
    for _ in range(2):
        with pytest.raises(ClientError, match="no"):
            deliveries[0].result()
    assert batch.unseen_failures == 2
    for delivery in deliveries[1:]:
        with pytest.raises(ClientError):
            delivery.result()
    assert batch.unseen_failures == 0
