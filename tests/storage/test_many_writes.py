"""Many small writes by one system call: what is written, what fails, and what happens where there is no such call."""

import errno
import itertools
import os
import random
import resource
import signal

import pytest
from storage.support import Engine

from logbroker.storage import many_writes
from logbroker.storage.many_writes import WRITES_MAX
from logbroker.storage.vfs import OsFile, OsVfs

pytestmark = pytest.mark.skipif(many_writes._refused, reason="no io_submit here")


@pytest.fixture
def vfs():
    return OsVfs()


def files_of(vfs, tmp_path, count):
    return [vfs.open(f"{tmp_path}/{number}", create=True) for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 17, WRITES_MAX])
def test_every_piece_lands_in_its_file_at_its_position(vfs, tmp_path, count):
    rng = random.Random(count)
    files = files_of(vfs, tmp_path, count)
    for _ in range(3):
        positions = [rng.randrange(9000) for _ in files]
        pieces = [[rng.randbytes(rng.randrange(1, 3000)) for _ in range(rng.randrange(1, 5))] for _ in files]
        assert vfs.write_many(list(zip(files, pieces, positions, strict=True)))
        for file, piece, position in zip(files, pieces, positions, strict=True):
            data = b"".join(piece)
            assert file.pread(len(data), position) == data


def test_views_and_bytearrays_are_written_as_they_are(vfs, tmp_path):
    first, second = files_of(vfs, tmp_path, 2)
    whole = bytearray(b"0123456789")
    assert vfs.write_many([(first, [memoryview(whole)[2:5], whole], 0), (second, [memoryview(whole)[9:]], 3)])
    assert first.pread(100, 0) == b"2340123456789"
    assert second.pread(100, 0) == bytes(3) + b"9"


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_write_that_the_kernel_refuses_raises_with_the_files_name(vfs, tmp_path, bad):
    files = files_of(vfs, tmp_path, 3)
    files[bad] = OsFile(f"{tmp_path}/{bad}", os.open(f"{tmp_path}/{bad}", os.O_RDONLY))
    with pytest.raises(OSError) as caught:
        vfs.write_many([(file, [b"abc"], 0) for file in files])
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, f"{tmp_path}/{bad}")
    # the context is of use afterwards
    good = files_of(vfs, tmp_path, 3)
    assert vfs.write_many([(file, [b"xyz"], 0) for file in good])
    assert [file.pread(9, 0) for file in good] == [b"xyz"] * 3


@pytest.mark.parametrize(("position", "number"), [(4096, errno.EFBIG), (4090, errno.EIO)])
def test_a_failed_or_short_write_raises(vfs, tmp_path, position, number):
    files = files_of(vfs, tmp_path, 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            vfs.write_many(
                [(files[0], [b"a" * 10], 0), (files[1], [b"b" * 10], position), (files[2], [b"c"], 0)]
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (caught.value.errno, caught.value.filename) == (number, files[1].path)


def test_files_that_are_not_the_systems_own_are_left_to_the_caller(vfs, tmp_path):
    class Watched(OsFile):
        pass

    ours = files_of(vfs, tmp_path, 1)[0]
    other = Watched(f"{tmp_path}/w", os.open(f"{tmp_path}/w", os.O_RDWR | os.O_CREAT))
    assert not vfs.write_many([(ours, [b"a"], 0), (other, [b"b"], 0)])
    assert (ours.size(), other.size()) == (0, 0)


def test_a_kernel_that_has_no_such_call_is_asked_once(vfs, tmp_path, monkeypatch):
    asked = itertools.count()

    def syscall(*_):
        next(asked)
        return -1

    monkeypatch.setattr(many_writes, "_syscall", syscall)
    monkeypatch.setattr(many_writes, "_idle", [])
    monkeypatch.setattr(many_writes, "_refused", False)
    file = files_of(vfs, tmp_path, 1)[0]
    assert not vfs.write_many([(file, [b"a"], 0)])
    assert not vfs.write_many([(file, [b"a"], 0)])
    assert (file.size(), next(asked)) == (0, 1)


def engine_of(tmp_path, partitions):
    (tmp_path / "data").mkdir()
    engine = Engine(tmp_path / "data", vfs=OsVfs())
    engine.open()
    return engine, [engine.create(index=index) for index in range(partitions)]


@pytest.mark.parametrize("refused", [False, True])
def test_a_checkpoint_writes_the_same_either_way(tmp_path, monkeypatch, refused):
    calls = []

    def write_many(writes, data):
        calls.append(len(writes))
        return None if refused else real(writes, data)

    real = many_writes.write_many
    monkeypatch.setattr(many_writes, "write_many", write_many)
    engine, logs = engine_of(tmp_path, 20)
    for _ in range(3):
        for log in logs:
            engine.append(log)
            engine.append(log)
        engine.checkpoint()
    assert max(calls) > 1
    values = [engine.values(log) for log in logs]
    assert all(len(found) == 6 for found in values)
    # what the files hold, without the ring's help
    for log in logs:
        assert log.segments[0].written == log.segments[0].size == os.path.getsize(log.segments[0].path)
    engine.reopen()
    assert [engine.values(engine.log(index=index)) for index in range(20)] == values
    engine.close()


def test_one_write_that_fails_takes_the_directory_offline(tmp_path, monkeypatch):
    def write_many(writes, data):
        results = real(writes, data)
        return [*results[:-1], -errno.EIO]

    real = many_writes.write_many
    engine, logs = engine_of(tmp_path, 4)
    monkeypatch.setattr(many_writes, "write_many", write_many)
    for log in logs:
        engine.append(log)
    engine.checkpoint()
    assert engine.directory.offline_reason is not None
    assert engine.offline
