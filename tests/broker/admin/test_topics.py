"""CreateTopics, CreatePartitions and DeleteTopics, in every version."""

from __future__ import annotations

from uuid import UUID

import pytest

from logbroker.base import failpoints
from logbroker.base.error_codes import ErrorCode
from logbroker.config.topic import TOPIC_CONFIGS
from logbroker.wire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from logbroker.wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState

ZERO = UUID(int=0)


def topic(name, partitions=1, replicas=1, configs=(), assignments=()):
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        configs=[CreatableTopicConfig(n, v) for n, v in configs],
        assignments=[CreatableReplicaAssignment(i, list(b)) for i, b in assignments],
    )


def create(*topics, **kwargs):
    return CreateTopicsRequest(topics=list(topics), timeout_ms=kwargs.pop("timeout_ms", 10_000), **kwargs)


def test_topics_are_created_in_every_version(run):
    async def test(admin):
        for version in admin.versions(CreateTopicsRequest):
            response = await admin.ask(
                create(topic(f"t{version}", 3, 1, [("retention.ms", "1000")])), version
            )
            (result,) = response.topics
            made = admin.metadata.image.topics[f"t{version}"]
            assert (result.name, result.error_code, result.error_message) == (f"t{version}", 0, None)
            assert len(made.partitions) == 3
            assert made.config.retention_ms == 1000
            assert result.topic_id == (made.topic_id if version >= 7 else ZERO)
            if version < 5:
                continue
            assert (result.num_partitions, result.replication_factor) == (3, 1)
            configs = {config.name: config for config in result.configs}
            assert set(configs) == {name for name, setting in TOPIC_CONFIGS.items() if not setting.hidden}
            assert (configs["retention.ms"].value, configs["retention.ms"].config_source) == ("1000", 1)
            assert (configs["segment.ms"].value, configs["segment.ms"].config_source) == ("604800000", 5)
            assert not any(config.read_only or config.is_sensitive for config in result.configs)

    run(test)


def test_each_topic_of_a_request_stands_alone(run):
    async def test(admin):
        await admin.ask(create(topic("there")))
        response = await admin.ask(
            create(
                topic("there"),
                topic("fine", -1, -1),
                topic("a b"),
                topic("many", 1, 3),
                topic("twice"),
                topic("twice"),
                topic("by-hand", -1, -1, assignments=[(0, [1]), (1, [1])]),
            )
        )
        assert {result.name: ErrorCode(result.error_code).name for result in response.topics} == {
            "there": "TOPIC_ALREADY_EXISTS",
            "fine": "NONE",
            "a b": "INVALID_TOPIC_EXCEPTION",
            "many": "INVALID_REPLICATION_FACTOR",
            "twice": "INVALID_REQUEST",
            "by-hand": "NONE",
        }
        refused = next(result for result in response.topics if result.name == "there")
        assert refused.error_message == "Topic 'there' already exists."
        assert (refused.topic_id, refused.num_partitions, refused.replication_factor, refused.configs) == (
            ZERO,
            -1,
            -1,
            [],
        )
        assert sorted(admin.metadata.image.topics) == ["by-hand", "fine", "there"]

    run(test)


def test_validation_answers_alike_and_changes_nothing(run):
    async def test(admin):
        response = await admin.ask(create(topic("t", 5, 1), topic("..", 1, 1), validate_only=True))
        assert [result.error_code for result in response.topics] == [0, ErrorCode.INVALID_TOPIC_EXCEPTION]
        assert response.topics[0].num_partitions == 5
        assert response.topics[0].configs
        assert admin.metadata.image.topics == {}

    run(test)


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_without_time_nothing_is_done(run, timeout_ms):
    async def test(admin):
        response = await admin.ask(create(topic("t"), topic("t"), topic("u"), timeout_ms=timeout_ms))
        assert [(r.name, r.error_code) for r in response.topics] == [
            ("t", ErrorCode.REQUEST_TIMED_OUT),
            ("u", ErrorCode.REQUEST_TIMED_OUT),
        ]
        await admin.ask(create(topic("t")))
        more = CreatePartitionsRequest([CreatePartitionsTopic("t", 5, None)], timeout_ms=timeout_ms)
        response = await admin.ask(more)
        assert [(r.name, r.error_code) for r in response.results] == [("t", ErrorCode.REQUEST_TIMED_OUT)]
        response = await admin.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=timeout_ms), 5)
        assert [(r.name, r.error_code) for r in response.responses] == [("t", ErrorCode.REQUEST_TIMED_OUT)]
        assert len(admin.metadata.image.topics["t"].partitions) == 1

    run(test)


def test_a_change_that_takes_longer_is_done_all_the_same(run):
    async def test(admin):
        with failpoints.arm("metadata.before_commit", "sleep(50)"):
            response = await admin.ask(create(topic("t"), timeout_ms=1))
        assert response.topics[0].error_code == ErrorCode.REQUEST_TIMED_OUT
        response = await admin.ask(create(topic("t")))
        assert response.topics[0].error_code == ErrorCode.TOPIC_ALREADY_EXISTS

    run(test)


def test_topics_survive_a_restart(run):
    async def first(admin):
        response = await admin.ask(create(topic("t", 3, 1, [("retention.ms", "5")])))
        return response.topics[0].topic_id

    async def second(admin):
        made = admin.metadata.image.topics["t"]
        assert len(made.partitions) == 3
        assert made.configs == {"retention.ms": "5"}
        return made.topic_id

    assert run(first) == run(second)


def test_ten_thousand_partitions_in_one_request(run):
    async def test(admin):
        response = await admin.ask(create(topic("t", 10_000, 1), timeout_ms=60_000))
        assert response.topics[0].error_code == 0
        assert response.topics[0].num_partitions == 10_000
        response = await admin.ask(create(topic("u", 10_001, 1)))
        assert response.topics[0].error_code == ErrorCode.POLICY_VIOLATION
        assert len(admin.metadata.image.topics["t"].partitions) == 10_000

    run(test)


# ---- CreatePartitions


def test_partitions_are_added_in_every_version(run):
    async def test(admin):
        await admin.ask(create(topic("t")))
        for version in admin.versions(CreatePartitionsRequest):
            request = CreatePartitionsRequest(
                [CreatePartitionsTopic("t", version + 2, None)], timeout_ms=5000
            )
            (result,) = (await admin.ask(request, version)).results
            assert (result.name, result.error_code, result.error_message) == ("t", 0, None)
            assert len(admin.metadata.image.topics["t"].partitions) == version + 2

    run(test)


def test_partitions_that_cant_be_added(run):
    async def test(admin):
        await admin.ask(create(topic("t", 2)))
        by_hand = [CreatePartitionsAssignment([2])]
        request = CreatePartitionsRequest(
            [
                CreatePartitionsTopic("t", 2, None),
                CreatePartitionsTopic("nope", 3, None),
            ],
            timeout_ms=5000,
        )
        response = await admin.ask(request)
        assert [(r.name, ErrorCode(r.error_code).name, r.error_message) for r in response.results] == [
            ("t", "INVALID_PARTITIONS", "Topic already has 2 partition(s)."),
            ("nope", "UNKNOWN_TOPIC_OR_PARTITION", None),
        ]
        request = CreatePartitionsRequest([CreatePartitionsTopic("t", 3, by_hand)], timeout_ms=5000)
        (result,) = (await admin.ask(request)).results
        assert result.error_code == ErrorCode.INVALID_REPLICA_ASSIGNMENT
        request = CreatePartitionsRequest(
            [CreatePartitionsTopic("t", 3, None)], timeout_ms=5000, validate_only=True
        )
        (result,) = (await admin.ask(request)).results
        assert result.error_code == 0
        assert len(admin.metadata.image.topics["t"].partitions) == 2

    run(test)


# ---- DeleteTopics


def delete(version, *names):
    if version >= 6:
        return DeleteTopicsRequest(topics=[DeleteTopicState(name=name) for name in names], timeout_ms=5000)
    return DeleteTopicsRequest(topic_names=list(names), timeout_ms=5000)


def test_topics_are_deleted_in_every_version(run):
    async def test(admin):
        for version in admin.versions(DeleteTopicsRequest):
            await admin.ask(create(topic("t", 2)))
            topic_id = admin.metadata.image.topics["t"].topic_id
            response = await admin.ask(delete(version, "t", "nope"), version)
            done, unknown = response.responses
            assert (done.name, done.error_code, done.error_message) == ("t", 0, None)
            assert done.topic_id == (topic_id if version >= 6 else ZERO)
            assert (unknown.name, unknown.error_code) == ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            assert unknown.error_message == (
                "This server does not host this topic-partition." if version >= 5 else None
            )
            assert admin.metadata.image.topics == {}

    run(test)


def test_topics_are_deleted_by_id(run):
    async def test(admin):
        await admin.ask(create(topic("t"), topic("u")))
        topics = admin.metadata.image.topics
        request = DeleteTopicsRequest(
            topics=[
                DeleteTopicState(topic_id=topics["t"].topic_id),
                DeleteTopicState(topic_id=UUID(int=77)),
                DeleteTopicState(),
                DeleteTopicState("u", topics["u"].topic_id),
            ],
            timeout_ms=5000,
        )
        response = await admin.ask(request)
        assert [(r.name, r.topic_id, ErrorCode(r.error_code).name) for r in response.responses] == [
            ("t", topics["t"].topic_id, "NONE"),
            (None, UUID(int=77), "UNKNOWN_TOPIC_ID"),
            (None, ZERO, "INVALID_REQUEST"),
            ("u", topics["u"].topic_id, "INVALID_REQUEST"),
        ]
        assert list(admin.metadata.image.topics) == ["u"]

    run(test)


def test_deletion_may_be_forbidden(run):
    async def test(admin):
        await admin.ask(create(topic("t")))
        for version in admin.versions(DeleteTopicsRequest):
            response = await admin.ask(delete(version, "t", "nope"), version)
            expected = ErrorCode.TOPIC_DELETION_DISABLED if version >= 3 else ErrorCode.INVALID_REQUEST
            assert [(r.name, r.error_code) for r in response.responses] == [
                ("t", expected),
                ("nope", expected),
            ]
        assert list(admin.metadata.image.topics) == ["t"]

    run(test, delete_topic_enable=False)
