"""Segments: lookups over gaps, over the seam between file and memory, and with indexes that are wrong, torn or gone."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage.support import NOW, Engine, QuickVfs, batch

from logbroker.base.errors import CorruptionError
from logbroker.records.batch import parse_header, stamp
from logbroker.storage.append import JournalItem
from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import MapCache
from logbroker.storage.journal_format import BATCH
from logbroker.storage.segment import Reader, Segment
from logbroker.storage.segment_files import list_bases
from logbroker.storage.verify import verify_directory

BASE = 1000


def build(folder, layout, in_file, interval=0):
    """A segment of batches (gap before it, records, bytes), the first `in_file` of them in the file; and what it should hold."""
    pool = FilePool(QuickVfs(), 10)
    reader = Reader(pool, MapCache(pool, 10))
    segment = Segment(str(folder), BASE)
    offset, expected = BASE, []
    with open(segment.path, "wb") as file:
        for number, (gap, records, size) in enumerate(layout):
            offset += gap
            made = batch(*[size] * records, at=NOW + number)
            stamp(made, offset, 0)
            header = parse_header(made)
            segment.note(header, offset, segment.size, len(made), interval)
            if number < in_file:
                file.write(made)
                segment.written = segment.size + len(made)
            else:
                segment.tail.append(
                    JournalItem(
                        BATCH, None, 0, BASE, segment.size, 0, offset, header.next_offset, len(made), 0, made
                    )
                )
            expected.append((offset, header.next_offset, segment.size, bytes(made)))
            segment.size += len(made)
            offset = header.next_offset
    return segment, reader, expected


layouts = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 50]), st.integers(1, 4), st.sampled_from([1, 300, 20_000])),
    max_size=12,
)


@given(layouts, st.integers(0, 12), st.sampled_from([0, 500, 1 << 30]))
def test_locate_finds_the_batch_that_holds_an_offset_or_the_next(tmp_path_factory, layout, in_file, interval):
    folder = tmp_path_factory.mktemp("s")
    segment, reader, expected = build(folder, layout, in_file, interval)
    if random.random() < 0.5:  # the index in its file instead of memory
        for path, index in (
            (segment.index_path, segment.index),
            (segment.time_index_path, segment.time_index),
        ):
            _, data, _ = index.take_unwritten()
            with open(path, "wb") as file:
                file.write(data)
            index.drop_memory()
    end = expected[-1][1] if expected else BASE
    for offset in range(BASE, end + 3):
        found = segment.locate(offset, reader)
        wanted = next(
            ((base, position) for base, following, position, _ in expected if following > offset), None
        )
        if wanted is None:
            assert found is None
        else:
            assert (found[1].base_offset, found[0]) == wanted


@given(layouts, st.integers(0, 12), st.data())
def test_read_gives_the_bytes_over_the_seam(tmp_path_factory, layout, in_file, data):
    segment, reader, expected = build(tmp_path_factory.mktemp("s"), layout, in_file)
    whole = b"".join(content for *_, content in expected)
    for _, _, position, _ in expected:
        size = data.draw(st.integers(1, len(whole) - position))
        assert b"".join(segment.read(position, size, reader)) == whole[position : position + size]


@given(layouts, st.integers(0, 12), st.lists(st.integers(0, 15), min_size=12, max_size=12))
def test_lookups_by_time_find_the_first_batch(tmp_path_factory, layout, in_file, times):
    folder = tmp_path_factory.mktemp("s")
    pool = FilePool(QuickVfs(), 10)
    reader = Reader(pool, MapCache(pool, 10))
    segment = Segment(str(folder), BASE)
    expected = []
    with open(segment.path, "wb") as file:
        for number, (_, records, size) in enumerate(layout):
            made = batch(*[size] * records, at=NOW + times[number])
            offset = expected[-1][2] if expected else BASE
            stamp(made, offset, 0)
            header = parse_header(made)
            segment.note(header, offset, segment.size, len(made), 0)
            if number < in_file:
                file.write(made)
                segment.written = segment.size + len(made)
            else:
                segment.tail.append(
                    JournalItem(
                        BATCH, None, 0, BASE, segment.size, 0, offset, header.next_offset, len(made), 0, made
                    )
                )
            expected.append((NOW + times[number], segment.size, header.next_offset))
            segment.size += len(made)
    for timestamp in range(NOW - 1, NOW + 17):
        found = segment.find_timestamp(timestamp, reader)
        wanted = next((position for time, position, _ in expected if time >= timestamp), None)
        assert (found and found[0]) == wanted


def test_a_segment_that_is_no_chain_of_batches_is_corruption(tmp_path):
    segment, reader, expected = build(tmp_path, [(0, 1, 300)] * 4, 4, interval=1 << 30)
    with open(segment.path, "r+b") as file:
        file.seek(expected[2][2] + 16)
        file.write(b"\7")
    with pytest.raises(CorruptionError) as caught:
        segment.locate(BASE + 3, reader)
    assert (caught.value.path, caught.value.position) == (segment.path, expected[2][2])
    os.truncate(segment.path, expected[1][2] + 10)
    with pytest.raises(CorruptionError, match="ends"):
        segment.locate(BASE + 3, reader)


def test_names_of_segments(tmp_path):
    for name in (f"{5:020d}.log", f"{70:020d}.log", "5.log", f"{5:020d}.index", f"{6:020d}.log.deleted", "x"):
        (tmp_path / name).touch()
    assert list_bases(QuickVfs(), str(tmp_path)) == [5, 70]


# Indexes that are not what they should be: lookups are right at once, and the files soon


def filled(path, *, batches=300, **options):
    engine = Engine(path, writeback_bytes=1 << 20, **options)
    engine.open()
    log = engine.create(internal_segment_bytes=20_000, index_interval_bytes=500)
    values = engine.fill(log, batches)
    engine.close()
    return engine, values


def short_walks(monkeypatch):
    """What happens to segments of gigabytes happens to these small ones."""
    monkeypatch.setattr("logbroker.storage.segment_reading._LONG_WALK_BYTES", 2000)
    monkeypatch.setattr("logbroker.storage.segment_reading.SCAN_BYTES", 700)
    monkeypatch.setattr("logbroker.storage.reader.SCAN_BYTES", 700)


def spoil_missing(path):
    os.unlink(path)


def spoil_empty(path):
    os.truncate(path, 0)


def spoil_torn(path):
    os.truncate(path, os.path.getsize(path) // 2 + 3)


def spoil_zeros(path):
    size = os.path.getsize(path)
    with open(path, "wb") as file:
        file.write(bytes(size))


def spoil_noise(path):
    size = os.path.getsize(path)
    with open(path, "wb") as file:
        file.write(random.Random(3).randbytes(size))


def spoil_shifted(path):
    """Every entry points at the next batch's position: plausible, and wrong."""
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data[4:] + data[:4])


SPOILERS = [spoil_missing, spoil_empty, spoil_torn, spoil_zeros, spoil_noise, spoil_shifted]


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_lookups_are_right_with_any_index(tmp_path, spoil, suffix, monkeypatch):
    short_walks(monkeypatch)
    engine, values = filled(tmp_path)
    for name in engine.files(suffix=suffix):
        spoil(f"{engine.path}/t-0/{name}")
    engine.open()
    log = engine.log()
    assert list(engine.values(log).values()) == values
    for offset in (0, 1, 117, 118, 150, 299):
        assert engine.values_once(log, offset, max_bytes=100) == {offset: values[offset]}
        found = log.find_timestamp(NOW + 1000 * offset, engine.directory.reader())
        assert found[0].base_offset == offset
    assert log.find_timestamp(NOW + 299_001, engine.directory.reader()) is None
    assert log.max_timestamp_batch(engine.directory.reader())[0].base_offset == 299
    for _ in range(10):
        engine.tick()
    assert list(engine.values(log).values()) == values
    engine.fill(log, 3, at=NOW + 10**6)
    engine.close()
    left = [finding for finding in verify_directory(engine.path) if suffix in finding.path]
    assert left == []
    assert len(engine.files(suffix=suffix)) >= 2


def test_a_rebuilt_index_is_as_good_as_the_first(tmp_path, monkeypatch):
    short_walks(monkeypatch)
    engine, _ = filled(tmp_path)
    before = {}
    for name in engine.files(suffix="index"):
        path = f"{engine.path}/t-0/{name}"
        with open(path, "rb") as file:
            before[path] = file.read()
        os.unlink(path)
    engine.open()
    log = engine.log()
    engine.values(log, 100)
    for offset in range(0, 300, 10):
        engine.values_once(log, offset)
    for _ in range(10):
        engine.tick()
    engine.close()
    active = f"{log.segments[-1].base_offset:020d}"
    for path, content in before.items():
        with open(path, "rb") as file:
            rebuilt = file.read()
        if active in path:  # no last entry yet: it is still being written
            assert content.startswith(rebuilt)
            assert rebuilt or path.endswith(".timeindex")
        else:
            assert rebuilt == content


def test_an_index_is_rebuilt_once_even_where_it_can_only_be_coarse(tmp_path, monkeypatch, caplog):
    short_walks(monkeypatch)
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create(index_interval_bytes=1 << 20)  # no entries at all
    engine.fill(log, 100)
    engine.checkpoint()
    for _ in range(5):
        assert len(engine.values_once(log, 99)) == 1
        engine.tick()
    assert sum("rebuilt" in record.getMessage() for record in caplog.records) == 1
    engine.close()


def test_the_time_index_rises_over_restarts_with_timestamps_that_do_not(tmp_path):
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create(index_interval_bytes=0)
    engine.append(log, batch(b"first", at=NOW))
    engine.append(log, batch(b"late", at=NOW + 1000))
    engine.append(log, batch(b"later", at=NOW + 1001))
    engine.run()
    engine.reopen()
    log = engine.log()
    for number in range(5):  # older than what is there already
        engine.append(log, batch(b"old", at=NOW + 500 + number))
    engine.run()
    engine.reopen()
    log = engine.log()
    for timestamp, offset in (
        (0, 0),
        (NOW, 0),
        (NOW + 1, 1),
        (NOW + 502, 1),
        (NOW + 1000, 1),
        (NOW + 1001, 2),
    ):
        assert log.find_timestamp(timestamp, engine.directory.reader())[0].base_offset == offset
    assert log.find_timestamp(NOW + 1002, engine.directory.reader()) is None
    engine.append(log, batch(b"new", at=NOW + 5000))
    engine.run()
    assert log.find_timestamp(NOW + 1002, engine.directory.reader())[0].base_offset == 8
    engine.close()
    assert verify_directory(engine.path) == []


def test_entries_that_recovery_voids_leave_the_file(tmp_path):
    """The index was written ahead of the log's durable end; what was cut must not stay behind the valid entries."""
    engine = Engine(tmp_path, journal_file_bytes=1 << 20)
    engine.open()
    log = engine.create(index_interval_bytes=0)
    engine.fill(log, 5)
    engine.checkpoint()
    engine.kill()
    path = f"{engine.path}/t-0/{0:020d}"
    with open(f"{path}.index", "ab") as file:
        file.write((10).to_bytes(4, "big") + (9999).to_bytes(4, "big"))
    with open(f"{path}.timeindex", "ab") as file:
        file.write((NOW + 10**7).to_bytes(8, "big") + (10).to_bytes(4, "big"))
    engine.open()
    engine.append(engine.log(), batch(b"six", at=NOW + 6000))
    engine.run()
    engine.close()
    assert verify_directory(engine.path) == []


def test_a_batch_with_an_impossible_offset_breaks_no_index(tmp_path, monkeypatch):
    """Base offsets stand outside the CRC: what is made of a segment that lies must still fit into an index."""
    short_walks(monkeypatch)
    engine, values = filled(tmp_path, batches=200)
    path = f"{engine.path}/t-0/{engine.files(suffix='.log')[-1]}"
    base = int(os.path.basename(path)[:20])
    with open(path, "r+b") as file:
        file.seek(3 * 170)
        file.write((1 << 40).to_bytes(8, "big"))
    for name in engine.files(suffix="index"):
        os.unlink(f"{engine.path}/t-0/{name}")
    engine.open()
    log = engine.log()
    assert engine.values_once(log, base + 1, max_bytes=1) == {base + 1: values[base + 1]}
    with pytest.raises(CorruptionError, match="in a segment from"):
        log.read(base + 3, 1000, engine.directory.reader())
    for _ in range(5):
        engine.tick()
    engine.append(log, batch(at=NOW + 10**6))
    engine.checkpoint()
    assert engine.directory.offline_reason is None
    engine.close()
    assert [finding.position for finding in verify_directory(engine.path) if finding.path == path][:1] == [
        3 * 170
    ]
