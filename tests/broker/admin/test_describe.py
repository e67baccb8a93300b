"""DescribeCluster, DescribeLogDirs and DescribeTopicPartitions, in every version."""

from __future__ import annotations

from uuid import UUID

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS
from logbroker.metadata.controller import NewTopic
from logbroker.wire.messages.describe_cluster import DescribeClusterRequest
from logbroker.wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from logbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    TopicRequest,
)

# ---- DescribeCluster


def test_the_cluster_is_told_in_every_version(run):
    async def test(admin):
        for version in admin.versions(DescribeClusterRequest):
            for asked in (False, True):
                response = await admin.ask(DescribeClusterRequest(asked), version)
                assert (response.error_code, response.error_message, response.endpoint_type) == (0, None, 1)
                assert response.cluster_id == admin.metadata.image.cluster_id
                assert response.controller_id == 1
                (address,) = response.brokers
                assert (address.broker_id, address.host, address.rack) == (1, "plaintext.example", "r1")
                assert address.port == admin.broker.ports["PLAINTEXT"]
                assert not address.is_fenced
                expected = CLUSTER_OPERATIONS if asked else OPERATIONS_NOT_ASKED
                assert response.cluster_authorized_operations == expected

    run(test, broker_rack="r1")


@pytest.mark.parametrize(
    ("endpoint_type", "code", "message"),
    [
        (
            2,
            ErrorCode.MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        (3, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 3"),
    ],
)
def test_other_endpoints_arent_here(run, endpoint_type, code, message):
    async def test(admin):
        for version in (1, 2):
            response = await admin.ask(DescribeClusterRequest(endpoint_type=endpoint_type), version)
            assert (response.error_code, response.error_message) == (code, message)
            assert (response.endpoint_type, response.cluster_id, response.controller_id) == (1, "", -1)
            assert response.brokers == []

    run(test)


# ---- DescribeLogDirs


def sizes(response):
    return {
        (topic.name, partition.partition_index): partition.partition_size
        for result in response.results
        for topic in result.topics
        for partition in topic.partitions
    }


def test_log_directories_are_told_in_every_version(run):
    async def test(admin):
        await admin.metadata.create_topics(
            [
                NewTopic("t", 3, 1),
                NewTopic("u", 1, 1),
                NewTopic("m", 1, 1, configs=[("storage.type", "memory")]),
            ]
        )
        for version in admin.versions(DescribeLogDirsRequest):
            response = await admin.ask(DescribeLogDirsRequest(topics=None), version)
            assert response.error_code == 0
            assert [result.log_dir for result in response.results] == [
                directory.path for directory in admin.broker.replicas.directories
            ]
            assert sizes(response) == {("t", 0): 1000, ("t", 1): 1001, ("t", 2): 1002, ("u", 0): 1000}
            for result in response.results:
                assert result.error_code == 0
                assert not result.is_cordoned
                assert (result.total_bytes > result.usable_bytes > 0) == (version >= 4)
                assert all(
                    not p.is_future_key and p.offset_lag == 0 for t in result.topics for p in t.partitions
                )

    run(test)


def test_only_what_was_asked_for_is_told(run):
    async def test(admin):
        await admin.metadata.create_topics([NewTopic("t", 3, 1), NewTopic("u", 1, 1)])
        topics = [
            DescribableLogDirTopic("t", [0, 77]),
            DescribableLogDirTopic("t", [2]),
            DescribableLogDirTopic("u", []),
            DescribableLogDirTopic("nope", [0]),
        ]
        response = await admin.ask(DescribeLogDirsRequest(topics))
        assert set(sizes(response)) == {("t", 0), ("t", 2)}
        response = await admin.ask(DescribeLogDirsRequest([]))
        assert sizes(response) == {}
        assert len(response.results) == 2

    run(test)


def test_a_failed_directory_says_so_and_nothing_else(run):
    async def test(admin):
        await admin.metadata.create_topics([NewTopic("t", 4, 1)])
        admin.broker.replicas.fail(1)
        good, bad = (await admin.ask(DescribeLogDirsRequest(None))).results
        assert (good.error_code, bad.error_code) == (0, ErrorCode.KAFKA_STORAGE_ERROR)
        assert bad.log_dir == admin.broker.replicas.directories[1].path
        assert (bad.topics, bad.total_bytes, bad.usable_bytes) == ([], -1, -1)
        assert len(good.topics[0].partitions) == 2

    run(test)


# ---- DescribeTopicPartitions


def portion(*names, limit=2000, cursor=None):
    return DescribeTopicPartitionsRequest(
        [TopicRequest(name) for name in names],
        limit,
        None if cursor is None else DescribeTopicPartitionsRequestCursor(*cursor),
    )


def shape(response):
    cursor = response.next_cursor
    return (
        [(topic.name, [p.partition_index for p in topic.partitions]) for topic in response.topics],
        None if cursor is None else (cursor.topic_name, cursor.partition_index),
    )


async def fill(admin):
    await admin.metadata.create_topics(
        [
            NewTopic("xk1", 5, 1),
            NewTopic("ok2", 2, 1),
            NewTopic("a", 1, 1),
            NewTopic("__consumer_offsets", 3, 1),
        ]
    )


def test_a_partition_is_told_with_everything(run):
    async def test(admin):
        await fill(admin)
        response = await admin.ask(portion("xk1", "nope", "a b", "__consumer_offsets"))
        offsets, invalid, unknown, topic = response.topics
        assert (offsets.name, offsets.is_internal, topic.is_internal) == ("__consumer_offsets", True, False)
        assert (invalid.name, invalid.error_code) == ("a b", ErrorCode.INVALID_TOPIC_EXCEPTION)
        assert (unknown.name, unknown.error_code) == ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert (unknown.topic_id, unknown.partitions) == (UUID(int=0), [])
        assert topic.topic_id == admin.metadata.image.topics["xk1"].topic_id
        assert {t.topic_authorized_operations for t in response.topics} == {TOPIC_OPERATIONS}
        partition = topic.partitions[3]
        assert (partition.error_code, partition.partition_index, partition.leader_id) == (0, 3, 1)
        assert (partition.replica_nodes, partition.isr_nodes, partition.offline_replicas) == ([1], [1], [])
        assert (partition.eligible_leader_replicas, partition.last_known_elr) == ([], [])
        assert partition.leader_epoch == 0

    run(test)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            portion(),
            (
                [("__consumer_offsets", [0, 1, 2]), ("a", [0]), ("ok2", [0, 1]), ("xk1", [0, 1, 2, 3, 4])],
                None,
            ),
        ),
        (portion(limit=3), ([("__consumer_offsets", [0, 1, 2])], ("a", 0))),
        (portion(limit=2), ([("__consumer_offsets", [0, 1])], ("__consumer_offsets", 2))),
        (portion("xk1", "nope", "ok2", limit=3), ([("nope", []), ("ok2", [0, 1]), ("xk1", [0])], ("xk1", 1))),
        (portion("xk1", limit=0), ([("xk1", [0])], ("xk1", 1))),
        (portion("xk1", limit=-1), ([("xk1", [0])], ("xk1", 1))),
        (portion("xk1", limit=5), ([("xk1", [0, 1, 2, 3, 4])], None)),
        (portion("xk1", "xk1"), ([("xk1", [0, 1, 2, 3, 4])], None)),
        (portion("ok2", "xk1", limit=2), ([("ok2", [0, 1])], ("xk1", 0))),
        (portion("xk1", limit=2, cursor=("xk1", 2)), ([("xk1", [2, 3])], ("xk1", 4))),
        (portion("xk1", limit=2, cursor=("xk1", 4)), ([("xk1", [4])], None)),
        (portion("xk1", limit=2, cursor=("xk1", 9)), ([("xk1", [])], None)),
        (portion("aa", "ok2", "xk1", "zz", limit=2, cursor=("xk1", 0)), ([("xk1", [0, 1])], ("xk1", 2))),
        (portion(limit=2, cursor=("nope", 0)), ([("ok2", [0, 1])], ("xk1", 0))),
        (portion(limit=2, cursor=("xk1", 4)), ([("xk1", [4])], None)),
        (portion(limit=2, cursor=("zzz", 4)), ([], None)),
    ],
)
def test_portions_are_kafkas(run, request_, expected):
    async def test(admin):
        await fill(admin)
        assert shape(await admin.ask(request_)) == expected

    run(test)


@pytest.mark.parametrize(
    "request_",
    [
        portion("xk1", cursor=("xk1", -1)),
        portion("ok2", "xk1", cursor=("p", 0)),
        portion("ok2", "xk1", cursor=("zz", 0)),
    ],
)
def test_cursors_that_cant_be(run, request_):
    async def test(admin):
        await fill(admin)
        response = await admin.ask(request_)
        assert {topic.error_code for topic in response.topics} == {ErrorCode.INVALID_REQUEST}
        assert [topic.name for topic in response.topics] == [topic.name for topic in request_.topics]
        assert response.next_cursor is None

    run(test)


def test_the_portions_together_are_everything(run):
    async def test(admin):
        await fill(admin)
        for limit in range(1, 12):
            seen = []
            cursor = None
            while True:
                response = await admin.ask(portion(limit=limit, cursor=cursor))
                told = [(t.name, p.partition_index) for t in response.topics for p in t.partitions]
                assert len(told) <= min(limit, 4)
                seen += told
                if response.next_cursor is None:
                    break
                cursor = (response.next_cursor.topic_name, response.next_cursor.partition_index)
            assert sorted(seen) == sorted(
                (topic.name, index)
                for topic in admin.metadata.image.topics.values()
                for index in range(len(topic.partitions))
            )
            assert len(set(seen)) == len(seen)

    run(test, max_request_partition_size_limit=4)
