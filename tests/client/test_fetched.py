"""Fetched bytes, decoded batch by batch."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.client.errors import DamagedBatchError
from logbroker.client.fetched import FetchedRecords
from logbroker.client.types import TopicPartition
from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder

WHERE = TopicPartition("topic", 3)


def batch(base_offset, values, *, last_offset=None, **options):
    builder = BatchBuilder(base_offset=base_offset, **options)
    for value in values:
        builder.append(1000, None, value)
    return bytes(builder.build(last_offset_delta=None if last_offset is None else last_offset - base_offset))


def marker(offset, producer_id, *, abort):
    builder = BatchBuilder(
        base_offset=offset, producer_id=producer_id, producer_epoch=0, transactional=True, control=True
    )
    builder.append(1000, struct.pack(">hh", 0, 0 if abort else 1), struct.pack(">hi", 0, 0))
    return bytes(builder.build())


def transactional(base_offset, values, producer_id):
    return batch(
        base_offset, values, producer_id=producer_id, producer_epoch=0, base_sequence=0, transactional=True
    )


def fetched(*batches, offset=0, **options):
    return FetchedRecords(
        WHERE, memoryview(b"".join(batches)), offset, max_decompressed_bytes=1_000_000, **options
    )


def drain(records, position=0, step=100):
    values = []
    while not records.exhausted:
        taken, position = records.take(position, step)
        values += [record.value for record in taken]
    return values, position


def test_records_know_where_they_stand():
    records = fetched(batch(7, [b"a", b"b"]), offset=7)
    assert records.next_offset == 9
    taken, position = records.take(7, 1)
    assert taken == [("topic", 3, 7, 1000, "CreateTime", None, b"a", ())]
    assert position == 8
    assert not records.exhausted
    taken, position = records.take(8, 10)
    assert (taken[0].offset, position) == (8, 9)
    assert records.exhausted


def test_the_append_time_of_the_broker_is_named_as_such():
    taken, _ = fetched(batch(0, [b"a"], log_append_time_ms=5000)).take(0, 1)
    assert (taken[0].timestamp_ms, taken[0].timestamp_type) == (5000, "LogAppendTime")


def test_what_comes_before_the_position_is_left_out():
    data = batch(0, [b"0", b"1"]), batch(2, [b"2", b"3", b"4"])
    assert drain(fetched(*data, offset=3), 3) == ([b"3", b"4"], 5)


def test_a_last_batch_that_is_cut_short_is_for_the_next_fetch():
    whole, cut = batch(0, [b"0"]), batch(1, [b"1"])[:-1]
    records = fetched(whole, cut)
    assert records.next_offset == 1
    assert drain(records) == ([b"0"], 1)


def test_offsets_that_compaction_removed_are_skipped():
    empty = batch(5, [], last_offset=9)
    tail = batch(10, [b"10"], last_offset=14)
    records = fetched(empty, tail, offset=5)
    assert records.next_offset == 15
    assert drain(records, 5) == ([b"10"], 15)


@pytest.mark.parametrize("codec", list(Codec))
def test_every_codec(codec):
    values = [b"value %d" % number * 20 for number in range(50)]
    assert drain(fetched(batch(0, values, codec=codec)), step=7) == (values, 50)


def test_a_damaged_batch_is_named_and_can_be_skipped():
    damaged = bytearray(batch(1, [b"1", b"2"]))
    damaged[-1] ^= 1
    records = fetched(batch(0, [b"0"]), bytes(damaged), batch(3, [b"3"]))
    assert records.take(0, 1)[0][0].value == b"0"
    for _ in range(2):
        with pytest.raises(DamagedBatchError, match=r"offset 1 of topic-3 .* CRC .* seek to 3") as damage:
            records.take(1, 1)
    assert damage.value.next_offset == 3
    assert [record.value for record in records.take(3, 1)[0]] == [b"3"]


def test_a_crc_that_nobody_checks():
    damaged = bytearray(batch(0, [b"0"]))
    damaged[-2] ^= 1
    assert drain(fetched(bytes(damaged), check_crcs=False))[0] == [b"1"]


def test_a_batch_that_is_none_ends_what_can_be_read():
    records = fetched(batch(0, [b"0"]), b"\xff" * 100)
    assert records.next_offset == 1
    assert records.take(0, 5)[0][0].value == b"0"
    with pytest.raises(DamagedBatchError):
        records.take(1, 5)


def test_a_bomb_is_bounded():
    records = FetchedRecords(
        WHERE, memoryview(batch(0, [bytes(100_000)], codec=Codec.GZIP)), 0, max_decompressed_bytes=10_000
    )
    with pytest.raises(DamagedBatchError, match="10000"):
        records.take(0, 1)


def test_aborted_transactions_are_left_out():
    data = (
        transactional(0, [b"aborted"], 1),
        transactional(1, [b"committed"], 2),
        batch(2, [b"plain"]),
        transactional(3, [b"aborted too"], 1),
        marker(4, 1, abort=True),
        marker(5, 2, abort=False),
        transactional(6, [b"the next one, committed"], 1),
        marker(7, 1, abort=False),
    )
    assert drain(fetched(*data, aborted=[(1, 0)])) == (
        [b"committed", b"plain", b"the next one, committed"],
        8,
    )
    everything = [b"aborted", b"committed", b"plain", b"aborted too", b"the next one, committed"]
    assert drain(fetched(*data)) == (everything, 8)


def test_a_transaction_that_was_aborted_twice():
    data = (
        transactional(0, [b"a"], 1),
        marker(1, 1, abort=True),
        transactional(2, [b"b"], 1),
        marker(3, 1, abort=True),
        transactional(4, [b"c"], 1),
    )
    assert drain(fetched(*data, aborted=[(1, 2), (1, 0)]))[0] == [b"c"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(0, 80), st.integers(1, 9))
def test_reading_from_anywhere_in_any_steps(sizes, start, step):
    data, offset = [], 0
    for size in sizes:
        data.append(batch(offset, [b"%d" % number for number in range(offset, offset + size)]))
        offset += size
    start = min(start, offset)
    values, position = drain(fetched(*data, offset=start), start, step)
    assert values == [b"%d" % number for number in range(start, offset)]
    assert position == offset
