"""Consumer groups where something comes in between: another protocol, a refused write, a topic, an odd assignment."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.consumer.limits import REGEX_REFRESH_MIN_MS
from logbroker.groups.consumer.member import MemberState
from logbroker.groups.consumer.regexes import STEP_MATCHES
from logbroker.groups.consumer.turns import Turns
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


def test_a_protocol_that_a_member_names_twice_counts_once(it):
    it.beat("a")
    assert it.join(protocols=2)._value.error_code == ErrorCode.NONE
    assert it.join()._value.error_code == ErrorCode.NONE


def look_ups(it, member, epoch):
    """A heartbeat, and how often the loop was given back until the group's regular expressions were looked up."""
    answer = it.ask(member, epoch, **({"subscribed_topic_regex": "x.*"} if epoch == 0 else {}))
    turns = 0
    while not answer.done or it.group.resolving:
        it.bench.tick()
        it.bench.log.settle()
        turns += 1
    return turns


def test_a_regular_expression_is_looked_up_in_steps_and_only_among_new_topics(it):
    for index in range(2 * STEP_MATCHES):
        it.bench.known_topics.create(f"x{index}", 1)
    assert look_ups(it, "a", 0) > 2
    assert len(it.group.regexes["x.*"].topics) == 2 * STEP_MATCHES
    it.bench.advance(REGEX_REFRESH_MIN_MS + 1)
    it.bench.known_topics.create("xy", 1)
    it.bench.known_topics.delete("x0")
    it.kind.topic_changed("xy", created=True)
    epoch = it.group.members["a"].epoch
    assert look_ups(it, "a", epoch) <= 2
    assert it.group.regexes["x.*"].topics == {"xy"} | {f"x{i}" for i in range(1, 2 * STEP_MATCHES)}


def test_topics_that_come_while_a_regular_expression_is_looked_up_are_looked_up_next(it):
    for index in range(2 * STEP_MATCHES):
        it.bench.known_topics.create(f"x{index}", 1)
    it.ask("a", subscribed_topic_regex="x.*")
    it.bench.tick()
    assert it.group.resolving
    it.bench.known_topics.create("xy", 1)
    it.kind.topic_changed("xy", created=True)
    it.bench.settle()
    assert not it.group.resolving
    assert "xy" not in it.group.regexes["x.*"].topics
    it.bench.advance(REGEX_REFRESH_MIN_MS + 1)
    it.beat("a", it.group.members["a"].epoch)
    it.bench.settle()
    assert "xy" in it.group.regexes["x.*"].topics


def test_of_many_long_works_one_step_is_taken_in_a_turn():
    deferred, taken = [], []
    turns = Turns(deferred.append)

    def work(name, steps):
        for left in reversed(range(steps)):
            taken.append(name)
            yield left == 0

    for name, steps in (("a", 2), ("b", 1), ("c", 2)):
        turns.add(work(name, steps).__next__)
    order = []
    while deferred:
        assert len(deferred) == 1
        deferred.pop()()
        order.append(list(taken))
    assert order == [["a", "a", "b", "c", "c"][: n + 1] for n in range(5)]


def test_work_that_fails_does_not_hold_up_the_next():
    deferred, taken = [], []
    turns = Turns(deferred.append)

    def fail():
        raise ValueError

    turns.add(fail)
    turns.add(lambda: not taken.append("next"))
    with pytest.raises(ValueError):
        deferred.pop()()
    deferred.pop()()
    assert (taken, deferred) == (["next"], [])
