"""`verify` where only one of its checks can tell: what the checkpoint, the journal, a sector or an index alone give away."""

from __future__ import annotations

import errno
import os
import shutil
import uuid

import pytest
from storage.support import TOPIC_ID, Engine, batch

from logbroker.base.ids import kafka_uuid
from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import encode_point
from logbroker.storage.read_only import ReadOnlyVfs
from logbroker.storage.verify import verify


def engine_with(path, batches=40, **options):
    engine = Engine(path, **options)
    engine.open()
    engine.fill(engine.create(internal_segment_bytes=3000, index_interval_bytes=300), batches)
    return engine


@pytest.fixture
def stopped(tmp_path):
    engine = engine_with(tmp_path / "d")
    engine.close()
    return engine


def problems(engine, **options):
    return [(item.path, item.position, item.what) for item in verify(engine.path, **options).problems]


def notes(engine):
    return [(item.path, item.position, item.what) for item in verify(engine.path).notes]


def log_path(engine, number=0):
    return f"{engine.path}/t-0/{engine.files(suffix='.log')[number]}"


def rewrite_checkpoint(engine, change):
    """Change the only point of the checkpoint, CRC and all."""
    path = f"{engine.path}/checkpoint"
    found = checkpoint_file.read(ReadOnlyVfs(), engine.path)
    (point,) = found.points
    data = checkpoint_file.encode(
        found.generation, found.salt, found.sequence, [encode_point(change(point))], clean=found.clean
    )
    with open(path, "wb") as file:
        file.write(data)
    return path


# What can't be read


class BadSectors(ReadOnlyVfs):
    """Reads of one file fail from a position on."""

    def __init__(self, path, position=0):
        self.path = path
        self.position = position

    def open(self, path, *, create=False):
        file = super().open(path, create=create)
        if path != self.path:
            return file
        pread = file.pread
        limit = self.position

        class Bad:
            def pread(self, size, position):
                if position + size > limit:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
                return pread(size, position)

            def size(self):
                return file.size()

            def close(self):
                file.close()

        return Bad()


def test_a_bad_sector_is_named_and_the_rest_is_checked(stopped):
    path = log_path(stopped, 1)
    size = os.path.getsize(path)
    with open(log_path(stopped, 2), "r+b") as file:
        file.seek(100)
        file.write(b"\xff\xfe\xfd")
    found = problems(stopped, vfs=BadSectors(path))
    assert found[0] == (path, 0, f"{size} bytes from here on can't be read: Input/output error")
    assert (log_path(stopped, 2), 0) in [(where, position) for where, position, _ in found]


def test_a_ring_file_that_cannot_be_read(stopped):
    folder = f"{stopped.path}/journal"
    path = f"{folder}/{min(name for name in os.listdir(folder) if name.endswith('.ring'))}"
    assert (path, 0, "the file can't be read: Input/output error") in problems(stopped, vfs=BadSectors(path))


# What the checkpoint alone gives away


def test_a_point_that_ends_before_it_starts(stopped):
    path = rewrite_checkpoint(stopped, lambda point: point._replace(start_offset=41))
    what = f"{stopped.path}/t-0 starts at offset 41 and ends before, at 40"
    assert (path, 0, what) in problems(stopped)


def test_producers_that_are_not_what_was_written(stopped):
    path = rewrite_checkpoint(stopped, lambda point: point._replace(producers=b"\1\2\3\4\5\6\7\10\11\12"))
    ((where, _, what),) = problems(stopped)
    assert where == path
    assert "producer state" in what


def test_a_log_that_ends_before_the_checkpoint_says(stopped):
    path = log_path(stopped, -1)
    size = os.path.getsize(path)
    rewrite_checkpoint(stopped, lambda point: point._replace(end_offset=45))
    assert problems(stopped) == [(path, size, "the log ends at offset 40, checkpoint and journal say 45")]


def test_a_first_segment_behind_the_log_start(stopped):
    first, second = (int(name[:20]) for name in stopped.files(suffix=".log")[:2])
    rewrite_checkpoint(stopped, lambda point: point._replace(segments=point.segments[1:]))
    what = f"the log starts at offset {first}, its first segment at {second}"
    assert problems(stopped) == [(log_path(stopped, 1), 0, what)]
    assert [(where, text[:23]) for where, _, text in notes(stopped)] == [
        (log_path(stopped), "below the log's start, ")
    ]


# Indexes


def test_index_entries_behind_the_last_batch(stopped):
    path = log_path(stopped).replace(".log", ".index")
    size = os.path.getsize(path)
    with open(path, "ab") as file:
        file.write(b"\x00\x00\x27\x10\x00\x00\x27\x10")
    ((where, position, what),) = problems(stopped)
    assert (where, position) == (path, size)
    assert "point past the last batch" in what


@pytest.mark.usefixtures("indexes_written_at_once")
def test_after_a_kill_only_the_indexes_of_sealed_segments_are_vouched_for(tmp_path):
    engine = engine_with(tmp_path / "d")
    engine.checkpoint()
    engine.fill(engine.log(), 1)  # a commit that the next start replays: the stop is no clean one
    engine.kill()
    sealed, active = (f"{engine.path}/t-0/{engine.files(suffix='.index')[at]}" for at in (0, -1))
    assert problems(engine) == []
    for path in (sealed, active):
        with open(path, "r+b") as file:
            file.write(b"\x00\x00\x00\x01\x00\x00\x00\x07")
    assert {where for where, _, _ in problems(engine)} == {sealed}
    assert active in {where for where, _, _ in notes(engine)}


# Folders


@pytest.mark.parametrize("text", [f"version: 7\ntopic_id: {kafka_uuid(TOPIC_ID)}\n", "x" * 5000])
def test_a_partition_metadata_of_another_kind(stopped, text):
    path = f"{stopped.path}/t-0/partition.metadata"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    ((where, _, what),) = problems(stopped)
    assert where == path
    assert "not a partition.metadata" in what


def test_a_file_with_the_name_of_a_partition_is_none(stopped):
    with open(f"{stopped.path}/notes-7", "w", encoding="ascii") as file:
        file.write("mine")
    assert problems(stopped) == []


def test_a_partition_that_only_the_journal_holds_is_checked_there(tmp_path):
    engine = Engine(tmp_path / "d")
    engine.open()
    log = engine.create(topic_id=uuid.UUID(int=5))
    for number in range(3):
        engine.append(log, batch(b"%d" % number))
    engine.run()
    engine.kill()
    shutil.rmtree(f"{engine.path}/t-0", ignore_errors=True)
    report = verify(engine.path)
    assert report.problems == []
    assert (report.partitions, report.batches) == (1, 3)


def test_a_missing_folder_after_a_kill_may_be_a_finished_deletion(tmp_path):
    """The metadata knows, and verify doesn't ask it: a start that was killed had removed the folder and not yet said so."""
    engine = engine_with(tmp_path / "d")
    engine.checkpoint()
    engine.fill(engine.log(), 1)
    engine.kill()
    shutil.rmtree(f"{engine.path}/t-0")
    assert problems(engine) == []
    ((_, _, what),) = [note for note in notes(engine) if "folder is missing" in note[2]]
    assert "unless its topic was deleted" in what
