"""Offsets that are part of a transaction: pending until its marker, then as of where their records stand in the log."""

import struct

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.groups.kind import Committer
from logbroker.groups.machine import NewOffset

PRODUCER = (9, 0)


@pytest.fixture(params=["live", "after a restart"])
def look(request):
    """Lets the bench go on, or restart first: what is seen afterwards must be the same."""

    def look(bench):
        bench.settle()
        if request.param == "after a restart":
            bench.restart()
        return bench

    return look


def commit(bench, offset, *, producer=PRODUCER, topic="t", partition=0, group="g"):
    """Commit in a transaction; the outcome comes into the list."""
    outcome = []
    value = OffsetCommitValue(offset, -1, "", bench.clock.wall_ms(), -1, bench.topics[topic])
    bench.machine.committed.commit_transactional(
        group,
        *producer,
        [NewOffset(topic, partition, value)],
        lambda error: outcome.append(ErrorCode(error).name),
    )
    return outcome


def end(bench, *, commit=True, producer=PRODUCER):
    outcome = []
    bench.machine.committed.complete(
        *producer,
        0,
        commit=commit,
        transaction_version=0,
        done=lambda error: outcome.append(ErrorCode(error).name),
    )
    return outcome


def is_pending(bench, topic="t", partition=0, group="g"):
    return bench.machine.committed.pending.is_pending(group, topic, partition)


def test_an_offset_counts_from_the_commit_on(bench, look):
    outcome = commit(bench, 5)
    assert outcome == []
    bench.settle()
    assert outcome == ["NONE"]
    look(bench)
    assert bench.offset() is None
    assert is_pending(bench)
    assert list(bench.machine.groups) == ["g"]
    outcome = end(bench)
    assert bench.offset() == 5
    assert outcome == []
    look(bench)
    assert bench.offset() == 5
    assert not is_pending(bench)
    assert not bench.machine.committed.pending


def test_an_aborted_offset_is_forgotten(bench, look):
    bench.commit(1)
    commit(bench, 5)
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (1, True)
    end(bench, commit=False)
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (1, False)


def test_a_plain_commit_that_came_between_wins(bench, look):
    commit(bench, 5)
    bench.commit(7)
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (7, True)
    end(bench)
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (7, False)


def test_a_plain_commit_before_it_loses(bench, look):
    bench.commit(7)
    commit(bench, 5)
    look(bench)
    end(bench)
    look(bench)
    assert bench.offset() == 5


def test_the_later_record_of_two_transactions_wins_whatever_ends_first(bench, look):
    commit(bench, 5, producer=(1, 0))
    commit(bench, 6, producer=(2, 0))
    look(bench)
    end(bench, producer=(2, 0))
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (6, True)
    end(bench, producer=(1, 0))
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (6, False)


def test_the_last_offset_of_a_transaction_counts(bench, look):
    commit(bench, 5)
    bench.commit(7)
    commit(bench, 6)
    look(bench)
    end(bench)
    look(bench)
    assert bench.offset() == 6


def test_a_marker_ends_one_transaction_and_no_other(bench, look):
    commit(bench, 5, producer=(1, 0))
    commit(bench, 6, producer=(2, 0), partition=1)
    end(bench, producer=(1, 0))
    look(bench)
    assert (bench.offset(), bench.offset(partition=1)) == (5, None)
    assert (is_pending(bench), is_pending(bench, partition=1)) == (False, True)


def test_deleted_offsets_are_not_committed_by_a_later_marker(bench, look):
    commit(bench, 5)
    bench.commit(7)
    bench.machine.committed.delete("g", [("t", 0)], lambda _: None)
    look(bench)
    assert (bench.offset(), is_pending(bench)) == (None, False)
    end(bench)
    look(bench)
    assert bench.offset() is None


def test_offsets_of_a_topic_that_is_gone_are_not_committed(bench):
    commit(bench, 5)
    bench.machine.drop_topic("t", bench.topics.pop("t"))
    assert not is_pending(bench)
    end(bench)
    assert bench.offset() is None


def test_offsets_of_a_topic_that_is_gone_after_a_restart_are_not_committed(bench):
    commit(bench, 5)
    bench.settle()
    del bench.topics["t"]
    bench.restart()
    assert not is_pending(bench)


def test_a_group_that_only_has_pending_offsets_does_not_expire(bench, look):
    commit(bench, 5)
    look(bench)
    bench.advance(90_000_000)
    bench.machine.drop_expired()
    assert is_pending(bench)
    assert list(bench.machine.groups) == ["g"]
    end(bench, commit=False)
    bench.machine.drop_expired()
    assert bench.machine.groups == {}


def test_an_offset_that_a_transaction_may_change_does_not_expire(bench):
    bench.commit(1)
    commit(bench, 5)
    bench.settle()
    bench.advance(90_000_000)
    bench.machine.drop_expired()
    assert bench.offset() == 1


def test_a_deleted_group_takes_its_pending_offsets_along(bench, look):
    commit(bench, 5)
    bench.settle()
    outcome = []
    bench.machine.delete_group("g", outcome.append)
    look(bench)
    assert outcome == [ErrorCode.NONE]
    assert bench.machine.groups == {}
    end(bench)
    look(bench)
    assert bench.offset() is None


@pytest.mark.parametrize("ask", ["delete", "delete_group", "drop_topic", "drop_expired"])
def test_long_names_do_not_keep_offsets_from_being_dropped(new_bench, ask):
    """Tombstones of a long group id fill a batch sooner than expected; an answer must not say that they are written."""
    bench = new_bench(batch_bytes=1000)
    group = "g" * 300
    for partition in range(5):
        bench.commit(1, partition=partition, group_id=group)
    commit(bench, 5, partition=5, group=group)
    end(bench, commit=False)
    bench.settle()
    outcome = []
    if ask == "delete":
        wanted = [("t", partition) for partition in range(5)]
        bench.machine.committed.delete(group, wanted, outcome.append)
    elif ask == "delete_group":
        bench.machine.delete_group(group, outcome.append)
    elif ask == "drop_topic":
        bench.machine.drop_topic("t", bench.topics["t"])
    else:
        bench.clock.advance(90_000_000)
        bench.machine.drop_expired()
    bench.settle()
    assert set(outcome) <= {ErrorCode.NONE}
    assert bench.offset(partition=0, group_id=group) is None
    bench.restart()
    assert bench.machine.offsets.count == 0


@pytest.mark.parametrize("is_new", [True, False])
def test_an_error_of_ours_leaves_no_trace_either(bench, is_new):
    if not is_new:
        commit(bench, 4)
    with pytest.raises(struct.error):
        commit(bench, 5, producer=(9, 1 << 15))
    assert is_pending(bench) is not is_new
    assert ("g" in bench.machine.groups) is not is_new


def test_a_deletion_that_can_not_be_written_is_not_answered_as_done(new_bench):
    bench = new_bench(batch_bytes=460)
    group = "g" * 300
    bench.commit(1, group_id=group)
    bench.settle()
    object.__setattr__(bench.services.limits, "batch_bytes", 300)  # as after a restart with less
    outcome = []
    bench.machine.committed.delete(group, [("t", 0)], outcome.append)
    bench.machine.delete_group(group, outcome.append)
    assert outcome == [ErrorCode.RECORD_LIST_TOO_LARGE] * 2
    assert bench.offset(group_id=group) == 1
    assert group in bench.machine.groups


@pytest.mark.parametrize("is_new", [True, False])
def test_what_the_log_refuses_leaves_no_trace(bench, is_new):
    if not is_new:
        commit(bench, 4)
    bench.log.refusal = BrokerError(ErrorCode.INVALID_PRODUCER_EPOCH)
    with pytest.raises(BrokerError, match="INVALID_PRODUCER_EPOCH"):
        commit(bench, 5)
    assert is_pending(bench) is not is_new
    assert ("g" in bench.machine.groups) is not is_new
    if not is_new:
        end(bench)
        assert bench.offset() == 4


def test_a_marker_that_the_log_refuses_leaves_the_transaction_open(bench):
    bench.commit(1)
    commit(bench, 5)
    commit(bench, 4, producer=(3, 0))
    bench.log.refusal = BrokerError(ErrorCode.TRANSACTION_COORDINATOR_FENCED)
    with pytest.raises(BrokerError, match="TRANSACTION_COORDINATOR_FENCED"):
        end(bench)
    assert (bench.offset(), is_pending(bench)) == (1, True)
    end(bench)
    assert bench.offset() == 5
    end(bench, producer=(3, 0))
    assert bench.offset() == 4


def test_a_refused_plain_commit_does_not_stand_in_the_way(bench):
    commit(bench, 5)
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    assert bench.commit(7) == []
    end(bench)  # flushes what is queued first, which is refused
    assert bench.offset() == 5
    bench.settle()
    bench.restart()
    assert bench.offset() == 5


def test_everything_goes_to_the_log_in_the_order_in_which_it_came(bench):
    outcomes = []
    bench.commit(1)
    commit(bench, 2)
    bench.commit(3)
    end(bench)
    bench.commit(4)
    bench.machine.after_writes(outcomes.append)
    bench.settle()
    assert outcomes == [ErrorCode.NONE]
    assert len(bench.log.batches) == 5
    bench.restart()
    assert bench.offset() == 4


def test_a_failure_after_the_append_drops_the_state(bench):
    outcome = commit(bench, 5)
    bench.log.fail()
    assert outcome == ["NOT_COORDINATOR"]
    with pytest.raises(BrokerError):
        _ = bench.machine


def check(bench, member="", generation=-1, instance=None):
    who = Committer(member, instance, generation, is_transactional=True, version=3)
    return bench.machine.check_commit("g", who).name


def test_who_may_commit_in_a_transaction(bench):
    assert check(bench) == "NONE"
    assert check(bench, "m", 1) == "ILLEGAL_GENERATION"
    leader, _ = bench.stable(2)
    generation = bench.group().generation_id
    assert check(bench) == "NONE"
    assert check(bench, leader, generation) == "NONE"
    assert check(bench, leader, generation - 1) == "ILLEGAL_GENERATION"
    assert check(bench, leader, -1) == "ILLEGAL_GENERATION"
    assert check(bench, "x", generation) == "UNKNOWN_MEMBER_ID"
    assert check(bench, leader, generation, "i") == "UNKNOWN_MEMBER_ID"
