"""Static members (KIP-345): they come back in their own place, fence who is still in it, and are removed by name."""

REBALANCE_MS = 30_000
INITIAL_MS = 3000


def test_a_returning_member_takes_its_place_without_a_rebalance(bench, helpers):
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


def test_a_returning_leader_need_not_assign_again(bench, helpers):
    _a, b = bench.stable(2, instances=("i-a", "i-b"))
    waiter = bench.ask_join(instance="i-a")
    bench.settle()
    joined = helpers.got(waiter)
    assert joined.leader == joined.member_id
    assert joined.skip_assignment
    assert [m.member_id for m in joined.members] == [joined.member_id, b]
    assert [m.group_instance_id for m in joined.members] == ["i-a", "i-b"]


def test_an_older_returning_leader_is_not_told_that_it_leads(bench, helpers):
    a, _ = bench.stable(2, instances=("i-a",))
    waiter = bench.ask_join(instance="i-a", version=8)
    bench.settle()
    joined = helpers.got(waiter)
    assert (joined.leader, joined.members, joined.skip_assignment) == (a, [], False)
    assert bench.group().leader_id == joined.member_id


def test_a_return_that_changes_the_protocol_rebalances(bench, helpers):
    both = {"range": b"1", "sticky": b"2"}
    bench.stable(2, instances=("i-a", "i-b"), protocols=both)
    waiter = bench.ask_join(instance="i-b", protocols={"sticky": b"2"})
    assert bench.state == "PreparingRebalance"
    assert not waiter.done


def test_a_return_between_join_and_sync_starts_over(bench, helpers):
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


def test_a_return_during_a_rebalance_fences_who_waits(bench, helpers):
    a, _ = bench.stable(2, instances=("i-a", "i-b"))
    bench.ask_join(bench.new_id())
    old = bench.ask_join(a, instance="i-a")
    new = bench.ask_join(instance="i-a")
    assert helpers.error_of(old) == "FENCED_INSTANCE_ID"
    assert not new.done


def test_a_dead_static_member_keeps_its_place_through_a_rebalance(bench, helpers):
    long = {"session_ms": 300_000}
    a, b = bench.stable(2, instances=("i-a", "i-b"), **long)
    waiter = bench.ask_join(a, instance="i-a", protocols={"range": b"new"}, **long)
    bench.advance(REBALANCE_MS + 10)
    assert helpers.got(waiter).generation_id == 2
    assert [m.member_id for m in helpers.got(waiter).members] == [a, b]


def test_a_rebalance_that_nobody_joins_waits_for_sessions(bench):
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


def test_an_administrator_removes_by_instance_id(bench):
    a, _b = bench.stable(2, instances=("i-a", "i-b"))
    assert bench.leave(("", "i-b"), ("", "i-c")) == ["NONE", "UNKNOWN_MEMBER_ID"]
    assert set(bench.group().members) == {a}
    assert bench.leave(("x", "i-a")) == ["FENCED_INSTANCE_ID"]


def test_a_pending_id_is_no_static_members(bench, helpers):
    member = bench.new_id()
    assert helpers.error_of(bench.ask_join(member, instance="i")) == "UNKNOWN_MEMBER_ID"


def test_joining_under_anothers_instance_id_is_fenced(bench, helpers):
    a, _b = bench.stable(2, instances=("i-a", "i-b"))
    assert helpers.error_of(bench.ask_join(a, instance="i-b")) == "FENCED_INSTANCE_ID"
    assert helpers.error_of(bench.ask_join("x", instance="i-c")) == "UNKNOWN_MEMBER_ID"
