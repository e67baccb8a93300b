"""Index files that a killed broker left beyond what its last checkpoint knows: their entries are neither kept twice nor left behind."""

from __future__ import annotations

import os

import pytest
from storage.support import NOW, Engine, batch

from logbroker.storage.index import RECENT_ENTRIES
from logbroker.storage.segment import INDEX_WRITE_ENTRIES
from logbroker.storage.verify import verify_directory
from logbroker.storage.vfs import OsFile, OsVfs

OPTIONS = {"index_interval_bytes": 100}


def appended(engine, log, batches):
    for _ in range(batches):
        engine.append(log, batch(200))
        engine.run()


@pytest.mark.parametrize("steps", range(0, 40, 3))
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_a_kill_between_the_files_and_the_checkpoint(tmp_path, steps, known):
    engine = Engine(tmp_path / "log", seed=steps)
    engine.open()
    log = engine.create(segment_bytes=6000, **OPTIONS)
    if known:
        appended(engine, log, 10)
        engine.checkpoint()
    appended(engine, log, 40)  # several segments
    engine.directory.checkpointer.start()
    for _ in range(steps):
        engine.executor.step()
    engine.reopen(cleanly=False)
    appended(engine, engine.log(), 5)
    engine.close()
    assert verify_directory(engine.path) == []


@pytest.mark.usefixtures("indexes_written_at_once")
@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_what_a_power_cut_took_of_files_that_are_never_synced(tmp_path, whole, goes_on):
    engine = Engine(tmp_path / "log")
    engine.open()
    log = engine.create(segment_bytes=6000, **OPTIONS)
    for number in range(40):
        engine.append(log, batch(200, at=NOW + number, producer_id=5, producer_epoch=0, base_sequence=number))
        engine.run()
    engine.checkpoint()
    engine.tick(1000)
    folder = tmp_path / "log" / "t-0"
    active = max(path.stem for path in folder.glob("*.log"))
    for suffix in ("index", "timeindex"):
        with (folder / f"{active}.{suffix}").open("r+b") as file:
            lost = file.seek(0, 2) if whole else 24
            file.seek(-lost, 2)
            file.write(bytes(lost))
    emptied = [folder / "leader-epoch-checkpoint", *folder.glob("*.snapshot")]
    assert len(emptied) >= 2
    for path in emptied:
        path.write_bytes(b"")
    engine.reopen(cleanly=False)
    appended(engine, engine.log(), 5 * goes_on)
    engine.close()
    assert verify_directory(engine.path) == []
    assert (folder / "leader-epoch-checkpoint").read_text().startswith("0\n1\n")


def test_the_indexes_of_a_segment_that_was_durable_before_it_was_sealed_are_synced(tmp_path):
    synced = []

    class File(OsFile):
        def datasync(self):
            synced.append(self.path.rpartition("/")[2])
            super().datasync()

    class Watched(OsVfs):
        def open(self, path, *, create=False):
            file = super().open(path, create=create)
            watched = File(path, os.dup(file._fd))
            file.close()
            return watched

    (tmp_path / "log").mkdir()
    engine = Engine(tmp_path / "log", vfs=Watched())
    engine.open()
    log = engine.create(**OPTIONS)
    appended(engine, log, 10)
    engine.checkpoint()
    synced.clear()
    log.roll()
    appended(engine, log, 1)
    engine.checkpoint()
    assert {"00000000000000000000.index", "00000000000000000000.timeindex"} <= set(synced)
    synced.clear()
    appended(engine, log, 1)
    engine.checkpoint()
    assert "00000000000000000000.index" not in synced
    engine.close()


def test_a_few_entries_of_an_active_segment_wait_in_memory(tmp_path):
    """Until there are many, the segment is sealed, or the broker stops; a kill costs lookups a longer walk and nothing else."""
    engine = Engine(tmp_path / "log")
    engine.open()
    log = engine.create(**OPTIONS)
    appended(engine, log, 10)
    engine.checkpoint()
    path = log.segments[-1].index_path
    assert not os.path.exists(path)
    engine.reopen(cleanly=False)
    log = engine.log()
    for offset in range(10):
        assert log.read(offset, 1, engine.directory.reader())
    assert verify_directory(engine.path) == []
    appended(engine, log, 2 * INDEX_WRITE_ENTRIES)
    engine.checkpoint()
    assert os.path.getsize(path) >= 8 * INDEX_WRITE_ENTRIES
    appended(engine, log, 3)
    engine.close()
    assert verify_directory(engine.path) == []


def test_a_clean_stop_writes_the_entries_of_partitions_that_had_come_to_rest(tmp_path):
    engine = Engine(tmp_path / "log")
    engine.open()
    log = engine.create(**OPTIONS)
    appended(engine, log, 10)
    engine.checkpoint()
    assert not log.dirty
    path = log.segments[-1].index_path
    engine.close()
    assert os.path.getsize(path) == 8 * 9
    assert verify_directory(engine.path) == []


def test_an_active_segment_keeps_only_its_last_index_entries_in_memory(tmp_path):
    """However large it grows; what lies before them is looked up in the file."""
    engine = Engine(tmp_path / "log", journal_file_bytes=1 << 20)
    engine.open()
    log = engine.create(**OPTIONS)
    most = 0
    for _ in range(12):
        for _ in range(100):
            engine.append(log, batch(200))
        engine.checkpoint()
        active = log.segments[-1]
        most = max(most, len(active.index.memory) // 2, len(active.time_index.memory) // 2)
    assert len(log.segments) == 1
    assert len(active.index) == 1199
    assert most < RECENT_ENTRIES + INDEX_WRITE_ENTRIES + 100
    reader = engine.directory.reader()
    for offset in range(0, 1200, 7):
        assert int.from_bytes(bytes(log.read(offset, 1, reader)[0][:8]), "big") == offset
    assert not reader.maps.suspects
    engine.directory.truncate_to(log, 300, lambda _: None)
    engine.run()
    assert log.end_offset == 300
    assert len(active.index) == 299
    engine.close()
    assert verify_directory(engine.path) == []
