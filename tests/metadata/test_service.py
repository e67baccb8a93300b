"""The order of changes: decided at once, durable together, published one by one, and told last."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID

import pytest

from logbroker.base import failpoints
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ConfigError
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.config.values import ResourceType
from logbroker.metadata import service
from logbroker.metadata.config_changes import ConfigChange, ResourceChanges
from logbroker.metadata.controller import MorePartitions, NewTopic, TopicToDelete
from logbroker.metadata.events import (
    DirectoryRegistered,
    LeaderEpochBumped,
    ProducerIdsReserved,
    SettingsReloaded,
    TopicCreated,
    TopicDeleted,
)
from logbroker.metadata.service import PRODUCER_ID_BLOCK, MetadataService
from logbroker.metadata.store import MetadataFailedError

FIRST, SECOND = UUID(int=0xD1), UUID(int=0xD2)


class Follower:
    """Remembers what it hears, and what the published image was then."""

    def __init__(self, metadata):
        self.metadata = metadata
        self.heard = []

    def on_event(self, event, image):
        assert self.metadata.image is image
        self.heard.append(event)

    def kinds(self):
        return [type(event) for event in self.heard]


class GatedStore:
    """Lets the test say when a commit begins: what waits meanwhile is one transaction."""

    def __init__(self, store):
        self.store = store
        self.gate = asyncio.Event()
        self.commits = []

    async def _commit(self, events):
        await self.gate.wait()
        await self.store.commit(events)

    def commit(self, events):
        self.commits.append(list(events))
        return asyncio.ensure_future(self._commit(events))

    async def close(self):
        await self.store.close()


def run(tmp_path, test, settings=None, gated=False):
    async def main():
        failures = []
        made = settings or Settings()
        static = Settings(**{**_fields(made), "metadata_log_dir": str(tmp_path / "metadata")})
        metadata = await MetadataService.open(static, on_failure=failures.append)
        metadata.failures = failures
        if gated:
            metadata._store = GatedStore(metadata._store)
            metadata._store.gate.set()
        await metadata.register_directory(FIRST, "/disk0")
        try:
            if gated:
                metadata._store.gate.clear()
                metadata._store.commits.clear()
            return await test(metadata)
        finally:
            if gated:
                metadata._store.gate.set()
            await metadata.close()

    return asyncio.run(main())


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def turns(count=10):
    async def wait():
        for _ in range(count):
            await asyncio.sleep(0)

    return wait()


def test_a_change_is_published_and_heard_before_it_is_told(tmp_path):
    async def test(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        (outcome,) = await metadata.create_topics([NewTopic("t", 3, 1)])
        assert follower.heard == [outcome.created]
        assert metadata.image.topics["t"].topic_id == outcome.topic_id
        await metadata.create_partitions([MorePartitions("t", 5)])
        await metadata.alter_configs(
            [ResourceChanges(ResourceType.TOPIC, "t", [ConfigChange("retention.ms", "5")])]
        )
        await metadata.delete_topics([TopicToDelete("t")])
        assert [kind.__name__ for kind in follower.kinds()] == [
            "TopicCreated",
            "PartitionsAdded",
            "TopicConfigChanged",
            "TopicDeleted",
        ]

    run(tmp_path, test)


def test_what_waits_for_a_commit_goes_together_in_the_next_one(tmp_path):
    async def test(metadata):
        store = metadata._store
        tasks = [asyncio.create_task(metadata.create_topics([NewTopic(f"t{n}", 1, 1)])) for n in range(5)]
        await turns()
        assert metadata.image.topics == {}
        assert not any(task.done() for task in tasks)
        store.gate.set()
        await asyncio.gather(*tasks)
        assert [len(commit) for commit in store.commits] == [5] or [len(c) for c in store.commits] == [1, 4]
        assert sorted(metadata.image.topics) == [f"t{n}" for n in range(5)]

    run(tmp_path, test, gated=True)


def test_two_requests_for_one_name_cant_both_win_and_the_loser_waits_for_the_winner(tmp_path):
    async def test(metadata):
        first = asyncio.create_task(metadata.create_topics([NewTopic("t", 1, 1)]))
        await turns()
        second = asyncio.create_task(metadata.create_topics([NewTopic("t", 1, 1)]))
        checked = asyncio.create_task(metadata.create_topics([NewTopic("t", 1, 1)], validate_only=True))
        await turns()
        assert not first.done()
        assert not second.done()
        assert not checked.done()
        metadata._store.gate.set()
        assert (await first)[0].error is None
        assert (await second)[0].error.code == ErrorCode.TOPIC_ALREADY_EXISTS
        assert (await checked)[0].error.code == ErrorCode.TOPIC_ALREADY_EXISTS

    run(tmp_path, test, gated=True)


def test_a_later_change_builds_on_one_that_isnt_durable_yet(tmp_path):
    async def test(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        waiting = [
            asyncio.create_task(metadata.create_topics([NewTopic("t", 1, 1)])),
            asyncio.create_task(metadata.create_partitions([MorePartitions("t", 4)])),
            asyncio.create_task(metadata.delete_topics([TopicToDelete("t")])),
            asyncio.create_task(metadata.create_topics([NewTopic("t", 2, 1)])),
        ]
        await turns()
        metadata._store.gate.set()
        results = await asyncio.gather(*waiting)
        assert [result[0].error for result in results] == [None] * 4
        assert len(metadata.image.topics["t"].partitions) == 2
        assert follower.kinds()[::2] == [TopicCreated, TopicDeleted]

    run(tmp_path, test, gated=True)


def test_validating_changes_nothing(tmp_path):
    async def test(metadata):
        before = metadata.image
        (outcome,) = await metadata.create_topics([NewTopic("t", 2, 1)], validate_only=True)
        assert outcome.error is None
        assert len(outcome.created.partitions) == 2
        assert metadata.image is before
        assert (await metadata.create_topics([NewTopic("t", 1, 1)]))[0].error is None
        await metadata.create_partitions([MorePartitions("t", 3)], validate_only=True)
        change = ResourceChanges(ResourceType.TOPIC, "t", [ConfigChange("retention.ms", "1")])
        await metadata.alter_configs([change], validate_only=True)
        assert len(metadata.image.topics["t"].partitions) == 1
        assert metadata.image.topics["t"].configs == {}

    run(tmp_path, test)


def test_a_caller_that_gives_up_doesnt_take_the_change_back(tmp_path):
    async def test(metadata):
        caller = asyncio.create_task(metadata.create_topics([NewTopic("t", 1, 1)]))
        await turns()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        metadata._store.gate.set()
        await metadata.create_topics([NewTopic("u", 1, 1)])
        assert sorted(metadata.image.topics) == ["t", "u"]

    run(tmp_path, test, gated=True)


def test_a_slow_follower_is_waited_for(tmp_path):
    async def test(metadata):
        order = []
        ready = asyncio.Event()

        class Slow:
            def on_event(self, event, image):
                async def work():
                    await ready.wait()
                    order.append(("ready", event.name))

                return work()

        metadata.subscribe(Slow())
        metadata.subscribe(Follower(metadata))

        async def create(name):
            await metadata.create_topics([NewTopic(name, 1, 1)])
            order.append(("told", name))

        tasks = [asyncio.create_task(create(name)) for name in ("t", "u")]
        await asyncio.sleep(0.01)
        assert order == []
        ready.set()
        await asyncio.gather(*tasks)
        assert order.index(("ready", "t")) < order.index(("told", "t"))
        assert order.index(("ready", "t")) < order.index(("ready", "u")) < order.index(("told", "u"))

    run(tmp_path, test)


def test_changes_that_wait_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "PENDING_CHANGES_MAX", 3)

    async def test(metadata):
        waiting = []
        for n in range(4):
            waiting.append(asyncio.create_task(metadata.create_topics([NewTopic(f"t{n}", 1, 1)])))
            await turns()
        with pytest.raises(BrokerError) as caught:
            await metadata.create_topics([NewTopic("late", 1, 1)])
        assert caught.value.code == ErrorCode.REQUEST_TIMED_OUT
        metadata._store.gate.set()
        await asyncio.gather(*waiting)
        await metadata.create_topics([NewTopic("late", 1, 1)])

    run(tmp_path, test, gated=True)


# ---- failure


def test_a_failed_commit_is_told_to_all_who_wait_and_publishes_nothing(tmp_path):
    async def test(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        with failpoints.arm("metadata.before_commit", "error(EIO)"):
            results = await asyncio.gather(
                metadata.create_topics([NewTopic("t", 1, 1)]),
                metadata.create_topics([NewTopic("u", 1, 1)]),
                metadata.next_producer_id(),
                metadata.create_topics([NewTopic("t", 1, 1)], validate_only=True),
                return_exceptions=True,
            )
        assert [type(result) for result in results] == [MetadataFailedError] * 4
        assert follower.heard == []
        assert metadata.image.topics == {}
        assert metadata.failures == [metadata.failure]
        with pytest.raises(MetadataFailedError):
            await metadata.delete_topics([TopicToDelete("t")])
        with pytest.raises(MetadataFailedError):
            await metadata.next_producer_id()
        assert len(metadata.failures) == 1

    run(tmp_path, test)


def test_a_follower_that_cant_follow_is_a_failure(tmp_path):
    async def test(metadata):
        class Broken:
            def on_event(self, event, image):
                raise ZeroDivisionError

        metadata.subscribe(Broken())
        with pytest.raises(MetadataFailedError, match="could not be followed"):
            await metadata.create_topics([NewTopic("t", 1, 1)])
        assert len(metadata.failures) == 1

    run(tmp_path, test)


# ---- producer ids


def test_producer_ids_are_given_once_over_restarts_and_blocks(tmp_path):
    async def test(metadata):
        return await asyncio.gather(*[metadata.next_producer_id() for _ in range(PRODUCER_ID_BLOCK + 50)])

    given = run(tmp_path, test) + run(tmp_path, test)
    assert len(set(given)) == len(given)
    assert given[0] == 0


def test_one_reservation_serves_all_who_wait(tmp_path):
    async def test(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        await asyncio.gather(*[metadata.next_producer_id() for _ in range(100)])
        assert follower.heard == [ProducerIdsReserved(PRODUCER_ID_BLOCK)]

    run(tmp_path, test)


def test_a_caller_that_gives_up_leaves_the_others_their_producer_ids(tmp_path):
    async def test(metadata):
        first = asyncio.create_task(metadata.next_producer_id())
        second = asyncio.create_task(metadata.next_producer_id())
        await turns()
        first.cancel()
        await turns()
        metadata._store.gate.set()
        assert await second == 0

    run(tmp_path, test, gated=True)


# ---- directories, epochs, memory offsets, settings


def test_a_directory_is_registered_once_and_its_failure_is_seen_at_once(tmp_path):
    async def test(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        await metadata.register_directory(SECOND, "/disk1")
        await metadata.register_directory(SECOND, "/disk1")
        assert follower.heard == [DirectoryRegistered(SECOND, "/disk1")]
        await metadata.create_topics([NewTopic("t", 2, 1)])
        partitions = metadata.image.topics["t"].partitions
        assert {partition.directory_id for partition in partitions} == {FIRST, SECOND}
        version = metadata.version
        metadata.directory_failed(SECOND)
        assert metadata.version > version
        assert [metadata.is_offline(p) for p in partitions] == [p.directory_id == SECOND for p in partitions]
        assert metadata.online_directories == (FIRST,)
        await metadata.create_topics([NewTopic("u", 4, 1)])
        assert {p.directory_id for p in metadata.image.topics["u"].partitions} == {FIRST}
        metadata.directory_failed(FIRST)
        ((outcome,),) = [await metadata.create_topics([NewTopic("v", 1, 1)])]
        assert outcome.error.code == ErrorCode.KAFKA_STORAGE_ERROR
        (outcome,) = await metadata.create_topics([NewTopic("w", 1, 1, configs=[("storage.type", "memory")])])
        assert outcome.error is None
        assert not metadata.is_offline(metadata.image.topics["w"].partitions[0])

    run(tmp_path, test)


def test_a_directory_that_isnt_there_after_a_restart_is_offline(tmp_path):
    async def create(metadata):
        await metadata.create_topics([NewTopic("t", 1, 1)])

    async def again(metadata):
        metadata.directory_failed(FIRST)
        assert metadata.is_offline(metadata.image.topics["t"].partitions[0])
        assert metadata.image.directories[FIRST].path == "/disk0"

    run(tmp_path, create)
    run(tmp_path, again)


def test_leader_epochs_rise_over_restarts(tmp_path):
    async def first(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        (outcome,) = await metadata.create_topics([NewTopic("t", 3, 1)])
        unknown = (UUID(int=12345), 0)
        await metadata.bump_leader_epochs(
            [(outcome.topic_id, 0), (outcome.topic_id, 2), (outcome.topic_id, 9), unknown]
        )
        assert follower.kinds() == [TopicCreated, LeaderEpochBumped]
        await metadata.bump_leader_epochs([(outcome.topic_id, 2)])
        await metadata.bump_leader_epochs([])

    async def second(metadata):
        return [(p.leader_epoch, p.partition_epoch) for p in metadata.image.topics["t"].partitions]

    run(tmp_path, first)
    assert run(tmp_path, second) == [(1, 1), (0, 0), (2, 2)]


def test_memory_offsets_only_rise_and_survive(tmp_path):
    async def first(metadata):
        follower = Follower(metadata)
        (outcome,) = await metadata.create_topics([NewTopic("t", 2, 1, configs=[("storage.type", "memory")])])
        metadata.subscribe(follower)
        await metadata.reserve_memory_offsets(outcome.topic_id, 1, 1000)
        await metadata.reserve_memory_offsets(outcome.topic_id, 1, 500)
        assert len(follower.heard) == 1
        with pytest.raises(BrokerError) as caught:
            await metadata.reserve_memory_offsets(outcome.topic_id, 2, 1)
        assert caught.value.code == ErrorCode.UNKNOWN_TOPIC_ID
        with pytest.raises(BrokerError):
            await metadata.reserve_memory_offsets(UUID(int=999), 0, 1)
        return outcome.topic_id

    async def second(metadata):
        return metadata.image.memory_offsets

    topic_id = run(tmp_path, first)
    assert run(tmp_path, second) == {(topic_id, 1): 1000}


def test_reloaded_settings_are_heard_and_nothing_of_them_is_stored(tmp_path):
    async def first(metadata):
        follower = Follower(metadata)
        metadata.subscribe(follower)
        await metadata.create_topics([NewTopic("t", 1, 1, configs=[("max.compaction.lag.ms", "10")])])
        await metadata.reload_settings(Settings(log_retention_ms=5), ConfigSources())
        assert follower.kinds()[-1] is SettingsReloaded
        assert metadata.image.topics["t"].config.retention_ms == 5
        with pytest.raises(ConfigError):
            await metadata.reload_settings(Settings(log_cleaner_min_compaction_lag_ms=20), ConfigSources())
        assert metadata.image.settings.log_retention_ms == 5
        assert metadata.failures == []

    async def second(metadata):
        assert metadata.image.topics["t"].config.retention_ms == 604_800_000

    run(tmp_path, first)
    run(tmp_path, second)


def test_closing_waits_for_what_is_under_way(tmp_path):
    async def test(metadata):
        pending = asyncio.create_task(metadata.create_topics([NewTopic("t", 500, 1)]))
        await asyncio.sleep(0)
        await metadata.close()
        assert (await pending)[0].error is None

    run(tmp_path, test)
    assert not [thread for thread in threading.enumerate() if thread.name == "metadata"]


def test_ten_thousand_partitions_dont_hold_the_loop_for_long(tmp_path):
    """The loop must answer others meanwhile; a generous bound, as machines differ."""

    async def test(metadata):
        longest = 0.0
        done = False

        async def watch():
            nonlocal longest
            loop = asyncio.get_running_loop()
            while not done:
                before = loop.time()
                await asyncio.sleep(0)
                longest = max(longest, loop.time() - before)

        watcher = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await metadata.create_topics([NewTopic("t", 10_000, 1)])
        done = True
        await watcher
        print(f"longest turn of the loop: {longest * 1000:.1f} ms")
        assert longest < 1

    run(tmp_path, test)
