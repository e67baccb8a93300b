"""Sparse indexes: a part in a file and a part in memory behave as one sorted list, whatever is cut, written or replaced."""

from __future__ import annotations

import errno
import os
import struct
from array import array
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from logbroker.storage.file_pool import FilePool
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY, MapCache, SparseIndex
from logbroker.storage.vfs import OsVfs


class IndexMachine(RuleBasedStateMachine):
    """The index and its file against a plain list of entries."""

    def __init__(self):
        super().__init__()
        self.path = f"{self.folder}/{os.urandom(8).hex()}.index"
        self.pool = FilePool(OsVfs(), 4)
        self.maps = MapCache(self.pool, 4)
        self.index = SparseIndex(OFFSET_ENTRY)
        self.entries = []

    def teardown(self):
        self.pool.close()

    @rule(count=st.integers(1, 5), step=st.integers(1, 9))
    def append(self, count, step):
        for _ in range(count):
            key, value = self.entries[-1] if self.entries else (-1, -1)
            entry = (key + step, value + 2 * step)
            self.entries.append(entry)
            self.index.append(*entry)

    @rule()
    def write(self):
        position, data, trim = self.index.take_unwritten()
        if data or os.path.exists(self.path):
            file = self.pool.get(self.path, create=True)
            file.pwritev([data], position)
            if trim:
                file.truncate(position + len(data))

    @rule()
    def seal(self):
        self.write()
        self.index.drop_memory()

    @rule(by_value=st.booleans(), data=st.data())
    def truncate(self, by_value, data):
        field = int(by_value)
        top = self.entries[-1][field] if self.entries else 0
        limit = data.draw(st.integers(0, top + 2))
        self.index.truncate(limit, self.maps, self.path, field=field)
        self.entries = [entry for entry in self.entries if entry[field] < limit]

    @rule(count=st.integers(0, 5))
    def rebuild(self, count):
        """An index that wasn't believed: rebuilt entries take its place, up to the last of them."""
        self.index.reset()
        for entry in self.entries:
            self.index.append(*entry)
        fresh = [(3 * number, 3 * number) for number in range(count)]
        last = fresh[-1] if fresh else (-1, -1)
        kept = [entry for entry in self.entries if entry[0] > last[0] and entry[1] > last[1]]
        memory = self.index.memory
        in_memory = {(memory[at], memory[at + 1]) for at in range(0, len(memory), 2)}
        self.entries = fresh + [entry for entry in kept if entry in in_memory]
        self.index.replace(array("q", [field for entry in fresh for field in entry]), in_files=False)

    @rule()
    def reopen(self):
        """A clean stop: everything is written, and only the file's length is known."""
        self.write()
        self.maps.forget(self.path)
        size = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        assert size == 8 * len(self.entries)
        self.index = SparseIndex(OFFSET_ENTRY, size // 8)

    @invariant()
    def behaves_as_a_list(self):
        assert len(self.index) == len(self.entries)
        assert self.index.size_bytes == 8 * len(self.entries)
        assert self.index.last(self.maps, self.path) == (self.entries[-1] if self.entries else None)
        keys = [key for key, _ in self.entries]
        for key in {0, 1, 7, *keys, *(key - 1 for key in keys)}:
            at = bisect_right(keys, key) - 1
            expected = self.entries[at] if at >= 0 else None
            assert self.index.floor(key, self.maps, self.path) == expected


def test_file_and_memory_are_one_list(tmp_path):
    from hypothesis.stateful import run_state_machine_as_test

    IndexMachine.folder = str(tmp_path)
    run_state_machine_as_test(IndexMachine)


def written(path, entry, entries):
    with open(path, "wb") as file:
        file.write(b"".join(entry.pack(*item) for item in entries))


def make(tmp_path, entries, claimed=None, entry=OFFSET_ENTRY):
    path = str(tmp_path / "x.index")
    written(path, entry, entries)
    maps = MapCache(FilePool(OsVfs(), 4), 4)
    return SparseIndex(entry, len(entries) if claimed is None else claimed), maps, path


def test_a_file_that_is_shorter_than_believed_is_never_read_past_its_end(tmp_path):
    index, maps, path = make(tmp_path, [(1, 10), (2, 20)], claimed=10_000)
    assert index.floor(5, maps, path) == (2, 20)
    assert index.last(maps, path) == (2, 20)
    index.truncate(2, maps, path)
    assert index.floor(5, maps, path) == (1, 10)


def test_a_mapping_survives_a_file_that_shrinks_behind_it(tmp_path):
    entries = [(number, number) for number in range(5000)]
    index, maps, path = make(tmp_path, entries)
    assert index.floor(4999, maps, path) == (4999, 4999)
    index.truncate(3, maps, path)
    position, data, trim = index.take_unwritten()
    assert (position, data, trim) == (24, b"", True)
    os.truncate(path, position)
    assert index.floor(4999, maps, path) == (
        2,
        2,
    )  # the old mapping is longer than the file; only what is left is touched


def test_a_missing_file_is_an_error_and_no_answer(tmp_path):
    index, maps, path = make(tmp_path, [(1, 1)])
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        index.floor(1, maps, path)


def test_mappings_are_bounded_and_made_again(tmp_path):
    pool = FilePool(OsVfs(), 100)
    maps = MapCache(pool, 3)
    paths = []
    for number in range(10):
        path = str(tmp_path / f"{number}.index")
        written(path, OFFSET_ENTRY, [(number, number)])
        paths.append(path)
    for path in paths * 2:
        assert SparseIndex(OFFSET_ENTRY, 1).last(maps, path) == (int(os.path.basename(path)[0]),) * 2
        assert len(maps._maps) <= 3


def test_mappings_give_way_when_descriptors_run_out(tmp_path):
    """On Python before 3.13 each holds one."""
    live = []

    class Scarce(OsVfs):
        def open(self, path, *, create=False):
            file = super().open(path, create=create)
            real = file.map_readonly

            def scarce(size):
                if len(maps._maps) >= 5:
                    raise OSError(errno.EMFILE, "Too many open files")
                live.append(path)
                return real(size)

            return _Wrapped(file, scarce)

    class _Wrapped:
        def __init__(self, file, map_readonly):
            self.size, self.path, self._file = file.size, file.path, file
            self.map_readonly = map_readonly

    maps = MapCache(FilePool(Scarce(), 100), 100)
    for number in range(30):
        path = str(tmp_path / f"{number:02d}.index")
        written(path, OFFSET_ENTRY, [(number, number)])
        assert SparseIndex(OFFSET_ENTRY, 1).last(maps, path) == (number, number)
        assert len(maps._maps) <= 5
    assert len(live) == 30


def test_an_index_that_grew_is_mapped_anew(tmp_path):
    index, maps, path = make(tmp_path, [(1, 1)])
    assert index.last(maps, path) == (1, 1)
    written(path, OFFSET_ENTRY, [(1, 1), (2, 2)])
    index.file_entries = 2
    assert index.last(maps, path) == (2, 2)


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**32 - 1)), max_size=20))
def test_time_entries_are_kafkas_twelve_bytes(entries):
    index = SparseIndex(TIME_ENTRY)
    for entry in entries:
        index.append(*entry)
    position, data, trim = index.take_unwritten()
    assert position == 0
    assert not trim
    assert list(struct.iter_unpack(">qI", data)) == entries
    assert index.take_unwritten() == (12 * len(entries), b"", False)
