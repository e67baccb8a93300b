"""The rules of compaction, batch by batch; the map of keys; which log is next."""

from __future__ import annotations

import itertools
import random

import pytest
from storage.support import NOW, Engine

from logbroker.records.batch import Codec, parse_header
from logbroker.records.builder import BatchBuilder, build_batch
from logbroker.records.control import build_marker
from logbroker.records.iterator import InvalidRecordError, decode_records
from logbroker.records.key_walk import walk_keys
from logbroker.storage.cleaning_choice import assess, dirtiest
from logbroker.storage.compaction_filter import Rules, filter_batch, index_batch
from logbroker.storage.compaction_transactions import CleanedTransactions
from logbroker.storage.offset_map import SLOTS_MIN, OffsetMap
from logbroker.storage.transaction_index import AbortedTransaction

HORIZON = NOW + 1000


def batch(*records, base=0, at=NOW, **options):
    builder = BatchBuilder(base_offset=base, **options)
    for number, (key, value) in enumerate(records):
        builder.append(at + number, key, value)
    return builder.build()


def at_offset(buffer, base):
    buffer = bytearray(buffer)
    buffer[:8] = base.to_bytes(8, "big")
    return buffer


def compact(*batches, end=None, now=NOW, producers=(), aborted=()):
    """What is left of each batch: its bytes, or None."""
    offsets = OffsetMap(1 << 20, 0.9, 1000)
    transactions = CleanedTransactions(aborted)
    for one in batches:
        assert index_batch(one, parse_header(one), 0, offsets, 0, transactions)
    last = parse_header(batches[-1]).last_offset
    rules = Rules(
        offsets,
        last,
        last + 1 if end is None else end,
        now,
        HORIZON - NOW,
        dict(producers),
        CleanedTransactions(aborted),
    )
    return [filter_batch(one, parse_header(one), 0, rules) for one in batches]


def contents(kept):
    return [
        (record.offset, record.timestamp_ms, record.key, record.value)
        for record in decode_records(kept.batch)
    ]


def test_a_batch_that_is_wholly_live_is_left_as_it_is():
    one = batch((b"a", b"1"), (b"b", b"2"), codec=Codec.ZSTD)
    (kept,) = compact(one)
    assert kept.original
    assert bytes(kept.batch) == bytes(one)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("append_time", [None, NOW + 77])
def test_a_batch_with_a_dead_record_is_written_anew(codec, append_time):
    first = batch(
        (b"a", b"1"),
        (b"b", b"2" * 300),
        (b"c", b"3"),
        codec=codec,
        leader_epoch=5,
        log_append_time_ms=append_time,
    )
    second = batch((b"a", b"x"), (b"c", b"y"), base=3)
    kept, whole = compact(first, second)
    assert whole.original
    header = parse_header(kept.batch)
    old = parse_header(first)
    assert (header.base_offset, header.last_offset, header.codec_id, header.partition_leader_epoch) == (
        0,
        2,
        codec,
        5,
    )
    assert header.record_count == 1
    assert header.is_log_append_time == old.is_log_append_time
    time = NOW + 1 if append_time is None else append_time
    assert contents(kept) == [(1, time, b"b", b"2" * 300)]
    assert header.base_timestamp == header.max_timestamp == time


def test_a_tombstone_gets_a_horizon_once_and_goes_after_it():
    first = batch((b"a", b"1"), (b"b", None), (b"c", b"3"))
    kept = compact(first)[0]
    header = parse_header(kept.batch)
    assert header.has_delete_horizon
    assert header.base_timestamp == HORIZON
    assert header.max_timestamp == NOW + 2
    assert contents(kept) == [(0, NOW, b"a", b"1"), (1, NOW + 1, b"b", None), (2, NOW + 2, b"c", b"3")]
    again = compact(bytes(kept.batch), now=HORIZON - 1)[0]
    assert again.original, "a horizon is set once"
    (gone,) = compact(bytes(kept.batch), now=HORIZON)
    assert contents(gone) == [(0, NOW, b"a", b"1"), (2, NOW + 2, b"c", b"3")]
    assert parse_header(gone.batch).base_timestamp == HORIZON


def test_the_last_batch_of_the_pass_and_of_a_producer_stay_as_headers():
    first = batch((b"a", b"1"), producer_id=9, producer_epoch=2, base_sequence=40)
    second = batch((None, b"x"), base=1)
    third = batch((b"a", b"2"), (None, b"-"), base=2)
    fourth = batch((None, b"y"), base=4)
    kept = compact(first, second, third, fourth, producers={9: (0, 2)})
    assert kept[1].batch is None
    assert contents(kept[2]) == [(2, NOW, b"a", b"2")]
    for index, base in ((0, 0), (3, 4)):
        header = parse_header(kept[index].batch)
        assert (header.base_offset, header.record_count, header.length) == (base, 0, 49)
        assert header.max_timestamp == NOW
    header = parse_header(kept[0].batch)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 2, 40)


def test_records_behind_the_map_stay():
    first = batch((b"a", b"1"))
    second = batch((b"a", b"2"), base=1)
    offsets = OffsetMap(1 << 20, 0.9, 10)
    transactions = CleanedTransactions(())
    index_batch(first, parse_header(first), 0, offsets, 0, transactions)
    rules = Rules(offsets, 0, 1, NOW, 0, {}, CleanedTransactions(()))
    assert [filter_batch(one, parse_header(one), 0, rules).original for one in (first, second)] == [
        True,
        True,
    ]


def marker(base, *, commit):
    return at_offset(build_marker(7, 0, 3, commit=commit, timestamp_ms=NOW), base)


def test_aborted_records_go_and_the_marker_goes_when_nothing_is_left():
    producer = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0, "transactional": True}
    before = batch((b"a", b"0"))
    data = batch((b"a", b"1"), base=1, **producer)
    end = marker(2, commit=False)
    last = batch((b"z", b"1"), base=3)
    aborted = [AbortedTransaction(7, 1, 2, 3)]
    kept = compact(before, data, end, last, aborted=aborted)
    assert kept[0].original, "what was aborted makes nothing superfluous"
    assert kept[1].batch is None
    assert kept[2].original, "a reader in the middle has to learn of it"
    second = compact(before, bytes(kept[2].batch), last, aborted=aborted)[1]
    header = parse_header(second.batch)
    assert header.is_control
    assert header.has_delete_horizon
    third = compact(before, bytes(second.batch), last, aborted=aborted, now=HORIZON - 1)[1]
    assert third.original
    assert compact(before, bytes(second.batch), last, aborted=aborted, now=HORIZON)[1].batch is None


def test_a_commit_marker_stays_as_long_as_a_batch_of_its_transaction():
    producer = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0, "transactional": True}
    data = batch((b"a", b"1"), (b"b", b"1"), **producer)
    end = marker(2, commit=True)
    last = batch((b"a", b"2"), base=3)
    kept = compact(data, end, last)
    assert contents(kept[0]) == [(1, NOW + 1, b"b", b"1")]
    assert kept[1].original
    lone = compact(end, last)[0]
    assert parse_header(lone.batch).has_delete_horizon


def test_the_map_keeps_the_latest_of_each_key_and_says_when_it_is_full():
    offsets = OffsetMap(0, 0.5, 1_000_000)
    assert offsets.limit == SLOTS_MIN // 2
    keys = [b"key-%d" % number for number in range(offsets.limit)]
    for offset, key in enumerate(keys):
        assert offsets.put(key, offset)
    assert not offsets.put(b"one too many", 1)
    assert offsets.get(b"one too many") == -1
    assert offsets.put(keys[3], 1 << 50)
    assert offsets.get(keys[3]) == 1 << 50
    assert [offsets.get(key) for key in keys[4:]] == list(range(4, len(keys)))


def test_the_map_agrees_with_a_dictionary():
    rng = random.Random(4)
    offsets = OffsetMap(1 << 20, 0.99, 3000)
    known = {}
    for offset in range(20_000):
        key = rng.randbytes(rng.randrange(1, 3))
        if key in known or len(known) < 2500:
            assert offsets.put(key, offset)
            known[key] = offset
    assert {key: offsets.get(key) for key in known} == known
    assert offsets.size == len(known)


def test_every_cut_of_a_payload_is_refused_or_read():
    whole = bytes(build_batch([(NOW + 300, b"k" * 200, b"v" * 20_000, ()), (NOW, None, None, ())]))[61:]
    assert [span.key for span in walk_keys(whole, 2)] == [b"k" * 200, None]
    for size in itertools.chain(range(300), range(len(whole) - 30, len(whole))):
        with pytest.raises(InvalidRecordError):
            walk_keys(whole[:size], 2)
    with pytest.raises(InvalidRecordError):
        walk_keys(whole, 1)


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path) as engine:
        yield engine


def filled(engine, index, batches, *, at=NOW, **config):
    config = {"cleanup_policy": frozenset({"compact"}), "internal_segment_bytes": 500, **config}
    log = engine.create(index=index, **config)
    for number in range(batches):
        engine.append(log, batch((b"k", b"v" * 100), at=at + number))
        engine.run()
    return log


def test_only_sealed_segments_that_a_checkpoint_knows_are_dirty(engine):
    log = filled(engine, 0, 8)
    assert assess(log, NOW).dirty_bytes == 0
    engine.checkpoint()
    found = assess(log, NOW)
    assert found.dirty_bytes == sum(segment.size for segment in log.segments[:-1]) > 0
    assert found.ratio == 1


def test_an_open_transaction_holds_the_cleaner_back(engine):
    log = filled(engine, 0, 4)
    item = engine.append(
        log, batch((b"a", b"1"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    )
    for _ in range(8):
        engine.append(log, batch((b"k", b"v" * 100)))
        engine.run()
    engine.checkpoint()
    found = assess(log, NOW)
    assert found.segments
    assert all(
        following.base_offset <= item.base_offset
        for _, following in zip(found.segments, log.segments[1:], strict=False)
    )


def test_the_dirtiest_log_above_its_ratio_is_next(engine):
    logs = [
        filled(engine, index, 12, min_cleanable_dirty_ratio=ratio)
        for index, ratio in enumerate((0.5, 0.5, 0.9))
    ]
    engine.checkpoint()
    logs[0].first_dirty = logs[0].segments[1].base_offset
    logs[1].first_dirty = logs[1].segments[-2].base_offset
    logs[2].first_dirty = logs[2].segments[1].base_offset
    found = [assess(log, NOW) for log in logs]
    assert dirtiest(found).log is logs[0]
    assert not found[1].due
    assert not found[2].due
    assert dirtiest(found[1:]) is None


def test_the_lags(engine):
    log = filled(engine, 0, 12, min_compaction_lag_ms=60_000)
    engine.checkpoint()
    assert assess(log, NOW).dirty_bytes == 0
    assert assess(log, NOW + 61_000).dirty_bytes > 0
    late = filled(engine, 1, 12, max_compaction_lag_ms=60_000, min_cleanable_dirty_ratio=1.0)
    engine.checkpoint()
    assert not assess(late, NOW + 59_000).due
    assert assess(late, NOW + 61_000).due
    assert late.roll_ms == 60_000, "the active segment is closed in time"
