"""Members come, share out, heartbeat, go and fail: the classic protocol over the machine and its log."""

import pytest

SESSION_MS = 10_000
REBALANCE_MS = 30_000
INITIAL_MS = 3000


def test_a_new_member_is_given_an_id_first(bench, helpers):
    member = bench.new_id(client="my-client")
    assert member.startswith("my-client-")
    assert bench.state == "Empty"
    waiter = bench.ask_join(member)
    assert bench.state == "PreparingRebalance"
    bench.advance(INITIAL_MS + 10)
    joined = helpers.got(waiter)
    assert joined.error_code == 0
    assert (joined.generation_id, joined.leader, joined.member_id) == (1, member, member)
    assert (joined.protocol_type, joined.protocol_name) == ("consumer", "range")
    assert [(m.member_id, m.metadata) for m in joined.members] == [(member, helpers.subscription("t"))]
    assert bench.state == "CompletingRebalance"
    synced = bench.ask_sync(member, assignments={member: b"all"})
    assert not synced.done
    bench.settle()
    assert helpers.got(synced).assignment == b"all"
    assert bench.state == "Stable"
    assert bench.heartbeat(member) == "NONE"


def test_older_clients_join_at_once(bench, helpers):
    waiter = bench.ask_join(version=3)
    bench.advance(INITIAL_MS + 10)
    assert helpers.got(waiter).generation_id == 1


def test_very_long_client_ids_still_make_member_ids(bench):
    assert len(bench.new_id(client="x" * 40_000)) < 1100


def test_only_the_leader_learns_of_the_others(bench, helpers):
    waiters = [bench.ask_join(bench.new_id()) for _ in range(3)]
    bench.advance(INITIAL_MS * 3)
    leader, *followers = [helpers.got(waiter) for waiter in waiters]
    assert [m.member_id for m in leader.members] == [helpers.got(w).member_id for w in waiters]
    assert all(f.members == [] and f.leader == leader.member_id for f in followers)


def test_the_initial_delay_grows_with_every_newcomer_up_to_the_rebalance_timeout(bench, helpers):
    first = bench.ask_join(bench.new_id(rebalance_ms=10_000), rebalance_ms=10_000)
    for _ in range(3):
        bench.advance(INITIAL_MS - 500)
        bench.ask_join(bench.new_id(rebalance_ms=10_000), rebalance_ms=10_000)
        bench.advance(510)
        assert not first.done
    bench.advance(990)
    assert first.done  # 10 seconds, the rebalance timeout, have passed
    assert helpers.got(first).generation_id == 1
    assert len(helpers.got(first).members) == 4


def test_a_refused_join_leaves_no_group_behind(bench, helpers):
    assert helpers.error_of(bench.ask_join(protocols={})) == "INCONSISTENT_GROUP_PROTOCOL"
    assert helpers.error_of(bench.ask_join(protocol_type="")) == "INCONSISTENT_GROUP_PROTOCOL"
    assert helpers.error_of(bench.ask_join("stranger")) == "UNKNOWN_MEMBER_ID"
    assert bench.machine.groups == {}


def test_members_must_agree_on_type_and_have_a_protocol_in_common(bench, helpers):
    bench.stable(1)
    assert helpers.error_of(bench.ask_join(protocol_type="connect")) == "INCONSISTENT_GROUP_PROTOCOL"
    assert helpers.error_of(bench.ask_join(protocols={"other": b""})) == "INCONSISTENT_GROUP_PROTOCOL"


def test_the_protocol_that_most_want_most_is_chosen(bench, helpers):
    both = {"range": b"1", "sticky": b"2"}
    other = {"sticky": b"2", "range": b"1"}
    waiters = [bench.ask_join(bench.new_id(protocols=p), protocols=p) for p in (both, other, other)]
    bench.advance(INITIAL_MS * 4)
    assert {helpers.got(w).protocol_name for w in waiters} == {"sticky"}
    assert helpers.got(waiters[0]).members[0].metadata == b"2"


def test_any_protocol_type_will_do(bench):
    ids = bench.stable(2, protocol_type="connect", protocols={"compatible": b"\x00\x01opaque"})
    assert bench.group().protocol_type == "connect"
    assert bench.group().topics is None
    assert [bench.heartbeat(m) for m in ids] == ["NONE", "NONE"]


def test_a_rebalance_ends_as_soon_as_everybody_has_joined(bench, helpers):
    a, b = bench.stable(2)
    c = bench.ask_join(bench.new_id())
    assert bench.state == "PreparingRebalance"
    assert bench.heartbeat(a) == bench.heartbeat(b) == "REBALANCE_IN_PROGRESS"
    a_join, b_join = bench.ask_join(a), bench.ask_join(b)
    assert [helpers.got(w).generation_id for w in (a_join, b_join, c)] == [2, 2, 2]
    assert helpers.got(a_join).leader == a


def test_members_that_do_not_rejoin_are_dropped_at_the_rebalance_timeout(bench, helpers):
    a, b = bench.stable(2)
    c = bench.ask_join(bench.new_id())
    b_join = bench.ask_join(b)
    for _ in range(REBALANCE_MS // 5000):
        bench.heartbeat(a)
        bench.advance(5000)
    assert helpers.got(b_join).generation_id == 2
    assert helpers.got(b_join).leader == b  # the leader was dropped, the next takes over
    assert {m.member_id for m in helpers.got(b_join).members} == {b, helpers.got(c).member_id}
    assert bench.heartbeat(a) == "UNKNOWN_MEMBER_ID"


def test_an_id_that_was_handed_out_holds_up_the_join_phase_until_its_session_ends(bench, helpers):
    a, b = bench.stable(2)
    c = bench.ask_join(bench.new_id())
    bench.new_id(session_ms=6000)
    a_join, _ = bench.ask_join(a), bench.ask_join(b)
    assert not a_join.done
    bench.advance(6020)
    assert helpers.got(a_join).generation_id == helpers.got(c).generation_id == 2


def test_a_session_that_ends_starts_a_rebalance(bench):
    a, b = bench.stable(2)
    bench.advance(SESSION_MS - 100)
    assert bench.heartbeat(a) == "NONE"
    bench.advance(200)
    assert bench.state == "PreparingRebalance"
    assert bench.heartbeat(b) == "UNKNOWN_MEMBER_ID"
    assert bench.heartbeat(a) == "REBALANCE_IN_PROGRESS"


def test_heartbeats_keep_a_group_stable(bench):
    ids = bench.stable(3)
    for _ in range(50):
        bench.advance(SESSION_MS - 1000)
        assert [bench.heartbeat(m) for m in ids] == ["NONE"] * 3
    assert bench.group().generation_id == 1


def test_the_last_member_that_fails_leaves_an_empty_group_on_record(bench):
    bench.stable(2)
    bench.advance(SESSION_MS + 100)
    assert bench.state == "Empty"
    assert bench.group().generation_id == 2
    bench.restart()
    assert bench.state == "Empty"
    assert bench.group().generation_id == 2


def test_a_member_that_waits_for_a_reply_need_not_heartbeat(bench, helpers):
    a, b = bench.stable(2, rebalance_ms=60_000)
    c = bench.ask_join(bench.new_id(rebalance_ms=60_000), rebalance_ms=60_000)
    b_join = bench.ask_join(b, rebalance_ms=60_000)
    for _ in range(8):
        bench.advance(5000)
        assert bench.heartbeat(a) == "REBALANCE_IN_PROGRESS"
    assert b in bench.group().members
    a_join = bench.ask_join(a, rebalance_ms=60_000)
    assert helpers.got(a_join).generation_id == helpers.got(b_join).generation_id == 2
    # Its session runs again now.
    bench.advance(SESSION_MS + 100)
    assert b not in bench.group().members
    assert c.done


def test_members_that_never_sync_are_dropped(bench, helpers):
    a = bench.ask_join(bench.new_id(session_ms=1_800_000), session_ms=1_800_000)
    b = bench.ask_join(bench.new_id(session_ms=1_800_000), session_ms=1_800_000)
    bench.advance(INITIAL_MS * 2)
    a, b = helpers.got(a).member_id, helpers.got(b).member_id
    b_sync = bench.ask_sync(b)
    bench.advance(REBALANCE_MS - 100)
    assert not b_sync.done
    bench.advance(200)
    assert helpers.error_of(b_sync) == "REBALANCE_IN_PROGRESS"
    assert list(bench.group().members) == [b]


def test_leaving_rebalances_at_once(bench, helpers):
    a, b = bench.stable(2)
    b_join_before = bench.ask_join(b)
    assert helpers.got(b_join_before).generation_id == 1  # a follower with nothing new: no rebalance
    assert bench.leave(a) == ["NONE"]
    assert bench.state == "PreparingRebalance"
    assert helpers.got(bench.ask_join(b)).leader == b
    assert bench.leave(b) == ["NONE"]
    bench.settle()
    assert bench.state == "Empty"
    assert bench.leave(b, ("", "nobody")) == ["UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID"]
    assert bench.leave("x", group_id="none") == ["UNKNOWN_MEMBER_ID"]


def test_an_id_that_was_handed_out_can_leave(bench):
    member = bench.new_id()
    assert bench.leave(member) == ["NONE"]
    assert bench.leave(member) == ["UNKNOWN_MEMBER_ID"]


def test_leaving_while_waiting_answers_the_wait(bench, helpers):
    a, b = bench.stable(2)
    waiter = bench.ask_join(a)
    assert bench.leave(a) == ["NONE"]
    assert helpers.error_of(waiter) == "UNKNOWN_MEMBER_ID"
    waiter = bench.ask_join(b)
    assert helpers.got(waiter).generation_id == 2
    sync = bench.ask_sync(b)
    assert bench.leave(b) == ["NONE"]
    assert helpers.error_of(sync) == "UNKNOWN_MEMBER_ID"
    bench.settle()
    assert bench.state == "Empty"


def test_a_leader_rebalances_by_joining_a_follower_does_not(bench, helpers):
    a, b = bench.stable(2)
    assert helpers.got(bench.ask_join(b)).generation_id == 1
    waiter = bench.ask_join(a)
    assert not waiter.done
    assert bench.state == "PreparingRebalance"


def test_a_follower_with_new_metadata_rebalances(bench, helpers):
    _, b = bench.stable(2)
    waiter = bench.ask_join(b, protocols={"range": helpers.subscription("u")})
    assert not waiter.done
    assert bench.state == "PreparingRebalance"


def test_joining_again_between_join_and_sync_repeats_the_answer(bench, helpers):
    waiter = bench.ask_join(bench.new_id())
    bench.advance(INITIAL_MS + 10)
    first = helpers.got(waiter)
    again = helpers.got(bench.ask_join(first.member_id))
    assert (again.generation_id, again.members) == (1, first.members)
    assert bench.state == "CompletingRebalance"


def test_the_same_member_asking_twice_gets_two_answers(bench, helpers):
    a, b = bench.stable(2)
    first = bench.ask_join(a)
    second = bench.ask_join(a)
    assert helpers.error_of(first) == "REBALANCE_IN_PROGRESS"
    bench.ask_join(b)
    assert helpers.got(second).generation_id == 2
    first = bench.ask_sync(b)
    second = bench.ask_sync(b)
    assert helpers.error_of(first) == "REBALANCE_IN_PROGRESS"
    bench.ask_sync(a, assignments={b: b"x"})
    bench.settle()
    assert helpers.got(second).assignment == b"x"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"generation": 7}, "ILLEGAL_GENERATION"),
        ({"member_id": "x"}, "UNKNOWN_MEMBER_ID"),
        ({"instance": "x"}, "UNKNOWN_MEMBER_ID"),
        ({"protocol": "other"}, "INCONSISTENT_GROUP_PROTOCOL"),
        ({"protocol": "range"}, "NONE"),
        ({"group_id": "none", "generation": 1}, "UNKNOWN_MEMBER_ID"),
    ],
)
def test_sync_checks_who_asks(bench, helpers, change, error):
    a = bench.stable(1)[0]
    assert helpers.error_of(bench.ask_sync(**{"member_id": a, **change})) == error


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, "NONE"),
        ({"generation": 0}, "ILLEGAL_GENERATION"),
        ({"member_id": "x"}, "UNKNOWN_MEMBER_ID"),
        ({"instance": "x"}, "UNKNOWN_MEMBER_ID"),
        ({"group_id": "none", "generation": 1}, "UNKNOWN_MEMBER_ID"),
    ],
)
def test_heartbeats_check_who_beats(bench, change, error):
    a = bench.stable(1)[0]
    assert bench.heartbeat(**{"member_id": a, **change}) == error


def test_heartbeats_set_no_timers_and_write_nothing(bench):
    ids = bench.stable(2)
    timers, batches = len(bench.timers), len(bench.log.batches)
    for _ in range(100):
        bench.clock.advance(5)
        for member in ids:
            bench.heartbeat(member)
    assert (len(bench.timers), len(bench.log.batches)) == (timers, batches)


def test_members_left_out_of_the_assignment_get_an_empty_one(bench, helpers):
    waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
    bench.advance(INITIAL_MS * 3)
    a, b = [helpers.got(w).member_id for w in waiters]
    syncs = [bench.ask_sync(b), bench.ask_sync(a, assignments={a: b"all", "stranger": b"x"})]
    bench.settle()
    assert [helpers.got(s).assignment for s in syncs] == [b"", b"all"]


class TestSize:
    def test_a_full_group_turns_newcomers_away(self, new_bench, helpers):
        bench = new_bench(max_size=2)
        _a, b = bench.stable(2)
        assert helpers.error_of(bench.ask_join()) == "GROUP_MAX_SIZE_REACHED"
        assert helpers.error_of(bench.ask_join(version=3)) == "GROUP_MAX_SIZE_REACHED"
        assert bench.state == "Stable"
        assert helpers.got(bench.ask_join(b)).error_code == 0

    def test_ids_that_nobody_uses_are_bounded_too(self, new_bench, helpers):
        bench = new_bench(max_size=3)
        for _ in range(3):
            bench.new_id()
        assert helpers.error_of(bench.ask_join()) == "GROUP_MAX_SIZE_REACHED"
        assert len(bench.group().pending_members) == 3

    def test_after_the_bound_was_lowered_the_last_to_rejoin_go(self, new_bench, helpers):
        bench = new_bench(max_size=3)
        a, b, c = bench.stable(3)
        bench.protocol.limits = type(bench.protocol.limits)(INITIAL_MS, 2)
        bench.restart()
        assert bench.state == "PreparingRebalance"
        b_join, c_join = bench.ask_join(b), bench.ask_join(c)
        a_join = bench.ask_join(a)
        assert helpers.error_of(a_join) == "GROUP_MAX_SIZE_REACHED"
        # Nobody waits for the one that was turned away.
        assert helpers.got(b_join).generation_id == helpers.got(c_join).generation_id == 2


def test_protocols_that_nobody_supports_any_more_are_forgotten(bench, helpers):
    member = bench.new_id()
    for index in range(5):
        waiter = bench.ask_join(member, protocols={"range": helpers.subscription("t"), f"p{index}": b""})
        bench.advance(2 * INITIAL_MS)
        assert helpers.got(waiter).error_code == 0
    group = bench.group()
    assert dict(group._supporters) == {"range": 1, "p4": 1}
    assert bench.leave(member) == ["NONE"]
    assert not group._supporters
