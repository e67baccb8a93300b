"""The simulated disk against the real one: the same calls, the same results and errors, no crash."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logbroker.storage.vfs import OsVfs, read_whole, write_atomically
from logbroker.testing.sim_disk import SimDisk

PATHS = ["a", "b", "d", "d/a", "d/e", "d/e/a", "e", "d/./a", "b/x", "missing/x"]
path = st.sampled_from(PATHS)
position = st.sampled_from([0, 1, 511, 4095, 4096, 4097, 8191, 8192, 20000]) | st.integers(0, 10000)
size = st.sampled_from([0, 1, 100, 4096, 5000, 12288]) | st.integers(0, 9000)
slot = st.integers(0, 2)

operation = st.one_of(
    st.tuples(st.just("open"), slot, path, st.booleans()),
    st.tuples(st.just("open"), slot, st.sampled_from(["a", "b", "d/a"]), st.just(True)),
    st.tuples(st.just("write"), slot, st.lists(size, min_size=0, max_size=3), position),
    st.tuples(st.just("zeros"), slot, size, position),
    st.tuples(st.just("read"), slot, size, position),
    st.tuples(st.just("nowait"), slot, size, position),
    st.tuples(st.just("truncate"), slot, position),
    st.tuples(st.just("size"), slot),
    st.tuples(st.just("map"), slot, size),
    st.tuples(st.just("datasync"), slot),
    st.tuples(st.just("close"), slot),
    st.tuples(
        st.sampled_from(["mkdir", "unlink", "rmdir", "listdir", "exists", "sync_dir", "file_size"]), path
    ),
    st.tuples(st.just("mkdir"), st.sampled_from(["d", "d/e", "e"])),
    st.tuples(st.just("rename"), path, path),
)
numbers = itertools.count()


class Runner:
    def __init__(self, vfs, root):
        self.vfs = vfs
        self.root = root
        self.files = [None, None, None]
        self.filler = 0

    def run(self, name, *arguments):
        """The visible outcome: a value, or the error's class and number."""
        try:
            return self.perform(name, *arguments)
        except OSError as error:
            return type(error), error.errno
        except ValueError:
            return ValueError

    def perform(self, name, *arguments):
        vfs, root = self.vfs, self.root
        if name == "open":
            index, where, create = arguments
            self.files[index] = vfs.open(f"{root}/{where}", create=create)
            return "opened"
        if name in ("mkdir", "unlink", "rmdir", "listdir", "exists", "sync_dir", "file_size"):
            full = f"{root}/{arguments[0]}"
            if name == "file_size" and arguments[0] in ("d", "e", "d/e"):
                return None  # the length of a directory is nobody's business
            return getattr(vfs, name)(full)
        if name == "rename":
            return vfs.rename(f"{root}/{arguments[0]}", f"{root}/{arguments[1]}")
        file = self.files[arguments[0]]
        if file is None:
            return None
        if name == "write":
            _, sizes, at = arguments
            buffers = []
            for count in sizes:
                self.filler += 1
                buffers.append(memoryview(self.filler.to_bytes(4) * (count // 4 + 1))[:count])
            return file.pwritev(buffers, at)
        if name == "zeros":
            return file.pwritev([bytes(arguments[1])], arguments[2])
        if name == "read":
            return file.pread(arguments[1], arguments[2])
        if name == "nowait":
            data = file.pread_nowait(arguments[1], arguments[2])
            return None if data is None else bytes(data)
        if name == "map":
            return bytes(file.map_readonly(arguments[1]))
        if name == "close":
            self.files[arguments[0]] = None
            return file.close()
        return {"truncate": file.truncate, "size": file.size, "datasync": file.datasync}[name](*arguments[1:])

    def tree(self, where=""):
        found = {}
        for name in self.vfs.listdir(f"{self.root}/{where}"):
            inner = f"{where}/{name}"
            try:
                found[inner] = read_whole(self.vfs, f"{self.root}{inner}")
            except IsADirectoryError:
                found[inner] = "directory"
                found.update(self.tree(inner))
        return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(operation, max_size=40))
def test_same_calls_same_results(tmp_path, operations):
    root = tmp_path / str(next(numbers))
    root.mkdir()
    real, simulated = Runner(OsVfs(), str(root)), Runner(SimDisk(["/data"]), "/data")
    for number, (name, *arguments) in enumerate(operations):
        expected, got = real.run(name, *arguments), simulated.run(name, *arguments)
        if name == "nowait" and expected is None:
            continue  # the real cache may be cold
        assert got == expected, f"operation {number}: {name} {arguments}"
    tree = real.tree()
    assert simulated.tree() == tree
    killed = simulated.vfs.kill(simulated.vfs.operations)
    assert Runner(killed, "/data").tree() == tree


@pytest.mark.parametrize("make", [lambda _: ("/data", SimDisk(["/data"])), lambda path: (str(path), OsVfs())])
def test_details_both_share(tmp_path, make):
    root, vfs = make(tmp_path)
    write_atomically(vfs, f"{root}/c", b"one")
    write_atomically(vfs, f"{root}/c", b"two")
    assert read_whole(vfs, f"{root}/c") == b"two"
    file = vfs.open(f"{root}/c")
    other = vfs.open(f"{root}/c")
    vfs.unlink(f"{root}/c")
    assert file.pread(10, 0) == b"two"
    other.pwritev([b"x"] * 1500, 1)
    assert file.size() == 1501
    for call in (lambda: file.pread(1, -1), lambda: file.truncate(-1)):
        with pytest.raises(OSError, match="Invalid argument"):
            call()
    file.close()
    file.close()
    for call in (lambda: file.pread(1, 0), lambda: file.pwritev([b"a"], 0), file.size):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    assert vfs.device(root) == vfs.device(f"{root}/.")
    assert vfs.free_bytes(root) > 1 << 20
    vfs.open(f"{root}/f", create=True)
    assert vfs.modified_ms(f"{root}/f") > 1_600_000_000_000
    for call in (vfs.free_bytes, vfs.device, vfs.modified_ms, vfs.file_size, vfs.listdir, vfs.sync_dir):
        with pytest.raises(FileNotFoundError):
            call(f"{root}/missing")
