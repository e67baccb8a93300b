"""What was promised is there after kill -9, after a failed sync, on a full disk, after a power cut."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from logbroker.config.settings import Settings
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.image import make_image
from logbroker.metadata.service import MetadataService
from logbroker.metadata.sqlite_store import FILE_NAME, SqliteStore
from logbroker.testing import fail_sync, power_cut
from logbroker.testing.metadata_worker import LOG_DIRECTORY, Promises

SETTINGS = Settings()


class Worker:
    """A worker process, and what it says."""

    def __init__(self, directory, seed, failpoints=None, environment=None):
        command = [sys.executable, "-m", "logbroker.testing.metadata_worker", directory, str(seed)]
        if failpoints:
            command.append(failpoints)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by end()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def work(self, promises, changes):
        """Let it make so many changes, or all it can."""
        goal = promises.done + changes
        for line in self.process.stdout:
            promises.read([line])
            if promises.done >= goal:
                break

    def end(self, promises):
        """Take in what is left; the exit status and what was said on standard error."""
        promises.read(self.process.stdout)
        self.process.stdout.close()
        status = self.process.wait(60)
        self._errors.seek(0)
        errors = self._errors.read()
        self._errors.close()
        return status, errors


def reopen(directory):
    store = SqliteStore.open(directory, node_id=1)
    image = store.load(SETTINGS)
    store.release()
    return image


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.long)])
def test_kill_9_loses_nothing_that_was_promised(tmp_path, kills):
    directory = str(tmp_path / "metadata")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    promises = Promises()
    for _ in range(kills):
        worker = Worker(directory, random_.randrange(2**32))
        worker.work(promises, random_.randint(20, 400))
        worker.process.send_signal(signal.SIGKILL)
        assert worker.end(promises)[0] == -signal.SIGKILL
        assert promises.broken(reopen(directory)) == []


@pytest.mark.parametrize("failpoint", ["metadata.before_commit", "metadata.after_commit"])
def test_a_kill_around_the_commit_leaves_all_of_it_or_nothing(tmp_path, failpoint):
    directory = str(tmp_path / "metadata")
    promises = Promises()
    for run in range(2):
        worker = Worker(directory, run, f"{failpoint}=kill@{20 + run}")
        assert worker.end(promises)[0] == -signal.SIGKILL
        assert promises.done
        assert promises.broken(reopen(directory)) == []


def test_a_commit_that_fails_is_never_reported_as_done_and_ends_the_process(tmp_path):
    directory = str(tmp_path / "metadata")
    promises = Promises()
    worker = Worker(directory, 1, "metadata.before_commit=error(EIO)@30")
    status, errors = worker.end(promises)
    assert status == 1
    assert FILE_NAME in errors
    assert "Input/output error" in errors
    assert promises.broken(reopen(directory)) == []


@pytest.mark.skipif(fail_sync.why_not() != "", reason=fail_sync.why_not())
@pytest.mark.parametrize("which", [f"{FILE_NAME}-wal", FILE_NAME])
def test_a_failed_sync_is_final_and_nothing_is_lost(tmp_path, which):
    library = fail_sync.FailSync(str(tmp_path))
    directory = str(tmp_path / "metadata")
    promises = Promises()
    worker = Worker(directory, 7, environment=library.environment())
    worker.work(promises, 50)
    library.arm(which)
    # The database itself is synced by checkpoints only: the log has to grow for that.
    status, errors = worker.end(promises)
    assert status == 1, errors
    assert not library.armed
    assert "SQLITE_IOERR_FSYNC" in errors
    assert promises.broken(reopen(directory)) == []
    worker = Worker(directory, 8)
    worker.work(promises, 50)
    worker.process.kill()
    worker.end(promises)
    assert promises.broken(reopen(directory)) == []


def test_what_only_the_page_cache_holds_is_written_again_before_anything_is_built_upon_it(tmp_path):
    """A sync fails, the process restarts and goes on; then the power goes, and what that sync lost never was anywhere.

    The page cache showed the lost commit as good, so later commits came to lie behind it in SQLite's log. On the disk the log
    must not break off there.
    """

    def commit(store, *names):
        async def run():
            metadata = MetadataService(store, store.load(SETTINGS))
            await metadata.register_directory(LOG_DIRECTORY, "/log")
            for name in names:
                await metadata.create_topics([NewTopic(name, 20, 1)])

        asyncio.run(run())

    def copy(source, target):
        shutil.copytree(tmp_path / source, tmp_path / target)
        return (tmp_path / target / f"{FILE_NAME}-wal").read_bytes()

    first = SqliteStore.open(str(tmp_path / "first"), node_id=1)
    commit(first, "a", "b")
    synced = copy("first", "synced")
    first._connection.execute(
        "PRAGMA synchronous = OFF"
    )  # A sync that does nothing, and says that all is well.
    commit(first, "c")
    cached = copy("first", "cached")
    assert len(cached) > len(synced)

    second = SqliteStore.open(str(tmp_path / "cached"), node_id=1)
    commit(second, "d", "e")
    later = bytearray(copy("cached", "disk"))

    # What is on the disk: of every page that was never written again, what it was before the sync that failed.
    for start in range(0, len(later), 4096):
        page = slice(start, start + 4096)
        if later[page] == cached[page] != synced[page]:
            later[page] = synced[page].ljust(len(later[page]), b"\0")
    (tmp_path / "disk" / f"{FILE_NAME}-wal").write_bytes(later)

    assert {"a", "b", "d", "e"} <= set(reopen(str(tmp_path / "disk")).topics)
    first.release()
    second.release()


# ---- a real file system


needs_loop_disk = pytest.mark.skipif(power_cut.why_not() != "", reason=power_cut.why_not())


@pytest.mark.root
@needs_loop_disk
@pytest.mark.parametrize("cuts", [3, pytest.param(40, marks=pytest.mark.long)])
def test_a_power_cut_loses_nothing_that_was_promised(tmp_path, cuts):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    promises = Promises()
    with power_cut.LoopDisk(str(tmp_path), 64 << 20) as disk:
        directory = f"{disk.path}/metadata"
        for _ in range(cuts):
            worker = Worker(directory, random_.randrange(2**32))
            # From the very first commit on: the file's own name must survive too.
            worker.work(promises, random_.choice((1, 5, 50, 500)))
            disk.cut()
            status, errors = worker.end(promises)
            assert status == 1, errors
            disk.remount()
            assert promises.broken(reopen(directory)) == []


@pytest.mark.root
@needs_loop_disk
def test_a_full_disk_ends_in_a_clear_error_and_a_clean_restart(tmp_path):
    promises = Promises()
    with power_cut.LoopDisk(str(tmp_path), 32 << 20) as disk:
        directory = f"{disk.path}/metadata"
        worker = Worker(directory, 1)
        worker.work(promises, 30)
        disk.fill()
        status, errors = worker.end(promises)
        assert status == 1, errors
        assert "full" in errors or "No space" in errors or "SQLITE_IOERR" in errors
        os.unlink(f"{disk.path}/filler")
        assert promises.broken(reopen(directory)) == []


@pytest.mark.root
@needs_loop_disk
def test_a_file_system_that_turns_read_only_ends_in_a_clear_error(tmp_path):
    promises = Promises()
    with power_cut.LoopDisk(str(tmp_path), 32 << 20) as disk:
        directory = f"{disk.path}/metadata"
        worker = Worker(directory, 1)
        worker.work(promises, 30)
        disk.abort()
        status, errors = worker.end(promises)
        assert status == 1, errors
        assert FILE_NAME in errors
        disk.remount()
        assert promises.broken(reopen(directory)) == []


def test_a_disk_that_refuses_writes_is_noticed_at_the_start(tmp_path):
    directory = tmp_path / "metadata"
    directory.mkdir(mode=0o500)
    with as_somebody_ordinary(), pytest.raises(Exception, match=os.strerror(errno.EACCES)):
        SqliteStore.open(str(directory), node_id=1)


@contextlib.contextmanager
def as_somebody_ordinary():
    """Root may write anywhere: for a moment, be somebody who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_promises_that_are_broken_are_noticed():
    promises = Promises()
    lines = [
        '["will create", "a", 2]\n',
        '["created", "a", 2, "00"]\n',
        '["gave", 5]\n',
        '["will delete", "a"',
    ]
    promises.read(lines)
    assert promises.done == 1
    assert promises.broken(make_image("A" * 22, SETTINGS)) == [
        "a is None, and should be one of [{'partitions': 2, 'retention': None, 'epoch': 0, 'id': '00'}]",
        "producer id 5 would be given again",
    ]
