"""What random frames have found, one by one, as the client would send it."""

from __future__ import annotations

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)


@pytest.fixture
def client(broker):
    with WireClient(broker.bootstrap) as client:
        yield client
        faults = [event for event in broker.events() if event["level"] == "error"]
        assert not faults


def create(client, name, partitions=1):
    asked = [CreatableTopic(name=name, num_partitions=partitions, replication_factor=1)]
    return client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code


def delete(client, name):
    asked = DeleteTopicsRequest(topics=[DeleteTopicState(name)], timeout_ms=10_000)
    return client.call(ApiKey.DELETE_TOPICS, asked).responses[0].error_code


def test_a_topic_with_the_longest_name_is_deleted(client):
    name = "n" * 249
    for _ in range(2):  # the second creation waits until the folder of the first is out of the way
        assert create(client, name, 2) == 0
        assert delete(client, name) == 0
    assert create(client, name) == 0
    assert client.offset(name, 0, -1) == (0, 0)


@pytest.mark.parametrize("retention_time_ms", [(1 << 63) - 1, -(1 << 63), 0])
def test_an_offset_to_be_kept_longer_than_time_can_say(client, retention_time_ms):
    create(client, "t")
    client.call(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(coordinator_keys=["g"]))
    topics = [
        OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition(committed_offset=5)])
    ]
    request = OffsetCommitRequest(group_id="g", retention_time_ms=retention_time_ms, topics=topics)
    while True:
        code = client.call(ApiKey.OFFSET_COMMIT, request, 4).topics[0].partitions[0].error_code
        if code not in {ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NOT_COORDINATOR}:
            break
    assert code == 0
