"""Consumer groups in a shard: durability, refused writes, members under the classic protocol, upgrade and downgrade."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue, group_metadata_key
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.consumer.group import ConsumerGroup, GroupState
from logbroker.groups.kind import Committer
from logbroker.groups.machine import NewOffset
from logbroker.testing.consumer_shard import ALL, OLD, ORIGIN, Group, assigned, owned, subscription
from logbroker.testing.consumer_world import on_record
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol


@pytest.fixture
def it(bench):
    return Group(bench)


# ---- durability


def test_a_reply_waits_for_the_log(it):
    waiter = it.ask("m")
    assert not waiter.done
    it.bench.settle()
    assert assigned(waiter._value) == [0, 1, 2, 3]


def test_a_heartbeat_that_saw_a_change_waits_for_it_too(it):
    it.beat("a")
    first = it.ask("b")
    second = it.ask("a", 2)
    assert not second.done
    it.bench.settle()
    assert first.done
    assert assigned(second._value) == [0, 1]


def test_a_restart_finds_the_group_as_it_was(it):
    it.beat("a")
    it.beat("b", instance_id="i")
    it.beat("a", 2)
    it.beat("a", 2, owned=[0, 1])
    it.beat("b", 3, instance_id="i")
    before = on_record(it.group)
    it.bench.restart()
    assert on_record(it.group) == before
    assert it.beat("a", 3).error_code == ErrorCode.NONE
    it.bench.advance(44000)
    assert len(it.group.members) == 2
    it.beat("a", 3)
    it.bench.advance(2000)
    it.bench.settle()
    assert list(it.group.members) == ["a"]


def test_what_the_log_refuses_leaves_nothing(it):
    it.beat("a")
    before = on_record(it.group)
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert it.beat("b").error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert on_record(it.group) == before
    assert it.beat("b").error_code == ErrorCode.NONE


def test_a_group_that_the_log_refuses_does_not_exist(it):
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert it.beat("a").error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert it.group is None


def test_a_removal_that_the_log_refuses_is_tried_again(it):
    it.beat("a")
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    it.bench.advance(45500)
    it.bench.settle()
    assert list(it.group.members) == ["a"]
    it.bench.advance(1000)
    it.bench.settle()
    assert it.group.members == {}


def test_ids_that_no_record_can_hold(it):
    answer = it.beat("m" * 40_000)
    assert answer.error_code == ErrorCode.INVALID_REQUEST
    assert it.group is None


def test_regular_expressions_are_looked_up_at_the_end_of_the_tick(it):
    first = it.beat("m", subscribed_topic_regex="t|u")
    assert assigned(first) == []
    it.bench.settle()
    assert assigned(it.beat("m", first.member_epoch)) == [0, 0, 1, 1, 2, 2, 3]
    it.bench.known_topics.create("uu", 1)
    it.kind.topic_changed("uu", created=True)
    assert it.group.new_topics


def test_a_lookup_that_the_log_refuses_is_repeated(it):
    waiter = it.ask("m", subscribed_topic_regex="t|u")
    it.bench.tick()
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    it.bench.settle()
    assert waiter._value.error_code == ErrorCode.NONE
    assert it.group.regexes == {}
    it.beat("m", waiter._value.member_epoch)
    assert assigned(it.beat("m", 1)) == [0, 0, 1, 1, 2, 2, 3]


def test_topics_that_change_are_noticed(it):
    it.beat("m")
    it.bench.known_topics.grow("t", 5)
    it.kind.topic_changed("other", created=False)
    assert not it.group.refresh_due
    it.kind.topic_changed("t", created=False)
    assert assigned(it.beat("m", 2)) == [0, 1, 2, 3, 4]


# ---- upgrade


def test_a_classic_group_is_upgraded_by_a_consumer(it):
    member = it.classic_member()
    assert isinstance(it.group, ClassicGroup)
    answer = it.beat("new")
    assert isinstance(it.group, ConsumerGroup)
    assert (answer.member_epoch, assigned(answer)) == (2, [])
    assert it.heartbeat(1, member) == ErrorCode.REBALANCE_IN_PROGRESS
    joined = it.join(member, subscription(0, 1, 2, 3))._value
    assert (joined.error_code, joined.generation_id) == (ErrorCode.NONE, 1)
    assert owned(it.sync(1, member).assignment) == [0, 1]
    assert it.heartbeat(1, member) == ErrorCode.REBALANCE_IN_PROGRESS
    assert it.join(member, subscription(0, 1))._value.generation_id == 2
    assert owned(it.sync(2, member).assignment) == [0, 1]
    assert it.heartbeat(2, member) == ErrorCode.NONE
    assert assigned(it.beat("new", 2)) == [2, 3]
    assert it.group.state is GroupState.STABLE
    before = on_record(it.group)
    it.bench.restart()
    assert on_record(it.group) == before
    assert it.heartbeat(2, member) == ErrorCode.NONE


def test_an_upgrade_that_the_log_refuses_leaves_the_classic_group(it):
    member = it.classic_member()
    classic = it.group
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert it.beat("new").error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert it.group is classic
    assert classic.state is State.STABLE
    assert it.heartbeat(1, member) == ErrorCode.NONE
    it.bench.advance(46000)
    it.bench.settle()
    assert it.group.members == {}, "its timers run again"


def test_members_who_wait_in_a_group_that_is_upgraded_join_again(it):
    member = it.classic_member()
    waiting = it.join(origin=OLD)
    assert not waiting.done
    it.beat("new")
    assert waiting._value.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert member in it.group.members


@pytest.mark.parametrize(
    ("changes", "assignment"),
    [
        ({"upgrades": False}, ALL),
        ({"max_size": 0}, ALL),
        ({}, ALL[:-4] + b"\x00\x00\x00\x01x"),
        ({}, b"\x00\x01\x00\x00"),
    ],
)
def test_a_group_that_cannot_be_upgraded(it, changes, assignment):
    waiter = it.join()
    it.bench.advance(3100)
    it.bench.settle()
    assert it.sync(1, waiter._value.member_id, assignment).error_code == ErrorCode.NONE
    it.bench.limits.limits = it.bench.limits.limits.__class__(
        **{
            **{name: getattr(it.bench.limits.limits, name) for name in it.bench.limits.limits.__slots__},
            **changes,
        }
    )
    assert it.beat("new").error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert isinstance(it.group, ClassicGroup)
    assert it.group.state is State.STABLE


def test_an_empty_classic_group_is_replaced(it):
    member = it.classic_member()
    it.bench.machine.leave("g", [(member, None)], lambda _: None)
    it.bench.settle()
    it.beat("new")
    assert list(it.group.members) == ["new"]
    it.bench.restart()
    assert list(it.group.members) == ["new"]


# ---- downgrade


def test_the_last_consumer_that_leaves_leaves_a_classic_group(it):
    it.beat("a")
    member = it.join()._value.member_id
    it.beat("a", 2)
    it.beat("a", 2, owned=[0, 1])
    it.join(member, subscription())
    assert owned(it.sync(3, member).assignment) == [2, 3]
    assert it.beat("a", -1).error_code == ErrorCode.NONE
    assert isinstance(it.group, ClassicGroup)
    assert it.group.state is State.PREPARING_REBALANCE
    assert owned(it.group.members[member].assignment) == [2, 3]
    assert it.heartbeat(it.group.generation_id, member) == ErrorCode.REBALANCE_IN_PROGRESS
    joined = it.join(member)._value
    assert (joined.error_code, joined.leader) == (ErrorCode.NONE, member)
    it.sync(joined.generation_id, member, ALL)
    it.bench.restart()
    assert isinstance(it.group, ClassicGroup)
    assert list(it.group.members) == [member]


def test_a_downgrade_that_the_log_refuses_leaves_the_consumer_group(it):
    it.beat("a")
    member = it.join()._value.member_id
    before = on_record(it.group)
    it.bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert it.beat("a", -1).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert isinstance(it.group, ConsumerGroup)
    assert on_record(it.group) == before
    assert member in it.group.members
    it.bench.advance(45500)
    it.bench.settle()
    assert isinstance(it.group, ClassicGroup), "the consumer's session has ended"
    assert list(it.group.members) == [member]


def test_metadata_that_cannot_be_read_does_not_hold_a_consumer_back(it):
    """Of several protocols one is chosen that nobody has looked at: the group stays what it is, without the member."""
    it.beat("a")
    protocols = [
        JoinGroupRequestProtocol("sticky", subscription()),
        JoinGroupRequestProtocol("range", b""),
    ]
    for order in (protocols, protocols[::-1], protocols):
        request = JoinGroupRequest("g", 45_000, 60_000, "", None, "consumer", order)
        it.bench.machine.join(request, OLD)
        it.bench.settle()
    members = {member.member_id: member for member in it.group.members.values() if member.classic}
    assert len(members) == 2, "the one whose first protocol can't be read was refused"
    for member in members.values():
        broken = member.__class__(
            **{name: getattr(member, name) for name in member.__slots__ if name != "classic"},
            classic=member.classic.__class__(45_000, (("range", b""),)),
        )
        it.group.put_member(broken)
    assert it.beat("a", -1).error_code == ErrorCode.NONE
    assert isinstance(it.group, ConsumerGroup)
    assert set(it.group.members) == set(members)


def test_without_downgrades_it_stays_a_consumer_group(it):
    it.bench.limits.__init__(downgrades=False)
    it.beat("a")
    member = it.join()._value.member_id
    it.beat("a", -1)
    assert isinstance(it.group, ConsumerGroup)
    assert list(it.group.members) == [member]


def test_a_static_member_that_comes_back_as_a_classic_one_downgrades_the_group(it):
    it.beat("a", instance_id="i")
    joined = it.join(instance="i")._value
    assert joined.error_code == ErrorCode.NONE
    assert isinstance(it.group, ClassicGroup)
    assert it.group.state is State.STABLE, "it subscribes to the same: nobody needs to move"
    assert owned(it.sync(joined.generation_id, joined.member_id).assignment) == [0, 1, 2, 3]
    it.bench.restart()
    assert list(it.group.members) == [joined.member_id]


def test_an_empty_consumer_group_becomes_a_classic_one(it):
    it.beat("a")
    it.beat("a", -1)
    member = it.join()
    it.bench.advance(3100)
    it.bench.settle()
    assert member._value.error_code == ErrorCode.NONE
    assert isinstance(it.group, ClassicGroup)
    it.sync(1, member._value.member_id, ALL)
    it.bench.restart()
    assert isinstance(it.group, ClassicGroup)


# ---- classic members


def test_a_classic_member_that_does_not_come_when_called_is_removed(it):
    it.beat("a")
    member = it.join()._value.member_id
    it.sync(3, member)
    it.beat("b")
    assert it.heartbeat(3, member) == ErrorCode.REBALANCE_IN_PROGRESS
    for _ in range(6):
        it.bench.advance(10100)
        it.bench.settle()
        it.heartbeat(3, member)
        it.beat("a", it.group.members["a"].epoch)
        it.beat("b", it.group.members["b"].epoch)
    assert member not in it.group.members


def test_a_classic_member_that_does_not_sync_is_removed(it):
    it.beat("a")
    member = it.join()._value.member_id
    for _ in range(6):
        it.bench.advance(10100)
        it.bench.settle()
        it.beat("a", 2)
        it.heartbeat(3, member)
    assert member not in it.group.members


def test_a_new_member_is_given_an_id_first(it):
    it.beat("a")
    told = it.join(origin=ORIGIN)._value
    assert told.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert list(it.group.members) == ["a"]
    assert it.join(told.member_id, origin=ORIGIN)._value.member_id == told.member_id


# ---- offsets


def test_commits_by_member_epoch(it):
    topic_id = it.bench.known_topics.ids["t"]
    assert it.commit("a", 1) == ErrorCode.GROUP_ID_NOT_FOUND
    it.beat("a")
    it.beat("b")
    it.beat("a", 2)
    it.beat("a", 2, owned=[0, 1])
    assert it.commit("a", 3) == ErrorCode.NONE
    assert it.commit("a", 4) == ErrorCode.STALE_MEMBER_EPOCH
    assert it.commit("", -1) == ErrorCode.UNKNOWN_MEMBER_ID
    assert it.commit("x", 3) == ErrorCode.UNKNOWN_MEMBER_ID
    late = it.commit("a", 2)
    assert late("t", topic_id, 0) == ErrorCode.NONE
    assert late("t", topic_id, 3) == ErrorCode.STALE_MEMBER_EPOCH
    too_late = it.commit("a", 1)
    assert too_late("t", topic_id, 0) == ErrorCode.STALE_MEMBER_EPOCH
    old = Committer("a", None, 3, False, 8)
    assert it.bench.machine.check_commit("g", old) == ErrorCode.UNSUPPORTED_VERSION
    transactional = Committer("", None, -1, True, 5)
    assert it.bench.machine.check_commit("g", transactional) == ErrorCode.NONE


def test_offsets_age_where_nobody_subscribes(it):
    """Whoever is there; and a group without members goes when its last offset goes."""
    machine = it.bench.machine
    it.beat("a")
    for topic in ("t", "u"):
        value = OffsetCommitValue(7, -1, "", it.bench.clock.wall_ms(), -1, it.bench.topics[topic])
        machine.commit("g", [NewOffset(topic, 0, value)], lambda _: None)
    it.bench.settle()
    for _ in range(2 * 60 * 24 + 2):
        it.bench.advance(30_000)
        it.beat("a", 2)
    machine.drop_expired()
    it.bench.settle()
    assert machine.offsets.get("g", "t", 0) is not None
    assert machine.offsets.get("g", "u", 0) is None
    it.beat("a", -1)
    machine.drop_expired()
    it.bench.settle()
    assert it.group is None
    it.bench.restart()
    assert it.group is None


def test_a_group_is_deleted_with_all_its_records(it):
    it.beat("a", subscribed_topic_regex="t")
    results = []
    it.bench.machine.delete_group("g", results.append)
    assert results == [ErrorCode.NON_EMPTY_GROUP]
    it.beat("a", -1)
    it.bench.machine.delete_group("g", results.append)
    it.bench.settle()
    assert results[1] == ErrorCode.NONE
    it.bench.restart()
    assert it.group is None
    assert group_metadata_key("g")
