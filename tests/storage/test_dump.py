"""`dump` of files that are damaged, on their way out, or hold what looks like something else."""

from __future__ import annotations

import os
import shutil

import pytest
from storage.support import Engine, batch

from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import encode_point
from logbroker.storage.dump import SMALL_FILE_BYTES_MAX, dump
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY
from logbroker.storage.read_only import ReadOnlyVfs


@pytest.fixture
def engine(tmp_path):
    made = Engine(tmp_path / "d", direct_sync_bytes=1 << 20, journal_file_bytes=1 << 20)
    made.open()
    made.fill(made.create(internal_segment_bytes=3000, index_interval_bytes=300), 40)
    yield made
    made.kill()


def wrong(path, **options):
    return [(row["position"], row["problem"]) for row in dump(path, **options) if "problem" in row]


def ring(engine):
    folder = f"{engine.path}/journal"
    rings = [f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".ring")]
    return max(rings, key=lambda path: sum(1 for _ in dump(path)))


def test_an_index_counts_from_its_segments_base(engine):
    engine.checkpoint()
    base = engine.log().segments[1].base_offset
    rows = list(dump(f"{engine.path}/t-0/{base:020d}.index"))
    assert rows
    assert all(row["offset"] >= base for row in rows)


@pytest.mark.parametrize(
    ("suffix", "entry", "said"),
    [
        (".index", OFFSET_ENTRY, "no batch starts at position"),
        (".timeindex", TIME_ENTRY, "where the batch's largest is"),
    ],
)
def test_an_index_is_compared_with_its_log(engine, tmp_path, suffix, entry, said):
    engine.checkpoint()
    path = f"{engine.path}/t-0/{0:020d}{suffix}"
    assert wrong(path) == []
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        key, value = entry.unpack_from(data, entry.size)
        entry.pack_into(data, entry.size, *((key, value + 1) if suffix == ".index" else (key + 1, value)))
        file.seek(0)
        file.write(data)
    ((position, problem),) = wrong(path)
    assert position == entry.size
    assert said in problem
    away = shutil.copy(path, tmp_path)
    assert wrong(away) == [], "there is no log beside it"
    shutil.copy(f"{engine.path}/t-0/{0:020d}.log", f"{tmp_path}/{0:020d}.log.deleted")
    os.rename(away, f"{away}.deleted")
    assert wrong(f"{away}.deleted") == [(position, problem)]


def test_files_on_their_way_out_are_shown_by_what_they_were(engine, tmp_path):
    engine.checkpoint()
    (name, *_) = engine.files(suffix=".log")
    shutil.copy(f"{engine.path}/t-0/{name}", tmp_path / f"{name}.deleted")
    shutil.copy(ring(engine), tmp_path / "00000000.ring.kept")
    assert next(dump(str(tmp_path / f"{name}.deleted")))["kind"] == "batch"
    assert next(dump(str(tmp_path / "00000000.ring.kept")))["kind"] == "commit"


def test_a_point_whose_producers_are_damaged(engine):
    engine.checkpoint()
    found = checkpoint_file.read(ReadOnlyVfs(), engine.path)
    (point,) = found.points
    data = checkpoint_file.encode(1, 2, 3, [encode_point(point._replace(producers=b"\1" * 12))], clean=False)
    path = f"{engine.path}/checkpoint"
    with open(path, "wb") as file:
        file.write(data)
    (_, row) = dump(path)
    assert (row["kind"], row["end_offset"]) == ("partition", 40)
    assert "producer state" in row["problem"]


def test_a_small_file_that_is_huge_is_not_read(tmp_path):
    path = str(tmp_path / "checkpoint")
    with open(path, "wb") as file:
        file.truncate(SMALL_FILE_BYTES_MAX + 1)
    ((position, what),) = wrong(path)
    assert position == SMALL_FILE_BYTES_MAX
    assert "too many" in what


def test_a_torn_commit_says_which_batch(engine):
    path = ring(engine)
    assert wrong(path) == []
    row = list(dump(path))[10]
    with open(path, "r+b") as file:
        file.seek(row["position"] + row["size_bytes"] - 4096 + 200)
        file.write(b"\xff\xfe")
    ((position, what),) = wrong(path)
    assert position == row["position"]
    assert "is damaged (torn or damaged)" in what


def test_a_record_that_looks_like_commits_is_none(engine):
    for padding in range(4):  # with one of them the magic stands where blocks begin
        engine.append(engine.log(), batch(b"." * padding + b"LBJ1" * 4000))
        engine.run()
    assert wrong(ring(engine)) == []
