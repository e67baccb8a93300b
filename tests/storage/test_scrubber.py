"""The scrubber: it reads everything in time and no faster than allowed, and what it finds is named, counted and fenced off."""

from __future__ import annotations

import errno
import logging
import os

import pytest
from storage.support import NOW, Engine, batch, sealed

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import iter_batches
from logbroker.storage.scrubber import CHUNK_BYTES, RATE_MIN_BYTES, Scrubber
from logbroker.storage.vfs import OsVfs

INTERVAL_MS = 14 * 24 * 3600 * 1000
SECOND = 1000


class Scrubbed(Engine):
    """An engine with a scrubber whose pauses are noted instead of made."""

    def open(self):
        report = super().open()
        self.pauses = []
        self.scrubber = Scrubber(self.directory, pause=self.pauses.append)
        return report

    def second(self, *, interval_ms=INTERVAL_MS, rate=20 << 20):
        """One second goes by."""
        self.clock.advance(SECOND)
        self.scrubber.tick(self.clock.wall_ms(), interval_ms=interval_ms, max_bytes_per_second=rate)
        self.run()

    def whole_pass(self, **options):
        """Until the pass is over; the seconds it took."""
        before = self.stats.scrub_last_pass_ms
        for seconds in range(1, 10_000):
            self.second(**options)
            if self.stats.scrub_last_pass_ms > before:
                return seconds
        raise AssertionError("the pass doesn't end")

    @property
    def stats(self):
        return self.directory.stats


@pytest.fixture
def errors(caplog):
    """What was logged as an error: the structured fields of each line."""
    caplog.set_level(logging.INFO, "logbroker")
    return lambda: [record.fields for record in caplog.records if record.levelno >= logging.ERROR]


def sealed_bytes(log):
    return sum(segment.size for segment in log.segments if segment.sealed)


def damage(path, position, data=b"\xff\xfe"):
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(data)


def test_a_pass_reads_every_sealed_segment_and_no_active_one(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        logs = [engine.create(index=index, internal_segment_bytes=4000) for index in range(5)]
        for log in logs:
            engine.fill(log, 60)
        engine.checkpoint()
        engine.whole_pass()
        assert engine.stats.scrubbed_segments == sum(len(log.segments) - 1 for log in logs) == 10
        assert engine.stats.scrubbed_bytes == sum(map(sealed_bytes, logs))
        assert engine.stats.scrub_pass_done_bytes == engine.stats.scrub_pass_bytes
        assert errors() == []
        assert engine.stats.scrub_findings == 0


def test_what_is_not_yet_on_the_disk_waits_for_the_next_pass(tmp_path):
    with Scrubbed(tmp_path, journal_file_bytes=1 << 20) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.whole_pass()
        assert engine.stats.scrubbed_segments == 0
        engine.checkpoint()
        engine.second()
        assert engine.stats.scrubbed_segments == 0
        engine.clock.advance(INTERVAL_MS // 2)
        engine.whole_pass()
        assert engine.stats.scrubbed_segments == len(log.segments) - 1


def test_each_segment_is_read_within_the_interval_and_not_all_the_time(tmp_path):
    interval_ms = 100 * SECOND
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        count = len(log.segments) - 1
        for second in range(200):
            engine.second(interval_ms=interval_ms)
            # a pass every 50 s, each of them over at once
            assert engine.stats.scrubbed_segments <= count * (1 + (second + 1) // 50)
        assert engine.stats.scrubbed_segments >= count * 4
        engine.clock.advance(interval_ms)
        before = engine.stats.scrubbed_segments
        for _ in range(10):
            engine.second(interval_ms=0)  # switched off
        assert engine.stats.scrubbed_segments == before


@pytest.mark.parametrize("batch_bytes", [1000, 200_000])
def test_reading_is_no_faster_than_allowed(tmp_path, batch_bytes):
    rate = 100_000
    with Scrubbed(tmp_path, direct_sync_bytes=1000) as engine:
        log = engine.create(internal_segment_bytes=600_000)
        engine.fill(log, 2_000_000 // batch_bytes, batch_bytes)
        engine.checkpoint()
        total = sealed_bytes(log)
        assert total > 1_000_000
        seconds = 0
        engine.second(rate=rate)  # loads the progress
        while engine.stats.scrubbed_segments < len(log.segments) - 1:
            engine.second(rate=rate)
            seconds += 1
            granted = rate * (seconds + 1)
            assert engine.stats.scrubbed_bytes <= granted + batch_bytes + 2 * CHUNK_BYTES
        assert seconds >= total / rate - 3
        assert seconds <= total / rate * 1.6 + 5
        assert (
            sum(engine.pauses) <= seconds * 1.4 + 2
        )  # what is granted for a second is read within about one


def test_a_large_directory_is_read_at_the_speed_that_the_interval_asks_for(tmp_path, monkeypatch):
    monkeypatch.setattr("logbroker.storage.scrubber.RATE_MIN_BYTES", 1)
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 600)
        engine.checkpoint()
        took = engine.whole_pass(interval_ms=200 * SECOND)
        assert 60 <= took <= 110
        assert RATE_MIN_BYTES == 1 << 20


def test_too_slow_a_rate_is_told_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "logbroker")
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=200_000)
        engine.fill(log, 400, 5000)
        engine.checkpoint()
        engine.whole_pass(interval_ms=10 * SECOND, rate=50_000)
        warnings = [record.getMessage() for record in caplog.records]
        assert len(warnings) == 1
        assert "log.scrub.max.bytes.per.second" in warnings[0]


def test_a_flipped_bit_is_named_counted_and_fenced_off(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        values = engine.fill(log, 60)
        engine.checkpoint()
        segment = log.segments[1]
        position, header = segment.locate(segment.base_offset + 3, engine.directory.reader())
        damage(segment.path, position + 100)
        engine.whole_pass()
        (finding,) = errors()
        assert finding["partition"] == "t-0"
        assert finding["file"] == segment.path
        assert finding["position"] == position
        assert finding["offset"] == header.base_offset
        assert "CRC" in finding["reason"]
        assert engine.stats.scrub_findings == 1

        bad = header.base_offset
        served = {}
        offset = 0
        while offset < bad:  # up to the damage everything is served, whole batches only
            found = engine.values_once(log, offset)
            served.update(found)
            offset = max(found) + 1
        assert served == {number: values[number] for number in range(bad)}
        with pytest.raises(BrokerError) as caught:
            log.read(bad, 1 << 20, engine.directory.reader())
        assert caught.value.code == ErrorCode.CORRUPT_MESSAGE
        assert segment.path in str(caught.value)
        assert engine.values(log, bad + 1) == {number: values[number] for number in range(bad + 1, 60)}
        engine.fill(log, 1)  # appends go on
        assert log.refusal is None
        assert engine.directory.offline_reason is None


def test_a_broken_header_fences_off_the_rest_of_the_segment_only(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        values = engine.fill(log, 60)
        engine.checkpoint()
        segment, following = log.segments[0:2]
        position, header = segment.locate(4, engine.directory.reader())
        damage(segment.path, position + 16, b"\x09")
        engine.whole_pass()
        (finding,) = errors()
        assert (finding["position"], finding["offset"]) == (position, header.base_offset)
        assert "magic 9" in finding["reason"]
        assert segment.damage == ((position, segment.size),)
        assert engine.values(log, following.base_offset) == {
            number: values[number] for number in range(following.base_offset, 60)
        }


def test_a_lost_batch_and_a_wrong_offset_are_found(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        segment = log.segments[0]
        size = segment.locate(1, engine.directory.reader())[0]
        with open(segment.path, "rb") as file:
            data = file.read()
        with open(segment.path, "r+b") as file:  # the second batch twice instead of the third
            file.seek(2 * size)
            file.write(data[size : 2 * size])
        engine.whole_pass()
        reasons = [(finding["position"], finding["reason"]) for finding in errors()]
        assert reasons == [(2 * size, "base offset 1 where 2 is next")]


def test_damage_is_remembered_over_a_restart_and_forgotten_once_repaired(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        path = log.segments[1].path
        with open(path, "rb") as file:
            good = file.read()
        damage(path, 100)
        engine.whole_pass()
        assert len(errors()) == 1
        engine.reopen()
        segment = engine.log().segments[1]
        assert segment.damage == ()
        engine.second()
        engine.second()  # long before the next pass is due
        assert segment.damage == ((0, 170),)
        assert len(errors()) == 2
        with open(path, "r+b") as file:
            file.write(good)
        engine.reopen()
        engine.second()
        engine.second()
        assert engine.log().segments[1].damage == ()
        assert engine.scrubber._progress.damaged == []


def test_a_pass_goes_on_where_a_restart_interrupted_it(tmp_path):
    rate = 4096
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=50_000)
        engine.fill(log, 500, 1000)
        engine.checkpoint()
        count = len(log.segments) - 1
        while engine.stats.scrubbed_segments < count // 2:
            engine.second(rate=rate)
        for _ in range(32):  # the progress is written down every half minute
            engine.second(rate=rate)
        done = engine.stats.scrubbed_segments
        assert done < count
        engine.scrubber.close()
        engine.run()
        engine.reopen()
        engine.whole_pass(rate=1 << 20)
        assert engine.stats.scrubbed_segments <= count - done + 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version":1,"damaged":3}', b"\xff"]
)
def test_an_unreadable_progress_file_begins_a_new_pass(tmp_path, content):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        engine.whole_pass()
        engine.close()
        with open(f"{engine.path}/scrub", "wb") as file:
            file.write(content)
        engine.open()
        engine.whole_pass()
        assert engine.stats.scrubbed_segments == len(log.segments) - 1


class BadSectors(OsVfs):
    """Files whose name contains `bad` can't be read."""

    reads_uncached = False  # or the scrubber would go past this class

    def __init__(self):
        super().__init__()
        self.bad = "\0"
        self.errno = errno.EIO

    def open(self, path, *, create=False):
        file = super().open(path, create=create)
        if self.bad not in path:
            return file
        vfs = self

        class Bad:
            def __init__(self):
                self.path = path

            def pread(self, size, position):
                raise OSError(vfs.errno, os.strerror(vfs.errno), path)

            def close(self):
                file.close()

        return Bad()


def test_what_cannot_be_read_is_damage_and_takes_nothing_offline(tmp_path, errors):
    vfs = BadSectors()
    os.makedirs(tmp_path / "d")
    with Scrubbed(tmp_path / "d", vfs=vfs) as engine:
        log = engine.create(internal_segment_bytes=4000)
        values = engine.fill(log, 60)
        engine.checkpoint()
        segment = log.segments[1]
        vfs.bad, vfs.errno = f"{segment.base_offset:020d}", errno.EMFILE
        for _ in range(5):
            engine.second()
        assert errors() == []  # running out of descriptors says nothing about the disk
        assert engine.stats.scrubbed_segments == 1
        vfs.errno = errno.EIO
        engine.whole_pass()
        (finding,) = errors()
        assert finding["file"] == segment.path
        assert "Input/output error" in finding["reason"]
        assert engine.directory.offline_reason is None
        vfs.bad = "\0"
        with pytest.raises(BrokerError) as caught:
            log.read(segment.base_offset, 1000, engine.directory.reader())
        assert caught.value.code == ErrorCode.CORRUPT_MESSAGE
        assert engine.values(log, log.segments[2].base_offset)[59] == values[59]


def test_a_missing_file_is_damage(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        os.unlink(log.segments[0].path)
        engine.whole_pass()
        assert [finding["reason"] for finding in errors()] == ["the segment's file is missing"]


def test_retention_and_deletion_under_way_are_no_findings(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        first, second = (
            engine.create(index=0, internal_segment_bytes=4000),
            engine.create(index=1, internal_segment_bytes=4000),
        )
        for log in (first, second):
            engine.fill(log, 60)
        engine.checkpoint()
        engine.second()  # loads
        engine.clock.advance(SECOND)
        engine.scrubber.tick(engine.clock.wall_ms(), interval_ms=INTERVAL_MS, max_bytes_per_second=20 << 20)
        outcome = []
        first.delete_records(first.segments[-1].base_offset, outcome.append)
        engine.directory.delete_log(second)
        engine.known.pop(("t", 1))
        engine.run()
        assert outcome == [ErrorCode.NONE]
        for _ in range(3):
            engine.second()
        assert errors() == []
        assert engine.stats.scrub_findings == 0


def test_closing_ends_the_reading_at_once(tmp_path):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=400_000)
        engine.fill(log, 1000, 1000)
        engine.checkpoint()
        engine.second()
        engine.clock.advance(SECOND)
        engine.scrubber.tick(engine.clock.wall_ms(), interval_ms=INTERVAL_MS, max_bytes_per_second=20 << 20)
        engine.scrubber.close()
        engine.run()
        assert engine.stats.scrubbed_segments == 0
        engine.second()
        assert engine.stats.scrubbed_bytes <= CHUNK_BYTES


def test_nothing_is_done_for_a_directory_that_is_offline(tmp_path):
    engine = Scrubbed(tmp_path)
    engine.open()
    log = engine.create(internal_segment_bytes=4000)
    engine.fill(log, 60)
    engine.checkpoint()
    engine.directory.fail(OSError(errno.EIO, "gone"))
    engine.run()
    engine.second()
    engine.second()
    assert engine.stats.scrubbed_bytes == 0
    assert engine.clock.wall_ms() > NOW


def test_two_segments_that_do_not_join(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000)
        engine.fill(log, 60)
        engine.checkpoint()
        second = log.segments[1]
        with open(
            log.segments[0].path, "r+b"
        ) as file:  # the last batch of the first takes an offset more than it has
            whole = file.read()
            *_, (position, header) = iter_batches(whole)
            longer = sealed(whole[position:], last_offset_delta=header.last_offset_delta + 1)
            file.seek(position)
            file.write(longer)
        engine.whole_pass()
        (finding,) = errors()
        end = second.base_offset + 1
        assert (
            finding["reason"] == f"the segment ends at offset {end}, the next begins at {second.base_offset}"
        )
        assert engine.stats.scrub_findings == 1


def test_gaps_that_compaction_may_have_left_are_no_findings(tmp_path, errors):
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000, cleanup_policy=frozenset({"compact"}))
        for _ in range(60):
            engine.append(log, batch(100, 100))
        engine.checkpoint()
        with open(log.segments[0].path, "r+b") as file:
            whole = file.read()
            for position, header in iter_batches(whole):
                file.seek(position)
                file.write(sealed(whole[position : position + header.size_bytes], last_offset_delta=0))
        engine.whole_pass()
        assert errors() == []


def test_nothing_is_read_before_it_is_synced(tmp_path):
    """A page-cache topic's sealed segment is in its file and not on the disk yet."""
    with Scrubbed(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=4000, flush_messages=1_000_000)
        engine.fill(log, 60)
        sealed_segments = [segment for segment in log.segments if segment.sealed]
        assert all(segment.size == segment.written > segment.synced for segment in sealed_segments)
        engine.whole_pass()
        assert engine.stats.scrubbed_segments == 0


def test_the_end_of_a_pass_is_kept_over_a_restart(tmp_path):
    engine = Scrubbed(tmp_path)
    engine.open()
    engine.fill(engine.create(internal_segment_bytes=4000), 60)
    engine.checkpoint()
    engine.whole_pass()
    ended_ms = engine.stats.scrub_last_pass_ms
    engine.reopen(cleanly=False)
    for _ in range(3):
        engine.second()
    assert engine.stats.scrub_last_pass_ms == ended_ms
    assert engine.stats.scrubbed_segments == 0
    engine.close()
