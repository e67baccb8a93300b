"""A log directory on a real or a simulated disk, driven by hand: nothing happens before `run`."""

from __future__ import annotations

import os
import random
import uuid

from logbroker.base.clock import ManualClock
from logbroker.config.topic import TopicConfig
from logbroker.records.batch import HEADER, Codec, crc32c, iter_batches, parse_header
from logbroker.records.builder import build_batch
from logbroker.records.iterator import decode_records
from logbroker.storage.directory_identity import DirectoryIdentity, write_identity
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.storage.recovery import KnownPartition
from logbroker.storage.vfs import OsFile, OsVfs
from logbroker.testing.sim_executor import SimExecutor

NOW = 1_700_000_000_000
SMALL = {
    "journal_files": 4,
    "journal_file_bytes": 64 << 10,
    "journal_group_max_bytes": 16 << 10,
    "direct_sync_bytes": 16 << 10,
    "writeback_bytes": 1 << 20,
    "checkpoint_bytes": 1 << 20,
}
"""Options that make everything happen soon."""
TOPIC_ID = uuid.UUID(int=0x1234)


def batch(*values, at=NOW, codec=Codec.NONE, **options):
    """One batch with a record of each value (bytes, or a number: so many bytes)."""
    values = values or (b"value",)
    contents = [os.urandom(value) if isinstance(value, int) else value for value in values]
    return build_batch([(at, None, value, ()) for value in contents], codec=codec, **options)


def sealed(buffer, **fields):
    """The batch with header fields changed, and a CRC that agrees unless it is one of them."""
    changed = bytearray(buffer)
    HEADER.pack_into(changed, 0, *parse_header(changed)._replace(**fields))
    if "crc" not in fields:
        changed[17:21] = crc32c(changed[21:]).to_bytes(4, "big")
    return changed


class QuickVfs(OsVfs):
    """Real files that are never really synced: for tests that don't ask what a crash leaves."""

    def open(self, path, *, create=False):
        file = super().open(path, create=create)
        return _QuickFile(path, file)

    def sync_dir(self, path):
        os.stat(path)

    def sync_filesystem(self, path):
        return False


class _QuickFile(OsFile):
    def __init__(self, path, file):
        super().__init__(path, file._fd)
        file._fd = -1

    def datasync(self):
        os.fstat(self._fd)

    def write_durably(self, buffers, position):
        return False


class Engine:
    """One log directory and the partitions that its metadata would name; `with` closes it cleanly."""

    def __init__(self, path, *, vfs=None, seed=0, clock=None, **options):
        self.path = str(path)
        self.vfs = vfs or QuickVfs()
        self.clock = clock or ManualClock(NOW)
        self.options = LogDirectoryOptions(**{**SMALL, **options})
        self.known = {}
        self.seed = seed
        self.offline = []
        self.executor = None
        self.directory = None
        if vfs is None:
            os.makedirs(self.path, exist_ok=True)
        if not self.vfs.exists(f"{self.path}/meta.properties"):
            write_identity(self.vfs, self.path, DirectoryIdentity("test", 1, uuid.UUID(int=1)))

    def start(self):
        """Begin to recover; what comes of it is appended to the list that is returned: (report, error)."""
        self.executor = SimExecutor(random.Random(self.seed))
        self.directory = LogDirectory(
            self.vfs,
            self.executor,
            self.path,
            self.clock,
            self.options,
            call_soon=lambda callback: self.executor.post(lambda _: callback(), None),
            on_offline=self.offline.append,
        )
        outcome = []
        self.directory.open(list(self.known.values()), lambda *result: outcome.append(result))
        return outcome

    def open(self):
        """Recover, as a start does; raises what refuses the directory, returns the report."""
        outcome = self.start()
        self.run()
        report, error = outcome[0]
        if error is not None:
            raise error
        return report

    def run(self):
        """Everything that can happen, happens."""
        self.executor.run_until_idle()

    def tick(self, ms=1000):
        """Time passes, as the replica manager tells the directory."""
        self.clock.advance(ms)
        self.directory.tick(self.clock.wall_ms())
        self.run()

    def checkpoint(self):
        """Everything appended is durable in its segment afterwards."""
        self.run()
        self.directory.checkpointer.start()
        self.run()

    def close(self):
        """A clean stop."""
        closed = []
        self.directory.close(lambda: closed.append(True))
        self.run()
        assert closed == [True]

    def kill(self):
        """As kill -9: what is in the page cache stays."""
        self.executor.abandon()
        self.directory.pool.close()

    def reopen(self, *, cleanly=True):
        """Stop and start; the report."""
        if cleanly:
            self.close()
        else:
            self.kill()
        return self.open()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.directory.offline_reason is None:
            self.close()

    # Partitions

    def create(self, topic="t", index=0, *, topic_id=TOPIC_ID, **config):
        """A new partition."""
        partition = KnownPartition(topic, index, topic_id, TopicConfig(**config))
        self.known[topic, index] = partition
        return self.directory.create_log(partition)

    def log(self, topic="t", index=0):
        """The partition as it is now."""
        partition = self.known[topic, index]
        return self.directory.logs[partition.topic_id.bytes, index]

    def append(self, log, buffer=None, *, epoch=0):
        """Queue one batch; the item tells what became of it, once `run`."""
        buffer = batch() if buffer is None else bytearray(buffer)
        done = []
        item = log.append(buffer, parse_header(buffer), epoch, done.append)
        item.waiter = done
        return item

    def fill(self, log, batches, size=100, *, at=NOW, **options):
        """Append and make durable `batches` of one record of `size` bytes each, a second apart; returns the values."""
        values = [os.urandom(size) for _ in range(batches)]
        for number, value in enumerate(values):
            self.append(log, batch(value, at=at + 1000 * number, **options))
            self.run()
        return values

    def values(self, log, offset=None, *, max_bytes=1 << 20):
        """{offset: value} of everything that the log serves from `offset` on; CRCs are checked."""
        found = {}
        offset = log.start_offset if offset is None else offset
        while True:
            data = b"".join(log.read(offset, max_bytes, self.directory.reader()))
            before = offset
            for position, header in iter_batches(data, verify_crc=True):
                for record in decode_records(data[position : position + header.size_bytes]):
                    if record.offset >= log.start_offset:
                        found[record.offset] = bytes(record.value)
                offset = header.next_offset
            if offset == before:
                return found

    def values_once(self, log, offset, *, max_bytes=1 << 20):
        """{offset: value} of what one read from `offset` on serves."""
        data = b"".join(log.read(offset, max_bytes, self.directory.reader()))
        return {
            record.offset: bytes(record.value)
            for position, header in iter_batches(data, verify_crc=True)
            for record in decode_records(data[position : position + header.size_bytes])
        }

    def files(self, topic="t", index=0, suffix=""):
        """Names in the partition's folder."""
        folder = f"{self.path}/{topic}-{index}"
        return [name for name in self.vfs.listdir(folder) if name.endswith(suffix)]
