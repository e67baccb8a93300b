"""A real broker, killed: committed offsets and stable groups are there when it is back."""

import random

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

GROUPS = [f"group-{number}" for number in range(20)]


class Committer:
    """Commits ever larger offsets, several at once, and keeps account."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.offset = 0
        self.acked = dict.fromkeys(GROUPS, -1)
        self.asked = dict.fromkeys(GROUPS, -1)

    def work(self, client, commits):
        sent = []
        for _ in range(commits):
            group = self.random.choice(GROUPS)
            self.offset += 1
            self.asked[group] = self.offset
            partitions = [OffsetCommitRequestPartition(0, self.offset, -1, "")]
            request = OffsetCommitRequest(
                group, topics=[OffsetCommitRequestTopic("t", partitions=partitions)]
            )
            client.send(ApiKey.OFFSET_COMMIT, request, 8)
            sent.append((group, self.offset))
            if len(sent) > 8:
                self.hear(client, sent)
        return sent

    def hear(self, client, sent):
        group, offset = sent.pop(0)
        response = client.receive()
        assert response.topics[0].partitions[0].error_code == 0
        self.acked[group] = offset

    def check(self, client):
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=None) for group in GROUPS])
        for answer in client.call(ApiKey.OFFSET_FETCH, request, 8).groups:
            assert answer.error_code == 0
            found = [p.committed_offset for topic in answer.topics for p in topic.partitions]
            offset = found[0] if found else -1
            assert self.acked[answer.group_id] <= offset <= self.asked[answer.group_id]


def ready(client):
    """Ask until every group is loaded."""
    request = FindCoordinatorRequest(key_type=0, coordinator_keys=[*GROUPS, "members"])
    assert not any(c.error_code for c in client.call(ApiKey.FIND_COORDINATOR, request).coordinators)
    for group in GROUPS:
        while client.call(ApiKey.HEARTBEAT, HeartbeatRequest(group, 0, "m")).error_code == 0:
            pass


def join(client):
    request = JoinGroupRequest(
        "members",
        60_000,
        60_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", b"")],
    )
    joined = client.call(ApiKey.JOIN_GROUP, request, 3)
    assignments = [SyncGroupRequestAssignment(joined.member_id, b"all")]
    sync = SyncGroupRequest("members", joined.generation_id, joined.member_id, assignments=assignments)
    assert client.call(ApiKey.SYNC_GROUP, sync, 3).error_code == 0
    return HeartbeatRequest("members", joined.generation_id, joined.member_id)


def kill_again_and_again(tmp_path, kills, seed):
    broker = BrokerProcess(tmp_path / "data")
    committer = Committer(seed)
    with broker:
        with WireClient(broker.bootstrap) as client:
            client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", 1, 1)], 5000))
            ready(client)
            beat = join(client)
        for _ in range(kills):
            with WireClient(broker.bootstrap) as client:
                committer.work(client, committer.random.randint(1, 400))
                broker.kill()
            broker.start()
            with WireClient(broker.bootstrap) as client:
                ready(client)
                committer.check(client)
                answer = client.call(ApiKey.HEARTBEAT, beat)
                assert ErrorCode(answer.error_code) is ErrorCode.NONE


def test_what_was_acknowledged_survives_kills(tmp_path):
    kill_again_and_again(tmp_path, 3, random.randrange(1 << 30))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_many_kills(tmp_path, seed):
    kill_again_and_again(tmp_path, 20, seed)
