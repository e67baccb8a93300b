"""`verify`: a directory that the engine left, cleanly or not, has nothing wrong; whatever is damaged is named at its byte."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage.support import NOW, TOPIC_ID, Engine, batch

from logbroker.base.errors import ConfigError
from logbroker.storage.directory_identity import DirectoryLock
from logbroker.storage.verify import verify, verify_directory


def small(path, **options):
    """Two partitions with several segments, indexes and producers, and something in each kind of file."""
    engine = Engine(path, **options)
    engine.open()
    for index in (0, 1):
        log = engine.create(index=index, internal_segment_bytes=3000, index_interval_bytes=300)
        engine.fill(log, 40)
        for number in range(40):
            at = NOW + 90_000 + number
            made = batch(b"%0100d" % number, at=at, producer_id=7, producer_epoch=0, base_sequence=number)
            engine.append(log, made, epoch=2)
            engine.run()
    return engine


@pytest.fixture
def stopped(tmp_path):
    """A directory that was stopped cleanly."""
    engine = small(tmp_path / "d")
    engine.close()
    return engine


@pytest.fixture
def killed(tmp_path):
    """One whose broker was killed with most of it in the journal only."""
    engine = small(tmp_path / "d", journal_file_bytes=4 << 20)
    engine.kill()
    return engine


@contextlib.contextmanager
def patched(path, position, data=b"\xff"):
    with open(path, "r+b") as file:
        file.seek(position)
        before = file.read(len(data))
        file.seek(position)
        file.write(bytes(b ^ d for b, d in zip(before.ljust(len(data), b"\0"), data, strict=True)))
    yield
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(before)


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def files(engine, suffix, index=0):
    return [f"{engine.path}/t-{index}/{name}" for name in engine.files(index=index, suffix=suffix)]


def test_a_clean_directory_is_clean_and_counted(stopped):
    report = verify(stopped.path)
    assert report.problems == report.notes == []
    assert report.clean
    assert report.partitions == 2
    assert report.segments == sum(len(log.segments) for log in stopped.directory.logs.values()) == 10
    assert report.batches == 160
    assert report.bytes_checked == sum(log.size_bytes for log in stopped.directory.logs.values())
    assert report.index_entries > 20
    assert report.commits == 0
    assert verify_directory(stopped.path) == []


def test_a_killed_brokers_directory_has_nothing_wrong(killed):
    report = verify(killed.path)
    assert report.problems == []
    assert not report.clean
    assert report.commits == 160
    assert report.batches == 160  # what the journal holds counts as if it were in its place
    assert report.partitions == 2


def test_nothing_is_changed_and_a_read_only_directory_will_do(stopped):
    def state():
        found = {}
        for folder, _, names in os.walk(stopped.path):
            for name in names:
                path = os.path.join(folder, name)
                found[path] = (os.stat(path).st_mtime_ns, content_of(path))
        return found

    before = state()
    verify(stopped.path)
    assert state() == before


def test_progress_is_told(stopped):
    told = []
    verify(stopped.path, on_progress=lambda *progress: told.append(progress))
    total = sum(log.size_bytes for log in stopped.directory.logs.values())
    assert told[-1][:2] == (total, total)
    assert {os.path.basename(folder) for _, _, folder in told} == {"t-0", "t-1"}


def test_a_running_broker_is_told_apart(stopped):
    lock = DirectoryLock(stopped.path)
    with pytest.raises(ConfigError, match=f"process {os.getpid()}.*stop the broker first"):
        verify(stopped.path)
    lock.release()
    assert verify_directory(stopped.path) == []


def test_what_is_no_log_directory(tmp_path):
    with pytest.raises(ConfigError, match="is no directory"):
        verify(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="no log directory of logbroker"):
        verify(str(tmp_path))


def test_a_directory_that_was_never_used(tmp_path):
    engine = Engine(tmp_path)
    assert verify_directory(engine.path) == []
    engine.open()
    engine.close()
    assert verify_directory(engine.path) == []


# Damage, one kind at a time: (path, byte, what)


def found(engine):
    return [(finding.path, finding.position, finding.what) for finding in verify_directory(engine.path)]


def test_a_flipped_bit_in_a_batch(stopped):
    path = files(stopped, ".log")[1]
    with patched(path, 400):
        (finding,) = verify_directory(stopped.path)
        assert finding.path == path
        assert finding.position == 340
        assert finding.offset == int(os.path.basename(path)[:20]) + 2
        assert "CRC" in finding.what
    assert verify_directory(stopped.path) == []


def test_a_flipped_leader_epoch(stopped):
    path = files(stopped, ".log")[0]
    for bit in (1, 2, 64):
        with patched(path, 170 + 15, bytes([bit])):
            assert found(stopped)[0] == (path, 170, f"leader epoch {bit} where the checkpoint has 0")
    last = files(stopped, ".log")[-1]
    with patched(last, 15, b"\2"):
        assert (last, 0, "leader epoch 0 behind one of epoch 2") in found(stopped)


def test_a_flipped_base_offset(stopped):
    path = files(stopped, ".log")[0]
    with patched(path, 170 + 7, b"\4"):
        assert (path, 170, "offsets 1 to 4 are missing before it") in found(stopped)


def test_a_truncated_segment(stopped):
    path = files(stopped, ".log")[0]
    size = os.path.getsize(path)
    os.truncate(path, size - 5)
    problems = found(stopped)
    assert (path, size - 5, "the file ends 5 bytes early") in problems


def test_a_missing_segment_and_a_missing_folder(stopped):
    path = files(stopped, ".log")[1]
    size = os.path.getsize(path)
    os.unlink(path)
    assert (path, 0, f"the segment is missing; it held {size} bytes") in found(stopped)
    shutil.rmtree(f"{stopped.path}/t-1")
    (finding,) = [entry for entry in found(stopped) if "folder is missing" in entry[2]]
    assert str(TOPIC_ID) in finding[0]


def test_bytes_behind_the_end(stopped):
    path = files(stopped, ".log")[-1]
    size = os.path.getsize(path)
    with open(path, "ab") as file:
        file.write(b"extra")
    assert found(stopped) == [(path, size, "5 bytes behind the log's end")]


def test_a_segment_that_nobody_knows(stopped):
    path = f"{stopped.path}/t-0/{777:020d}.log"
    with open(path, "wb") as file:
        file.write(b"extra")
    assert found(stopped) == [(path, 0, "5 bytes in a segment that neither checkpoint nor journal know")]


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_a_wrong_index(stopped, suffix):
    for path in files(stopped, suffix):
        with patched(path, os.path.getsize(path) - 5, b"\1"):
            problems = found(stopped)
            assert {problem[0] for problem in problems} == {path}
            width = 8 if suffix == ".index" else 12
            assert problems[0][1] == os.path.getsize(path) - width
    path = files(stopped, suffix)[0]
    size = os.path.getsize(path)
    os.truncate(path, size - 3)
    assert found(stopped)[0][:2] == (path, size // 4 * 4 - (8 if suffix == ".index" else 12))


def test_a_huge_index_is_not_read(stopped):
    path = files(stopped, ".index")[0]
    os.truncate(path, 1 << 40)  # sparse
    problems = found(stopped)
    assert any(problem[0] == path and "can't have more than" in problem[2] for problem in problems)


def test_a_damaged_snapshot(stopped):
    path = files(stopped, ".snapshot")[0]
    with patched(path, 20):
        ((where, position, what),) = found(stopped)
        assert (where, position) == (path, 2)
        assert "CRC" in what


def test_a_snapshot_from_the_future(stopped):
    source = files(stopped, ".snapshot")[0]
    path = f"{stopped.path}/t-0/{99_999:020d}.snapshot"
    shutil.copy(source, path)
    assert found(stopped) == [(path, 0, "a snapshot as of offset 99999, behind the log's end at 80")]


@pytest.mark.parametrize(
    "content", [b"", b"0\n", b"0\n2\n0 0\n", b"0\n2\n1 5\n0 9\n", b"1\n0\n", b"\xff", b"0\n1\n1 2 3\n"]
)
def test_a_damaged_list_of_epochs(stopped, content):
    path = f"{stopped.path}/t-0/leader-epoch-checkpoint"
    assert verify_directory(stopped.path) == []
    with open(path, "wb") as file:
        file.write(content)
    ((where, position, what),) = found(stopped)
    assert (where, position) == (path, 0)
    assert "leader epochs" in what


def test_a_damaged_checkpoint(stopped):
    path = f"{stopped.path}/checkpoint"
    for position, what in ((0, "no checkpoint file"), (5, "version"), (9, "CRC"), (50, "CRC")):
        with patched(path, position):
            (finding,) = verify_directory(stopped.path)
            assert finding.path == path
            assert what in finding.what
    os.unlink(path)
    assert found(stopped) == [(path, 0, "the checkpoint is missing, but the directory is not new")]
    with patched(files(stopped, ".log")[0], 400):  # segments are read all the same
        assert len(found(stopped)) == 2


def test_a_damaged_identity(stopped):
    path = f"{stopped.path}/meta.properties"
    with open(path, "w") as file:
        file.write("version=1\n")
    ((where, _, what),) = found(stopped)
    assert where == path
    assert "not a usable meta.properties" in what
    os.unlink(path)
    assert "missing" in found(stopped)[0][2]


def test_damaged_or_missing_partition_metadata(stopped):
    path = f"{stopped.path}/t-0/partition.metadata"
    with open(path, "w") as file:
        file.write("version: 0\ntopic_id: !\n")
    assert found(stopped) == [(path, 0, "not a partition.metadata (version: 0, topic_id: 22 characters)")]
    os.unlink(path)
    assert found(stopped) == [(path, 0, "the file is missing: nothing says which topic owns the folder")]


def test_a_partition_that_the_checkpoint_does_not_know(stopped):
    shutil.copytree(f"{stopped.path}/t-0", f"{stopped.path}/u-7")
    (finding,) = found(stopped)
    assert finding[0] == f"{stopped.path}/u-7"
    assert "neither checkpoint nor journal know this partition" in finding[2]


def test_a_refused_partition_stays_a_problem(stopped):
    with patched(files(stopped, ".log")[0], 400):
        pass
    os.truncate(files(stopped, ".log")[-1], 10)
    report = stopped.open()
    assert len(report.refused) == 1
    stopped.run()
    stopped.close()
    problems = found(stopped)
    assert any("refused by an earlier start" in what for _, _, what in problems)


# The journal


def rings(engine):
    folder = f"{engine.path}/journal"
    return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".ring")]


def commits_in(path):
    data = content_of(path)
    return [at for at in range(0, len(data), 4096) if data[at : at + 4] == b"LBJ1"]


def ring_with_commits(engine):
    return max(rings(engine), key=lambda path: len(commits_in(path)))


def test_a_damaged_commit_in_the_middle_is_corruption(killed):
    path = ring_with_commits(killed)
    at = commits_in(path)[10]
    with patched(path, at + 20):  # another generation, or none
        ((where, position, what),) = found(killed)
        assert (where, position) == (f"{killed.path}/journal", 0)
        assert what == "commit 10 is damaged or missing"
    with patched(path, at + 6):  # its CRC
        ((where, position, what),) = found(killed)
        assert (where, position) == (path, at)
        assert "is damaged or missing" in what
    with patched(path, at + 64 + 80 + 70):  # the payload
        problems = found(killed)
        assert len(problems) == 1
        assert "journal commit" in problems[0][2]
        assert "is damaged" in problems[0][2]


def test_a_torn_last_commit_is_none(killed):
    path = ring_with_commits(killed)
    with patched(path, commits_in(path)[-1] + 20):
        assert found(killed) == []


def test_a_lost_list_of_generations(killed):
    path = f"{killed.path}/journal/generations"
    with open(path, "w") as file:
        file.write("what?\n")
    assert found(killed)[0][0] == path
    killed.known.clear()


def test_a_ring_that_is_gone(tmp_path):
    engine = small(tmp_path / "d")  # a small ring: the checkpoint names a generation
    engine.kill()
    shutil.rmtree(f"{engine.path}/journal")
    problems = found(engine)
    assert any("the journal has no ring file" in what for _, _, what in problems)


def test_damage_below_what_the_journal_replays_is_found_and_what_it_replays_is_not(tmp_path):
    engine = Engine(tmp_path, journal_file_bytes=4 << 20)
    engine.open()
    log = engine.create()
    engine.fill(log, 10)
    engine.checkpoint()
    engine.fill(log, 10)
    engine.directory.checkpointer._start_writeback()
    engine.run()
    engine.kill()
    path = files(engine, ".log")[0]
    assert os.path.getsize(path) == 20 * 170
    with patched(path, 15 * 170 + 100):
        assert found(engine) == []
    with patched(path, 5 * 170 + 100):
        assert [problem[:2] for problem in found(engine)] == [(path, 5 * 170)]


def test_an_unflushed_tail_is_a_note(tmp_path):
    engine = Engine(tmp_path, journal_file_bytes=4 << 20)
    engine.open()
    log = engine.create()
    engine.fill(log, 10)
    engine.checkpoint()
    engine.kill()
    path = files(engine, ".log")[0]
    with open(path, "ab") as file:
        file.write(b"never promised")
    os.makedirs(f"{engine.path}/t-1")
    shutil.copy(f"{engine.path}/t-0/partition.metadata", f"{engine.path}/t-1/partition.metadata")
    with open(f"{engine.path}/t-1/{0:020d}.log", "wb") as file:
        file.write(b"neither")
    # a directory is unclean only where the journal holds something behind the checkpoint
    engine.open()
    engine.append(engine.log())
    engine.run()
    engine.kill()
    with open(path, "ab") as file:
        file.write(b"never promised" * 50)
    report = verify(engine.path)
    assert report.problems == []
    assert not report.clean
    texts = [str(note) for note in report.notes]
    assert any("an unflushed tail, never acknowledged; the next start cuts it" in text for text in texts)


def test_folders_on_their_way_out_are_notes(stopped):
    os.rename(f"{stopped.path}/t-1", f"{stopped.path}/t-1.{TOPIC_ID.hex}-delete")
    os.makedirs(f"{stopped.path}/old-3.abc-stray")
    report = verify(stopped.path)
    assert [os.path.basename(note.path) for note in report.notes] == [
        "old-3.abc-stray",
        f"t-1.{TOPIC_ID.hex}-delete",
    ]
    assert any("folder is missing" in problem.what for problem in report.problems)


# Whatever the engine does, and wherever it is killed


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_every_directory_that_the_engine_leaves_is_right(tmp_path_factory, seed):
    rng = random.Random(seed)
    path = tmp_path_factory.mktemp("d")
    engine = Engine(
        path,
        seed=seed,
        direct_sync_bytes=rng.choice([2000, 16 << 10]),
        writeback_bytes=rng.choice([2000, 1 << 20]),
    )
    engine.open()
    for index in range(rng.randint(1, 3)):
        engine.create(
            index=index,
            internal_segment_bytes=rng.choice([2000, 10_000, 100_000]),
            index_interval_bytes=rng.choice([0, 300, 1000]),
            flush_messages=rng.choice([1, 1, 1, 5]),
        )
    for _ in range(rng.randint(5, 60)):
        logs = list(engine.directory.logs.values())
        for _ in range(rng.randint(1, 5)):
            values = [rng.choice([10, 100, 700]) for _ in range(rng.randint(1, 4))]
            engine.append(rng.choice(logs), batch(*values, at=NOW + rng.randint(0, 100_000)))
        if rng.random() < 0.7:
            engine.run()
        what = rng.random()
        if what < 0.05:
            engine.checkpoint()
        elif what < 0.1:
            log = rng.choice(logs)
            log.delete_records(rng.randint(log.start_offset, log.durable_end), lambda _: None)
        elif what < 0.15:
            engine.tick(rng.choice([1000, 100_000]))
        elif what < 0.25:
            cleanly = rng.random() < 0.5
            if cleanly:
                engine.run()
                engine.close()
            else:
                engine.kill()
            assert verify_directory(engine.path) == []
            assert engine.open().refused == []
    engine.run()
    engine.close()
    report = verify(engine.path)
    assert report.problems == []
    assert report.clean
    shutil.rmtree(path)


def test_offsets_that_do_not_join_across_segments(stopped):
    """The seam between two files is checked, too: rename one so that its name tells a lie."""
    first, second = files(stopped, ".log")[:2]
    data = content_of(first)
    offset = struct.unpack(">q", content_of(second)[:8])[0]
    with open(first, "wb") as file:  # the last batch of the first segment is gone, and the checkpoint agrees
        file.write(data[:-170])
    engine = stopped
    problems = found(engine)
    assert (
        second,
        0,
        f"the segment begins at offset {offset}, the one before it ends at {offset - 1}",
    ) in problems
