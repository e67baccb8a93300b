"""Transactional ids on a log that a test can break, with partitions that it can hold."""

from types import SimpleNamespace

import pytest

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.testing.coordinators import MemoryLog
from logbroker.transactions.admission import Addition
from logbroker.transactions.decisions import Producer
from logbroker.transactions.states import State
from logbroker.transactions.upkeep import Upkeep

A, B = ("t", 0), ("u", 3)


def test_a_transaction_from_begin_to_end(bench):
    first = bench.init()
    assert first == (1000, 0)
    assert bench.add(first, A) == "NONE"
    assert bench.add(first, A, B) == "NONE"
    assert bench.state == "ONGOING"
    second = bench.end(first)
    assert second == (1000, 1)
    assert bench.state == "COMPLETE_COMMIT"
    # The markers have the bumped epoch, and the partition's leader epoch.
    assert bench.markers.written == [(*A, 1000, 1, 7, True), (*B, 1000, 1, 7, True)]
    assert bench.end(first) == second  # asked again
    assert bench.add(first, A) == "PRODUCER_FENCED"
    assert bench.add(second, A) == "NONE"
    assert bench.end(second, commit=False) == (1000, 2)
    assert bench.markers.written[-1] == (*A, 1000, 2, 7, False)
    assert bench.state == "COMPLETE_ABORT"


def test_clients_of_the_first_version_keep_their_epoch(bench):
    producer = bench.init()
    for commit in (True, False):
        assert bench.add(producer, A, version=0) == "NONE"
        assert bench.end(producer, commit=commit, version=0) == producer
        assert bench.end(producer, commit=commit, version=0) == producer
        assert bench.end(producer, commit=not commit, version=0) == "INVALID_TXN_STATE"
        assert bench.markers.written[-1] == (*A, *producer, 7, commit)


def test_an_answer_waits_for_the_log(bench, value_of):
    asked = bench.ask_init()
    bench.tick()
    assert not asked.done
    bench.log.settle()
    producer = (value_of(asked).producer_id, value_of(asked).producer_epoch)
    added = bench.ask_add(producer, A)
    bench.tick()
    assert not added.done
    # Nobody else may change it meanwhile, and it isn't in yet.
    assert value_of(bench.ask_add(producer, B)) is ErrorCode.CONCURRENT_TRANSACTIONS
    assert value_of(bench.ask_end(producer)).error is ErrorCode.CONCURRENT_TRANSACTIONS
    assert value_of(bench.ask_init()).error is ErrorCode.CONCURRENT_TRANSACTIONS
    assert bench.machine.verify("x", Producer(*producer), frozenset({A})) == {A}
    bench.log.settle()
    assert value_of(added) is ErrorCode.NONE
    assert bench.machine.verify("x", Producer(*producer), frozenset({A, B})) == {B}


def test_an_end_is_answered_when_it_is_durable_and_not_before(bench, value_of):
    producer = bench.init()
    bench.add(producer, A)
    bench.markers.hold()
    ended = bench.ask_end(producer)
    bench.tick()
    assert not ended.done
    assert bench.markers.held == []
    bench.log.settle()
    assert value_of(ended).producer_epoch == 1
    assert [marker for marker, _ in bench.markers.held] == [(*A, 1000, 1, 7, True)]
    # Until the marker is written, nothing begins.
    assert value_of(bench.ask_add((1000, 1), A)) is ErrorCode.CONCURRENT_TRANSACTIONS
    assert value_of(bench.ask_init()).error is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.markers.release()
    bench.settle()
    assert bench.state == "COMPLETE_COMMIT"
    assert bench.add((1000, 1), A) == "NONE"


def test_a_refused_write_leaves_no_trace(bench, value_of):
    refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    bench.log.refusal = refusal
    assert bench.init() == "COORDINATOR_NOT_AVAILABLE"
    assert bench.machine.entries == {}
    producer = bench.init()
    bench.log.refusal = refusal
    assert bench.add(producer, A) == "COORDINATOR_NOT_AVAILABLE"
    assert bench.state == "EMPTY"
    bench.add(producer, A)
    bench.log.refusal = refusal
    assert bench.end(producer) == "COORDINATOR_NOT_AVAILABLE"
    assert bench.state == "ONGOING"
    assert bench.markers.written == []
    # The last record of a transaction is written again until it is there.
    bench.markers.hold()
    assert bench.end(producer) == (1001, 1)
    bench.log.refusal = refusal
    bench.markers.release()
    bench.tick()
    bench.log.settle()
    assert bench.state == "PREPARE_COMMIT"
    assert value_of(bench.ask_add((1001, 1), A)) is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.advance(1100)
    assert bench.state == "COMPLETE_COMMIT"


def test_a_late_write_stays_pending_until_it_is_known(bench, value_of):
    producer = bench.init()
    added = bench.ask_add(producer, A)
    bench.tick()
    bench.advance(6000, settle=False)
    assert value_of(added) is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert value_of(bench.ask_end(producer)).error is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.advance(30_000, settle=False)
    assert value_of(bench.ask_end(producer)).error is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.log.settle()
    bench.advance(1100)
    assert bench.state == "ONGOING"
    assert bench.end(producer) == (1000, 1)


def test_a_late_last_record_is_not_written_twice(bench):
    producer = bench.init()
    bench.add(producer, A)
    bench.ask_end(producer)
    bench.tick()
    bench.log.settle()
    bench.tick()  # COMPLETE is appended, and not durable for a long time
    appended = len(bench.log.batches)
    bench.advance(20_000, settle=False)
    assert len(bench.log.batches) == appended
    bench.log.settle()
    bench.advance(1100)
    assert bench.state == "COMPLETE_COMMIT"
    assert len(bench.log.batches) == appended


def test_a_refusal_of_others_says_nothing_of_a_late_write(bench, value_of):
    """It would be forgotten while the log has it, and decided anew."""
    producer = bench.init()
    bench.ask_add(producer, A)
    bench.tick()
    bench.advance(5500, settle=False)  # late
    bench.ask_init("y")
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    # The look comes in the same tick as y's write, which is refused.
    bench.clock.advance(1000)
    bench.timers.expire_due()
    bench.tick()
    assert value_of(bench.ask_end(producer)).error is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.log.settle()
    bench.advance(1100)
    assert bench.state == "ONGOING"
    assert bench.end(producer) == (1000, 1)


def test_who_gives_up_waiting_leaves_nothing_behind(bench, value_of):
    """A producer asks again every few moments, for as long as a partition of its last transaction is offline."""
    producer = bench.init()
    bench.add(producer, A)
    bench.markers.hold()
    producer = bench.end(producer)
    runtime = SimpleNamespace(machine_for=lambda _: bench.machine)
    answers = []
    for _ in range(5):
        answers.append(Completion())
        addition = Addition(runtime, "x", Producer(*producer), frozenset({A}), answers[-1])
        addition.start(bench.timers, bench.clock.monotonic() + 0.1)
        bench.advance(101 if len(answers) < 5 else 1)
    assert [answer.done for answer in answers] == [True] * 4 + [False]
    assert {*value_of(answers[0]).values()} == {ErrorCode.CONCURRENT_TRANSACTIONS}
    assert len(bench.machine.entries["x"].waiters) == 1
    bench.markers.release()
    bench.settle()
    assert value_of(answers[-1]) == {A: ErrorCode.NONE}
    assert bench.machine.entries["x"].waiters == {}


def test_a_failed_write_sends_everybody_away(bench, value_of):
    producer = bench.init()
    added = bench.ask_add(producer, A)
    bench.tick()
    bench.log.fail()
    assert value_of(added) is ErrorCode.NOT_COORDINATOR


def test_whoever_comes_anew_fences_who_was_there(bench):
    first = bench.init()
    bench.add(first, A)
    # Its transaction is aborted first, with an epoch that nobody has.
    assert bench.init() == "CONCURRENT_TRANSACTIONS"
    assert bench.markers.written == [(*A, 1000, 1, 7, False)]
    second = bench.init()
    assert second == (1000, 2)
    assert bench.add(first, A) == "PRODUCER_FENCED"
    assert bench.end(first) == "PRODUCER_FENCED"
    assert bench.end(first, version=0) == "PRODUCER_FENCED"
    assert bench.init(expected=first) == "PRODUCER_FENCED"
    assert bench.init(expected=second) == (1000, 3)
    assert bench.init(expected=second) == (1000, 3)


def test_a_transaction_that_takes_too_long_is_aborted(bench):
    producer = bench.init(timeout_ms=5000)
    bench.add(producer, A)
    bench.advance(5000)
    assert bench.machine.overdue() == []
    bench.advance(1)
    assert bench.machine.overdue() == ["x"]
    assert bench.machine.abort_overdue("x", None)
    assert bench.machine.overdue() == []
    bench.settle()
    assert bench.state == "COMPLETE_ABORT"
    assert bench.markers.written == [(*A, 1000, 1, 7, False)]
    assert bench.add(producer, A) == "PRODUCER_FENCED"
    # KIP-890: a producer that ends what was aborted is told so, and goes on with the next epoch.
    assert bench.end(producer, commit=True) == "INVALID_TXN_STATE"
    assert bench.end(producer, commit=False) == (1000, 1)
    assert bench.init() == (1000, 2)


def test_very_many_that_take_too_long_are_aborted_some_at_a_time(bench, monkeypatch):
    """After a long stop all that were open may be; nobody else is to wait for all of them."""
    monkeypatch.setattr("logbroker.transactions.upkeep.OVERDUE_AT_ONCE", 2)
    for number in range(5):
        bench.add(bench.init(str(number)), A, name=str(number))
    settings = SimpleNamespace(
        transaction_abort_timed_out_transaction_cleanup_interval_ms=10_000,
        transaction_remove_expired_transaction_cleanup_interval_ms=3_600_000,
    )
    metadata = SimpleNamespace(image=SimpleNamespace(settings=settings))
    runtime = SimpleNamespace(machines=lambda: [bench.machine], partition_count=0)
    bench.clock.advance(61_000)
    Upkeep(runtime, metadata, bench.clock, bench.timers, None).start()
    seen = []
    for ms in (10_000, 100, 100, 10_000):
        bench.advance(ms)
        seen.append(
            sum(entry.transaction.state is State.COMPLETE_ABORT for entry in bench.machine.entries.values())
        )
    assert seen == [2, 4, 5, 5]


def test_epochs_run_out_in_a_transaction_that_takes_too_long(bench):
    producer = exhaust(bench)
    bench.add(producer, A)
    bench.advance(60_001)
    assert not bench.machine.abort_overdue("x", None)
    assert bench.machine.abort_overdue("x", 77)
    bench.settle()
    assert bench.markers.written[-1] == (*A, 1000, 32_767, 7, False)
    assert bench.init() == (77, 1)


def exhaust(bench):
    bench.init()
    entry = bench.machine.entries["x"]
    from dataclasses import replace

    entry.transaction = replace(entry.transaction, producer_epoch=32_766)
    return 1000, 32_766


@pytest.mark.parametrize("commit", [True, False])
def test_epochs_run_out_at_an_end(bench, commit):
    producer = exhaust(bench)
    bench.add(producer, A)
    following = bench.end(producer, commit=commit)
    assert following == (1001, 0)
    assert bench.end(producer, commit=commit) == following
    assert bench.add(following, A) == "NONE"
    assert bench.end(following, commit=commit) == (1001, 1)


def test_an_abort_of_nothing_bumps_the_epoch(bench):
    producer = bench.init()
    assert bench.end(producer, commit=True) == "INVALID_TXN_STATE"
    assert bench.end(producer, commit=False) == (1000, 1)
    assert bench.end((1000, 1), commit=False) == (1000, 2)
    assert bench.state == "COMPLETE_ABORT"
    assert bench.markers.written == []


def test_ids_that_nobody_uses_expire(bench):
    bench.init()
    busy = bench.init("busy")
    bench.add(busy, A, name="busy")
    bench.advance(3_600_000 - 1)
    bench.machine.drop_expired()
    bench.settle()
    assert set(bench.machine.entries) == {"x", "busy"}
    bench.advance(1)
    bench.machine.drop_expired()
    assert bench.machine.find("x") is None
    bench.settle()
    assert set(bench.machine.entries) == {"busy"}
    bench.restart()
    assert set(bench.machine.entries) == {"busy"}
    assert bench.init() == (1002, 0)


def test_expiry_that_is_refused_leaves_them(bench):
    bench.init()
    bench.advance(3_600_000)
    bench.log.refusal = BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)
    bench.machine.drop_expired()
    bench.settle()
    assert bench.init() == (1000, 1)


def test_long_ids_expire_too(new_bench):
    """Their tombstones fill a batch sooner than expected."""
    bench = new_bench()
    names = [f"{number}".ljust(30_000, "x") for number in range(60)]
    for name in names:
        bench.init(name)
    bench.advance(3_600_000)
    bench.machine.drop_expired()
    bench.settle()
    assert bench.machine.entries == {}


def test_late_tombstones_settle_batch_by_batch(bench, monkeypatch):
    monkeypatch.setattr("logbroker.transactions.machine.DROPS_PER_WRITE", 1)
    bench.init("x")
    bench.init("y")
    bench.advance(3_600_000)
    bench.machine.drop_expired()
    bench.tick()
    bench.advance(6000, settle=False)
    bench.log.settle()
    bench.advance(1100)
    assert bench.machine.entries == {}


# ---- markers


def test_markers_are_sent_until_every_partition_has_one(bench):
    producer = bench.init()
    bench.add(producer, A, B)
    bench.markers.errors[A] = ErrorCode.KAFKA_STORAGE_ERROR
    bench.markers.errors[B] = BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    assert bench.end(producer) == (1000, 1)
    bench.advance(60_000)
    assert bench.state == "PREPARE_COMMIT"
    assert bench.machine.waiting_markers == 2
    del bench.markers.errors[A]
    bench.advance(5000)
    assert bench.machine.waiting_markers == 1
    del bench.markers.errors[B]
    bench.advance(5000)
    assert bench.state == "COMPLETE_COMMIT"
    assert sorted(marker[:2] for marker in bench.markers.written) == [A, B]


def test_a_partition_that_is_gone_needs_no_marker(bench):
    producer = bench.init()
    bench.add(producer, A, B)
    bench.markers.errors[A] = BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    bench.end(producer)
    assert bench.state == "PREPARE_COMMIT"
    bench.markers.gone.add(A)
    bench.advance(5000)
    assert bench.state == "COMPLETE_COMMIT"


@pytest.mark.parametrize("error", ["INVALID_PRODUCER_EPOCH", "TRANSACTION_COORDINATOR_FENCED"])
def test_a_partition_that_knows_better_has_ended_it_already(bench, error):
    producer = bench.init()
    bench.add(producer, A)
    bench.markers.errors[A] = BrokerError(ErrorCode[error])
    bench.end(producer)
    assert bench.state == "COMPLETE_COMMIT"


def test_a_marker_that_can_not_be_sent_for_a_fault_of_ours_is_sent_again(bench, monkeypatch):
    producer = bench.init()
    bench.add(producer, A)

    def broken(*_):
        raise ZeroDivisionError

    write = bench.markers.write
    bench.markers.write = broken
    bench.end(producer)
    assert bench.state == "PREPARE_COMMIT"
    bench.markers.write = write
    bench.advance(1000)
    assert bench.state == "COMPLETE_COMMIT"


# ---- crashes


@pytest.mark.parametrize("commit", [True, False])
def test_after_a_crash_markers_go_on(bench, commit):
    producer = bench.init()
    bench.add(producer, A, B)
    bench.markers.hold()
    assert bench.end(producer, commit=commit) == (1000, 1)
    bench.restart()
    assert bench.state in ("PREPARE_COMMIT", "PREPARE_ABORT")
    bench.markers.release(ErrorCode.NOT_COORDINATOR)
    bench.settle()
    bench.advance(1000)
    assert bench.markers.written == [(*A, 1000, 1, 7, commit), (*B, 1000, 1, 7, commit)]
    assert bench.state == ("COMPLETE_COMMIT" if commit else "COMPLETE_ABORT")
    assert bench.end(producer, commit=commit) == (1000, 1)


def test_a_log_without_its_last_record_is_completed_at_the_next_start(bench):
    producer = bench.init()
    bench.add(producer, A)
    bench.ask_end(producer)
    bench.tick()
    bench.log.settle()
    bench.tick()
    bench.restart()  # COMPLETE was not durable
    assert bench.markers.written == [(*A, 1000, 1, 7, True)] * 2
    bench.settle()
    assert bench.state == "COMPLETE_COMMIT"


def test_a_shard_that_stops_cancels_its_markers_and_timers(bench):
    producer = bench.init()
    bench.add(producer, A)
    bench.markers.errors[A] = ErrorCode.KAFKA_STORAGE_ERROR
    bench.end(producer)
    assert len(bench.timers)
    bench.shard.unload()
    assert not len(bench.timers)


def test_replay_gives_the_same_with_and_without_compaction(bench):
    for number in range(20):
        producer = bench.init(f"id-{number}")
        if number % 2:
            bench.add(producer, A, B, name=f"id-{number}")
        if number % 3 == 0 and number % 2:
            bench.end(producer, name=f"id-{number}")

    def known():
        return {name: entry.transaction for name, entry in bench.machine.entries.items()}

    def durable(transactions):
        return {
            name: (t.state, t.producer_id, t.producer_epoch, t.partitions) for name, t in transactions.items()
        }

    before = durable(known())
    compacted = bench.log.compacted()
    assert isinstance(compacted, MemoryLog)
    bench.restart()
    assert durable(known()) == before
    bench.restart(compacted)
    assert durable(known()) == before
