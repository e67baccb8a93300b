"""A real broker, killed while members of a consumer group come, go and hand partitions over.

What a member was told is on record: after the kill nobody is fenced or unknown, no partition has two owners, and the group
settles as if nothing had happened.
"""

import random
import time

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.consumer_world import Client
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest

PARTITIONS = 12
SETTLE_S = 30.0


class Wire:
    """A broker as `Client` sees it; `world.beat` of the pure tests."""

    def __init__(self):
        self.client = None

    @staticmethod
    def request(member, epoch, topics, owned, more):
        if epoch == 0:
            more = {"rebalance_timeout_ms": 60_000, **more}
        said = [
            ConsumerGroupHeartbeatRequestTopicPartitions(topic_id, sorted(partitions))
            for topic_id, partitions in (owned or {}).items()
        ]
        return ConsumerGroupHeartbeatRequest(
            "g", member, epoch, subscribed_topic_names=topics, topic_partitions=said, **more
        )

    def beat(self, member, epoch=0, *, topics=None, owned=None, **more):
        answer = self.client.call(
            ApiKey.CONSUMER_GROUP_HEARTBEAT, self.request(member, epoch, topics, owned, more), 1
        )
        if answer.error_code:
            raise BrokerError(ErrorCode(answer.error_code), answer.error_message or "")
        return answer

    def state(self):
        (group,) = self.client.call(
            ApiKey.CONSUMER_GROUP_DESCRIBE, ConsumerGroupDescribeRequest(["g"]), 1
        ).groups
        return group.group_state

    def ready(self):
        request = FindCoordinatorRequest(key_type=0, coordinator_keys=["g"])
        until = time.monotonic() + SETTLE_S
        while self.client.call(ApiKey.FIND_COORDINATOR, request).coordinators[0].error_code:
            assert time.monotonic() < until
        while self.client.call(
            ApiKey.CONSUMER_GROUP_HEARTBEAT, ConsumerGroupHeartbeatRequest("g", "nobody", 1), 1
        ).error_code in (ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NOT_COORDINATOR):
            assert time.monotonic() < until


def one_owner(members):
    owned = [each for client in members.values() for each in client.owned]
    assert len(owned) == len(set(owned))


def live(wire, members, chance, moves):
    """Some time in the group's life."""
    names = [f"m-{i}" for i in range(6)]
    for _ in range(moves):
        name = chance.choice(names)
        client = members.get(name)
        if client is None:
            client = members[name] = Client(wire, name, ["t"])
            assert client.beat() is None
        elif chance.random() < 0.1 and len(members) > 1:
            wire.client.call(ApiKey.CONSUMER_GROUP_HEARTBEAT, ConsumerGroupHeartbeatRequest("g", name, -1), 1)
            del members[name]
        elif chance.random() < 0.5:
            client.follow()
        else:
            # Nobody is ever fenced: whatever it was told is so.
            assert client.beat() is None
        one_owner(members)


def send_unanswered(wire, members):
    """Heartbeats whose replies nobody will read."""
    for client in members.values():
        owned = {}
        for topic_id, partition in client.owned:
            owned.setdefault(topic_id, set()).add(partition)
        if client.epoch:
            wire.client.send(
                ApiKey.CONSUMER_GROUP_HEARTBEAT,
                wire.request(client.member_id, client.epoch, None, owned, {}),
                1,
            )


def settle(wire, members):
    until = time.monotonic() + SETTLE_S
    while True:
        for client in members.values():
            assert client.beat() is None
            client.follow()
            one_owner(members)
        if wire.state() == "Stable" and sum(len(c.owned) for c in members.values()) == PARTITIONS:
            return
        assert time.monotonic() < until, wire.state()


def kill_again_and_again(tmp_path, kills, seed):
    chance = random.Random(seed)
    members = {}
    wire = Wire()
    settings = {"group.consumer.assignment.interval.ms": "0", "offsets.topic.num.partitions": "2"}
    with BrokerProcess(tmp_path / "data", settings=settings) as broker:
        with WireClient(broker.bootstrap) as wire.client:
            wire.client.call(
                ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", PARTITIONS, 1)], 5000)
            )
            wire.ready()
        for _ in range(kills):
            with WireClient(broker.bootstrap) as wire.client:
                live(wire, members, chance, chance.randint(1, 60))
                send_unanswered(wire, members)
                broker.kill()
            broker.start()
            with WireClient(broker.bootstrap) as wire.client:
                wire.ready()
                live(wire, members, chance, 10)
                if members:
                    settle(wire, members)


def test_a_group_survives_kills(tmp_path):
    kill_again_and_again(tmp_path, 4, random.randrange(1 << 30))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_group_survives_many_kills(tmp_path, seed):
    kill_again_and_again(tmp_path, 25, seed)
