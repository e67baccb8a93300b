"""The offline rule: after one failed sync or write a directory gives KAFKA_STORAGE_ERROR for ever, promises nothing and tries no sync again."""

from __future__ import annotations

import errno
import os
import random

import pytest
from storage.support import NOW, Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.storage.vfs import OsFile, OsVfs
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_faults import Fault

PATH = "/data"


class Failing(OsVfs):
    """Real files, one kind of operation on some of which fails from now on; counts what is asked of it."""

    def __init__(self):
        super().__init__()
        self.fails = None
        self.calls = []

    def struck(self, operation, path):
        self.calls.append((operation, path))
        if self.fails is not None and self.fails[0] == operation and self.fails[1] in path:
            raise OSError(self.fails[2], "made to fail", path)

    def open(self, path, *, create=False):
        file = super().open(path, create=create)
        return _File(self, path, file)

    def sync_dir(self, path):
        self.struck("sync_dir", path)

    def sync_filesystem(self, path):
        return False

    def rename(self, source, target):
        self.struck("rename", target)
        super().rename(source, target)

    def mkdir(self, path):
        self.struck("mkdir", path)
        super().mkdir(path)


class _File(OsFile):
    def __init__(self, vfs, path, file):
        super().__init__(path, file._fd)
        file._fd = -1
        self._vfs = vfs

    def datasync(self):
        self._vfs.struck("datasync", self.path)

    def write_durably(self, buffers, position):
        return False

    def pwritev(self, buffers, position, *, cached=True):
        self._vfs.struck("pwritev", self.path)
        return super().pwritev(buffers, position)

    def pread(self, size, position):
        self._vfs.struck("pread", self.path)
        return super().pread(size, position)


FAULTS = [
    ("datasync", ".ring", errno.EIO),
    ("pwritev", ".ring", errno.EIO),
    ("pwritev", ".ring", errno.ENOSPC),
    ("datasync", ".log", errno.EIO),
    ("pwritev", ".log", errno.ENOSPC),
    ("pwritev", ".index", errno.ENOSPC),
    ("datasync", "checkpoint", errno.EIO),
    ("rename", "checkpoint", errno.EROFS),
    ("sync_dir", "", errno.EIO),
    ("mkdir", "t-", errno.EDQUOT),
]


def storage_error(call):
    with pytest.raises(BrokerError) as caught:
        call()
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    return str(caught.value)


@pytest.mark.usefixtures("indexes_written_at_once")
@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault[0]} {fault[1]} {errno.errorcode[fault[2]]}"
)
def test_one_failure_ends_the_directory(tmp_path, fault):
    vfs = Failing()
    (tmp_path / "d").mkdir()
    engine = Engine(tmp_path / "d", vfs=vfs)
    engine.open()
    log = engine.create(index_interval_bytes=0)
    other = engine.create(index=1)
    engine.fill(log, 5)
    engine.append(other)
    engine.run()
    engine.create(index=2)
    vfs.fails = fault
    items = [engine.append(log, batch(size)) for size in (100, 20_000, 100)]
    engine.checkpoint()
    directory = engine.directory
    assert directory.offline_reason is not None
    assert "made to fail" in directory.offline_reason
    assert engine.offline == [directory]  # told once
    assert directory.stats.disk_errors == 1
    assert all(len(item.waiter) == 1 for item in items)  # everybody is told, once
    for item in items:  # what was acknowledged was durable before
        assert item.error in (ErrorCode.NONE, ErrorCode.KAFKA_STORAGE_ERROR)

    # every later request, on every partition, and after the fault is gone
    vfs.fails = None
    calls_before = list(vfs.calls)
    reader = directory.reader()
    for partition in (log, other, engine.log(index=2)):
        reason = storage_error(lambda partition=partition: engine.append(partition))
        assert "made to fail" in reason
        storage_error(lambda partition=partition: partition.read(0, 1000, reader))
        storage_error(lambda partition=partition: partition.find_timestamp(NOW, reader))
        storage_error(lambda partition=partition: partition.delete_records(0, lambda _: None))
    fresh = engine.create(index=3)
    storage_error(lambda: engine.append(fresh))
    for _ in range(3):
        engine.tick(3_600_000)
    engine.checkpoint()
    engine.close()
    assert not [call for call in vfs.calls[len(calls_before) :] if "sync" in call[0] or call[0] == "pwritev"]


def test_a_failed_sync_is_not_tried_again_and_nothing_after_it_is_acknowledged(tmp_path):
    vfs = Failing()
    (tmp_path / "d").mkdir()
    engine = Engine(tmp_path / "d", vfs=vfs)
    engine.open()
    log = engine.create()
    engine.fill(log, 3)
    vfs.calls.clear()
    vfs.fails = ("datasync", ".ring", errno.EIO)
    items = [engine.append(log) for _ in range(4)]
    for _ in range(5):
        engine.executor.step()
    items += [engine.append(log) for _ in range(4)] if log.refusal is None else []
    engine.run()
    assert [operation for operation, _ in vfs.calls].count("datasync") == 1
    assert all(item.error == ErrorCode.KAFKA_STORAGE_ERROR and len(item.waiter) == 1 for item in items)
    assert log.durable_end == 3


def test_a_folder_whose_name_failed_to_sync_is_not_made_again(tmp_path):
    """The first who needs a partition's folder may be the snapshot that a roll leaves for Kafka's tools."""
    vfs = Failing()
    engine = Engine(tmp_path, vfs=vfs, journal_file_bytes=1 << 20)
    engine.open()
    log = engine.create(internal_segment_bytes=1000)
    vfs.fails = ("datasync", "partition.metadata", errno.EIO)
    for number in range(12):
        engine.append(log, batch(100, producer_id=1, producer_epoch=0, base_sequence=number))
    engine.run()
    assert engine.offline == [engine.directory]
    assert [path for operation, path in vfs.calls if operation == "datasync" and "metadata" in path] == [
        f"{log.path}/partition.metadata"
    ]


def test_a_snapshot_that_cannot_be_written_harms_nobody(tmp_path):
    vfs = Failing()
    with Engine(tmp_path, vfs=vfs, journal_file_bytes=1 << 20) as engine:
        log = engine.create(internal_segment_bytes=1000)
        vfs.fails = ("pwritev", ".snapshot", errno.ENOSPC)
        for number in range(12):
            engine.append(log, batch(100, producer_id=1, producer_epoch=0, base_sequence=number))
        engine.run()
        assert engine.offline == []
        assert log.durable_end == 12


def test_another_directory_goes_on(tmp_path):
    vfs = Failing()
    for name in "ab":
        (tmp_path / name).mkdir()
    broken, sound = (Engine(tmp_path / name, vfs=vfs) for name in "ab")
    for engine in (broken, sound):
        engine.open()
        engine.fill(engine.create(), 3)
    vfs.fails = ("datasync", str(tmp_path / "a"), errno.EIO)
    refused, accepted = broken.append(broken.log()), sound.append(sound.log())
    broken.run()
    sound.run()
    assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert accepted.error == ErrorCode.NONE
    assert broken.directory.offline_reason
    assert sound.directory.offline_reason is None
    vfs.fails = None
    sound.close()


def test_after_a_restart_the_directory_is_as_good_as_its_disk(tmp_path):
    vfs = Failing()
    (tmp_path / "d").mkdir()
    engine = Engine(tmp_path / "d", vfs=vfs)
    engine.open()
    log = engine.create()
    values = engine.fill(log, 5)
    vfs.fails = ("datasync", ".ring", errno.EIO)
    engine.append(log, batch(b"never acknowledged"))
    engine.run()
    engine.kill()
    vfs.fails = None
    assert engine.open().refused == []
    found = engine.values(engine.log())
    assert [found[offset] for offset in range(5)] == values
    assert set(found) <= set(range(6))
    engine.close()


@pytest.mark.parametrize("seed", range(30))
def test_a_sync_that_fails_once_and_lies_afterwards(seed):
    """As Linux does it: the pages are marked clean, the cache looks good and the disk has something else."""
    rng = random.Random(seed)
    disk = SimDisk([PATH])
    engine = Engine(PATH, vfs=disk, seed=seed, direct_sync_bytes=rng.choice([500, 16 << 10]))
    engine.open()
    logs = [engine.create(index=index, internal_segment_bytes=2000) for index in range(2)]
    values = {}
    disk.faults.append(
        Fault("datasync", path_contains=rng.choice([".ring", ".log", ""]), skip=rng.randint(0, 40))
    )
    for number in range(60):
        log = rng.choice(logs)
        if log.refusal is not None:
            break
        value = b"%d" % number * rng.randint(1, 100)
        item = engine.append(log, batch(value))
        engine.run()
        assert item.waiter
        if item.error == ErrorCode.NONE:
            values[log.index, item.base_offset] = value
        if rng.random() < 0.1:
            engine.checkpoint()
    if engine.directory.offline_reason is None:
        return
    with pytest.raises(StorageOfflineError):
        logs[0].read(0, 1, engine.directory.reader())
    syncs = disk.operations
    engine.tick()
    engine.run()
    assert disk.operations == syncs
    disk.die()
    engine.executor.abandon()
    for survivor in (disk.kill(disk.operations), disk.crash(disk.operations, rng)):
        again = Engine(PATH, vfs=survivor, seed=seed)
        again.known = engine.known
        assert again.open().refused == []
        for (index, offset), value in values.items():
            assert again.values_once(again.log(index=index), offset)[offset] == value


def test_an_error_while_reading_for_a_client_is_one_of_the_directory(tmp_path):
    """`fetch_steps` is what a lane reads; its error is the caller's to hand on (replication.disk_reads does)."""
    vfs = Failing()
    (tmp_path / "d").mkdir()
    engine = Engine(tmp_path / "d", vfs=vfs)
    engine.open()
    log = engine.create()
    engine.fill(log, 3)
    engine.checkpoint()
    vfs.fails = ("pread", ".log", errno.EIO)
    outcome = []
    engine.executor.submit(
        "read",
        engine.directory.fetch_steps([(log.segments[0].path, 10, 0)]),
        lambda found, error: outcome.append((found, error)),
    )
    engine.run()
    assert outcome[0][0] is None
    assert outcome[0][1].errno == errno.EIO


@pytest.mark.parametrize("hangs", [("pwritev", ".ring"), ("pwritev", ".log")], ids=["journal", "direct sync"])
def test_who_waits_for_a_disk_that_hangs_is_told_when_another_error_takes_the_directory_offline(
    tmp_path, hangs
):
    """The lane stays in its sync for ever: nothing that it holds may wait for it to come back."""
    vfs = Failing()
    engine = Engine(tmp_path, vfs=vfs)
    engine.open()
    engine.run()
    log, other = engine.create(), engine.create(index=1)
    items = [engine.append(log)] if hangs[1] == ".ring" else [engine.append(log, batch(20000))]
    seen = len(vfs.calls)
    while not any(call == hangs[0] and hangs[1] in path for call, path in vfs.calls[seen:]):
        engine.executor.step()
    # Behind it: what the journal's lane has not taken up yet, what is held, what waits for the end of the tick.
    items += [engine.append(log), engine.append(other)]
    engine.directory.commit_path._hand_over()
    items += [engine.append(log), engine.append(other)]
    assert not any(item.waiter for item in items)
    engine.directory.fail(OSError(errno.ENODEV, "the file system was unmounted"))
    assert [item.waiter for item in items] == [[item] for item in items]
    assert {item.error for item in items} == {ErrorCode.KAFKA_STORAGE_ERROR}
    engine.run()  # and the lane comes back after all: nobody is told twice
    assert [item.waiter for item in items] == [[item] for item in items]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")
def test_an_error_of_the_system_names_its_file():
    file = OsFile("/dev/full", os.open("/dev/full", os.O_RDWR))
    for call in (lambda: file.pwritev([b"x"], 0), file.datasync):
        with pytest.raises(OSError, match="/dev/full") as caught:
            call()
        assert caught.value.errno
    file.close()


def test_a_failing_disk_is_one_line_with_the_remedy_and_a_fault_of_ours_has_its_trace(tmp_path, caplog):
    for name in ("disk", "ours"):
        vfs = Failing()
        (tmp_path / name).mkdir()
        engine = Engine(tmp_path / name, vfs=vfs)
        engine.open()
        engine.fill(engine.create(), 1)
        if name == "disk":
            vfs.fails = ("datasync", ".ring", errno.EIO)
            engine.append(engine.log())
            engine.run()
        else:
            engine.directory.fail(ZeroDivisionError("a fault"))
    disk, ours = (
        record for record in caplog.records if record.getMessage() == "a log directory went offline"
    )
    assert disk.exc_info is None
    assert f"[Errno {errno.EIO}]" in disk.fields["reason"]
    assert str(tmp_path / "disk") in disk.fields["reason"]
    assert "restart" in disk.fields["remedy"]
    assert ours.exc_info[0] is ZeroDivisionError
