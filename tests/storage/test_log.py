"""The log of one partition: offsets, reads, rolls, retention, trimmed starts, timestamps, duplicates."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage.support import NOW, Engine, batch, sealed

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import Codec, iter_batches, parse_header
from logbroker.storage.retention import retained_start

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def engine(tmp_path):
    made = Engine(tmp_path, journal_file_bytes=1 << 20)
    with made:
        yield made


def refused(code, call):
    with pytest.raises(BrokerError) as caught:
        call()
    assert caught.value.code == code
    return str(caught.value)


# Appending and reading


def test_offsets_are_given_in_order_and_stamped(engine):
    log = engine.create()
    items = [engine.append(log, batch(b"a", b"b", b"c"), epoch=5) for _ in range(3)]
    assert [(item.base_offset, item.next_offset) for item in items] == [(0, 3), (3, 6), (6, 9)]
    assert (log.end_offset, log.durable_end) == (9, 0)  # nothing is durable before anything ran
    engine.run()
    assert log.durable_end == 9
    data = b"".join(log.read(0, 1 << 20, engine.directory.reader()))
    headers = [header for _, header in iter_batches(data, verify_crc=True)]
    assert [(header.base_offset, header.partition_leader_epoch) for header in headers] == [
        (0, 5),
        (3, 5),
        (6, 5),
    ]


def test_only_what_is_durable_is_served_unless_asked_for_the_end(engine):
    log = engine.create()
    engine.append(log)
    engine.run()
    engine.append(log, batch(b"later"))
    reader = engine.directory.reader()
    assert log.read(1, 1 << 20, reader) == []
    assert len(engine.values(log)) == 1
    assert len(b"".join(log.read(0, 1 << 20, reader, to_end=True))) > len(
        b"".join(log.read(0, 1 << 20, reader))
    )
    engine.run()
    assert engine.values(log)[1] == b"later"


def test_reading_outside_the_log(engine):
    log = engine.create()
    engine.fill(log, 3)
    reader = engine.directory.reader()
    assert log.read(3, 1000, reader) == []
    for offset in (-1, 4, 2**62):
        assert "outside" in refused(
            ErrorCode.OFFSET_OUT_OF_RANGE, lambda offset=offset: log.read(offset, 1000, reader)
        )


def test_limits_of_a_read(engine):
    log = engine.create()
    engine.fill(log, 5, 1000)
    reader = engine.directory.reader()
    size = len(b"".join(log.read(0, 1 << 20, reader))) // 5
    assert len(b"".join(log.read(0, 10, reader))) == size  # the first batch comes whole
    assert log.read(0, 10, reader, min_one=False) == []
    assert (
        len(b"".join(log.read(0, size * 2 + 5, reader))) == size * 2 + 5
    )  # the last may be cut short, as in Kafka
    assert len(b"".join(log.read(4, 1 << 20, reader))) == size


def test_a_read_from_inside_a_batch_begins_with_that_batch(engine):
    log = engine.create()
    for _ in range(3):
        engine.append(log, batch(*[b"x"] * 10))
    engine.run()
    data = b"".join(log.read(15, 1, engine.directory.reader()))
    assert parse_header(data).base_offset == 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_any_offset_of_any_log_gives_what_was_appended(tmp_path_factory, seed):
    rng = random.Random(seed)
    engine = Engine(
        tmp_path_factory.mktemp("d"),
        seed=seed,
        writeback_bytes=rng.choice([500, 5000, 1 << 20]),
        direct_sync_bytes=rng.choice([1000, 16 << 10]),
    )
    with engine:
        log = engine.create(
            internal_segment_bytes=rng.choice([600, 3000, 1 << 20]),
            index_interval_bytes=rng.choice([0, 200, 4096]),
        )
        expected = {}
        for _ in range(rng.randint(1, 40)):
            values = [rng.randbytes(rng.choice([1, 50, 500])) for _ in range(rng.randint(1, 5))]
            item = engine.append(log, batch(*values))
            expected.update(enumerate(values, item.base_offset))
            if rng.random() < 0.3:
                engine.run()
            if rng.random() < 0.1:
                engine.run()
                engine.reopen(cleanly=rng.random() < 0.5)
                log = engine.log()
        engine.run()
        assert engine.values(log) == expected
        for offset in rng.sample(sorted(expected), min(len(expected), 10)):
            found = engine.values_once(log, offset, max_bytes=rng.choice([1, 300, 5000]))
            assert found[offset] == expected[offset]
            assert found.items() <= expected.items()


# Rolling


def test_a_full_segment_is_followed_by_the_next(engine):
    log = engine.create(internal_segment_bytes=1000)
    values = engine.fill(log, 20)
    bases = [segment.base_offset for segment in log.segments]
    assert bases == list(range(0, 20, 5))
    assert all(segment.size <= 1000 for segment in log.segments)
    assert [segment.sealed for segment in log.segments] == [True] * (len(bases) - 1) + [False]
    assert list(engine.values(log).values()) == values
    big = engine.append(log, batch(5000))  # larger than a segment may be: it has one to itself
    engine.run()
    assert big.error == ErrorCode.NONE
    assert log.segments[-1].base_offset == 20


def test_an_old_segment_is_followed_by_the_next_by_the_records_own_time(engine):
    log = engine.create(segment_ms=HOUR_MS)
    engine.append(log, batch(at=NOW))
    engine.append(log, batch(at=NOW + HOUR_MS))
    assert len(log.segments) == 1
    engine.append(log, batch(at=NOW + HOUR_MS + 1))
    assert [segment.base_offset for segment in log.segments] == [0, 2]
    engine.run()


def test_an_old_segment_is_rolled_by_the_clock_though_nothing_comes(engine):
    log = engine.create(segment_ms=HOUR_MS)
    engine.fill(log, 2)
    assert not log.roll_if_due(NOW + HOUR_MS)
    assert log.roll_if_due(NOW + HOUR_MS + 1)
    assert [segment.base_offset for segment in log.segments] == [0, 2]
    assert not log.roll_if_due(NOW + 10 * HOUR_MS)  # an empty segment has no age


def test_a_full_index_rolls_too(engine):
    log = engine.create(segment_index_bytes=12 * 4, index_interval_bytes=0)
    engine.fill(log, 12)
    assert len(log.segments) > 2
    assert all(len(segment.index) <= 4 for segment in log.segments)
    assert len(engine.values(log)) == 12


def test_an_empty_segment_is_never_rolled(engine):
    log = engine.create(internal_segment_bytes=100)
    engine.append(log, batch(5000))
    engine.run()
    assert len(log.segments) == 1


# Timestamps


def test_lookups_by_time(engine):
    log = engine.create(internal_segment_bytes=300, index_interval_bytes=0)
    times = [5, 1, 9, 9, 3, 20, 8, 20, 2, 30]
    for time in times:
        engine.append(log, batch(at=NOW + time))
    engine.run()
    assert len(log.segments) > 2
    reader = engine.directory.reader()
    for timestamp in range(NOW, NOW + 32):
        wanted = next((offset for offset, time in enumerate(times) if NOW + time >= timestamp), None)
        found = log.find_timestamp(timestamp, reader)
        assert (found and found[0].base_offset) == wanted
        if found:
            assert parse_header(b"".join(found[1])) == found[0]
    assert log.max_timestamp_batch(reader)[0].base_offset == 9


def test_the_first_of_several_largest_timestamps_counts(engine):
    log = engine.create(internal_segment_bytes=600)
    for time in [5, 20, 3, 20, 20, 7]:
        engine.append(log, batch(at=NOW + time))
    engine.run()
    assert log.max_timestamp_batch(engine.directory.reader())[0].base_offset == 1
    engine.reopen()
    assert engine.log().max_timestamp_batch(engine.directory.reader())[0].base_offset == 1


def test_lookups_by_time_see_only_what_is_durable(engine):
    log = engine.create()
    reader = engine.directory.reader()
    assert log.max_timestamp_batch(reader) is None
    assert log.find_timestamp(0, reader) is None
    engine.append(log, batch(at=NOW))
    engine.run()
    engine.append(log, batch(at=NOW + 10))
    assert log.find_timestamp(NOW + 1, reader) is None
    engine.run()
    assert log.find_timestamp(NOW + 1, reader)[0].base_offset == 1


# The log's start


def test_records_are_deleted_durably_and_whole_segments_go(engine):
    log = engine.create(internal_segment_bytes=1000, file_delete_delay_ms=60_000)
    values = engine.fill(log, 20)
    engine.checkpoint()
    told = []
    log.delete_records(12, told.append)
    assert log.start_offset == 0  # not before the journal says so
    engine.run()
    assert told == [ErrorCode.NONE]
    assert log.start_offset == 12
    assert [segment.base_offset for segment in log.segments] == [10, 15]
    assert engine.values(log) == {offset: values[offset] for offset in range(12, 20)}
    refused(ErrorCode.OFFSET_OUT_OF_RANGE, lambda: log.read(11, 1000, engine.directory.reader()))
    assert len(engine.files(suffix=".log.deleted")) == 2
    engine.tick(59_000)
    assert len(engine.files(suffix=".log.deleted")) == 2
    engine.tick(2000)
    assert engine.files(suffix=".deleted") == []
    for cleanly in (False, True):
        engine.reopen(cleanly=cleanly)
        assert engine.log().start_offset == 12
        assert engine.values(engine.log()) == {offset: values[offset] for offset in range(12, 20)}


def test_deleting_everything_leaves_an_empty_log_that_goes_on(engine):
    log = engine.create(internal_segment_bytes=1000)
    engine.fill(log, 8)
    told = []
    log.delete_records(8, told.append)
    engine.run()
    assert told == [ErrorCode.NONE]
    assert (log.start_offset, log.end_offset) == (8, 8)
    assert engine.values(log) == {}
    engine.reopen(cleanly=False)
    log = engine.log()
    assert (log.start_offset, log.end_offset) == (8, 8)
    assert engine.append(log, batch(b"next")).base_offset == 8
    engine.run()
    assert engine.values(log) == {8: b"next"}


def test_records_that_are_not_durable_cannot_be_deleted(engine):
    log = engine.create()
    engine.fill(log, 3)
    engine.append(log)
    told = []
    refused(ErrorCode.OFFSET_OUT_OF_RANGE, lambda: log.delete_records(4, told.append))
    refused(ErrorCode.OFFSET_OUT_OF_RANGE, lambda: log.delete_records(-1, told.append))
    log.delete_records(2, told.append)
    engine.run()
    log.delete_records(1, told.append)  # never back
    assert told == [ErrorCode.NONE] * 2
    assert log.start_offset == 2


# Retention


def decide(engine, after_ms=0):
    engine.directory.apply_retention(NOW + after_ms, retained_start)
    engine.run()


def test_retention_by_time_takes_whole_segments_by_their_newest_record(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=DAY_MS)
    engine.fill(log, 20)
    newest_of_first = NOW + 4000
    decide(engine, DAY_MS + 4000)
    assert log.start_offset == 0
    decide(engine, newest_of_first - NOW + DAY_MS + 1)
    assert log.start_offset == 5
    decide(engine, DAY_MS + 14_001)
    assert log.start_offset == 15
    decide(engine, 100 * DAY_MS)  # the active one goes, too, and the log begins a new one
    assert (log.start_offset, log.end_offset) == (20, 20)
    assert [segment.base_offset for segment in log.segments] == [20]
    engine.fill(log, 1)
    assert len(engine.values(log)) == 1


def test_retention_by_time_stops_at_the_first_segment_that_stays(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=DAY_MS)
    for number in range(20):
        engine.append(log, batch(100, at=NOW if number >= 5 else NOW + 10 * DAY_MS))
    engine.run()
    decide(engine, 5 * DAY_MS)
    assert log.start_offset == 0


def test_retention_by_size_keeps_at_least_that_much(engine):
    log = engine.create(internal_segment_bytes=1000, retention_bytes=2000)
    engine.fill(log, 20)
    before = log.size_bytes
    decide(engine)
    assert 2000 <= log.size_bytes < 3000 < before
    assert log.start_offset == 5
    assert log.start_offset == log.segments[0].base_offset


def test_retention_never_passes_what_is_durable(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=1)
    engine.fill(log, 6)
    for _ in range(10):
        engine.append(log, batch(100))
    engine.directory.apply_retention(NOW + DAY_MS, retained_start)
    assert log.start_offset <= log.durable_end
    engine.run()
    assert log.start_offset <= 6


@pytest.mark.parametrize(
    "config",
    [
        {"retention_ms": -1, "retention_bytes": -1},
        {"cleanup_policy": frozenset({"compact"}), "retention_ms": 1},
        {"cleanup_policy": frozenset(), "retention_ms": 1, "retention_bytes": 1},
    ],
)
def test_what_is_kept_for_ever(engine, config):
    log = engine.create(internal_segment_bytes=1000, **config)
    engine.fill(log, 20)
    decide(engine, 1000 * DAY_MS)
    assert log.start_offset == 0


def test_retention_after_a_restart_waits_until_ages_are_known(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=DAY_MS)
    engine.fill(log, 20)
    engine.reopen()
    log = engine.log()
    assert retained_start(log, NOW + 100 * DAY_MS) == 0
    for segment in log.segments:
        segment.load_times(engine.directory.reader())
    assert retained_start(log, NOW + 100 * DAY_MS) == 20


def test_retained_segments_take_their_snapshots_with_them(engine):
    log = engine.create(internal_segment_bytes=1000, file_delete_delay_ms=0)
    for number in range(20):
        made = batch(100, producer_id=7, producer_epoch=0, base_sequence=number)
        engine.append(log, made)
        engine.run()
    engine.checkpoint()
    bases = [segment.base_offset for segment in log.segments]
    assert [int(name[:20]) for name in engine.files(suffix=".snapshot")] == bases[1:]
    log.delete_records(bases[2], lambda _: None)
    engine.run()
    engine.tick()
    assert [int(name[:20]) for name in engine.files(suffix=".snapshot")] == bases[2:]


# Duplicates


def idempotent(sequence, count=1, producer=7, epoch=0):
    return batch(*[b"x"] * count, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)


def test_a_duplicate_waits_for_the_first_ones_durability(engine):
    log = engine.create()
    first = engine.append(log, idempotent(0, 3))
    again = engine.append(log, idempotent(0, 3))
    assert (again.base_offset, again.next_offset) == (0, 3)
    assert log.end_offset == 3
    for _ in range(1000):
        assert bool(again.waiter) <= bool(first.waiter)  # never before the first
        if not engine.executor.step():
            break
    assert first.waiter
    assert again.waiter
    late = engine.append(log, idempotent(0, 3))
    assert late.waiter == []  # answered in its turn, like any other
    engine.run()
    assert late.waiter
    assert late.error == ErrorCode.NONE
    assert len(engine.values(log)) == 3


def test_a_duplicate_is_known_over_a_restart(engine):
    log = engine.create()
    for sequence in range(8):
        engine.append(log, idempotent(sequence))
    engine.run()
    for cleanly in (True, False):
        engine.reopen(cleanly=cleanly)
        log = engine.log()
        again = engine.append(log, idempotent(7))
        engine.run()
        assert (again.base_offset, again.error) == (7, ErrorCode.NONE)
        assert log.end_offset == 8
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, lambda log=log: engine.append(log, idempotent(1)))
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, lambda log=log: engine.append(log, idempotent(20)))
    assert engine.append(log, idempotent(8)).base_offset == 8
    engine.run()


def test_a_duplicate_of_what_never_becomes_durable_is_refused_too(engine):
    log = engine.create()
    first, again = engine.append(log, idempotent(0)), engine.append(log, idempotent(0))
    engine.directory.fail(OSError(5, "gone"))
    engine.run()
    assert first.error == again.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(first.waiter) == len(again.waiter) == 1


# Refusals


def test_a_refused_log_refuses_everything(engine):
    log = engine.create()
    engine.fill(log, 3)
    log.refuse(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "it is gone"))
    reader = engine.directory.reader()
    for call in (
        lambda: engine.append(log),
        lambda: log.read(0, 100, reader),
        lambda: log.find_timestamp(0, reader),
        lambda: log.delete_records(1, lambda _: None),
    ):
        assert refused(ErrorCode.KAFKA_STORAGE_ERROR, call) == "it is gone"


def test_a_changed_configuration_counts_from_now_on(engine):
    log = engine.create()
    engine.fill(log, 5)
    assert len(log.segments) == 1
    config = type(log.config)(internal_segment_bytes=500)
    engine.directory.configure(log, config)
    engine.fill(log, 5)
    assert len(log.segments) > 2
    assert len(engine.values(log)) == 10


def test_a_batch_with_no_timestamp(engine):
    log = engine.create(internal_segment_bytes=1000, segment_ms=HOUR_MS)
    made = sealed(batch(100), base_timestamp=-1, max_timestamp=-1)
    for _ in range(12):
        engine.append(log, made)
    engine.run()
    assert log.end_offset == 12
    assert log.find_timestamp(0, engine.directory.reader()) is None


def test_a_segment_holds_no_more_offsets_than_its_indexes_can_say(engine):
    """A compressed batch may claim two thousand million records; only who unpacks it can tell."""
    log = engine.create(index_interval_bytes=0)
    most = 2**31 - 1
    claims = sealed(batch(b"x", codec=Codec.ZSTD), record_count=most, last_offset_delta=most - 1)
    for _ in range(5):
        engine.append(log, claims)
    small = engine.append(log, batch(b"small"))
    engine.run()
    assert log.end_offset == 5 * most + 1
    assert all(
        following - base <= 2**31
        for base, following in itertools.pairwise(
            [*(segment.base_offset for segment in log.segments), log.end_offset]
        )
    )
    engine.checkpoint()
    engine.reopen()
    assert engine.values_once(engine.log(), small.base_offset) == {small.base_offset: b"small"}
