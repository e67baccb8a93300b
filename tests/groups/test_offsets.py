"""Committed offsets: who may commit, what a reader is told, what a crash leaves, and when they are forgotten."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.coordination.shard import ShardState
from logbroker.groups.committed import DROPS_AT_ONCE, DROPS_PER_WRITE
from logbroker.groups.offsets import OffsetStore, belongs_to
from logbroker.wire.schema import ZERO_UUID

SESSION_MS = 10_000
RETENTION_MS = 86_400_000
HOUR_MS = 3_600_000


def test_a_commit_is_answered_when_it_is_durable(bench):
    outcome = bench.commit(5)
    assert bench.offset() == 5
    bench.tick()
    assert outcome == []
    bench.log.settle()
    assert outcome == ["NONE"]
    bench.restart()
    assert bench.offset() == 5
    assert bench.state == "Empty"
    assert bench.group().protocol_type is None


def test_what_was_not_durable_is_gone_after_a_crash_or_not(bench):
    bench.commit(5)
    bench.settle()
    bench.commit(9)
    bench.tick()
    lost, kept = bench.log.crashed(), bench.log.crashed(surviving=1)
    bench.restart(lost)
    assert bench.offset() == 5
    bench.restart(kept)
    assert bench.offset() == 9


def test_a_refused_commit_is_taken_back(bench):
    bench.commit(5)
    bench.settle()
    refused = [bench.commit(6), bench.commit(7, partition=1), bench.commit(8, group_id="new")]
    bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
    bench.tick()
    assert refused == [["NOT_ENOUGH_REPLICAS"]] * 3
    assert bench.offset() == 5
    assert bench.offset(partition=1) is None
    assert list(bench.machine.groups) == ["g"]
    assert bench.machine.offsets.count == 1


def test_a_commit_too_large_for_a_batch_changes_nothing(new_bench):
    bench = new_bench(batch_bytes=100)
    with pytest.raises(BrokerError) as caught:
        bench.commit(5, topic="t" * 100)
    assert caught.value.code is ErrorCode.RECORD_LIST_TOO_LARGE
    with pytest.raises(ValueError, match="longer than"):
        bench.commit(5, topic="t" * 40_000)
    assert bench.machine.groups == {}
    assert bench.machine.offsets.count == 0


def test_members_commit_with_their_generation(bench):
    a, b = bench.stable(2)
    assert bench.commit(1, member_id=a, generation=1) == []
    assert bench.commit(1, member_id=a, generation=0) == "ILLEGAL_GENERATION"
    assert bench.commit(1, member_id="x", generation=1) == "UNKNOWN_MEMBER_ID"
    assert bench.commit(1) == "UNKNOWN_MEMBER_ID"
    assert bench.commit(1, group_id="none", generation=1) == "GROUP_ID_NOT_FOUND"
    bench.ask_join(a)
    # While members rejoin they may still commit what they have done.
    assert bench.commit(2, member_id=b, generation=1) == []
    bench.ask_join(b)
    assert bench.commit(3, member_id=b, generation=2) == "REBALANCE_IN_PROGRESS"


def test_a_commit_shows_that_its_member_lives(bench):
    a, b = bench.stable(2)
    for _ in range(3):
        bench.advance(SESSION_MS - 1000)
        assert bench.commit(1, member_id=a, generation=1) == []
        assert bench.heartbeat(b) == "NONE"
    assert bench.state == "Stable"


def test_an_empty_group_takes_commits_from_anybody_outside_it(bench):
    (a,) = bench.stable(1)
    bench.leave(a)
    bench.settle()
    assert bench.commit(1) == []
    assert bench.commit(1, member_id="admin") == []
    assert bench.commit(1, member_id=a, generation=1) == "UNKNOWN_MEMBER_ID"


def test_offsets_survive_with_their_group(bench):
    (a,) = bench.stable(1)
    bench.commit(7, member_id=a, generation=1)
    bench.settle()
    bench.restart()
    assert bench.offset() == 7
    assert bench.state == "Stable"


class TestForgetting:
    def test_a_deleted_topic_takes_its_offsets_along(self, bench):
        for topic in ("t", "u"):
            for partition in range(3):
                bench.commit(5, topic=topic, partition=partition)
        bench.commit(5, group_id="other")
        bench.settle()
        bench.machine.drop_topic("t", bench.topics.pop("t"))
        assert bench.offset() is None
        assert bench.offset(group_id="other") is None
        assert bench.offset("u") == 5
        bench.settle()
        bench.restart()
        assert bench.offset() is None
        assert bench.machine.offsets.count == 3

    def test_a_commit_on_its_way_goes_with_its_topic(self, bench):
        outcome = bench.commit(5)
        bench.machine.drop_topic("t", bench.topics.pop("t"))
        bench.settle()
        assert outcome == ["NONE"]
        assert bench.offset() is None
        bench.restart()
        assert bench.offset() is None

    def test_another_topic_of_the_same_name_keeps_its_offsets(self, bench):
        old = bench.topics["t"]
        bench.topics["t"] = UUID(int=77)
        bench.commit(5)
        bench.machine.drop_topic("t", old)
        assert bench.offset() == 5

    def test_offsets_of_topics_that_went_while_nobody_looked_go_when_the_shard_is_loaded(self, bench):
        bench.commit(5)
        bench.commit(6, topic="u")
        bench.settle()
        bench.topics["t"] = UUID(int=77)
        bench.restart()
        assert bench.offset() is None
        assert bench.offset("u") == 6
        bench.settle()
        bench.topics["t"] = UUID(int=1000)
        bench.restart()
        assert bench.offset() is None

    def test_tombstones_that_are_refused_are_taken_back(self, bench):
        bench.commit(5)
        bench.settle()
        bench.machine.drop_topic("t", bench.topics["t"])
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert bench.offset() == 5

    def test_many_offsets_go_in_many_writes(self, bench):
        for partition in range(DROPS_PER_WRITE * 2 + 7):
            bench.commit(5, partition=partition)
        bench.settle()
        bench.machine.drop_topic("t", bench.topics.pop("t"))
        bench.settle()
        bench.restart()
        assert bench.machine.offsets.count == 0

    @pytest.mark.parametrize("at", ["its deletion", "a restart"])
    def test_very_many_offsets_go_tick_by_tick(self, bench, at):
        """A topic with 1,000 partitions that 1,000 groups consume must not hold the loop up."""
        count = DROPS_AT_ONCE * 2 + 7
        for number in range(count):
            bench.commit(5, partition=number % 10, group_id=f"{number // 10:04}")
        bench.settle()
        old = bench.topics.pop("t")
        if at == "a restart":
            bench.restart()
        else:
            bench.machine.drop_topic("t", old)
        assert bench.machine.offsets.count == count - DROPS_AT_ONCE
        # A topic of the name comes again; what is committed for it stays.
        bench.topics["t"] = UUID(int=77)
        bench.commit(6, partition=3, group_id="0200")
        bench.tick()
        assert bench.machine.offsets.count == count - 2 * DROPS_AT_ONCE
        bench.settle()
        assert bench.machine.offsets.count == 1
        bench.restart()
        assert bench.offset(partition=3, group_id="0200") == 6
        assert bench.machine.offsets.count == 1

    def test_a_group_that_only_stores_offsets_ages_by_its_commits(self, bench):
        bench.commit(5)
        bench.advance(HOUR_MS)
        bench.commit(6, partition=1)
        bench.settle()
        bench.advance(RETENTION_MS - HOUR_MS)
        bench.machine.drop_expired()
        assert bench.offset() is None
        assert bench.offset(partition=1) == 6
        bench.advance(HOUR_MS)
        bench.machine.drop_expired()
        bench.settle()
        assert bench.machine.groups == {}
        bench.restart()
        assert bench.machine.groups == {}
        assert bench.machine.offsets.count == 0

    def test_an_empty_group_ages_from_when_it_became_empty(self, bench):
        (a,) = bench.stable(1)
        bench.commit(5, member_id=a, generation=1)
        for _ in range(RETENTION_MS // HOUR_MS * 2):
            bench.commit(5, member_id=a, generation=1)
            bench.advance(SESSION_MS - 1000)
        bench.leave(a)
        bench.settle()
        bench.advance(RETENTION_MS - HOUR_MS)
        bench.restart()  # the time is on record
        bench.machine.drop_expired()
        assert bench.offset() == 5
        bench.advance(HOUR_MS)
        bench.machine.drop_expired()
        bench.settle()
        assert bench.offset() is None
        assert bench.machine.groups == {}

    def test_a_stable_group_keeps_what_it_subscribes_to(self, bench):
        (a,) = bench.stable(1, session_ms=1_800_000)
        bench.commit(5, member_id=a, generation=1)
        bench.commit(6, topic="u", member_id=a, generation=1)
        for _ in range(RETENTION_MS // 1_000_000 + 1):
            bench.advance(1_000_000)
            bench.heartbeat(a)
        bench.machine.drop_expired()
        assert bench.offset() == 5
        assert bench.offset("u") is None
        assert bench.state == "Stable"

    @pytest.mark.parametrize(
        "options",
        [{"protocols": {"range": b"\x00"}}, {"protocol_type": "connect"}],
        ids=["unreadable", "connect"],
    )
    def test_a_group_whose_subscriptions_are_not_known_keeps_everything(self, bench, options):
        (a,) = bench.stable(1, session_ms=1_800_000, **options)
        bench.commit(5, member_id=a, generation=1)
        for _ in range(RETENTION_MS // 1_000_000 + 1):
            bench.advance(1_000_000)
            bench.heartbeat(a)
        bench.machine.drop_expired()
        assert bench.offset() == 5

    def test_a_commit_with_its_own_retention_ends_with_it(self, bench):
        now_ms = bench.clock.wall_ms()
        bench.commit(5, expire_ms=now_ms + HOUR_MS)
        bench.commit(6, partition=1, expire_ms=now_ms + RETENTION_MS * 9)
        bench.settle()
        bench.advance(HOUR_MS)
        bench.restart()
        bench.machine.drop_expired()
        assert bench.offset() is None
        bench.advance(RETENTION_MS * 8)
        bench.machine.drop_expired()
        assert bench.offset(partition=1) == 6

    def test_a_group_that_somebody_is_joining_is_not_deleted(self, bench):
        member = bench.new_id()
        bench.machine.drop_expired()
        bench.settle()
        assert bench.ask_join(member).done is False

    def test_a_deletion_that_is_refused_is_taken_back(self, bench):
        bench.commit(5)
        bench.settle()
        bench.advance(RETENTION_MS)
        bench.machine.drop_expired()
        assert bench.machine.groups == {}
        bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        bench.tick()
        assert bench.offset() == 5
        assert bench.state == "Empty"


def test_a_reader_waits_for_the_commits_it_has_seen(bench):
    heard = []
    bench.commit(5)
    bench.machine.after_writes(heard.append)
    assert heard == []
    bench.settle()
    assert heard == [ErrorCode.NONE]


def test_a_reader_of_a_failed_log_is_told(bench):
    heard = []
    bench.commit(5)
    bench.machine.after_writes(heard.append)
    bench.tick()
    bench.log.fail()
    assert heard == [ErrorCode.NOT_COORDINATOR]
    assert bench.shard.state is ShardState.FAILED


def test_old_records_are_read(bench):
    """Kafka before 0.9 wrote key version 0, whose value has neither leader epoch nor topic id."""
    key = b"\x00\x00\x00\x01g\x00\x01t\x00\x00\x00\x00"
    value = b"\x00\x00" + (77).to_bytes(8, "big") + b"\x00\x00" + (1).to_bytes(8, "big")
    bench.shard.write([(key, value)], lambda _: None)
    bench.settle()
    bench.restart()
    assert bench.offset() == 77


def test_ids_decide_whose_offset_it_is():
    one, two = UUID(int=1), UUID(int=2)
    assert belongs_to(OffsetCommitValue(topic_id=one), one)
    assert not belongs_to(OffsetCommitValue(topic_id=one), two)
    # Older records know no id.
    assert belongs_to(OffsetCommitValue(topic_id=ZERO_UUID), two)


names = st.sampled_from(["a", "b"])
steps = st.lists(st.tuples(names, names, st.integers(0, 2), st.none() | st.integers(0, 99)), max_size=30)


@given(steps)
def test_the_store_is_a_dictionary_that_counts(steps):
    store, model = OffsetStore(), {}
    for group, topic, partition, offset in steps:
        key = (group, topic, partition)
        if offset is None:
            assert store.remove(*key) == model.pop(key, None)
        else:
            value = OffsetCommitValue(offset)
            assert store.put(*key, value) == model.get(key)
            model[key] = value
        assert store.count == len(model)
    for group in ("a", "b"):
        found = {(group, topic, partition): value for topic, partition, value in store.of_group(group)}
        assert found == {key: value for key, value in model.items() if key[0] == group}
        assert all(store.get(*key) is value for key, value in found.items())
    for topic in ("a", "b"):
        found = {(group, topic, partition): value for group, partition, value in store.of_topic(topic)}
        assert found == {key: value for key, value in model.items() if key[1] == topic}
    assert set(store.groups) == {key[0] for key in model}
