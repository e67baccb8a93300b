"""Reads never block the loop: what the page cache doesn't hold is fetched on a lane, and then the same bytes come."""

from __future__ import annotations

import errno
import os
import random

import pytest
from storage.support import NOW, Engine, batch

from logbroker.records.batch import iter_batches
from logbroker.records.iterator import decode_records
from logbroker.storage.segment import WouldBlockError
from logbroker.storage.uncached import ALIGNMENT, DirectFile, open_uncached
from logbroker.storage.vfs import OsFile, OsVfs
from logbroker.testing.sim_disk import SimDisk

PATH = "/data"


class Cold:
    """An engine on a disk of whose files nothing, or only a part, is in the page cache."""

    def __init__(self, cached_bytes):
        self.disk = SimDisk([PATH])
        self.engine = Engine(PATH, vfs=self.disk)
        self.engine.open()
        self.log = self.engine.create(internal_segment_bytes=40_000, index_interval_bytes=1000)
        self.values = [random.Random(number).randbytes(300) for number in range(300)]
        for number, value in enumerate(self.values):
            self.engine.append(self.log, batch(value, at=NOW + number))
        self.engine.run()
        self.engine.reopen()
        self.log = self.engine.log()
        self.disk.cached_bytes = cached_bytes
        self.blocked = 0

    def fetch(self, key):
        """What a handler waits for: the range, read on the lane."""
        outcome = []
        steps = self.engine.directory.fetch_steps([key])
        self.engine.executor.submit("read", steps, lambda *result: outcome.append(result))
        self.engine.run()
        found, error = outcome[0]
        assert error is None
        return found

    def call(self, function):
        """Try, fetch what is missing, and try again, as a handler does."""
        fetched = {}
        for _ in range(1000):
            try:
                return function(self.engine.directory.reader(fetched))
            except WouldBlockError as wanted:
                key = wanted.key
            self.blocked += 1
            assert key not in fetched
            fetched.update(self.fetch(key))
        raise AssertionError("the read never ends")


@pytest.mark.parametrize(
    "cached_bytes", [lambda _: None, lambda size: size // 2, lambda _: 70, lambda size: size]
)
def test_everything_is_read_from_a_cold_disk(cached_bytes):
    cold = Cold(cached_bytes)
    offset = 0
    found = []
    while offset < 300:
        data = b"".join(cold.call(lambda reader, offset=offset: cold.log.read(offset, 5000, reader)))
        for position, header in iter_batches(data, verify_crc=True):
            found += [
                bytes(record.value)
                for record in decode_records(data[position : position + header.size_bytes])
            ]
            offset = header.next_offset
    assert found == cold.values
    if cached_bytes(1000) == 1000:
        assert cold.blocked == 0
    else:
        assert cold.blocked > 0


def test_lookups_by_time_from_a_cold_disk():
    cold = Cold(lambda _: None)
    for number in (0, 7, 150, 299):
        header, _ = cold.call(lambda reader, number=number: cold.log.find_timestamp(NOW + number, reader))
        assert header.base_offset == number
    assert cold.call(lambda reader: cold.log.find_timestamp(NOW + 300, reader)) is None
    assert cold.call(cold.log.max_timestamp_batch)[0].base_offset == 299


def test_learning_timestamps_goes_on_where_it_was(monkeypatch):
    """A segment without a time index, larger than the loop may read at a time."""
    monkeypatch.setattr("logbroker.storage.segment_reading._LONG_WALK_BYTES", 5000)
    monkeypatch.setattr("logbroker.storage.segment_reading.SCAN_BYTES", 1000)
    monkeypatch.setattr("logbroker.storage.reader.SCAN_BYTES", 1000)
    for cached in (lambda _: None, lambda size: size):
        cold = Cold(cached)
        segment = cold.log.segments[0]
        cold.disk.unlink(segment.time_index_path)
        cold.call(segment.load_times)
        assert segment.times_known
        assert segment.max_timestamp == NOW + cold.log.segments[1].base_offset - 1
        size = segment.size
        assert size // 5000 - 1 <= cold.blocked <= size // 300 + 10
        assert segment in cold.engine.directory.maps.suspects


def test_what_is_still_in_memory_needs_no_disk():
    cold = Cold(lambda _: None)
    start = cold.log.end_offset
    values = cold.engine.fill(cold.log, 5)
    assert [len(part) for part in cold.log.read(start, 1 << 20, cold.engine.directory.reader({}))] != []
    assert cold.engine.values(cold.log, start) == dict(enumerate(values, start))
    assert cold.blocked == 0


def test_the_operating_systems_files_say_when_they_would_block(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789" * 1000)
    file = OsVfs().open(str(path))
    data = file.pread_nowait(100, 50)
    assert data is None or bytes(data) == b"0123456789" * 10
    assert bytes(file.pread_nowait(100, 9990) or b"0123456789") == b"0123456789"
    assert bytes(file.pread_nowait(100, 20_000) or b"") == b""
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        OsFile(str(path), -1).pread_nowait(1, 0)


# Past the page cache


@pytest.mark.parametrize("size", [0, 1, 511, 4095, 4096, 4097, 100_001])
def test_direct_reads_give_the_same_bytes_at_any_place(tmp_path, size):
    path = str(tmp_path / "x")
    data = random.Random(size).randbytes(size)
    with open(path, "wb") as made:
        made.write(data)
    file = open_uncached(OsVfs(), path)
    assert isinstance(file, DirectFile)
    rng = random.Random(1)
    for _ in range(200):
        position, count = rng.randrange(size + 10), rng.choice([0, 1, 61, ALIGNMENT, ALIGNMENT + 1, 50_000])
        assert file.pread(count, position) == data[position : position + count]
    file.close()
    file.close()


def test_the_scrubber_of_a_real_directory_reads_past_the_page_cache(tmp_path):
    """Its file system is wrapped, for descriptors that run out."""
    with Engine(tmp_path, vfs=OsVfs()) as engine:
        engine.fill(engine.create(), 1)
        engine.checkpoint()
        file = open_uncached(engine.directory.vfs, engine.log().segments[0].path)
        assert isinstance(file, DirectFile)
        file.close()


def test_direct_reads_fall_back_where_the_file_system_cannot(tmp_path, monkeypatch):
    path = str(tmp_path / "x")
    data = os.urandom(10_000)
    with open(path, "wb") as made:
        made.write(data)
    real = os.open
    refused = []

    def no_direct(name, flags, *rest):
        if flags & os.O_DIRECT:
            refused.append(name)
            raise OSError(errno.EINVAL, "no direct I/O here", name)
        return real(name, flags, *rest)

    monkeypatch.setattr(os, "open", no_direct)
    file = open_uncached(OsVfs(), path)
    assert refused == [path]
    assert file.pread(5000, 100) == data[100:5100]
    file.close()
    monkeypatch.undo()

    file = open_uncached(OsVfs(), path)

    def never(*_):
        raise OSError(errno.EINVAL, "not with this alignment")

    monkeypatch.setattr(os, "preadv", never)
    assert file.pread(5000, 100) == data[100:5100]
    assert not file.direct
    file.close()


def test_other_file_systems_are_read_as_they_are(tmp_path):
    disk = SimDisk([PATH])
    made = disk.open(f"{PATH}/x", create=True)
    made.pwritev([b"hello"], 0)
    assert open_uncached(disk, f"{PATH}/x").pread(100, 1) == b"ello"
    with pytest.raises(FileNotFoundError):
        open_uncached(OsVfs(), str(tmp_path / "nothing"))
