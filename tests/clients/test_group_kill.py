"""Consumers under the consumer protocol (KIP-848) whose broker is killed: they go on, together, where they were."""

import pytest
from test_groups import PARTITIONS, Members, each_once, write

from logbroker.testing.broker_process import BrokerProcess


@pytest.mark.parametrize(("first", "other"), [("java", "confluent")])
def test_members_go_on_after_a_kill(first, other, make_driver, own_broker, tmp_path):
    settings = {
        "offsets.topic.num.partitions": "2",
        "group.consumer.min.heartbeat.interval.ms": "300",
        "group.consumer.heartbeat.interval.ms": "300",
    }
    with BrokerProcess(tmp_path / "data", settings=settings) as broker:
        drivers = {name: make_driver(name, broker.bootstrap) for name in {first, other, "confluent"}}
        client = drivers.__getitem__
        client("confluent").call("create_topic", topic="t", partitions=PARTITIONS)
        members = Members("group", "t", {"first": "consumer", "other": "consumer"})
        write(client, "t", 0, 10)
        members.join("first", client(first))
        members.poll_until(lambda: members.balanced() and len(members.read) >= 40, "alone")
        members.commit()
        members.join("other", client(other))
        members.poll_until(members.balanced, "both have a share")
        shares = {member: list(some) for member, some in members.assigned.items()}

        broker.kill()
        broker.start()
        members.read.clear()
        write(client, "t", 10, 5)
        members.poll_until(lambda: members.balanced() and len(members.read) >= 20, "both go on")
        assert members.values() == each_once(10, 15)
        assert members.assigned == shares, "nobody had to give anything up"
        members.commit()

        # Killed while a member is away, whose share the other takes over.
        members.leave("first")
        broker.kill()
        broker.start()
        members.read.clear()
        write(client, "t", 15, 5)
        members.poll_until(lambda: members.balanced() and len(members.read) >= 20, "the other has all")
        assert members.values() == each_once(15, 20)
