"""Random lives of one group whose members speak both protocols: it is upgraded and downgraded while they hand partitions over.

Classic members are eager: they give everything up before they join again. Nobody is paused, so at every instant a partition has at
most one owner, through refused writes and restarts too. Left alone the group settles.
"""

import random

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.joining import Origin
from logbroker.groups.consumer.embedded import read_assignment
from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.testing.consumer_world import on_record
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
)
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

PARTITIONS = 4
STEPS = 150
SETTLED_AFTER = 200
"""Rounds of 1.5 s: members whose answers were lost must first be missed, in two rebalances at most."""
SUBSCRIPTION = b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\x00\x00\x00\x00"
LOST = {ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.NOT_COORDINATOR}


class Consumer:
    def __init__(self, bench, name):
        self.bench = bench
        self.name = name
        self.epoch = 0
        self.owned = set()
        self.must_own = None

    def step(self, chance):
        if self.must_own is not None and chance.random() < 0.5:
            self.owned = set(self.must_own)
            return
        topic_id = self.bench.known_topics.ids["t"]
        owned = (
            [ConsumerGroupHeartbeatRequestTopicPartitions(topic_id, sorted(self.owned))] if self.owned else []
        )
        request = ConsumerGroupHeartbeatRequest("g", self.name, self.epoch, topic_partitions=owned)
        if self.epoch == 0:
            request.rebalance_timeout_ms = 60_000
            request.subscribed_topic_names = ["t"]
        waiter = self.bench.machine.consumer.consumer_heartbeat(request, Origin("c", "/h"))
        self.bench.settle()
        answer = waiter._value
        if answer.error_code in LOST:
            return
        if answer.error_code:
            self.epoch, self.owned, self.must_own = 0, set(), None
            return
        self.epoch = answer.member_epoch
        if answer.assignment is not None:
            self.must_own = {p for each in answer.assignment.topic_partitions for p in each.partitions}

    def leave(self):
        self.owned = set()
        request = ConsumerGroupHeartbeatRequest("g", self.name, -1)
        self.bench.machine.consumer.consumer_heartbeat(request, Origin("c", "/h"))
        self.bench.settle()


class Classic:
    def __init__(self, bench, name):
        self.bench = bench
        self.name = name
        self.member_id = ""
        self.generation = -1
        self.owned = set()
        self.joining = None
        self.syncing = None

    def step(self, chance):
        if self.joining is not None:
            if self.joining.done:
                self._joined(self.joining._value)
        elif self.syncing is not None:
            if self.syncing.done:
                self._synced(self.syncing._value)
        elif self.generation < 0:
            self._join()
        else:
            error = self.bench.machine.heartbeat(HeartbeatRequest("g", self.generation, self.member_id))
            if error is not ErrorCode.NONE:
                self._start_over(error)
        self.bench.settle()

    def disconnected(self):
        """Whatever it waited for will not come."""
        if self.joining is not None or self.syncing is not None:
            self.joining = self.syncing = None
            self._start_over(ErrorCode.NETWORK_EXCEPTION)

    def _start_over(self, error):
        self.owned = set()
        self.generation = -1
        if error is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""

    def _join(self):
        protocols = [JoinGroupRequestProtocol("range", SUBSCRIPTION)]
        request = JoinGroupRequest("g", 45_000, 60_000, self.member_id, None, "consumer", protocols)
        self.joining = self.bench.machine.join(request, Origin("c", "/h", requires_member_id=False))

    def _joined(self, answer):
        self.joining = None
        if answer.error_code:
            self._start_over(ErrorCode(answer.error_code))
            return
        self.member_id, self.generation = answer.member_id, answer.generation_id
        brought = [
            SyncGroupRequestAssignment(
                member.member_id, _assignment(range(index, PARTITIONS, len(answer.members)))
            )
            for index, member in enumerate(answer.members)
        ]
        request = SyncGroupRequest("g", self.generation, self.member_id, None, "consumer", "range", brought)
        self.syncing = self.bench.machine.sync(request)

    def _synced(self, answer):
        self.syncing = None
        if answer.error_code:
            self._start_over(ErrorCode(answer.error_code))
        elif answer.assignment:
            self.owned = {
                p for each in read_assignment(answer.assignment).assigned_partitions for p in each.partitions
            }

    def leave(self):
        self.owned = set()
        if self.member_id:
            self.bench.machine.leave("g", [(self.member_id, None)], lambda _: None)
        self.bench.settle()


def _assignment(partitions):
    listed = b"".join(p.to_bytes(4, "big") for p in partitions)
    return b"\x00\x01\x00\x00\x00\x01\x00\x01t" + (len(listed) // 4).to_bytes(4, "big") + listed + b"\xff" * 4


class Story:
    def __init__(self, bench, seed):
        self.bench = bench
        self.chance = random.Random(seed)
        self.members = {}
        self.kinds = set()

    def one_owner(self):
        seen = {}
        for name, member in self.members.items():
            for partition in member.owned:
                assert partition not in seen, f"{partition} belongs to {seen[partition]} and {name}"
                seen[partition] = name

    def step(self):
        chance = self.chance
        dice = chance.random()
        name = chance.choice("abcd")
        if name not in self.members:
            if dice < 0.4:
                made = chance.choice((Consumer, Classic))
                self.members[name] = made(self.bench, f"{name}-{chance.randrange(1 << 30)}")
        elif dice < 0.04:
            # Whoever goes while it waits for an answer leaves a member that nobody knows: that only costs time.
            if not getattr(self.members[name], "joining", None):
                self.members.pop(name).leave()
        elif dice < 0.05:
            self.calm()
        elif dice < 0.09:
            self.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
            self.members[name].step(chance)
            self.bench.log.refusal = None
        elif dice < 0.11:
            self.restart()
        else:
            self.members[name].step(chance)
        self.kinds.add(type(self.bench.machine.groups.get("g")))
        self.one_owner()

    def restart(self):
        self.bench.settle()
        group = self.bench.machine.groups.get("g")
        before = on_record(group) if isinstance(group, ConsumerGroup) else None
        self.bench.restart()
        for member in self.members.values():
            if isinstance(member, Classic):
                member.disconnected()
        if before is not None:
            assert on_record(self.bench.machine.groups["g"]) == before

    def calm(self):
        """Some rounds in which nothing happens but what members do by themselves."""
        for _ in range(12):
            self.round()

    def round(self):
        self.bench.advance(1500)
        for member in list(self.members.values()):
            member.step(self.chance)
            self.one_owner()

    def settle(self):
        for _ in range(SETTLED_AFTER):
            self.round()
        owned = [p for member in self.members.values() for p in member.owned]
        assert sorted(owned) == (list(range(PARTITIONS)) if self.members else [])


@pytest.mark.parametrize("seed", range(200))
def test_a_group_of_both_protocols(new_bench, seed):
    story = Story(new_bench(initial_ms=0), seed)
    for _ in range(STEPS):
        story.step()
    story.settle()


def test_the_schedules_see_both_kinds(new_bench):
    seen = []
    for seed in range(10):
        story = Story(new_bench(initial_ms=0), seed)
        for _ in range(STEPS):
            story.step()
        seen.append(story.kinds)
    assert sum({ClassicGroup, ConsumerGroup} <= kinds for kinds in seen) >= 5
