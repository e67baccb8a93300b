"""Reading a log back: the last record of every key, whatever the cleaner did, and transactions by their markers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.coordination.replay import READ_BYTES, ReplayError, replay
from logbroker.records.builder import BatchBuilder, build_batch
from logbroker.testing.coordinators import MemoryLog


def read(log):
    return asyncio.run(replay(log, "cells", 3))


def append(log, *records, producer_id=-1, marker=None):
    if marker is not None:
        kind = {"abort": 0, "commit": 1}.get(marker, marker)
        builder = BatchBuilder(producer_id=producer_id, producer_epoch=0, transactional=True, control=True)
        builder.append(0, b"\x00\x00" + kind.to_bytes(2, "big"), b"\x00\x00\x00\x00\x00\x00")
        batch = builder.build()
    elif producer_id >= 0:
        batch = build_batch(
            [(0, key, value, ()) for key, value in records],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=0,
            transactional=True,
        )
    else:
        batch = build_batch([(0, key, value, ()) for key, value in records])
    log.append_as_leader(batch, from_client=False, on_done=lambda _: None)
    log.settle()


def live(log):
    return {record.key: (record.offset, record.value) for record in list(read(log))}


def test_the_last_record_of_a_key_counts():
    log = MemoryLog()
    append(log, (b"a", b"1"), (b"b", b"1"))
    append(log, (b"a", b"2"), (None, b"no key"))
    append(log, (b"b", None))
    append(log, (b"c", b""))
    replayed = read(log)
    assert [(r.offset, r.key, r.value) for r in replayed] == [(2, b"a", b"2"), (5, b"c", b"")]
    assert replayed.records_read == 6


def test_an_empty_log_is_no_state():
    assert list(read(MemoryLog())) == []


def test_it_starts_where_the_log_starts():
    log = MemoryLog()
    append(log, (b"a", b"1"))
    append(log, (b"b", b"1"))
    log.log_start_offset = 1
    assert live(log) == {b"b": (1, b"1")}


def test_transactions_count_from_their_marker_on():
    log = MemoryLog()
    append(log, (b"a", b"plain"), (b"b", b"plain"))
    append(log, (b"a", b"committed"), producer_id=1)
    append(log, (b"b", b"aborted"), producer_id=2)
    append(log, (b"c", b"open"), producer_id=3)
    append(log, producer_id=1, marker="commit")
    append(log, producer_id=2, marker="abort")
    assert live(log) == {b"a": (2, b"committed"), b"b": (1, b"plain")}


def test_a_plain_record_between_a_transactions_record_and_its_marker_is_newer():
    log = MemoryLog()
    append(log, (b"a", b"transactional"), (b"b", b"transactional"), (b"c", None), producer_id=1)
    append(log, (b"a", b"plain"), (b"c", b"plain"))
    append(log, (b"b", None))
    append(log, producer_id=1, marker="commit")
    assert live(log) == {b"a": (3, b"plain"), b"c": (4, b"plain")}


def test_records_without_a_marker_are_open():
    log = MemoryLog()
    append(log, (b"a", b"1"), (b"b", b"1"), (b"c", b"1"), producer_id=5)
    append(log, (b"d", b"1"), (b"a", b"2"), producer_id=4)
    append(log, (b"b", b"plain"), (b"c", None))
    append(log, (b"e", b"1"), producer_id=5)
    replayed = read(log)
    assert [(each.producer_id, *each.record, each.is_superseded) for each in replayed.open] == [
        (5, 0, b"a", b"1", False),
        (5, 1, b"b", b"1", True),
        (4, 3, b"d", b"1", False),
        (4, 4, b"a", b"2", False),
        (5, 7, b"e", b"1", False),
    ]
    assert [(record.offset, record.key) for record in replayed] == [(5, b"b")]


def test_a_marker_without_a_transaction_is_nothing():
    log = MemoryLog()
    append(log, producer_id=1, marker="commit")
    append(log, (b"a", b"1"))
    assert live(log) == {b"a": (1, b"1")}


def test_damage_is_refused_with_its_place():
    log = MemoryLog()
    append(log, (b"a", b"1"))
    append(log, (b"b", b"2"))
    base, following, batch = log.batches[1]
    log.batches[1] = (base, following, batch[:-1] + b"x")
    with pytest.raises(ReplayError, match=r"cells-3 can't be read at offset 1: .*CRC"):
        read(log)


def test_a_marker_of_an_unknown_type_is_refused():
    log = MemoryLog()
    append(log, producer_id=1, marker=7)
    with pytest.raises(ReplayError, match="cells-3 has a control record of unknown type 7 at offset 0"):
        read(log)


def test_a_log_that_ends_early_is_refused():
    log = MemoryLog()
    append(log, (b"a", b"1"))
    log.log_end_offset = 5
    with pytest.raises(ReplayError, match="ends at offset 5, but nothing can be read at offset 1"):
        read(log)


def test_a_log_larger_than_one_read_is_read_whole():
    log = MemoryLog()
    for i in range(40):
        append(log, *((b"%d-%d" % (i, n), b"v" * 5000) for n in range(10)))
    assert sum(len(batch) for _, _, batch in log.batches) > READ_BYTES
    assert len(list(read(log))) == 400


keys = st.sampled_from([b"a", b"b", b"c", b"d"])
records = st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), min_size=1, max_size=4)


@given(st.lists(records, max_size=12))
def test_any_log_and_its_compacted_self_are_the_same_state(batches):
    log = MemoryLog()
    model = {}
    for batch in batches:
        append(log, *batch)
        for key, value in batch:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    assert {key: value for key, (_, value) in live(log).items()} == model
    compacted = log.compacted()
    if compacted.batches and compacted.batches[-1][1] == log.log_end_offset:
        assert live(compacted) == live(log)
