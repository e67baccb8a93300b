"""Metadata, in every version: which topics are told, what is created, what is kept."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from logbroker.base import failpoints
from logbroker.base.error_codes import ErrorCode
from logbroker.broker import auto_create
from logbroker.broker.admin import CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS
from logbroker.broker.handlers import metadata as handler
from logbroker.metadata.controller import NewTopic, TopicToDelete
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

ZERO = UUID(int=0)


def ask(*names, create=False, ids=(), **kwargs):
    topics = [MetadataRequestTopic(name=name) for name in names]
    topics += [MetadataRequestTopic(topic_id=topic_id, name=None) for topic_id in ids]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=create, **kwargs)


ALL = MetadataRequest(topics=None, allow_auto_topic_creation=False)


async def fill(admin):
    await admin.metadata.create_topics(
        [NewTopic("t", 3, 1), NewTopic("u", 1, 1), NewTopic("__consumer_offsets", 1, 1)]
    )
    return admin.metadata.image.topics


def told(response):
    return {topic.name: ErrorCode(topic.error_code).name for topic in response.topics}


def test_numbers_of_operations_are_kafkas():
    assert (TOPIC_OPERATIONS, CLUSTER_OPERATIONS) == (3576, 8096)


def test_a_topic_is_told_in_every_version(run):
    async def test(admin):
        topics = await fill(admin)
        for version in admin.versions(MetadataRequest):
            response = await admin.ask(ask("t", "__consumer_offsets", create=version < 4), version)
            (address,) = response.brokers
            assert (address.node_id, address.host) == (1, "plaintext.example")
            assert address.port == admin.broker.ports["PLAINTEXT"]
            assert address.rack == ("r1" if version >= 1 else None)
            assert response.cluster_id == (admin.metadata.image.cluster_id if version >= 2 else None)
            assert response.controller_id == (1 if version >= 1 else -1)
            assert response.error_code == 0
            t, offsets = response.topics
            assert (t.error_code, t.name, t.is_internal) == (0, "t", False)
            assert offsets.is_internal == (version >= 1)
            assert t.topic_id == (topics["t"].topic_id if version >= 10 else ZERO)
            assert [p.partition_index for p in t.partitions] == [0, 1, 2]
            for partition in t.partitions:
                assert (partition.error_code, partition.leader_id) == (0, 1)
                assert (partition.replica_nodes, partition.isr_nodes, partition.offline_replicas) == (
                    [1],
                    [1],
                    [],
                )
                assert partition.leader_epoch == (0 if version >= 7 else -1)
            assert t.topic_authorized_operations == OPERATIONS_NOT_ASKED
            assert response.cluster_authorized_operations == OPERATIONS_NOT_ASKED

    run(test, broker_rack="r1")


def test_which_topics_are_all_topics(run):
    async def test(admin):
        await fill(admin)
        everything = {"t": "NONE", "u": "NONE", "__consumer_offsets": "NONE"}
        for version in admin.versions(MetadataRequest):
            none = await admin.ask(ask(create=version < 4), version)
            if version == 0:
                assert told(none) == everything
                continue
            assert told(none) == {}
            request = MetadataRequest(topics=None, allow_auto_topic_creation=version < 4)
            assert told(await admin.ask(request, version)) == everything

    run(test)


def test_operations_are_told_if_asked_for(run):
    async def test(admin):
        await fill(admin)
        for version in range(8, 14):
            request = ask("t", "nope", include_topic_authorized_operations=True)
            request.include_cluster_authorized_operations = version <= 10
            response = await admin.ask(request, version)
            assert [t.topic_authorized_operations for t in response.topics] == [TOPIC_OPERATIONS] * 2
            expected = CLUSTER_OPERATIONS if version <= 10 else OPERATIONS_NOT_ASKED
            assert response.cluster_authorized_operations == expected

    run(test)


def test_topics_by_id(run):
    async def test(admin):
        topics = await fill(admin)
        for version in (12, 13):
            response = await admin.ask(
                ask(ids=[topics["t"].topic_id, UUID(int=5), topics["t"].topic_id]), version
            )
            assert [(t.name, t.topic_id, ErrorCode(t.error_code).name) for t in response.topics] == [
                ("t", topics["t"].topic_id, "NONE"),
                (None, UUID(int=5), "UNKNOWN_TOPIC_ID"),
            ]
            # If there is one id, only ids count.
            response = await admin.ask(ask("u", "new", ids=[topics["t"].topic_id], create=True), version)
            assert told(response) == {"t": "NONE"}
            response = await admin.ask(
                MetadataRequest(topics=[MetadataRequestTopic(topics["t"].topic_id, "nope")]), version
            )
            assert told(response) == {"t": "NONE"}
        assert "new" not in admin.metadata.image.topics

    run(test)


def test_neither_a_name_nor_an_id(run):
    async def test(admin):
        response = await admin.ask(MetadataRequest(topics=[MetadataRequestTopic(name=None)]))
        assert response.error_code == ErrorCode.INVALID_REQUEST
        assert (response.brokers, response.cluster_id, response.controller_id) == ([], None, -1)

    run(test)


@pytest.mark.parametrize("version", [10, 11])
def test_ids_in_versions_that_know_them_and_dont_take_them(run, version):
    async def test(admin):
        topics = await fill(admin)
        for topic in (
            MetadataRequestTopic(topics["t"].topic_id, None),
            MetadataRequestTopic(topics["t"].topic_id, "t"),
            MetadataRequestTopic(ZERO, None),
        ):
            response = await admin.ask(MetadataRequest(topics=[topic]), version)
            (result,) = response.topics
            assert result.error_code == ErrorCode.INVALID_REQUEST
            assert (result.name, result.topic_id) == (topic.name or "", topic.topic_id)
            assert (response.brokers, response.controller_id) == ([], -1)

    run(test)


# ---- creation


def test_a_missing_topic_is_created_and_told_at_once_in_every_version(run):
    async def test(admin):
        for version in admin.versions(MetadataRequest):
            name = f"new{version}"
            response = await admin.ask(ask(name, create=True), version)
            assert told(response) == {name: "NONE"}
            assert len(response.topics[0].partitions) == 2
            assert name in admin.metadata.image.topics

    run(test, num_partitions=2)


def test_a_client_may_forbid_creation(run):
    async def test(admin):
        for version in range(4, 14):
            response = await admin.ask(ask("new", create=False), version)
            assert told(response) == {"new": "UNKNOWN_TOPIC_OR_PARTITION"}
            assert response.topics[0].topic_id == ZERO

    run(test)


def test_the_broker_may_forbid_creation(run):
    async def test(admin):
        assert told(await admin.ask(ask("new", "a b", create=True))) == {
            "new": "UNKNOWN_TOPIC_OR_PARTITION",
            "a b": "INVALID_TOPIC_EXCEPTION",
        }

    run(test, auto_create_topics_enable=False)


def test_what_cant_be_created(run):
    async def test(admin):
        names = ["a b", "", "..", "x" * 250, "__cluster_metadata", "__share_group_state", "p.q", "p_q"]
        response = await admin.ask(ask(*names, create=True))
        assert told(response) == {
            "a b": "INVALID_TOPIC_EXCEPTION",
            "": "INVALID_TOPIC_EXCEPTION",
            "..": "INVALID_TOPIC_EXCEPTION",
            "x" * 250: "INVALID_TOPIC_EXCEPTION",
            "__cluster_metadata": "UNKNOWN_TOPIC_OR_PARTITION",
            "__share_group_state": "UNKNOWN_TOPIC_OR_PARTITION",
            "p.q": "NONE",
            "p_q": "INVALID_TOPIC_EXCEPTION",
        }
        assert list(admin.metadata.image.topics) == ["p.q"]

    run(test)


def test_a_default_that_cant_be_met_is_told(run):
    async def test(admin):
        response = await admin.ask(ask("new", create=True))
        assert told(response) == {"new": "INVALID_REPLICATION_FACTOR"}

    run(test, default_replication_factor=3)


def test_the_offsets_topic_is_made_as_groups_need_it(run):
    async def test(admin):
        response = await admin.ask(ask("__consumer_offsets", create=True))
        assert len(response.topics[0].partitions) == 7
        config = admin.metadata.image.topics["__consumer_offsets"].config
        assert config.compacted
        assert config.segment_bytes == 104_857_600
        assert config.storage_type == "log"

    run(test, offsets_topic_num_partitions=7, storage_type="memory", compression_type="zstd")


def test_many_who_ask_for_one_new_topic_make_one(run):
    async def test(admin):
        responses = await asyncio.gather(*[admin.ask(ask("new", create=True)) for _ in range(20)])
        ids = {response.topics[0].topic_id for response in responses}
        assert ids == {admin.metadata.image.topics["new"].topic_id}

    run(test)


def test_a_creation_that_takes_too_long_is_told_as_not_yet(run, monkeypatch):
    monkeypatch.setattr(auto_create, "WAIT_MAX_MS", 1)

    async def test(admin):
        with failpoints.arm("metadata.before_commit", "sleep(50)"):
            assert told(await admin.ask(ask("new", create=True))) == {"new": "LEADER_NOT_AVAILABLE"}
        await admin.metadata.create_topics([NewTopic("other", 1, 1)])
        assert told(await admin.ask(ask("new"))) == {"new": "NONE"}

    run(test)


# ---- what changes what is told


def test_a_failed_directory_leaves_its_partitions_without_a_leader(run):
    async def test(admin):
        topics = await fill(admin)
        before = await admin.ask(ask("t"))
        admin.broker.replicas.fail(0)
        failed = admin.broker.replicas.directories[0].directory_id
        for version in (0, 5, 13):
            response = await admin.ask(ask("t", create=version < 4), version)
            (topic,) = response.topics
            assert topic.error_code == 0
            for partition, image in zip(topic.partitions, topics["t"].partitions, strict=True):
                offline = image.directory_id == failed
                assert partition.error_code == (ErrorCode.LEADER_NOT_AVAILABLE if offline else 0)
                assert partition.leader_id == (-1 if offline else 1)
                assert partition.replica_nodes == [1]
                assert partition.offline_replicas == ([1] if offline and version >= 5 else [])
        assert {p.leader_id for p in before.topics[0].partitions} == {1}
        assert {p.leader_id for p in topic.partitions} == {1, -1}

    run(test)


def test_a_kept_reply_is_the_same_and_is_forgotten_when_something_changes(run):
    async def test(admin):
        await fill(admin)
        cache = handler._cache_of(admin.metadata)
        first = await admin.ask(ALL)
        encoded = len(cache._bodies)
        assert await admin.ask(ALL) == first
        assert len(cache._bodies) == encoded == 1
        assert await admin.ask(ask("t")) != first
        assert len(cache._bodies) == 2
        await admin.metadata.delete_topics([TopicToDelete("u")])
        assert told(await admin.ask(ALL)) == {"t": "NONE", "__consumer_offsets": "NONE"}
        assert len(cache._bodies) == 1
        await admin.metadata.bump_leader_epochs([(admin.metadata.image.topics["t"].topic_id, 1)])
        response = await admin.ask(ask("t"))
        assert [p.leader_epoch for p in response.topics[0].partitions] == [0, 1, 0]

    run(test)


def test_kept_replies_are_bounded(run, monkeypatch):
    monkeypatch.setattr(handler, "CACHE_MAX_BYTES", 2000)

    async def test(admin):
        cache = handler._cache_of(admin.metadata)
        for n in range(20):
            assert told(await admin.ask(ask(f"nope{n}"))) == {f"nope{n}": "UNKNOWN_TOPIC_OR_PARTITION"}
            assert cache._size_bytes <= 2000
            assert len(cache._bodies) <= 3
        await admin.ask(ask(*[f"nope{n}" for n in range(100)]))
        assert len(cache._bodies) <= 3

    run(test)


def test_each_listener_tells_its_own_address(run):
    async def test(admin):
        (address,) = (await admin.ask(ALL)).brokers
        return address.host

    assert run(test) == "plaintext.example"
    assert run(test, listener="OUTSIDE") == "outside.example"


def test_ten_thousand_partitions_are_told(run):
    async def test(admin):
        await admin.metadata.create_topics([NewTopic("t", 10_000, 1)])
        response = await admin.ask(ALL)
        assert [p.partition_index for p in response.topics[0].partitions] == list(range(10_000))

    run(test)
