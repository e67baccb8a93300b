"""Consumer groups where something comes in between: another protocol, a refused write, a topic, an odd assignment."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.consumer.member import MemberState
from logbroker.groups.machine import NewOffset
from logbroker.testing.consumer_shard import ALL, Group, assigned, assignment


@pytest.fixture
def it(bench):
    return Group(bench)


def refuse(it):
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    it.bench.settle()
    it.bench.log.refusal = None


def keep(it, seconds, **members):
    """Members heartbeat in the same epoch for so long."""
    for _ in range(seconds // 5):
        it.bench.advance(5000)
        for member, epoch in members.items():
            it.beat(member, epoch)


def test_a_classic_member_that_goes_on_under_the_consumer_protocol_is_not_waited_for(it):
    it.beat("a")
    member = it.join()._value.member_id
    epoch = it.beat(member).member_epoch
    assert it.group.classic_count == 0
    for _ in range(18):
        it.bench.advance(5000)
        answer = it.beat(member, epoch)
        assert answer.error_code == ErrorCode.NONE
        epoch = answer.member_epoch


def test_a_member_whose_revocation_was_taken_back_is_not_removed_for_it(it):
    it.beat("a", topics=["t", "u"])
    waiter = it.ask("a", 2, topics=["t"])
    assert it.group.members["a"].state is MemberState.UNREVOKED_PARTITIONS
    refuse(it)
    assert waiter._value.error_code != ErrorCode.NONE
    assert it.group.members["a"].state is MemberState.STABLE
    keep(it, 90, a=2)
    assert set(it.group.members) == {"a"}


def test_a_member_whose_release_was_taken_back_is_still_waited_for(it):
    it.beat("a")
    it.beat("b")
    epoch = it.beat("a", 2).member_epoch
    assert it.group.members["a"].state is MemberState.UNREVOKED_PARTITIONS
    it.ask("a", epoch, owned=sorted(it.group.members["a"].assigned[it.bench.known_topics.ids["t"]]))
    assert it.group.members["a"].state is MemberState.STABLE
    refuse(it)
    assert it.group.members["a"].state is MemberState.UNREVOKED_PARTITIONS
    keep(it, 90, a=epoch, b=3)
    assert set(it.group.members) == {"b"}


def test_a_topic_that_changes_while_a_write_is_refused_is_not_forgotten(it):
    it.beat("a")
    it.ask("b")
    it.bench.known_topics.grow("t", 5)
    it.kind.topic_changed("t", created=False)
    refuse(it)
    assert set(it.group.members) == {"a"}
    assert assigned(it.beat("a", 2)) == [0, 1, 2, 3, 4]


def test_a_downgrade_in_the_middle_of_a_reconciliation_rebalances(it):
    """Else what a member is giving up would be nobody's."""
    it.beat("s", instance_id="i")
    member = it.join()._value
    assert it.beat("s", 2, instance_id="i").member_epoch == 2
    joined = it.join(instance="i")._value
    assert joined.error_code == ErrorCode.NONE
    assert isinstance(it.group, ClassicGroup)
    assert it.group.state is State.PREPARING_REBALANCE
    assert set(it.group.members) == {member.member_id, joined.member_id}


@pytest.mark.parametrize("second", [ALL, assignment(3)])
def test_a_partition_that_a_classic_group_shares_is_not_taken_over(it, second):
    first, other = it.join(), it.join()
    it.bench.advance(3100)
    it.bench.advance(3100)
    it.bench.settle()
    leader, member = first._value.member_id, other._value.member_id
    assert it.sync(1, leader, ALL, second, others=[member]).error_code == ErrorCode.NONE
    assert it.beat("new").error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert it.group.state is State.STABLE


def test_partitions_that_do_not_exist_are_not_taken_over(it):
    waiter = it.join()
    it.bench.advance(3100)
    it.bench.settle()
    member = waiter._value.member_id
    it.sync(1, member, assignment(-1, 0, 4, 70_000))
    epoch = it.beat("new").member_epoch
    assert it.group.members[member].assigned == {it.bench.known_topics.ids["t"]: {0: 1}}
    had = sorted(p for target in it.group.target.values() for each in target.values() for p in each)
    assert (had, epoch) == ([0, 1, 2, 3], 2)


def test_offsets_of_an_empty_group_outlive_a_join_that_is_refused(it):
    it.beat("a")
    value = OffsetCommitValue(7, -1, "", int(it.bench.clock.wall_ms()))
    it.bench.machine.commit("g", [NewOffset("t", 0, value)], lambda _: None)
    it.beat("a", -1)
    assert it.join(protocols=0)._value.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert isinstance(it.group, ClassicGroup), "somebody must see to it that they expire"
    it.bench.clock.advance(2 * 86_400_000)
    it.bench.machine.drop_expired()
    it.bench.settle()
    assert it.group is None
    assert list(it.bench.machine.offsets.of_group("g")) == []
