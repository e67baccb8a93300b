"""The rules of KIP-848, one by one: what a heartbeat is answered, and what it changes."""

import dataclasses
import uuid

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.consumer.assignors import uniform
from logbroker.groups.consumer.group import GroupState
from logbroker.groups.consumer.limits import GroupTimes
from logbroker.groups.consumer.member import MemberState
from logbroker.groups.consumer.protocol import check_heartbeat, new_member_id
from logbroker.groups.consumer.records import member_metadata
from logbroker.groups.consumer.regexes import check_regex
from logbroker.groups.consumer.topics import metadata_hash
from logbroker.testing.consumer_world import Client, Topics, World, partitions
from logbroker.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest


@pytest.fixture
def world():
    return World(Topics(t=4, u=3))


def refused(code):
    return pytest.raises(BrokerError, match=r".", check=lambda error: error.code is code)


def settle(world, *clients, rounds=12):
    for _ in range(rounds):
        world.now += 1.5
        for client in clients:
            client.beat()
            client.follow()
    assert world.group.state is GroupState.STABLE


def clients(world, count, topics=("t",), **more):
    made = [Client(world, f"m-{i}", list(topics), **more) for i in range(count)]
    for client in made:
        client.beat()
    settle(world, *made)
    return made


# ---- joining and epochs


def test_the_first_member_gets_everything_at_once(world):
    response = world.beat("m", topics=["t"])
    assert response.member_epoch == 2
    assert partitions(response) == {(world.topics.ids["t"], p) for p in range(4)}
    kinds = [int.from_bytes(key[:2], "big") for key, _ in world.written]
    assert kinds == [5, 3, 7, 6, 8]


def test_a_heartbeat_without_news_writes_nothing(world):
    world.beat("m", topics=["t"])
    assert world.beat("m", 2).assignment is None
    assert world.written == []


def test_a_member_that_joins_again_keeps_its_place(world):
    (client,) = clients(world, 1)
    epoch = world.group.epoch
    response = world.beat("m-0", topics=["t"])
    assert response.member_epoch == epoch == world.group.epoch
    assert partitions(response) == client.owned


@pytest.mark.parametrize("owned", [None, {0, 1, 2, 3, 4}])
def test_a_former_epoch_is_fenced(world, owned):
    clients(world, 1)
    clients(world, 2)
    first = world.group.members["m-0"]
    said = None if owned is None else {world.topics.ids["t"]: owned}
    with refused(ErrorCode.FENCED_MEMBER_EPOCH):
        world.beat("m-0", first.previous_epoch - 1, owned=said)
    if first.previous_epoch != first.epoch:
        with refused(ErrorCode.FENCED_MEMBER_EPOCH):
            world.beat("m-0", first.previous_epoch, owned=said)


def test_the_epoch_before_is_let_pass_where_the_reply_was_lost(world):
    client = Client(world, "m", ["t"])
    client.beat()
    world.beat("other", topics=["t"])
    world.beat("m", client.epoch)
    kept = dict.fromkeys(list(world.group.members["m"].assigned[world.topics.ids["t"]]), 1)
    topic_id = world.topics.ids["t"]
    before = world.group.members["m"].epoch
    world.beat("m", client.epoch, owned={topic_id: list(kept)})
    assert world.group.members["m"].epoch > before
    again = world.beat("m", before, owned={topic_id: list(kept)})
    assert again.member_epoch == world.group.members["m"].epoch


def test_a_greater_epoch_is_fenced(world):
    world.beat("m", topics=["t"])
    with refused(ErrorCode.FENCED_MEMBER_EPOCH):
        world.beat("m", 3)


def test_strangers_are_unknown(world):
    world.beat("m", topics=["t"])
    with refused(ErrorCode.UNKNOWN_MEMBER_ID):
        world.beat("other", 2)


def test_a_full_group():
    world = World(max_size=1)
    world.beat("m", topics=["t"])
    with refused(ErrorCode.GROUP_MAX_SIZE_REACHED):
        world.beat("other", topics=["t"])
    assert list(world.group.members) == ["m"]
    world.beat("m", topics=["t"])


def test_member_ids_are_kafkas_uuids():
    ids = {new_member_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(member_id) for member_id in ids} == {22}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"member_id": " "}, ErrorCode.INVALID_REQUEST),
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"rack_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"rebalance_timeout_ms": -1}, ErrorCode.INVALID_REQUEST),
        ({"topic_partitions": None}, ErrorCode.INVALID_REQUEST),
        ({"subscribed_topic_names": None}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -3}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -2}, ErrorCode.INVALID_REQUEST),
        ({"server_assignor": "sticky"}, ErrorCode.UNSUPPORTED_ASSIGNOR),
    ],
)
def test_requests_that_cant_be_right(changes, code):
    fields = {
        "group_id": "g",
        "member_id": "m",
        "rebalance_timeout_ms": 1,
        "subscribed_topic_names": ["t"],
        "topic_partitions": [],
        **changes,
    }
    request = ConsumerGroupHeartbeatRequest(**fields)
    with refused(code):
        check_heartbeat(request, 1, ("uniform",))


# ---- moving only what must move


def test_one_that_joins_a_hundred_takes_only_its_share(monkeypatch):
    """By counts: records written and partitions moved; every member's assignment is computed once."""
    world = World(Topics(t=1000))
    members = [Client(world, f"m-{i:03}", ["t"]) for i in range(100)]
    for client in members:
        client.beat()
        client.follow()
    settle(world, *members, rounds=6)
    before = {m.member_id: set(m.owned) for m in members}
    computed = []
    real = uniform._same_topics
    monkeypatch.setattr(
        uniform, "_same_topics", lambda spec, topics: computed.append(1) or real(spec, topics)
    )
    new = Client(world, "new", ["t"])
    new.beat()
    targets = [key for key, _ in world.written if key[:2] == b"\x00\x07"]
    assert len(world.written) == len(targets) + 4, "member, group epoch, target epoch and its own assignment"
    # Nine or ten lose one partition each, and the new one has a target.
    assert len(targets) in (10, 11)
    settle(world, *members, new, rounds=6)
    moved = sum(len(before[m.member_id] - m.owned) for m in members)
    assert moved == len(new.owned) in (9, 10)
    assert all(m.owned <= before[m.member_id] for m in members)
    assert computed == [1]


def test_a_member_that_leaves_moves_only_what_it_had(world):
    _, second, third = clients(world, 3)
    before = {client.member_id: set(client.owned) for client in (second, third)}
    world.leave("m-0")
    settle(world, second, third)
    for client in (second, third):
        assert client.owned >= before[client.member_id]


def test_assignments_wait_for_each_other(world):
    """`assignment.interval.ms`: members that join together are assigned together (KIP-1263)."""
    world.limits.group_times = GroupTimes(45_000, 5_000, 1000)
    world.beat("a", topics=["t"])
    late = world.beat("b", topics=["t"])
    assert (late.member_epoch, partitions(late)) == (2, set())
    assert world.group.state is GroupState.ASSIGNING
    world.now += 0.999
    assert world.beat("b", 2).member_epoch == 2
    world.now += 0.001
    assert world.beat("b", 2).member_epoch == 3
    assert world.group.assignment_epoch == 3


def test_a_clock_that_was_set_back_does_not_hold_assignments_up(world):
    world.limits.group_times = GroupTimes(45_000, 5_000, 1000)
    world.beat("a", topics=["t"])
    world.now -= 500
    world.beat("b", topics=["t"])
    assert world.group.assignment_epoch == world.group.epoch == 3


# ---- time


def test_a_silent_member_is_removed_after_its_session(world):
    clients(world, 2)
    world.now += 40
    world.beat("m-1", world.group.members["m-1"].epoch)
    assert world.expire() == []
    world.now += 5
    assert world.expire() == ["m-0"]
    assert world.group.wake_at == world.now + 40


def test_a_member_that_gives_nothing_up_is_removed_after_its_rebalance_timeout(world):
    world.beat("a", topics=["t"], rebalance_timeout_ms=30_000)
    world.beat("b", topics=["t"])
    world.beat("a", 2)
    assert world.group.members["a"].state is MemberState.UNREVOKED_PARTITIONS
    for _ in range(3):
        world.now += 10
        world.beat("a", 2)
        world.beat("b", 3)
    assert world.expire() == ["a"]
    assert partitions(world.beat("b", 3)) == {(world.topics.ids["t"], p) for p in range(4)}


def test_a_member_that_gives_up_in_time_stays(world):
    world.beat("a", topics=["t"], rebalance_timeout_ms=30_000)
    world.beat("b", topics=["t"])
    world.beat("a", 2)
    world.now += 29
    world.beat("a", 2, owned={world.topics.ids["t"]: [0, 1]})
    world.now += 16
    world.beat("a", 3)
    world.beat("b", 3)
    assert world.expire() == []


def test_a_restart_gives_everybody_a_whole_session(world):
    clients(world, 2)
    world.now += 44
    world.group = world.restarted()
    world.protocol.engine.restart_sessions(world.group, world.at)
    world.now += 44
    assert world.expire() == []
    world.now += 1
    assert sorted(world.expire()) == ["m-0", "m-1"]


# ---- static members


def test_a_static_member_comes_back_to_what_it_had(world):
    first = world.beat("m-1", topics=["t"], instance_id="i")
    member = world.protocol.leaving(world.group, ConsumerGroupHeartbeatRequest("g", "m-1", -2, "i"))
    world.change(lambda changes: world.protocol.step_out(changes, member))
    assert world.group.members["m-1"].epoch == -2
    assert world.group.owner(world.topics.ids["t"], 0) == "m-1"
    epoch = world.group.epoch
    back = world.beat("m-2", topics=["t"], instance_id="i")
    assert partitions(back) == partitions(first)
    assert world.group.epoch == epoch, "nobody else is asked for anything"
    assert list(world.group.members) == ["m-2"]


def test_an_instance_id_in_use_is_not_given_away(world):
    world.beat("m-1", topics=["t"], instance_id="i")
    with refused(ErrorCode.UNRELEASED_INSTANCE_ID):
        world.beat("m-2", topics=["t"], instance_id="i")
    with refused(ErrorCode.FENCED_INSTANCE_ID):
        world.beat("m-2", 2, instance_id="i")
    with refused(ErrorCode.UNKNOWN_MEMBER_ID):
        world.beat("m-1", 2, instance_id="j")


def test_a_static_member_that_does_not_come_back_is_removed(world):
    world.beat("m-1", topics=["t"], instance_id="i")
    member = world.group.members["m-1"]
    world.change(lambda changes: world.protocol.step_out(changes, member))
    world.now += 46
    assert world.expire() == ["m-1"]
    assert world.group.static_members == {}


# ---- subscriptions, topics


def test_a_topic_that_grows(world):
    (client,) = clients(world, 1)
    world.topics.grow("t", 6)
    world.group.refresh_due = True
    settle(world, client, rounds=2)
    assert len(client.owned) == 6


def test_a_topic_that_appears(world):
    (client,) = clients(world, 1, ["t", "later"])
    epoch = world.group.epoch
    world.topics.create("later", 2)
    world.group.refresh_due = True
    settle(world, client, rounds=2)
    assert len(client.owned) == 6
    assert world.group.epoch == epoch + 1


def test_a_topic_that_goes(world):
    (client,) = clients(world, 1, ["t", "u"])
    gone = world.topics.ids["u"]
    world.topics.delete("u")
    world.group.refresh_due = True
    settle(world, client)
    assert {topic_id for topic_id, _ in client.owned} == {world.topics.ids["t"]}
    assert world.group.owner(gone, 0) is None


def test_a_refresh_without_news_changes_nothing(world):
    clients(world, 1)
    epoch = world.group.epoch
    world.group.refresh_due = True
    world.beat("m-0", epoch)
    assert world.group.epoch == epoch
    assert not world.group.refresh_due


def test_the_hash_follows_ids_counts_and_racks():
    topics = Topics(t=4, u=3)
    hashes = [metadata_hash(["t", "x"], topics)]
    topics.grow("t", 5)
    hashes.append(metadata_hash(["t", "x"], topics))
    topics.create("x", 1)
    hashes.append(metadata_hash(["t", "x"], topics))
    topics.rack = (("r1",),)
    hashes.append(metadata_hash(["t", "x"], topics))
    topics.delete("t")
    topics.create("t", 5)
    hashes.append(metadata_hash(["t", "x"], topics))
    assert len(set(hashes)) == 5
    assert metadata_hash(["no"], topics) == 0 == metadata_hash([], topics)


def test_most_members_choose_the_assignor(world):
    clients(world, 3, server_assignor="range")
    world.beat("m-0", world.group.members["m-0"].epoch, server_assignor="uniform")
    assert world.group.preferred_assignor("uniform") == "range"


# ---- regular expressions


def test_a_regular_expression_is_looked_up_after_the_reply(world):
    first = world.beat("m", subscribed_topic_regex="t|u")
    assert partitions(first) == set()
    assert world.lookup
    world.look_up()
    response = world.beat("m", first.member_epoch)
    assert {t for t, _ in partitions(response)} == set(world.topics.ids.values())
    assert not world.lookup


def test_the_whole_name_must_match(world):
    world.topics.create("tt", 1)
    first = world.beat("m", subscribed_topic_regex="t")
    world.look_up()
    found = {t for t, _ in partitions(world.beat("m", first.member_epoch))}
    assert found == {world.topics.ids["t"]}


def test_new_topics_are_looked_for_but_not_all_the_time(world):
    first = world.beat("m", subscribed_topic_regex="t.*")
    world.look_up()
    epoch = world.beat("m", first.member_epoch).member_epoch
    world.topics.create("tt", 1)
    world.group.new_topics = True
    world.now += 9
    world.beat("m", epoch)
    assert not world.lookup
    world.now += 2
    world.beat("m", epoch)
    assert world.lookup
    world.look_up()
    assert (world.topics.ids["tt"], 0) in partitions(world.beat("m", epoch))


def test_an_expression_of_nobody_is_forgotten(world):
    world.beat("m", subscribed_topic_regex="t|u")
    world.look_up()
    world.leave("m")
    assert world.group.regexes == {}
    assert not any(key[:2] == b"\x00\x10" for key in world.log)


@pytest.mark.parametrize("regex", ["(", "[", "a**", "(?=t)", r"\1", "a{2000}"])
def test_what_re2_refuses(world, regex, capfd):
    with refused(ErrorCode.INVALID_REGULAR_EXPRESSION):
        world.beat("m", subscribed_topic_regex=regex)
    assert world.group.members == {}
    assert world.log == {}
    assert capfd.readouterr() == ("", "")


def test_an_expression_that_would_be_slow_elsewhere():
    check_regex("(a+)+$" * 10)


# ---- classic members are in test_migration


def test_ids_of_topics_are_not_names(world):
    """A topic that was deleted and created again is another: what a member had of it is gone."""
    (client,) = clients(world, 1)
    old = world.topics.ids["t"]
    world.topics.delete("t")
    world.topics.create("t", 4)
    world.group.refresh_due = True
    settle(world, client)
    assert {topic_id for topic_id, _ in client.owned} == {world.topics.ids["t"]} != {old}
    assert isinstance(old, uuid.UUID)


@pytest.mark.parametrize("other", [["t"], ["u"], ["t", "u"]])
@pytest.mark.parametrize("regex", [None, "u"])
def test_a_removal_notes_what_is_left_of_the_topics(world, other, regex):
    world.beat("c", topics=["t"])
    world.beat("a", topics=["t"], subscribed_topic_regex=regex)
    if regex is not None:
        world.look_up()
    world.beat("b", topics=other)
    for member in ("a", "b"):
        world.leave(member)
        assert world.group.metadata_hash == metadata_hash(world.group.subscribed_names(), world.topics)
        world.topics.grow("t", 9)
        world.group.refresh_due = True


def test_an_assignor_that_only_another_broker_had_is_the_default_here(world):
    world.beat("a", topics=["t"])
    world.group.put_member(dataclasses.replace(world.group.members["a"], server_assignor="mine"))
    world.group = _reread(world)
    assert partitions(world.beat("b", topics=["t"])) == set()
    world.beat("a", 2, owned={})
    assert partitions(world.beat("b", 3)) == {(world.topics.ids["t"], p) for p in (2, 3)}


def _reread(world):
    world.write([member_metadata("g", member) for member in world.group.members.values()])
    return world.restarted()
