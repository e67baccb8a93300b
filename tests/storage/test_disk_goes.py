"""A file system that is unmounted under the broker, and one that fills up faster than anybody looks."""

from __future__ import annotations

import pytest
from storage.support import Engine, batch

from logbroker.base.errors import BrokerError
from logbroker.storage.vfs import OsVfs


class Mount(OsVfs):
    """A disk whose mount can go away, and whose room is what the test says."""

    def __init__(self):
        super().__init__()
        self.gone = False
        self.room_bytes = 1 << 30

    def device(self, path):
        return super().device(path) + self.gone

    def free_bytes(self, path):
        return self.room_bytes


@pytest.fixture
def mount():
    return Mount()


@pytest.fixture
def engine(tmp_path, mount):
    (tmp_path / "log").mkdir()
    engine = Engine(tmp_path / "log", vfs=mount, disk_reserve_bytes=1 << 20)
    engine.open()
    return engine


def test_a_directory_without_its_mount_goes_offline(engine, mount):
    mount.gone = True
    engine.tick()
    assert "unmounted" in engine.directory.offline_reason


def test_no_checkpoint_is_written_to_another_disk(engine, mount):
    log = engine.create()
    engine.fill(log, 3)
    before = mount.listdir(engine.path)
    sequence = engine.directory.journal.settled
    mount.gone = True
    engine.checkpoint()
    assert "unmounted" in engine.directory.offline_reason
    assert mount.listdir(engine.path) == before
    mount.gone = False
    engine.kill()
    engine.open()
    assert len(engine.values(engine.log())) == 3
    assert sequence


def test_no_partition_is_begun_on_another_disk(engine, mount):
    mount.gone = True
    engine.append(engine.create(), batch(20_000))  # a direct sync makes the folder at once
    engine.run()
    assert "unmounted" in engine.directory.offline_reason
    assert not [name for name in mount.listdir(engine.path) if name.startswith("t-")]


def test_the_reserve_is_kept_between_two_looks(engine, mount):
    log = engine.create()
    mount.room_bytes = (1 << 20) + 50_000
    engine.tick()
    while engine.directory.refuse_append(log) is None:
        engine.append(log, batch(10_000))
        engine.run()
        assert log.end_offset <= 6
    with pytest.raises(BrokerError, match=r"log\.disk\.reserve\.bytes"):
        engine.append(log, batch(10_000))
    assert engine.directory.offline_reason is None
    assert log.end_offset >= 4
    mount.room_bytes = 1 << 30
    engine.tick()
    engine.append(log)


def test_what_waits_in_memory_counts_as_written(engine, mount):
    engine.tick()
    log = engine.create()
    for _ in range(3):
        engine.append(log, batch(10_000))
        engine.run()
    assert engine.directory.checkpointer.tail_bytes > 30_000
    mount.room_bytes = (1 << 20) + 20_000
    engine.directory.tick(engine.clock.wall_ms())
    with pytest.raises(BrokerError, match=r"log\.disk\.reserve\.bytes"):
        engine.append(log)
