"""How old records and segments are where timestamps don't say it, and what retention makes of that."""

from __future__ import annotations

import os

import pytest
from storage.support import NOW, Engine, batch, sealed

from logbroker.storage.retention import retained_start
from logbroker.storage.verify import verify_directory

HOUR_MS = 3_600_000


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path, journal_file_bytes=1 << 20) as made:
        yield made


def without_time(size=100):
    return sealed(batch(size), base_timestamp=-1, max_timestamp=-1)


def test_a_segment_without_timestamps_is_as_old_as_its_file(engine):
    log = engine.create(segment_ms=HOUR_MS)
    engine.append(log, without_time())
    engine.run()
    assert not log.roll_if_due(NOW + HOUR_MS)
    assert log.roll_if_due(NOW + HOUR_MS + 1)
    assert [segment.base_offset for segment in log.segments] == [0, 1]


def test_records_without_timestamps_stay_as_long_as_others(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=HOUR_MS)
    for _ in range(12):
        engine.append(log, without_time())
    engine.run()
    assert len(log.segments) == 3
    assert retained_start(log, NOW + HOUR_MS) == 0
    assert retained_start(log, NOW + HOUR_MS + 1) == 12


def test_a_reopened_segment_stays_until_its_times_are_known_however_old_its_file(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=HOUR_MS)
    engine.fill(log, 12, at=NOW)
    engine.close()
    for segment in log.segments:
        os.utime(segment.path, (1, 1))
    engine.open()
    log = engine.log()
    assert retained_start(log, NOW) == 0
    for segment in log.segments:
        segment.load_times(engine.directory.reader())
    assert retained_start(log, NOW) == 0


def test_records_from_the_future_stay(engine):
    log = engine.create(internal_segment_bytes=1000, retention_ms=HOUR_MS)
    engine.fill(log, 12, at=NOW + 10 * HOUR_MS)
    assert retained_start(log, NOW + 2 * HOUR_MS) == 0
    assert retained_start(log, NOW + 12 * HOUR_MS) == 12


def test_retention_by_size_leaves_the_active_segment(engine):
    log = engine.create(internal_segment_bytes=1000, retention_bytes=1)
    engine.fill(log, 12)
    assert retained_start(log, NOW) == log.segments[-1].base_offset == 10


def test_retention_of_no_bytes_leaves_nothing(engine):
    log = engine.create(internal_segment_bytes=1000, retention_bytes=0)
    engine.fill(log, 12)
    engine.directory.apply_retention(NOW, retained_start)
    engine.run()
    assert (log.start_offset, log.end_offset, log.size_bytes) == (12, 12, 0)
    engine.fill(log, 1)
    engine.reopen()
    log = engine.log()
    assert (log.start_offset, log.end_offset) == (12, 13)
    assert len(engine.values(log)) == 1


@pytest.mark.parametrize("retained", [False, True])
def test_a_segment_that_lay_below_the_start_when_it_was_rolled_goes_too(engine, retained):
    """Its records were deleted while it was the active one; nothing moves the start again."""
    log = engine.create(segment_ms=HOUR_MS, file_delete_delay_ms=0)
    engine.fill(log, 5, at=NOW)
    log.delete_records(5, lambda _: None)
    engine.run()
    later = NOW + 2 * HOUR_MS
    assert log.roll_if_due(later)
    engine.checkpoint()
    assert [segment.base_offset for segment in log.segments] == [0, 5]
    if retained:
        engine.directory.retain(log, later, lambda log, _: log.start_offset)
        engine.run()
        assert [segment.base_offset for segment in log.segments] == [5]
        assert engine.files(suffix=".log") == []
    engine.close()
    assert verify_directory(engine.path) == []
