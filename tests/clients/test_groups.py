"""Consumers that share partitions, take over from each other, and go on where they committed."""

from __future__ import annotations

import time

import pytest
from samples import by_partition, plain
from support.client_driver import KINDS, together

PARTITIONS = 4
GROUPING = [name for name, kind in KINDS.items() if kind.groups]
TIMEOUT_S = 45.0


class Members:
    """Members of one group, each in its client's process, polled together."""

    def __init__(self, group, topic, protocols=None):
        self.group = group
        self.topic = topic
        self.protocols = protocols or {}
        self.drivers = {}
        self.read = []
        self.assigned = {}

    def join(self, member, driver):
        driver.call("join", member=member, group=self.group, topics=[self.topic], **self._protocol(member))
        self.drivers[member] = driver
        self.assigned[member] = []

    def _protocol(self, member):
        return {"protocol": self.protocols[member]} if member in self.protocols else {}

    def leave(self, member):
        self.drivers.pop(member).call("leave", member=member)
        del self.assigned[member]

    def poll_until(self, condition, what):
        """Have every member poll until the condition holds; what they read is in `read`."""
        until = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < until, f"{what}: {self.assigned}, {len(self.read)} read"
            calls = [
                (driver, "poll", {"member": member, "timeout_ms": 150})
                for member, driver in self.drivers.items()
            ]
            for member, polled in zip(self.drivers, together(calls), strict=True):
                self.read += polled["records"]
                self.assigned[member] = polled["assigned"]

    def balanced(self):
        """Whether the partitions are shared out, each to one member, as evenly as they can be."""
        owned = sorted(partition for some in self.assigned.values() for partition in some)
        sizes = [len(some) for some in self.assigned.values()]
        return owned == list(range(PARTITIONS)) and max(sizes) - min(sizes) <= 1

    def commit(self):
        for member, driver in self.drivers.items():
            driver.call("commit", member=member)

    def values(self):
        return sorted((record["p"], record["o"]) for record in self.read)


@pytest.fixture(scope="session")
def second(server, make_driver):
    """Another process of a client, so that two members of it can poll at the same time."""
    drivers = {}

    def get(name):
        if name not in drivers:
            drivers[name] = make_driver(name, server)
        return drivers[name]

    return get


def write(client, topic, start, count):
    for partition in range(PARTITIONS):
        client("confluent").call("produce", topic=topic, records=plain(partition, count, start))


def each_once(start, end):
    return [(partition, offset) for partition in range(PARTITIONS) for offset in range(start, end)]


def share_and_resume(members, first, other, client):
    """Two members share; one goes; all leave, and what comes later is all that the next one reads."""
    topic = members.topic
    write(client, topic, 0, 25)
    members.join("first", first)
    members.poll_until(lambda: members.balanced() and len(members.read) == 100, "alone")
    assert members.values() == each_once(0, 25)
    members.commit()

    members.join("other", other)
    members.poll_until(members.balanced, "the second has its share")
    members.read.clear()
    write(client, topic, 25, 5)
    members.poll_until(lambda: len(members.read) >= 20, "read together")
    assert members.values() == each_once(25, 30)
    assert {len(some) for some in members.assigned.values()} == {2}
    members.commit()

    members.leave("first")
    members.poll_until(members.balanced, "the second takes over")
    members.read.clear()
    write(client, topic, 30, 5)
    members.poll_until(lambda: len(members.read) >= 20, "read alone again")
    assert members.values() == each_once(30, 35)
    members.commit()
    members.leave("other")

    write(client, topic, 35, 5)
    members.read.clear()
    members.join("first", first)
    members.poll_until(lambda: len(members.read) >= 20, "resumed")
    assert members.values() == each_once(35, 40)
    members.leave("first")


@pytest.mark.parametrize("name", GROUPING)
def test_two_of_a_kind(name, client, second, new_topic, new_name):
    members = Members(new_name("group"), new_topic("shared", partitions=PARTITIONS))
    share_and_resume(members, client(name), second(name), client)


@pytest.mark.parametrize(
    ("first", "other"), [("java", "confluent"), ("kafka_python", "java"), ("aiokafka", "confluent")]
)
def test_two_kinds_in_one_group(first, other, client, new_topic, new_name):
    members = Members(new_name("group"), new_topic("mixed", partitions=PARTITIONS))
    share_and_resume(members, client(first), client(other), client)


CONSUMER = {"first": "consumer", "other": "consumer"}


@pytest.mark.parametrize(
    ("first", "other"), [("confluent", "confluent"), ("java", "java"), ("java", "confluent")]
)
def test_the_consumer_protocol(first, other, client, second, new_topic, new_name):
    """KIP-848: the broker assigns."""
    members = Members(new_name("group"), new_topic("assigned", partitions=PARTITIONS), CONSUMER)
    share_and_resume(members, client(first), second(other) if first == other else client(other), client)


@pytest.mark.parametrize(
    ("first", "other", "later"), [("java", "confluent", "other"), ("confluent", "java", "first")]
)
def test_a_live_group_changes_its_protocol(first, other, later, client, new_topic, new_name):
    """One member speaks the classic protocol, one the consumer protocol: the group is upgraded, or taken part in, and
    downgraded or converted when one of them goes and comes back.
    """
    members = Members(new_name("group"), new_topic("converted", partitions=PARTITIONS), {later: "consumer"})
    share_and_resume(members, client(first), client(other), client)


@pytest.mark.parametrize("name", GROUPING)
def test_groups_as_admins_see_them(name, client, new_topic, new_name):
    topic, group = new_topic("watched", partitions=PARTITIONS), new_name("group")
    write(client, topic, 0, 3)
    members = Members(group, topic)
    members.join("only", client("confluent"))
    members.poll_until(lambda: len(members.read) == 12, "read")
    members.commit()
    admin = client(name)
    assert group in admin.call("groups")
    assert admin.call("group", group=group) == {"state": _spelled(name, "Stable"), "members": 1}
    assert admin.call("committed", group=group, topic=topic, partitions=[0, 3]) == {0: 3, 3: 3}
    members.leave("only")
    assert admin.call("group", group=group) == {"state": _spelled(name, "Empty"), "members": 0}
    assert admin.call("committed", group=group, topic=topic, partitions=[0, 3]) == {0: 3, 3: 3}


def _spelled(name, state):
    return state.upper() if name == "confluent" else state


def test_kcat_goes_on_where_java_committed(client, new_topic, new_name):
    topic, group = new_topic("handed-over", partitions=PARTITIONS), new_name("group")
    write(client, topic, 0, 5)
    members = Members(group, topic)
    members.join("java", client("java"))
    members.poll_until(lambda: len(members.read) == 20, "read")
    members.commit()
    members.leave("java")
    write(client, topic, 5, 2)
    read = by_partition(client("kcat").call("read_group", group=group, topic=topic, count=8))
    assert {partition: [record["o"] for record in records] for partition, records in read.items()} == {
        partition: [5, 6] for partition in range(PARTITIONS)
    }
