"""Compaction of a log directory: what stays, what goes, and that everything else goes on with it."""

from __future__ import annotations

import pathlib
import random

import pytest
from storage.support import NOW, Engine

from logbroker.config.topic import TopicConfig
from logbroker.records.batch import Codec, iter_batches, parse_header
from logbroker.records.builder import build_batch
from logbroker.records.iterator import decode_records
from logbroker.storage import compaction
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import LocalRunner, ProcessRunner
from logbroker.storage.cleaning_choice import assess
from logbroker.storage.retention import retained_start
from logbroker.storage.scrubber import Scrubber
from logbroker.storage.verify import verify_directory

COMPACT = {
    "cleanup_policy": frozenset({"compact"}),
    "internal_segment_bytes": 3000,
    "index_interval_bytes": 200,
    "delete_retention_ms": 60_000,
    "file_delete_delay_ms": 1000,
}


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path) as engine:
        yield engine
    assert verify_directory(str(tmp_path)) == []


def put(engine, log, *records, at=NOW, **options):
    """One batch of (key, value) records."""
    buffer = build_batch([(at, key, value, ()) for key, value in records], **options)
    item = engine.append(log, buffer)
    engine.run()
    return item.base_offset


def clean(engine, log, runner=None, options=None, *, roll=True):
    """A pass over all that is sealed; whether one was possible."""
    if roll and log.segments[-1].size:
        log.roll()
        engine.directory.mark_dirty(log)
    engine.checkpoint()
    found = assess(log, engine.clock.wall_ms())
    done = []
    assert engine.directory.cleaner.takes(log, engine.clock.wall_ms())
    engine.directory.cleaner.clean(
        found,
        runner or LocalRunner(engine.vfs),
        "cleaner",
        options or CleanerOptions(),
        lambda: done.append(True),
    )
    engine.run()
    assert done == [True]
    return found


def records(engine, log, offset=None):
    """(offset, timestamp, key, value) of all that the log serves."""
    found = []
    first = offset = log.start_offset if offset is None else offset
    while True:
        data = b"".join(log.read(offset, 1 << 20, engine.directory.reader()))
        before = offset
        for position, header in iter_batches(data, verify_crc=True):
            assert header.next_offset > offset
            for record in decode_records(data[position : position + header.size_bytes]):
                key, value = (None if part is None else bytes(part) for part in record[2:4])
                if record.offset >= first:
                    found.append((record.offset, record.timestamp_ms, key, value))
            offset = header.next_offset
        if offset == before:
            return found


def fill(engine, log, *, batches=120, keys=20, seed=1, **options):
    """Random keyed records; {key: (offset, value)} of the latest."""
    rng = random.Random(seed)
    latest = {}
    for _ in range(batches):
        content = [
            (b"k%d" % rng.randrange(keys), rng.randbytes(rng.randrange(1, 60)))
            for _ in range(rng.randrange(1, 5))
        ]
        base = put(engine, log, *content, at=NOW + rng.randrange(1000), **options)
        for number, (key, value) in enumerate(content):
            latest[key] = (base + number, value)
    return latest


@pytest.mark.parametrize("codec", Codec)
def test_the_latest_record_of_each_key_stays_where_it_was(engine, codec):
    log = engine.create(**COMPACT)
    latest = fill(engine, log, codec=codec)
    everything = {one[0]: one for one in records(engine, log)}
    end = log.end_offset
    before = len(log.segments)
    clean(engine, log)
    left = records(engine, log)
    assert {one[0]: one for one in left} == {offset: everything[offset] for offset, _ in latest.values()}
    assert [one[0] for one in left] == sorted(one[0] for one in left)
    assert log.end_offset == log.first_dirty == end
    put(engine, log, (b"more", b"1"))
    clean(engine, log)
    assert len(log.segments) < before / 2, "small segments are put together"
    left = records(engine, log)
    assert len(left) == len(latest) + 1
    end = log.end_offset
    for offset in range(end + 1):
        assert records(engine, log, offset) == [one for one in left if one[0] >= offset]
    engine.reopen(cleanly=False)
    assert records(engine, engine.log()) == left
    assert engine.log().compacted
    assert engine.log().first_dirty == end
    engine.reopen()
    assert records(engine, engine.log()) == left


def test_the_process_gives_the_same_bytes(engine):
    logs = [engine.create(index=index, **COMPACT) for index in range(2)]
    for log in logs:
        fill(engine, log, codec=Codec.LZ4)
    runner = ProcessRunner()
    clean(engine, logs[0], runner)
    assert runner.pid > 0
    clean(engine, logs[1])
    runner.close()
    contents = [
        [
            pathlib.Path(f"{engine.path}/t-{index}/{name}").read_bytes()
            for name in engine.files(index=index, suffix=".log")
        ]
        for index in range(2)
    ]
    assert contents[0] == contents[1]


def test_a_tombstone_goes_when_its_horizon_has_passed(engine):
    log = engine.create(**COMPACT)
    put(engine, log, (b"a", b"1"), (b"b", b"1"))
    put(engine, log, (b"a", None), at=NOW + 5)
    put(engine, log, (b"z", b"1"))
    clean(engine, log)
    assert [one[::2] for one in records(engine, log)] == [(1, b"b"), (2, b"a"), (3, b"z")]
    header = parse_header(b"".join(log.read(2, 1000, engine.directory.reader())))
    assert header.has_delete_horizon
    assert header.base_timestamp == NOW + 60_000
    assert records(engine, log)[1] == (2, NOW + 5, b"a", None)
    engine.tick(59_000)
    put(engine, log, (b"c", b"1"))
    clean(engine, log)
    assert (2, NOW + 5, b"a", None) in records(engine, log)
    engine.tick(2_000)
    put(engine, log, (b"d", b"1"))
    clean(engine, log)
    assert [one[2] for one in records(engine, log)] == [b"b", b"z", b"c", b"d"]


def test_a_producers_last_batch_stays_as_a_header(engine):
    log = engine.create(**COMPACT)
    put(engine, log, (b"a", b"1"), producer_id=7, producer_epoch=0, base_sequence=0)
    put(engine, log, (b"a", b"2"), producer_id=7, producer_epoch=0, base_sequence=1)
    put(engine, log, (b"a", b"3"))
    put(engine, log, (b"b", b"3"))
    clean(engine, log)
    data = b"".join(log.read(0, 1000, engine.directory.reader()))
    assert [
        (header.base_offset, header.record_count) for _, header in iter_batches(data, verify_crc=True)
    ] == [
        (1, 0),
        (2, 1),
        (3, 1),
    ]
    engine.reopen(cleanly=False)
    assert engine.log().producers.get(7).last_sequence == 1


def test_a_full_map_ends_the_pass_and_the_next_goes_on(engine):
    log = engine.create(**COMPACT)
    latest = fill(engine, log, batches=1200, keys=3000)
    options = CleanerOptions(map_bytes=24 << 10, load_factor=0.5)
    ends = []
    for _ in range(20):
        engine.checkpoint()
        if assess(log, NOW).dirty_bytes == 0:
            break
        clean(engine, log, options=options)
        ends.append(log.first_dirty)
    assert len(ends) > 2
    assert ends == sorted(set(ends))
    assert {key: (offset, value) for offset, _, key, value in records(engine, log)} == latest


def test_what_goes_makes_room_for_horizons_in_a_segment_of_the_greatest_size(engine, monkeypatch):
    log = engine.create(**COMPACT)
    put(engine, log, (b"a", b"1" * 50))
    put(engine, log, (b"a", None))
    monkeypatch.setattr(compaction, "SEGMENT_BYTES_MAX", log.segments[0].size)
    clean(engine, log)
    header = parse_header(b"".join(log.read(1, 1 << 20, engine.directory.reader())))
    assert header.has_delete_horizon


def test_records_without_a_key_go(engine):
    log = engine.create(**COMPACT)
    put(engine, log, (None, b"1"), (b"a", b"1"))
    put(engine, log, (b"b", b"1"))
    clean(engine, log)
    assert [one[0] for one in records(engine, log)] == [1, 2]


def test_the_scrubber_finds_nothing_in_compacted_segments(engine):
    log = engine.create(**COMPACT)
    fill(engine, log)
    clean(engine, log)
    engine.checkpoint()
    scrubber = Scrubber(engine.directory, pause=lambda _: None)
    for _ in range(4):
        engine.clock.advance(1000)
        scrubber.tick(engine.clock.wall_ms(), interval_ms=1000, max_bytes_per_second=1 << 30)
        engine.run()
    assert engine.directory.stats.scrubbed_segments
    assert engine.directory.stats.scrub_findings == 0


def test_a_damaged_batch_makes_the_partition_uncleanable(engine, tmp_path):
    log = engine.create(**COMPACT)
    fill(engine, log)
    log.roll()
    engine.directory.mark_dirty(log)
    engine.checkpoint()
    with open(log.segments[1].path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    clean(engine, log, roll=False)
    assert "CRC" in log.uncleanable
    assert not engine.directory.cleaner.takes(log, NOW + 1_000_000_000)
    assert engine.directory.cleaner.uncleanable == 1
    with open(log.segments[1].path, "r+b") as file:
        file.seek(100)
        file.write(byte)
    assert not [name for name in engine.files() if name.endswith((".cleaned", ".swap"))]


def test_timestamps_are_found_in_what_is_left(engine):
    log = engine.create(**COMPACT)
    fill(engine, log)
    clean(engine, log)
    left = records(engine, log)
    for wanted in sorted({one[1] for one in left}):
        found = log.find_timestamp(wanted, engine.directory.reader())
        assert found is not None
        assert found[0].max_timestamp >= wanted
        first = next(one for one in left if one[1] >= wanted)
        assert found[0].base_offset <= first[0]


def test_retention_goes_on_past_a_segment_that_lost_everything(engine):
    """cleanup.policy=compact,delete: an empty segment at the front must not hold up those behind it."""
    log = engine.create(
        **{**COMPACT, "cleanup_policy": frozenset({"compact", "delete"}), "retention_ms": 10_000}
    )
    for number in range(60):
        put(engine, log, (b"same", b"%d" % number + b"x" * 90))
    clean(engine, log)
    empty = [segment for segment in log.segments[:-1] if not segment.size]
    assert empty
    engine.tick(20_000)
    put(engine, log, (b"later", b"1"), at=engine.clock.wall_ms())
    engine.directory.apply_retention(engine.clock.wall_ms(), retained_start)
    engine.run()
    assert log.start_offset == 60
    assert [one[2] for one in records(engine, log)] == [b"later"]


def test_a_topic_deleted_or_changed_amid_a_pass_ends_it(engine):
    for index, change in enumerate(("delete", "configure")):
        log = engine.create(index=index, **COMPACT)
        fill(engine, log)
        log.roll()
        engine.directory.mark_dirty(log)
        engine.checkpoint()
        done = []
        engine.directory.cleaner.clean(
            assess(log, NOW),
            LocalRunner(engine.vfs),
            "cleaner",
            CleanerOptions(),
            lambda done=done: done.append(True),
        )
        for _ in range(60):
            engine.executor.step()
        assert not done
        if change == "delete":
            engine.directory.delete_log(log)
            del engine.known["t", index]
        else:
            engine.directory.configure(log, TopicConfig())
        engine.run()
        assert done == [True]
        assert log.first_dirty == 0
    assert not [name for name in engine.files(index=1) if name.endswith((".cleaned", ".swap"))]
