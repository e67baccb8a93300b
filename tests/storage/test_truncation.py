"""Cutting a log's end off: what is refused, what it waits for, and what the partition knows afterwards.

What a crash in the middle leaves is the crash simulation's (`tests/crash`)."""

from __future__ import annotations

import errno

import pytest
from storage.support import Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import parse_header
from logbroker.storage.truncation import Truncations


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path) as made:
        yield made


def numbered(sequence):
    return batch(b"%d" % sequence, producer_id=7, producer_epoch=0, base_sequence=sequence)


def cut(engine, log, offset):
    done = []
    engine.directory.truncate_to(log, offset, done.append)
    engine.run()
    return done


def test_the_end_is_cut_and_the_log_goes_on(engine):
    log = engine.create(internal_segment_bytes=1000)
    values = engine.fill(log, 20)
    assert cut(engine, log, 7) == [ErrorCode.NONE]
    assert log.end_offset == log.durable_end == 7
    values[7:] = engine.fill(log, 20)
    assert list(engine.values(log).values()) == values
    engine.reopen(cleanly=False)
    assert list(engine.values(engine.log()).values()) == values


def test_nothing_is_cut_below_the_start(engine):
    log = engine.create()
    engine.fill(log, 10)
    log.delete_records(5, lambda _: None)
    with pytest.raises(BrokerError, match="it starts at 5") as caught:
        engine.directory.truncate_to(log, 4, lambda _: None)
    assert caught.value.code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert cut(engine, log, 5) == [ErrorCode.NONE]
    assert (log.start_offset, log.end_offset) == (5, 5)


def test_a_start_that_moves_while_a_cut_waits_goes_before(engine):
    log = engine.create()
    engine.fill(log, 10)
    engine.append(log, batch(20_000))  # goes direct: the cut waits for it
    while log.held is None:
        engine.executor.step()
    done = []
    engine.directory.truncate_to(log, 4, done.append)
    log.delete_records(5, lambda _: None)
    engine.run()
    assert done == [ErrorCode.OFFSET_OUT_OF_RANGE]
    assert (log.start_offset, log.end_offset) == (5, 11)


def test_a_producer_whose_remembered_batches_are_all_cut_is_known_by_the_older_ones(engine):
    log = engine.create()
    for sequence in range(8):
        engine.append(log, numbered(sequence))
    engine.run()
    assert cut(engine, log, 2) == [ErrorCode.NONE]
    again = engine.append(log, numbered(1))
    following = engine.append(log, numbered(2))
    engine.run()
    assert (again.base_offset, following.base_offset) == (1, 2)
    with pytest.raises(BrokerError) as caught:
        log.producers.check(parse_header(numbered(7)), 0)
    assert caught.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_what_is_cut_out_of_memory_counts_no_more(engine):
    log = engine.create(internal_segment_bytes=1000)
    engine.fill(log, 20)
    cut(engine, log, 18)
    kept_bytes = sum(item.size for segment in log.segments for item in segment.tail)
    assert 0 < engine.directory.checkpointer.tail_bytes == kept_bytes


def test_a_cut_that_waits_is_told_when_the_directory_fails(tmp_path):
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create()
    engine.fill(log, 10)
    done = []
    engine.directory.truncate_to(log, 4, done.append)
    engine.directory.fail(OSError(errno.EIO, "gone"))
    engine.run()
    assert done == [ErrorCode.KAFKA_STORAGE_ERROR]


def test_after_a_cut_that_a_kill_interrupted_the_page_cache_is_trusted_again(tmp_path, monkeypatch):
    """Recovery doesn't walk behind an announced cut until the journal says that the file was cut; appends wait for that."""
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create(flush_messages=1000)
    engine.fill(log, 10)
    with monkeypatch.context() as patch:
        patch.setattr(
            Truncations, "_go_on", lambda *_: None
        )  # the kill comes when all is done but the last word
        assert cut(engine, log, 4) == []
    engine.kill()
    outcome = engine.start()
    while not outcome:
        engine.executor.step()
    log = engine.log()
    assert log.end_offset == 4
    item = engine.append(log, batch(b"trusted"))
    while not item.waiter:  # before any checkpoint, which would say so too
        for lane in engine.executor.lanes():
            if lane == "journal" or lane.startswith("direct"):
                engine.executor.finish(lane)
        engine.executor.run_callback()
    engine.reopen(cleanly=False)
    assert engine.values(engine.log(), 4) == {4: b"trusted"}
    engine.close()
