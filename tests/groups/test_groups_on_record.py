"""What of a group is in the log, what nobody is told before it is there, and what a log that fails leaves of it."""

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.shard import ShardState

SESSION_MS = 10_000
REBALANCE_MS = 30_000
INITIAL_MS = 3000


def test_a_stable_group_survives_a_crash_and_goes_on_with_a_heartbeat(bench, helpers):
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


def test_nobody_gets_an_assignment_that_is_not_durable(bench, helpers):
    waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
    bench.advance(INITIAL_MS * 3)
    a, b = [helpers.got(w).member_id for w in waiters]
    syncs = [bench.ask_sync(b), bench.ask_sync(a, assignments={a: b"x", b: b"y"})]
    bench.tick()
    assert not any(sync.done for sync in syncs)
    assert bench.state == "CompletingRebalance"
    bench.log.settle()
    assert [helpers.got(s).assignment for s in syncs] == [b"y", b"x"]


def test_an_assignment_that_is_refused_starts_over(bench, helpers):
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


def test_an_assignment_too_large_for_a_batch_starts_over(new_bench, helpers):
    bench = new_bench(batch_bytes=5000)
    waiter = bench.ask_join(bench.new_id())
    bench.advance(INITIAL_MS + 10)
    a = helpers.got(waiter).member_id
    sync = bench.ask_sync(a, assignments={a: b"x" * 6000})
    assert helpers.error_of(sync) == "UNKNOWN_SERVER_ERROR"
    assert bench.state == "PreparingRebalance"


def test_an_assignment_that_comes_too_late_is_nobodys(bench, helpers):
    waiters = [bench.ask_join(bench.new_id()) for _ in range(2)]
    bench.advance(INITIAL_MS * 3)
    a, b = [helpers.got(w).member_id for w in waiters]
    a_sync = bench.ask_sync(a, assignments={a: b"x", b: b"y"})
    bench.tick()
    bench.leave(b)  # a rebalance begins while the assignment is on its way
    assert helpers.error_of(a_sync) == "REBALANCE_IN_PROGRESS"
    bench.log.settle()
    assert bench.state == "PreparingRebalance"


def test_an_older_generations_assignment_does_not_make_a_newer_one_stable(bench, helpers):
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


def test_who_leads_is_on_record(bench, helpers):
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


def test_a_failed_log_tells_everybody_to_look_elsewhere(bench, helpers):
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


def test_a_new_group_that_cannot_be_stored_does_not_exist(bench, helpers):
    waiter = bench.ask_join(version=3)
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    bench.tick()
    assert helpers.error_of(waiter) == "COORDINATOR_NOT_AVAILABLE"
    assert bench.machine.groups == {}


def test_a_static_return_that_cannot_be_stored_is_taken_back(bench, helpers):
    a, b = bench.stable(2, instances=("i-a", "i-b"))
    waiter = bench.ask_join(instance="i-b", protocols={"range": helpers.subscription("u")})
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    bench.tick()
    assert helpers.error_of(waiter) == "COORDINATOR_NOT_AVAILABLE"
    assert bench.heartbeat(b, instance="i-b") == "NONE"
    assert bench.group().members[b].metadata("range") == helpers.subscription("t")
    assert list(bench.group().members) == [a, b]


def test_an_empty_group_that_cannot_be_stored_is_empty_all_the_same(bench):
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


def test_records_of_other_kinds_of_groups_are_passed_over(bench):
    bench.stable(1)
    bench.shard.write([(b"\x00\x0b\x00\x02cg", b"\x00\x00\x00\x00\x00\x05")], lambda _: None)
    bench.settle()
    bench.restart()
    assert list(bench.machine.groups) == ["g"]
