"""Open files: bounded, pinned while unsynced, and given back when the process runs out of descriptors."""

from __future__ import annotations

import errno
import os

import pytest

from logbroker.storage.file_pool import FilePool
from logbroker.storage.vfs import OsVfs


class CountingVfs(OsVfs):
    """At most `limit` files open at a time, as under `ulimit -n`."""

    def __init__(self, limit=1000):
        super().__init__()
        self.limit = limit
        self.open_paths = []
        self.synced = []

    def open(self, path, *, create=False):
        if len(self.open_paths) >= self.limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        file = super().open(path, create=create)
        self.open_paths.append(path)
        return _Counted(self, file)


class _Counted:
    def __init__(self, vfs, file):
        self.path = file.path
        self._vfs = vfs
        self._file = file

    def datasync(self):
        self._vfs.synced.append(self.path)

    def __del__(self):
        self._vfs.open_paths.remove(self.path)
        self._file.close()


@pytest.fixture
def make(tmp_path):
    def made(limit=1000, max_open=1000):
        vfs = CountingVfs(limit)
        pool = FilePool(vfs, max_open)
        return vfs, pool, [str(tmp_path / f"{number}") for number in range(20)]

    return made


def test_a_file_is_opened_once_and_only_made_when_asked(make):
    vfs, pool, paths = make()
    with pytest.raises(FileNotFoundError):
        pool.get(paths[0])
    first = pool.get(paths[0], create=True)
    assert pool.get(paths[0]) is first
    assert vfs.open_paths == [paths[0]]


def test_the_least_recently_used_goes_first(make):
    vfs, pool, paths = make(max_open=3)
    for path in paths[:3]:
        pool.get(path, create=True)
    pool.get(paths[0])
    pool.get(paths[3], create=True)
    assert set(vfs.open_paths) == {paths[0], paths[2], paths[3]}
    assert pool.open_count == 3


def test_pinned_files_stay_until_they_are_synced(make):
    vfs, pool, paths = make(max_open=2)
    pinned = pool.get(paths[0], create=True, pin=True)
    for path in paths[1:10]:
        pool.get(path, create=True)
    assert pool.get(paths[0]) is pinned
    assert pool.open_count == 2
    pool.unpin(paths[0])
    for path in paths[1:10]:
        pool.get(path)
    assert paths[0] in vfs.open_paths  # `pinned` here is the last reference
    del pinned
    assert paths[0] not in vfs.open_paths


def test_too_many_pinned_files_are_synced_before_they_are_let_go(make):
    vfs, pool, paths = make(max_open=3)
    for path in paths[:6]:
        pool.get(path, create=True, pin=True)
    assert vfs.synced == paths[:3]
    assert set(vfs.open_paths) == set(paths[3:6])


def test_what_a_thread_holds_stays_open(make):
    vfs, pool, paths = make(max_open=1)
    held = pool.get(paths[0], create=True)
    pool.get(paths[1], create=True)
    assert paths[0] in vfs.open_paths
    del held
    assert vfs.open_paths == [paths[1]]


def test_running_out_of_descriptors_gives_some_back(make):
    vfs, pool, paths = make(limit=8)
    for path in paths:
        pool.get(path, create=True)
        assert len(vfs.open_paths) <= 8
    assert pool.get(paths[0]).path == paths[0]


def test_running_out_with_pinned_files_alone_syncs_the_oldest_and_lets_them_go(make):
    vfs, pool, paths = make(limit=4)
    for path in paths:
        pool.get(path, create=True, pin=True)
    assert vfs.synced == paths[: len(vfs.synced)]
    assert len(vfs.open_paths) <= 4
    assert len(vfs.synced) >= 16


def test_running_out_with_nothing_to_give_is_an_error_of_its_own_kind(make):
    vfs, pool, paths = make(limit=2)
    held = [pool.get(path, create=True) for path in paths[:2]]  # threads are at work on them
    with pytest.raises(OSError, match="ulimit -n") as caught:
        pool.get(paths[4], create=True)
    assert caught.value.errno == errno.EMFILE
    held.pop()
    assert pool.get(paths[4], create=True).path == paths[4]
    assert vfs.synced == []


def test_having_run_out_once_the_pool_keeps_fewer(make):
    vfs, pool, paths = make(limit=16, max_open=1000)
    pool_limit = pool.max_open
    many = [f"{paths[0]}-{number}" for number in range(40)]
    for path in many:
        pool.get(path, create=True)
    assert pool.max_open < pool_limit
    assert len(vfs.open_paths) <= 16


def test_a_sync_that_the_pool_makes_and_that_fails_is_everybodys_failure(make, tmp_path):
    """It may happen under a reader, who can't take the directory offline; and it is never tried again."""
    vfs, _, paths = make()
    told = []
    pool = FilePool(vfs, 2, on_sync_failed=told.append)
    for path in paths[:2]:
        pool.get(path, create=True, pin=True)
    syncs = []

    def fail():
        syncs.append(1)
        raise OSError(errno.EIO, "made to fail")

    pool.get(paths[0]).datasync = fail
    for path in (paths[2], paths[3], paths[1], paths[0]):
        with pytest.raises(OSError, match="made to fail"):
            pool.get(path, create=True, pin=True)
    assert len(syncs) == len(told) == 1


def test_other_errors_are_passed_on(make, tmp_path):
    _, pool, paths = make()
    pool.get(paths[0], create=True)
    with pytest.raises(IsADirectoryError):
        pool.get(str(tmp_path))


def test_a_written_file_is_pinned_again_though_its_place_was_lost(make):
    vfs, pool, paths = make(max_open=2)
    written = pool.get(paths[0], create=True, pin=True)
    for path in paths[1:5]:
        pool.get(path, create=True, pin=True)
    assert pool.open_count <= 3
    pool.keep(paths[0], written)
    assert pool.get(paths[0]) is written
    assert vfs.open_paths.count(paths[0]) == 1


def test_forgetting(make):
    vfs, pool, paths = make()
    for path in paths[:4]:
        pool.get(path, create=True, pin=path == paths[1])
    pool.forget(paths[0])
    pool.forget(paths[1])
    assert set(vfs.open_paths) == {paths[2], paths[3]}
    pool.forget_under(os.path.dirname(paths[0]))
    assert vfs.open_paths == []
    pool.get(paths[2])
    pool.close()
    assert vfs.open_paths == []
