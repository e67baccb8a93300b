"""A process that runs out of file descriptors waits, or says what to do; its disk is well all the while."""

from __future__ import annotations

import asyncio
import errno
import os
import uuid

import pytest
from storage.support import Engine, QuickVfs
from storage.test_directories_of_a_broker import Broker

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError, StorageOfflineError
from logbroker.replication import disk_reads
from logbroker.storage.vfs import OsVfs

OPERATIONS = ("open", "listdir", "sync_dir")


class Short(QuickVfs):
    """A process whose descriptors are all in use, for its next `left` attempts of `operation`."""

    def __init__(self):
        super().__init__()
        self.operation, self.left = "", 0

    def _take(self, operation, path):
        if operation == self.operation and self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    def open(self, path, *, create=False):
        self._take("open", path)
        return super().open(path, create=create)

    def listdir(self, path):
        self._take("listdir", path)
        return super().listdir(path)

    def sync_dir(self, path):
        self._take("sync_dir", path)
        super().sync_dir(path)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_directory_waits_for_descriptors(tmp_path, operation):
    vfs = Short()
    engine = Engine(tmp_path, vfs=vfs)
    engine.open()
    engine.fill(engine.create(), 3)
    struck = 0
    for life in ("running", "recovering", "removing"):
        vfs.operation, vfs.left = operation, 3
        if life == "running":
            engine.fill(engine.create("u", topic_id=uuid.UUID(int=9)), 3)
            engine.checkpoint()
        elif life == "recovering":
            engine.reopen(cleanly=False)
            engine.run()
        else:
            engine.directory.delete_log(engine.log("u"))
            del engine.known["u", 0]
            engine.run()
        assert engine.directory.offline_reason is None
        struck += 3 - vfs.left
    assert len(engine.values(engine.log())) == 3
    assert struck > 3
    vfs.left = 0
    engine.close()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_recovery_that_gets_none_says_what_to_do_and_works_once_there_are(tmp_path, operation):
    vfs = Short()
    engine = Engine(tmp_path, vfs=vfs, descriptor_wait_s=0.0)
    engine.open()
    values = engine.fill(engine.create(), 3)
    engine.kill()
    vfs.operation, vfs.left = operation, 1 << 30
    with pytest.raises(OSError, match="ulimit -n") as caught:
        engine.open()
    assert caught.value.errno == errno.EMFILE
    vfs.left = 0
    engine.open()
    assert list(engine.values(engine.log()).values()) == values
    engine.close()


def test_a_broker_without_descriptors_does_not_start_and_takes_no_directory_offline(tmp_path, monkeypatch):
    broker = Broker(tmp_path)

    async def life(*, full):
        async with broker:
            if full:
                return
            if "t" not in broker.metadata.image.topics:
                await broker.create()
            assert await broker.append(0) == ErrorCode.NONE

    asyncio.run(life(full=False))
    with monkeypatch.context() as patches:

        def none_left(_, path):
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE), path)

        patches.setattr(OsVfs, "listdir", none_left)
        patches.setattr("logbroker.replication.log_dirs.DESCRIPTOR_WAIT_S", 0.0)
        with pytest.raises(ConfigError, match="ulimit -n"):
            asyncio.run(life(full=True))
    asyncio.run(life(full=False))


@pytest.mark.parametrize("on_lane", [False, True])
def test_a_read_that_gets_no_descriptor_fails_alone(tmp_path, on_lane):
    async def life():
        async with Broker(tmp_path) as broker:
            await broker.create()
            assert await broker.append(0) == ErrorCode.NONE
            partition = broker.replicas.partition("t", 0)
            directory = partition.log.host
            error = OSError(errno.ENFILE, os.strerror(errno.ENFILE))
            if on_lane:

                def steps():
                    yield
                    raise error

                with pytest.raises(StorageOfflineError):
                    await disk_reads._run(directory, "read", steps())
            else:
                assert partition.unreadable(error).code == ErrorCode.KAFKA_STORAGE_ERROR
            assert directory.offline_reason is None
            assert await broker.append(0) == ErrorCode.NONE

    asyncio.run(life())
