"""Shards of a whole topic: routing, loading, failing, loading again, resigning."""

import asyncio

import pytest

from logbroker.base.clock import ManualClock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.tasks import TaskScope
from logbroker.coordination.keys import partition_for_key
from logbroker.coordination.runtime import RELOAD_PAUSE_S, CoordinatorRuntime
from logbroker.coordination.shard import ShardServices, ShardState, WriteLimits
from logbroker.testing.coordinators import ManualTimers, MemoryLog

PARTITIONS = 5


class Topic:
    """A runtime over logs in memory."""

    def __init__(self, machine):
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.logs = [MemoryLog(instant=True) for _ in range(PARTITIONS)]
        self.offline = False
        self.failures = []
        self.scope = TaskScope("test", on_failure=lambda what, _: self.failures.append(what))
        self.runtime = CoordinatorRuntime(
            "cells",
            self.open,
            lambda shard: machine(None, shard),
            ShardServices(
                self.clock, self.timers, asyncio.get_running_loop().call_soon, WriteLimits(10_000, 1000)
            ),
            self.scope,
        )

    def open(self, index):
        if self.offline:
            raise BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "the log directory is offline")
        return self.logs[index]

    def lead(self):
        self.runtime.set_partition_count(PARTITIONS)
        self.runtime.lead(range(PARTITIONS))

    def code(self, key="x"):
        with pytest.raises(BrokerError) as caught:
            self.runtime.machine_for(key)
        return caught.value.code

    def wait(self, seconds):
        self.clock.advance(int(seconds * 1000) + 10)
        self.timers.expire_due()


def on_topic(machine, test):
    async def run():
        topic = Topic(machine)
        await test(topic)
        await topic.runtime.stop()
        await topic.scope.close()
        assert topic.failures == []

    asyncio.run(run())


def test_a_key_goes_to_its_shard(cells_machine):
    async def test(topic):
        assert topic.code() is ErrorCode.NOT_COORDINATOR
        with pytest.raises(BrokerError) as caught:
            topic.runtime.partition_of("x")
        assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
        topic.lead()
        # Empty partitions need no load.
        for key in ("a", "b", "some group", "日本"):
            index = partition_for_key(key, PARTITIONS)
            assert topic.runtime.partition_of(key) == index
            assert topic.runtime.machine_for(key) is topic.runtime.shard(index).machine()
        assert len(list(topic.runtime.machines())) == PARTITIONS

    on_topic(cells_machine, test)


def test_state_is_loaded_and_requests_wait_their_turn(cells_machine):
    async def test(topic):
        topic.lead()
        for key in "abcdef":
            topic.runtime.machine_for(key).set(key, key.upper())
        await asyncio.sleep(0)
        topic.runtime.resign(range(PARTITIONS))
        assert topic.code("a") is ErrorCode.NOT_COORDINATOR
        topic.lead()
        assert topic.runtime.is_loading
        assert topic.code("a") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        await topic.runtime.wait_loaded()
        assert not topic.runtime.is_loading
        for key in "abcdef":
            machine = topic.runtime.machine_for(key)
            assert machine.cells[key] == key.upper()
            assert machine.loads == 1

    on_topic(cells_machine, test)


def test_a_shard_that_failed_is_read_again_with_growing_pauses(cells_machine):
    async def test(topic):
        topic.lead()
        topic.runtime.machine_for("x").set("x", "1")
        await asyncio.sleep(0)
        index = topic.runtime.partition_of("x")
        topic.logs[index].instant = False
        topic.runtime.machine_for("x").set("x", "2")
        await asyncio.sleep(0)
        topic.offline = True
        topic.logs[index].fail()
        shard = topic.runtime.shard(index)
        assert shard.state is ShardState.FAILED
        topic.wait(RELOAD_PAUSE_S)
        assert shard.state is ShardState.FAILED
        assert "offline" in shard.reason
        topic.offline = False
        topic.wait(RELOAD_PAUSE_S)
        assert shard.state is ShardState.FAILED  # the second pause is twice as long
        topic.wait(RELOAD_PAUSE_S)
        assert topic.code("x") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        await topic.runtime.wait_loaded()
        assert topic.runtime.machine_for("x").cells == {"x": "2"}

    on_topic(cells_machine, test)


def test_a_log_that_cannot_be_read_now_is_tried_again(cells_machine):
    async def test(topic):
        topic.lead()
        topic.runtime.machine_for("x").set("x", "1")
        await asyncio.sleep(0)
        index = topic.runtime.partition_of("x")
        topic.runtime.resign([index])
        topic.logs[index].readable = False
        topic.runtime.lead([index])
        await topic.runtime.wait_loaded()
        assert topic.runtime.shard(index).state is ShardState.FAILED
        topic.logs[index].readable = True
        topic.wait(RELOAD_PAUSE_S)
        await topic.runtime.wait_loaded()
        assert topic.runtime.machine_for("x").cells == {"x": "1"}

    on_topic(cells_machine, test)


def test_a_record_that_cannot_be_understood_is_left_to_the_operator(cells_machine):
    async def test(topic):
        topic.lead()
        topic.runtime.machine_for("x").set("x", "damaged")
        topic.runtime.machine_for("a").set("a", "fine")
        await asyncio.sleep(0)
        assert topic.runtime.partition_of("x") != topic.runtime.partition_of("a")
        index = topic.runtime.partition_of("x")
        topic.runtime.resign(range(PARTITIONS))
        topic.lead()
        await topic.runtime.wait_loaded()
        shard = topic.runtime.shard(index)
        assert shard.state is ShardState.FAILED
        assert shard.reason.startswith(f"cells-{index} has a record at offset 0 that can't be read")
        assert topic.code("x") is ErrorCode.NOT_COORDINATOR
        assert topic.runtime.machine_for("a").cells == {"a": "fine"}
        for _ in range(10):
            topic.wait(100)
        assert shard.state is ShardState.FAILED

    on_topic(cells_machine, test)


def test_resigning_ends_a_load(cells_machine):
    async def test(topic):
        topic.lead()
        topic.runtime.machine_for("x").set("x", "1")
        await asyncio.sleep(0)
        index = topic.runtime.partition_of("x")
        topic.runtime.resign([index])
        topic.runtime.lead([index])
        assert topic.code("x") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        topic.runtime.resign([index])
        await topic.runtime.wait_loaded()
        await asyncio.sleep(0)
        assert topic.runtime.shard(index) is None
        assert topic.code("x") is ErrorCode.NOT_COORDINATOR

    on_topic(cells_machine, test)


def test_leading_twice_keeps_the_state(cells_machine):
    async def test(topic):
        topic.lead()
        machine = topic.runtime.machine_for("x")
        topic.lead()
        assert topic.runtime.machine_for("x") is machine

    on_topic(cells_machine, test)
