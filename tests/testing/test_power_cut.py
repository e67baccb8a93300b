"""The harness for real accidents does what it says, on a real kernel."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from logbroker.storage.vfs import OsVfs, read_whole
from logbroker.testing import fail_sync, power_cut

needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(bool(power_cut.why_not()), reason=power_cut.why_not() or "able"),
]


@pytest.fixture
def disk(tmp_path):
    with power_cut.LoopDisk(str(tmp_path), 32 << 20) as disk:
        yield disk


def write_blocks(file, count):
    for number in range(count):
        file.pwritev([b"x" * 4000], number * 4000)


class TestLoopDisk:
    pytestmark = needs_root

    def test_power_cut_keeps_what_was_synced_and_only_that(self, disk):
        vfs = OsVfs()
        synced, lost = (vfs.open(f"{disk.path}/{name}", create=True) for name in ("synced", "lost"))
        synced.pwritev([b"one"], 0)
        synced.datasync()
        vfs.sync_dir(disk.path)
        synced.pwritev([b"two"], 3)
        lost.pwritev([b"one"], 0)
        vfs.open(f"{disk.path}/unnamed", create=True)
        disk.cut()
        with pytest.raises(OSError, match="Input/output error"):
            synced.datasync()
        with pytest.raises(OSError, match="Input/output error"):
            synced.pwritev([b"three"], 6)
        synced.close()
        lost.close()
        disk.remount()
        assert read_whole(vfs, f"{disk.path}/synced") == b"one"
        assert "unnamed" not in vfs.listdir(disk.path)

    def test_starved_disk_fails_one_sync_and_then_lies(self, disk):
        vfs = OsVfs()
        ring = vfs.open(f"{disk.path}/ring", create=True)
        ring.pwritev([b"a" * 4096, bytes(1 << 20)], 0)
        ring.datasync()
        vfs.sync_dir(disk.path)
        disk.starve()
        ring.pwritev([b"b" * 4096], 0)
        ring.datasync()  # a block the image holds
        ring.pwritev([b"c" * 4096], 65536)
        with pytest.raises(OSError) as failed:
            ring.datasync()
        assert failed.value.errno in (errno.EIO, errno.ENOSPC)
        ring.datasync()
        assert ring.pread(1, 65536) == b"c"
        ring.close()
        disk.feed()
        disk.cut()
        disk.remount()
        assert read_whole(vfs, f"{disk.path}/ring") == b"b" * 4096 + bytes(1 << 20)

    def test_starved_disk_tells_each_watcher_of_the_file_system_once_and_then_lies(self, tmp_path):
        # The simulated disk does the same: test_sim_disk_crashes.py.
        with power_cut.LoopDisk(str(tmp_path), 32 << 20, journal=False) as disk:
            self.starve_watched(disk)

    def starve_watched(self, disk):
        watchers = [OsVfs(), OsVfs()]
        for watcher in watchers:
            watcher.watch_filesystem(disk.path)
        file = watchers[0].open(f"{disk.path}/segment", create=True)
        file.pwritev([b"a" * 4096, bytes(1 << 20)], 0)
        assert watchers[0].sync_filesystem(disk.path)
        disk.starve()
        file.pwritev([b"c" * 4096], 65536)
        for watcher in watchers:
            with pytest.raises(OSError, match=r"Input/output|No space"):
                watcher.sync_filesystem(disk.path)
            assert watcher.sync_filesystem(disk.path)
        with pytest.raises(OSError):
            file.datasync()
        assert file.pread(1, 65536) == b"c"
        late = OsVfs()
        late.watch_filesystem(disk.path)
        assert late.sync_filesystem(disk.path)
        file.close()
        del file, watcher, watchers, late  # their descriptors keep the disk busy
        disk.feed()
        disk.cut()
        disk.remount()
        assert read_whole(OsVfs(), f"{disk.path}/segment") == b"a" * 4096 + bytes(1 << 20)

    def test_full(self, disk):
        vfs = OsVfs()
        disk.fill(leave_bytes=64 << 10)
        file = vfs.open(f"{disk.path}/file", create=True)
        with pytest.raises(OSError) as full:
            write_blocks(file, 1000)
        assert full.value.errno in (errno.ENOSPC, errno.EIO)
        assert vfs.free_bytes(disk.path) < 64 << 10

    def test_aborted_is_read_only_for_files_already_open(self, disk):
        file = OsVfs().open(f"{disk.path}/file", create=True)
        file.pwritev([b"x"], 0)
        file.datasync()
        disk.abort()
        with pytest.raises(OSError, match=r"Read-only|Input/output"):
            file.pwritev([b"y"], 4096)
        with pytest.raises(OSError, match=r"Read-only|Input/output"):
            OsVfs().open(f"{disk.path}/other", create=True)
        assert file.pread(1, 0) == b"x"

    def test_detached_leaves_an_empty_directory_of_another_device(self, disk):
        vfs = OsVfs()
        file = vfs.open(f"{disk.path}/file", create=True)
        file.pwritev([b"x"], 0)
        device = vfs.device(disk.path)
        disk.detach()
        assert vfs.device(disk.path) != device
        assert vfs.listdir(disk.path) == []
        assert file.pread(1, 0) == b"x"
        file.close()
        disk.remount()
        assert read_whole(vfs, f"{disk.path}/file") == b"x"


CHILD = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for call in (os.fdatasync, os.fsync, os.fdatasync):
    try:
        call(fd)
        print("fine")
    except OSError as error:
        print(error.errno)
"""


@pytest.mark.skipif(bool(fail_sync.why_not()), reason=fail_sync.why_not() or "able")
def test_one_sync_of_a_chosen_file_fails(tmp_path):
    failing = fail_sync.FailSync(str(tmp_path))

    def syncs(path):
        command = [sys.executable, "-c", CHILD, str(tmp_path / path)]
        return subprocess.run(
            command, env=failing.environment(), check=True, capture_output=True, text=True
        ).stdout.split()

    assert syncs("journal-1") == ["fine"] * 3
    failing.arm("/journal")
    assert syncs("segment") == ["fine"] * 3
    assert failing.armed
    assert syncs("journal-1") == [str(errno.EIO), "fine", "fine"]
    assert not failing.armed
    failing.arm("/journal", errno.ENOSPC)
    assert syncs("journal-1")[0] == str(errno.ENOSPC)
    assert "LD_PRELOAD" not in os.environ
