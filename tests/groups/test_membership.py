"""Members come, share out, heartbeat, go and fail: the classic protocol over the machine and its log."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.shard import ShardState

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


class TestStaticMembers:
    def test_a_returning_member_takes_its_place_without_a_rebalance(self, bench, helpers):
        a, b = bench.stable(2, instances=("i-a", "i-b"))
        waiter = bench.ask_join(instance="i-b")
        assert bench.state == "Stable"
        assert not waiter.done  # the new id is on its way to the log
        bench.settle()
        joined = helpers.got(waiter)
        assert joined.generation_id == 1
        assert joined.member_id != b
        assert joined.member_id.startswith("i-b-")
        assert (joined.leader, joined.skip_assignment, joined.members) == (a, False, [])
        assert helpers.got(bench.ask_sync(joined.member_id, instance="i-b")).assignment == b.encode()
        assert bench.heartbeat(b, instance="i-b") == "FENCED_INSTANCE_ID"
        assert bench.heartbeat(b) == "UNKNOWN_MEMBER_ID"
        bench.restart()
        assert bench.heartbeat(joined.member_id, instance="i-b") == "NONE"

    def test_a_returning_leader_need_not_assign_again(self, bench, helpers):
        _a, b = bench.stable(2, instances=("i-a", "i-b"))
        waiter = bench.ask_join(instance="i-a")
        bench.settle()
        joined = helpers.got(waiter)
        assert joined.leader == joined.member_id
        assert joined.skip_assignment
        assert [m.member_id for m in joined.members] == [joined.member_id, b]
        assert [m.group_instance_id for m in joined.members] == ["i-a", "i-b"]

    def test_an_older_returning_leader_is_not_told_that_it_leads(self, bench, helpers):
        a, _ = bench.stable(2, instances=("i-a",))
        waiter = bench.ask_join(instance="i-a", version=8)
        bench.settle()
        joined = helpers.got(waiter)
        assert (joined.leader, joined.members, joined.skip_assignment) == (a, [], False)
        assert bench.group().leader_id == joined.member_id

    def test_a_return_that_changes_the_protocol_rebalances(self, bench, helpers):
        both = {"range": b"1", "sticky": b"2"}
        bench.stable(2, instances=("i-a", "i-b"), protocols=both)
        waiter = bench.ask_join(instance="i-b", protocols={"sticky": b"2"})
        assert bench.state == "PreparingRebalance"
        assert not waiter.done

    def test_a_return_between_join_and_sync_starts_over(self, bench, helpers):
        waiters = [bench.ask_join(instance="i-a"), bench.ask_join(instance="i-b")]
        bench.advance(INITIAL_MS * 3)
        a, b = [helpers.got(w).member_id for w in waiters]
        b_sync = bench.ask_sync(b, instance="i-b")
        waiter = bench.ask_join(instance="i-b")
        assert helpers.error_of(b_sync) == "REBALANCE_IN_PROGRESS" or helpers.error_of(b_sync) == (
            "FENCED_INSTANCE_ID"
        )
        a_join = bench.ask_join(a, instance="i-a")
        assert helpers.got(a_join).generation_id == helpers.got(waiter).generation_id == 2

    def test_a_return_during_a_rebalance_fences_who_waits(self, bench, helpers):
        a, _ = bench.stable(2, instances=("i-a", "i-b"))
        bench.ask_join(bench.new_id())
        old = bench.ask_join(a, instance="i-a")
        new = bench.ask_join(instance="i-a")
        assert helpers.error_of(old) == "FENCED_INSTANCE_ID"
        assert not new.done

    def test_a_dead_static_member_keeps_its_place_through_a_rebalance(self, bench, helpers):
        long = {"session_ms": 300_000}
        a, b = bench.stable(2, instances=("i-a", "i-b"), **long)
        waiter = bench.ask_join(a, instance="i-a", protocols={"range": b"new"}, **long)
        bench.advance(REBALANCE_MS + 10)
        assert helpers.got(waiter).generation_id == 2
        assert [m.member_id for m in helpers.got(waiter).members] == [a, b]

    def test_a_rebalance_that_nobody_joins_waits_for_sessions(self, bench):
        long = {"session_ms": 70_000}
        a, b = bench.stable(2, instances=("i-a", "i-b"), **long)
        newcomer = bench.new_id()
        bench.ask_join(newcomer)
        bench.leave(newcomer)
        assert bench.state == "PreparingRebalance"
        bench.advance(REBALANCE_MS + 10)
        assert bench.state == "PreparingRebalance"
        assert set(bench.group().members) == {a, b}
        bench.advance(50_000)
        assert bench.state == "Empty"

    def test_an_administrator_removes_by_instance_id(self, bench):
        a, _b = bench.stable(2, instances=("i-a", "i-b"))
        assert bench.leave(("", "i-b"), ("", "i-c")) == ["NONE", "UNKNOWN_MEMBER_ID"]
        assert set(bench.group().members) == {a}
        assert bench.leave(("x", "i-a")) == ["FENCED_INSTANCE_ID"]

    def test_a_pending_id_is_no_static_members(self, bench, helpers):
        member = bench.new_id()
        assert helpers.error_of(bench.ask_join(member, instance="i")) == "UNKNOWN_MEMBER_ID"

    def test_joining_under_anothers_instance_id_is_fenced(self, bench, helpers):
        a, _b = bench.stable(2, instances=("i-a", "i-b"))
        assert helpers.error_of(bench.ask_join(a, instance="i-b")) == "FENCED_INSTANCE_ID"
        assert helpers.error_of(bench.ask_join("x", instance="i-c")) == "UNKNOWN_MEMBER_ID"


class TestTheLog:
    def test_a_stable_group_survives_a_crash_and_goes_on_with_a_heartbeat(self, bench, helpers):
        ids = bench.stable(3, instances=("i-a",))
        bench.restart()
        assert bench.state == "Stable"
        assert [bench.heartbeat(m) for m in ids] == ["NONE"] * 3
        assert bench.group().leader_id == ids[0]
        assert bench.group().topics == {"t"}
        assert helpers.got(bench.ask_sync(ids[1])).assignment == ids[1].encode()
        # Members that don't come back in time are dropped as ever.
        bench.advance(SESSION_MS - 100)
        bench.heartbeat(ids[0], instance="i-a")
        bench.advance(200)
        assert set(bench.group().members) == {ids[0]}

    def test_nobody_gets_an_assignment_that_is_not_durable(self, bench, helpers):
        waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
        bench.advance(INITIAL_MS * 3)
        a, b = [helpers.got(w).member_id for w in waiters]
        syncs = [bench.ask_sync(b), bench.ask_sync(a, assignments={a: b"x", b: b"y"})]
        bench.tick()
        assert not any(sync.done for sync in syncs)
        assert bench.state == "CompletingRebalance"
        bench.log.settle()
        assert [helpers.got(s).assignment for s in syncs] == [b"y", b"x"]

    def test_an_assignment_that_is_refused_starts_over(self, bench, helpers):
        waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
        bench.advance(INITIAL_MS * 3)
        a, b = [helpers.got(w).member_id for w in waiters]
        syncs = [bench.ask_sync(b), bench.ask_sync(a, assignments={a: b"x", b: b"y"})]
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert [helpers.error_of(s) for s in syncs] == ["COORDINATOR_NOT_AVAILABLE"] * 2
        assert bench.state == "PreparingRebalance"
        assert bench.shard.state is ShardState.ACTIVE
        joins = [bench.ask_join(a), bench.ask_join(b)]
        assert [helpers.got(j).generation_id for j in joins] == [2, 2]

    def test_an_assignment_too_large_for_a_batch_starts_over(self, new_bench, helpers):
        bench = new_bench(batch_bytes=5000)
        waiter = bench.ask_join(bench.new_id())
        bench.advance(INITIAL_MS + 10)
        a = helpers.got(waiter).member_id
        sync = bench.ask_sync(a, assignments={a: b"x" * 6000})
        assert helpers.error_of(sync) == "UNKNOWN_SERVER_ERROR"
        assert bench.state == "PreparingRebalance"

    def test_an_assignment_that_comes_too_late_is_nobodys(self, bench, helpers):
        waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
        bench.advance(INITIAL_MS * 3)
        a, b = [helpers.got(w).member_id for w in waiters]
        a_sync = bench.ask_sync(a, assignments={a: b"x", b: b"y"})
        bench.tick()
        bench.leave(b)  # a rebalance begins while the assignment is on its way
        assert helpers.error_of(a_sync) == "REBALANCE_IN_PROGRESS"
        bench.log.settle()
        assert bench.state == "PreparingRebalance"

    def test_an_older_generations_assignment_does_not_make_a_newer_one_stable(self, bench, helpers):
        waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
        bench.advance(INITIAL_MS * 3)
        a, b = [helpers.got(w).member_id for w in waiters]
        bench.ask_sync(a, assignments={a: b"x", b: b"y"})
        bench.tick()
        bench.leave(b)
        assert helpers.got(bench.ask_join(a)).generation_id == 2
        bench.log.settle()
        assert bench.state == "CompletingRebalance"
        assert bench.group().members[a].assignment == b""

    def test_who_leads_is_on_record(self, bench, helpers):
        long = {"session_ms": 300_000}
        a, b = bench.stable(2, instances=("i-a", "i-b"), **long)
        joined = bench.ask_join(b, instance="i-b", protocols={"range": b"new"}, **long)
        bench.advance(REBALANCE_MS + 10)
        assert helpers.got(joined).leader == b
        bench.ask_sync(b, instance="i-b", assignments={a: b"1", b: b"2"})
        bench.settle()
        bench.restart()
        assert list(bench.group().members) == [a, b]
        assert bench.group().leader_id == b

    def test_a_failed_log_tells_everybody_to_look_elsewhere(self, bench, helpers):
        ids = bench.stable(2)
        joining = bench.ask_join(ids[0])
        bench.commit(5, member_id=ids[1], generation=1)
        bench.tick()
        bench.log.fail()
        assert helpers.error_of(joining) == "NOT_COORDINATOR"
        assert bench.shard.state is ShardState.FAILED
        assert len(bench.timers) == 0 or bench.timers.expire_due() >= 0
        bench.restart()
        assert [bench.heartbeat(m) for m in ids] == ["NONE", "NONE"]

    def test_a_new_group_that_cannot_be_stored_does_not_exist(self, bench, helpers):
        waiter = bench.ask_join(version=3)
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert helpers.error_of(waiter) == "COORDINATOR_NOT_AVAILABLE"
        assert bench.machine.groups == {}

    def test_a_static_return_that_cannot_be_stored_is_taken_back(self, bench, helpers):
        a, b = bench.stable(2, instances=("i-a", "i-b"))
        waiter = bench.ask_join(instance="i-b", protocols={"range": helpers.subscription("u")})
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert helpers.error_of(waiter) == "COORDINATOR_NOT_AVAILABLE"
        assert bench.heartbeat(b, instance="i-b") == "NONE"
        assert bench.group().members[b].metadata("range") == helpers.subscription("t")
        assert list(bench.group().members) == [a, b]

    def test_an_empty_group_that_cannot_be_stored_is_empty_all_the_same(self, bench):
        (a,) = bench.stable(1)
        bench.leave(a)
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert bench.state == "Empty"
        bench.restart()
        # The log still knows the member; its session ends in time.
        assert bench.state == "Stable"
        bench.advance(SESSION_MS + 100)
        assert bench.state == "Empty"

    def test_records_of_other_kinds_of_groups_are_passed_over(self, bench):
        bench.stable(1)
        bench.shard.write([(b"\x00\x03\x00\x02cg", b"\x00\x00\x00\x00\x00\x05")], lambda _: None)
        bench.settle()
        bench.restart()
        assert list(bench.machine.groups) == ["g"]
