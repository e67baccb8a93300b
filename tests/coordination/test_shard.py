"""The write path: what is seen at once, what is answered when, and what a failure leaves behind."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.shard import ShardState
from logbroker.records.batch import parse_header


def names(machine):
    return [answer for answer, _ in machine.answers]


def test_a_change_is_seen_at_once_and_answered_when_durable(bench):
    machine = bench.machine
    machine.set("a", "1")
    assert machine.cells == {"a": "1"}
    assert machine.answers == []
    bench.tick()
    assert machine.answers == []
    bench.log.settle()
    assert machine.answers == [("a=1", "NONE")]


def test_one_tick_is_one_batch_and_answers_keep_their_order(bench):
    machine = bench.machine
    for i in range(5):
        machine.set(f"k{i}", "v")
    bench.tick()
    assert [parse_header(batch).record_count for _, _, batch in bench.log.batches] == [5]
    machine.set("later", "v")
    bench.tick()
    assert len(bench.log.batches) == 2
    bench.log.settle()
    assert names(machine) == ["k0=v", "k1=v", "k2=v", "k3=v", "k4=v", "later=v"]


def test_a_batch_is_split_at_its_limit(bench):
    machine = bench.machine
    for i in range(10):
        machine.set(f"k{i}", "v" * 90)
    bench.settle()
    sizes = [len(batch) for _, _, batch in bench.log.batches]
    assert len(sizes) > 2
    assert max(sizes) <= 400
    assert names(machine) == [f"k{i}={'v' * 90}" for i in range(10)]


def test_what_exceeds_a_batch_is_refused_and_changes_nothing(bench):
    with pytest.raises(BrokerError, match="exceed the 400 bytes") as caught:
        bench.machine.set("big", "v" * 1000)
    assert caught.value.code is ErrorCode.RECORD_LIST_TOO_LARGE
    assert bench.machine.cells == {}
    bench.settle()
    assert bench.log.batches == []


def test_a_refused_append_is_taken_back_newest_first(bench):
    machine = bench.machine
    machine.set("a", "old")
    bench.settle()
    machine.answers.clear()
    machine.set("a", "new")
    machine.set("a", "newer")
    machine.set("b", "new")
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    bench.tick()
    assert machine.cells == {"a": "old"}
    assert machine.answers == [
        ("a=new", "NOT_ENOUGH_REPLICAS"),
        ("a=newer", "NOT_ENOUGH_REPLICAS"),
        ("b=new", "NOT_ENOUGH_REPLICAS"),
    ]
    assert bench.shard.state is ShardState.ACTIVE
    machine.set("c", "after")
    bench.settle()
    assert bench.log.crashed().batches == bench.log.batches
    bench.restart()
    assert bench.machine.cells == {"a": "old", "c": "after"}


def test_what_was_queued_behind_a_refused_batch_goes_with_it(bench):
    """It may have been built on what was refused."""
    machine = bench.machine
    for i in range(10):
        machine.set("counter", str(i) * 90)
    bench.log.refusal = BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)
    bench.tick()
    assert bench.log.batches == []
    assert machine.cells == {}
    assert {error for _, error in machine.answers} == {"KAFKA_STORAGE_ERROR"}
    assert len(machine.answers) == 10


def test_an_unforeseen_error_of_the_log_is_taken_back_too(bench):
    bench.machine.set("a", "1")
    bench.log.refusal = RuntimeError("a fault below")
    bench.tick()
    assert bench.machine.cells == {}
    assert bench.machine.answers == [("a=1", "UNKNOWN_SERVER_ERROR")]


def test_a_write_that_fails_after_its_append_ends_the_shard(bench):
    machine = bench.machine
    machine.set("a", "1")
    bench.tick()
    machine.set("b", "2")  # still queued
    machine.read("a")
    bench.log.fail()
    assert bench.shard.state is ShardState.FAILED
    assert "KAFKA_STORAGE_ERROR" in bench.shard.reason
    assert machine.told == [ErrorCode.NOT_COORDINATOR]
    assert machine.answers == [(name, "NOT_COORDINATOR") for name in ("a=1", "b=2", "read 1")]
    with pytest.raises(BrokerError) as caught:
        bench.shard.machine()
    assert caught.value.code is ErrorCode.NOT_COORDINATOR
    with pytest.raises(BrokerError):
        machine.set("c", "3")
    bench.tick()
    # Whether the record is there is the log's to say: here its bytes survived.
    bench.restart(bench.log.crashed(surviving=1))
    assert bench.machine.cells == {"a": "1"}


def test_answers_after_a_failure_are_ignored(bench):
    machine = bench.machine
    machine.set("a", "1")
    bench.tick()
    bench.shard.unload()
    assert machine.answers == [("a=1", "NOT_COORDINATOR")]
    bench.log.settle()
    assert machine.answers == [("a=1", "NOT_COORDINATOR")]


def test_a_reader_waits_for_the_writes_it_has_seen(bench):
    machine = bench.machine
    machine.read("a")
    assert machine.answers == [("read None", "NONE")]
    machine.set("a", "1")
    machine.read("a")  # behind a queued write
    bench.tick()
    machine.read("a")  # behind an appended write
    assert names(machine) == ["read None"]
    bench.log.settle()
    assert names(machine) == ["read None", "a=1", "read 1", "read 1"]


def test_a_reader_whose_writes_fill_a_batch_exactly_is_not_forgotten(bench):
    machine = bench.machine
    for i in range(4):
        machine.set(f"k{i}", "v" * 150)
        machine.read(f"k{i}")
    bench.settle()
    assert len(machine.answers) == 8
    assert {error for _, error in machine.answers} == {"NONE"}


def test_a_reader_is_told_when_what_it_saw_was_taken_back(bench):
    machine = bench.machine
    machine.set("a", "1")
    machine.read("a")
    bench.log.refusal = BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)
    bench.tick()
    assert machine.answers == [("a=1", "KAFKA_STORAGE_ERROR"), ("read 1", "KAFKA_STORAGE_ERROR")]


def test_nobody_waits_longer_than_the_time_out(bench):
    machine = bench.machine
    machine.set("a", "1")
    bench.tick()
    bench.advance(500, settle=False)
    machine.set("b", "2")
    bench.tick()
    bench.advance(520, settle=False)
    assert machine.answers == [("a=1", "REQUEST_TIMED_OUT")]
    bench.advance(500, settle=False)
    assert machine.answers == [("a=1", "REQUEST_TIMED_OUT"), ("b=2", "REQUEST_TIMED_OUT")]
    bench.log.settle()
    # It counts all the same, and nobody is told twice.
    assert machine.cells == {"a": "1", "b": "2"}
    assert len(machine.answers) == 2
    machine.set("c", "3")
    bench.tick()
    bench.advance(1020, settle=False)
    assert machine.answers[-1] == ("c=3", "REQUEST_TIMED_OUT")


def test_a_reader_of_what_is_late_already_is_told_so(bench):
    machine = bench.machine
    machine.set("a", "1")
    bench.tick()
    bench.advance(1020, settle=False)
    machine.read("a")
    assert machine.answers == [("a=1", "REQUEST_TIMED_OUT"), ("read 1", "REQUEST_TIMED_OUT")]
    bench.log.settle()
    machine.read("a")
    assert machine.answers[2:] == [("read 1", "NONE")]


def test_a_shard_that_fails_in_the_middle_of_a_flush_answers_everybody(bench):
    machine = bench.machine
    for i in range(3):
        machine.set(f"k{i}", "v" * 300)  # a batch each
    append = bench.log.append_as_leader

    def fails(*arguments, **options):
        append(*arguments, **options)
        bench.shard.fail("the directory went offline")

    bench.log.append_as_leader = fails
    bench.tick()
    assert [error for _, error in machine.answers] == ["NOT_COORDINATOR"] * 3


def test_a_transaction_does_not_overtake_what_an_answer_wrote(bench):
    """A refusal lets the next request of a connection in; what that writes stands before the transaction."""
    machine = bench.machine
    bench.shard.write(
        [(b"a", b"1")],
        lambda error: machine.set("b", "2") if error else None,
    )
    bench.log.refusal = BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)
    bench.shard.flush()
    with pytest.raises(BrokerError) as caught:
        bench.shard.write_transactional(1, 0, [(b"c", b"3")], lambda _: None)
    assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    bench.settle()
    assert machine.answers == [("b=2", "NONE")]
    assert len(bench.log.batches) == 1


def test_a_write_made_by_an_answer_is_written(bench):
    machine = bench.machine
    shard = bench.shard

    def chain(error):
        machine.set("second", "2")

    shard.write([(b"first", b"1")], chain)
    bench.settle()
    bench.restart()
    assert bench.machine.cells == {"first": "1", "second": "2"}


def test_a_failing_answer_may_fail_the_shard_again(bench):
    """An answer that ends the shard must not make those behind it hear twice, or not at all."""
    machine = bench.machine
    heard = []
    bench.shard.write([(b"a", b"1")], lambda error: (heard.append(error), bench.shard.fail("enough")))
    bench.shard.write([(b"b", b"1")], heard.append)
    machine.set("c", "1")
    bench.tick()
    bench.log.settle()
    assert heard == [ErrorCode.NONE, ErrorCode.NONE]
    assert machine.answers == [("c=1", "NONE")]
    assert bench.shard.state is ShardState.FAILED


def test_pending_writes_are_counted(bench):
    machine = bench.machine
    assert bench.shard.pending_writes == 0
    machine.set("a", "1")
    bench.tick()
    machine.set("b", "1")
    assert bench.shard.pending_writes == 2
    bench.settle()
    assert bench.shard.pending_writes == 0


def test_a_log_that_is_durable_at_once_is_answered_at_once(bench):
    bench.log.instant = True
    bench.machine.set("a", "1")
    bench.tick()
    assert bench.machine.answers == [("a=1", "NONE")]
    assert bench.shard.pending_writes == 0
