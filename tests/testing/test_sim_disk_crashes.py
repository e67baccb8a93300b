"""What a crash of the simulated disk keeps and what it may lose: honest in both directions.

`outcomes` collects every distinct disk that many crashes leave, so that a test can say exactly which ones there are.
"""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.storage.vfs import read_whole, write_atomically
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_image import PAGE_SIZE, SECTOR_SIZE

ONE, TWO = b"1" * PAGE_SIZE, b"2" * PAGE_SIZE


def tree(disk, where="/data"):
    found = {}
    for name in disk.listdir(where):
        try:
            found[f"{where}/{name}"] = read_whole(disk, f"{where}/{name}")
        except IsADirectoryError:
            found[f"{where}/{name}"] = None
            found.update(tree(disk, f"{where}/{name}"))
    return found


def outcomes(disk, look, count=400, at=None):
    rng = random.Random(7)
    return {look(disk.crash(disk.operations if at is None else at, rng)) for _ in range(count)}


def content(path):
    return lambda disk: read_whole(disk, path) if disk.exists(path) else None


def letters(path):
    """Which page versions a file holds, as one character a page."""
    return lambda disk: "".join(chr(page) if page else "0" for page in read_whole(disk, path)[::PAGE_SIZE])


def names(where="/data"):
    return lambda disk: tuple(disk.listdir(where))


@pytest.fixture
def disk():
    return SimDisk(["/data"])


def durable_file(disk, path, data):
    file = disk.open(path, create=True)
    file.pwritev([data], 0)
    file.datasync()
    disk.sync_dir("/data")
    return file


def test_synced_bytes_survive_every_crash(disk):
    durable_file(disk, "/data/a", ONE + TWO)
    assert outcomes(disk, content("/data/a")) == {ONE + TWO}


def test_data_without_name_is_not_found_after_a_crash(disk):
    file = disk.open("/data/a", create=True)
    file.pwritev([ONE], 0)
    file.datasync()
    assert outcomes(disk, content("/data/a")) == {None, ONE}


def test_name_without_data(disk):
    file = disk.open("/data/a", create=True)
    disk.sync_dir("/data")
    file.pwritev([b"x"], 0)
    assert outcomes(disk, content("/data/a")) == {b"", b"\0", b"x"}


def test_every_subset_of_unsynced_pages_may_survive(disk):
    file = durable_file(disk, "/data/a", ONE * 3)
    file.pwritev([TWO * 3], 0)
    seen = outcomes(disk, letters("/data/a"), 3000)
    assert {f"{a}{b}{c}" for a in "12" for b in "12" for c in "12"} <= seen


def test_size_may_grow_without_data(disk):
    file = durable_file(disk, "/data/a", ONE)
    file.pwritev([TWO], 2 * PAGE_SIZE)
    assert outcomes(disk, letters("/data/a")) == {"1", "100", "102"}


def test_pages_tear_at_sectors_and_only_there(disk):
    file = durable_file(disk, "/data/a", ONE)
    file.pwritev([TWO], 0)
    sectors = set()
    for data in outcomes(disk, content("/data/a"), 2000):
        for start in range(0, PAGE_SIZE, SECTOR_SIZE):
            assert data[start : start + SECTOR_SIZE] in (ONE[:SECTOR_SIZE], TWO[:SECTOR_SIZE])
        sectors.add("".join(chr(byte) for byte in data[::SECTOR_SIZE]))
    assert {"11111111", "22222222", "22221111"} <= sectors
    assert len(sectors) > 50


def test_either_version_of_a_page_written_twice(disk):
    file = durable_file(disk, "/data/a", b"0" * 10)
    file.pwritev([b"1"], 0)
    file.pwritev([b"2"], 9)
    assert outcomes(disk, content("/data/a")) == {b"0" * 10, b"1" + b"0" * 9, b"1" + b"0" * 8 + b"2"}


def test_write_after_sync_of_the_same_page_may_be_lost_but_the_synced_part_not(disk):
    file = durable_file(disk, "/data/a", b"old")
    file.pwritev([b"new"], 3)
    seen = outcomes(disk, content("/data/a"))
    assert seen == {b"old", b"oldnew", b"old\0\0\0"}


def test_truncation_happens_or_not(disk):
    file = durable_file(disk, "/data/a", ONE + TWO)
    file.truncate(10)
    seen = outcomes(disk, content("/data/a"))
    assert {ONE + TWO, b"1" * 10, ONE[:10] + bytes(PAGE_SIZE - 10) + TWO} <= seen
    assert {len(data) for data in seen} == {2 * PAGE_SIZE, 10}
    file.datasync()
    assert outcomes(disk, content("/data/a")) == {b"1" * 10}


def test_cut_and_grown_again_reads_zeros(disk):
    file = durable_file(disk, "/data/a", ONE + TWO)
    file.truncate(0)
    file.pwritev([bytes(2 * PAGE_SIZE)], 0)
    assert read_whole(disk, "/data/a") == bytes(2 * PAGE_SIZE)
    file.datasync()
    assert outcomes(disk, content("/data/a")) == {bytes(2 * PAGE_SIZE)}


def test_rename_is_atomic_and_needs_its_directory_synced(disk):
    durable_file(disk, "/data/a", ONE)
    durable_file(disk, "/data/a.tmp", TWO)
    disk.rename("/data/a.tmp", "/data/a")
    assert outcomes(disk, lambda disk: tuple(tree(disk).items())) == {
        (("/data/a", ONE), ("/data/a.tmp", TWO)),
        (("/data/a", TWO),),
    }
    disk.sync_dir("/data")
    assert outcomes(disk, content("/data/a")) == {TWO}


def test_write_atomically_leaves_the_old_or_the_new_at_every_point(disk):
    durable_file(disk, "/data/a", b"old")
    start = disk.operations
    write_atomically(disk, "/data/a", b"new")
    seen = set()
    for at in range(start, disk.operations + 1):
        seen |= outcomes(disk, content("/data/a"), 50, at)
    assert seen == {b"old", b"new"}
    assert outcomes(disk, content("/data/a")) == {b"new"}


@pytest.mark.parametrize("kind", ["datasync", "sync_dir"])
def test_write_atomically_without_one_of_its_fences(disk, kind):
    durable_file(disk, "/data/a", b"old")
    write_atomically(disk, "/data/a", b"new")
    (label,) = [label for label in disk.labels if "write_atomically" in label and label.endswith(kind)]
    assert outcomes(disk, content("/data/a")) == {b"new"}
    disk.disabled_fences = frozenset({label})
    seen = outcomes(disk, content("/data/a"))
    assert seen == ({b"", b"\0\0\0", b"new"} if kind == "datasync" else {b"old", b"new"})
    disk.disabled_fences = frozenset()
    assert outcomes(disk, content("/data/a")) == {b"new"}


def test_labels_name_the_call(disk):
    def two_syncs():
        file = disk.open("/data/a", create=True)
        file.datasync()
        file.datasync()

    two_syncs()
    write_atomically(disk, "/data/a", b"")
    name = "test_sim_disk_crashes.test_labels_name_the_call"
    assert disk.labels == {
        f"{name}.two_syncs:datasync",
        f"{name}.two_syncs:datasync#2",
        f"{name}>vfs.write_atomically:datasync",
        f"{name}>vfs.write_atomically:sync_dir",
    }


def test_create_and_unlink_without_a_synced_directory(disk):
    durable_file(disk, "/data/a", ONE)
    disk.unlink("/data/a")
    disk.open("/data/b", create=True)
    assert outcomes(disk, names()) == {("a",), (), ("b",), ("a", "b")}
    disk.sync_dir("/data")
    assert outcomes(disk, names()) == {("b",)}


def test_a_name_in_a_directory_that_was_not_synced_itself(disk):
    disk.mkdir("/data/d")
    disk.open("/data/d/a", create=True)
    disk.sync_dir("/data/d")
    assert outcomes(disk, lambda disk: tuple(tree(disk))) == {(), ("/data/d", "/data/d/a")}


def test_renamed_twice_has_one_name(disk):
    durable_file(disk, "/data/a", ONE)
    disk.rename("/data/a", "/data/b")
    disk.rename("/data/b", "/data/c")
    assert outcomes(disk, names()) == {("a",), ("b",), ("c",)}


def test_renames_between_directories_follow_either_directory(disk):
    disk.mkdir("/data/d")
    durable_file(disk, "/data/a", ONE)
    disk.rename("/data/a", "/data/d/a")
    disk.open("/data/a", create=True)
    disk.sync_dir("/data/d")
    assert outcomes(disk, lambda disk: tuple(tree(disk))) == {
        ("/data/d", "/data/d/a"),
        ("/data/a", "/data/d", "/data/d/a"),
    }


def test_directories_never_end_up_inside_each_other(disk):
    for name in "ab":
        disk.mkdir(f"/data/{name}")
        disk.open(f"/data/{name}/file", create=True)
        disk.sync_dir(f"/data/{name}")
    disk.sync_dir("/data")
    disk.rename("/data/a", "/data/b/a")
    disk.rename("/data/b/a", "/data/a")
    disk.rename("/data/b", "/data/a/b")
    for seen in outcomes(disk, lambda disk: tuple(tree(disk))):
        assert sum(path.endswith("/file") for path in seen) == 2


def test_unlinked_file_stays_readable_and_is_gone_after_a_kill(disk):
    file = durable_file(disk, "/data/a", ONE)
    disk.unlink("/data/a")
    file.pwritev([b"2"], 0)
    file.datasync()
    assert file.pread(2, 0) == b"21"
    assert not disk.kill(disk.operations).exists("/data/a")
    assert outcomes(disk, content("/data/a")) == {None, b"2" + ONE[1:]}


# A failed sync.


def test_failed_datasync_loses_the_pages_and_later_ones_lie(disk):
    file = durable_file(disk, "/data/a", ONE * 2)
    file.pwritev([TWO], 0)
    disk.faults.append(Fault("datasync"))
    with pytest.raises(OSError, match="Input/output error"):
        file.datasync()
    file.datasync()
    assert read_whole(disk, "/data/a") == TWO + ONE  # the cache shows it
    assert {"11", "21"} <= outcomes(disk, letters("/data/a"))
    file.pwritev([TWO], PAGE_SIZE)
    file.datasync()
    assert {"12", "22"} <= outcomes(disk, letters("/data/a"))  # the other page was written, this one wasn't
    file.pwritev([b"2"], 5)  # dirty again: now it is
    file.datasync()
    assert outcomes(disk, letters("/data/a")) == {"22"}


def test_a_killed_process_finds_the_lost_pages_in_the_cache_and_may_lose_them_later(disk):
    file = durable_file(disk, "/data/a", ONE)
    file.pwritev([TWO], 0)
    disk.faults.append(Fault("datasync"))
    with pytest.raises(OSError, match="Input/output"):
        file.datasync()
    second = disk.kill(disk.operations)
    assert read_whole(second, "/data/a") == TWO
    second.open("/data/a").datasync()
    assert {"1", "2"} <= outcomes(second, letters("/data/a"))
    third = second.kill(second.operations)
    file = third.open("/data/a")
    file.pwritev([TWO], 0)  # "write every journaled batch, always, not only where something looks wrong"
    file.datasync()
    assert outcomes(third, letters("/data/a")) == {"2"}


def test_failed_sync_dir_loses_the_names(disk):
    disk.open("/data/a", create=True)
    disk.faults.append(Fault("sync_dir"))
    with pytest.raises(OSError, match="Input/output"):
        disk.sync_dir("/data")
    disk.sync_dir("/data")
    assert outcomes(disk, names()) == {(), ("a",)}
    disk.rename("/data/a", "/data/b")
    disk.sync_dir("/data")
    assert outcomes(disk, names()) == {("b",)}


def test_lost_size_stays_lost_until_the_file_grows_again(disk):
    file = durable_file(disk, "/data/a", b"")
    file.pwritev([ONE], 0)
    disk.faults.append(Fault("datasync"))
    with pytest.raises(OSError, match="Input/output"):
        file.datasync()
    file.datasync()
    assert {"", "1"} <= outcomes(disk, letters("/data/a"))
    file.pwritev([TWO], PAGE_SIZE)
    file.datasync()
    assert outcomes(disk, letters("/data/a")) == {"02", "12"}


def test_eviction_reads_the_disk_again(disk):
    seen = set()
    for seed in range(20):
        disk = SimDisk(["/data"])
        file = durable_file(disk, "/data/a", ONE)
        file.pwritev([TWO], 0)
        disk.fail_writeback("/data/a")
        assert read_whole(disk, "/data/a") == TWO
        disk.evict(random.Random(seed))
        seen.add(file.pread(1, 0))
        assert outcomes(disk, content("/data/a"), 20) == {read_whole(disk, "/data/a")}
    assert seen == {b"1", b"2"}


def test_failed_writeback_is_told_once_to_each_descriptor_open_then(disk):
    file = durable_file(disk, "/data/a", ONE)
    other = disk.open("/data/a")
    file.pwritev([TWO], 0)
    disk.fail_writeback("/data/a")
    late = disk.open("/data/a")
    late.datasync()
    for descriptor in (file, other):
        with pytest.raises(OSError, match="Input/output"):
            descriptor.datasync()
        descriptor.datasync()
    assert "1" in outcomes(disk, letters("/data/a"))


def test_failed_sync_filesystem_is_told_once_to_each_watcher_and_later_ones_lie(disk):
    file = durable_file(disk, "/data/a", ONE)
    file.pwritev([TWO], 0)
    disk.open("/data/b", create=True)
    disk.faults.append(Fault("sync_filesystem"))
    for watcher in ("/data", "/"):
        with pytest.raises(OSError, match="Input/output"):
            disk.sync_filesystem(watcher)
        assert disk.sync_filesystem(watcher)
    with pytest.raises(OSError, match="Input/output"):
        file.datasync()
    assert outcomes(disk, names()) == {("a", "b")}  # it is the page that was lost
    assert {"1", "2"} <= outcomes(disk, letters("/data/a"))
    file.pwritev([TWO], 0)
    assert disk.sync_filesystem("/data")
    assert outcomes(disk, letters("/data/a")) == {"2"}


def test_the_next_process_hears_of_no_error_that_came_before_it(disk):
    file = durable_file(disk, "/data/a", ONE)
    file.pwritev([TWO], 0)
    disk.fail_writeback("/data/a")
    disk.die()
    disk.revive()
    assert disk.sync_filesystem("/data")
    assert {"1", "2"} <= outcomes(disk, letters("/data/a"))


# Other accidents.


def test_full_disk(disk):
    file = durable_file(disk, "/data/a", ONE)
    disk.capacity_bytes = PAGE_SIZE + 100
    assert disk.free_bytes("/data") == 100
    file.pwritev([TWO], 0)  # overwriting needs no room
    with pytest.raises(OSError, match="short write: 100 of 200") as short:
        file.pwritev([bytes(200)], PAGE_SIZE)
    assert short.value.errno == errno.EIO
    assert file.size() == PAGE_SIZE + 100
    with pytest.raises(OSError, match="No space left") as full:
        file.pwritev([b"x"], PAGE_SIZE + 100)
    assert full.value.errno == errno.ENOSPC
    disk.unlink("/data/a")
    assert disk.free_bytes("/data") == 0  # somebody has it open
    file.close()
    assert disk.free_bytes("/data") == PAGE_SIZE + 100


def test_faults_strike_where_they_are_told_to(disk):
    file, other = durable_file(disk, "/data/a", ONE), durable_file(disk, "/data/b", ONE)
    disk.faults.append(Fault("pwritev", errno.EIO, path_contains="/b", skip=1, short_bytes=2))
    file.pwritev([b"x"], 0)
    other.pwritev([b"x"], 0)
    with pytest.raises(OSError, match="Input/output"):
        other.pwritev([b"22222"], 0)
    assert other.pread(3, 0) == b"221"
    other.pwritev([b"x"], 0)
    disk.faults.append(Fault("open", errno.EMFILE, times=2))
    for _ in range(2):
        with pytest.raises(OSError, match="Too many open files"):
            disk.open("/data/a")
    disk.open("/data/a")
    disk.faults.append(Fault("pread"))
    with pytest.raises(OSError, match="Input/output"):
        file.pread(1, 0)
    assert file.pread(1, 0) == b"x"


def test_read_only(disk):
    file = durable_file(disk, "/data/a", ONE)
    disk.mkdir("/data/d")
    disk.read_only = True
    for call in (
        lambda: file.pwritev([b"x"], 0),
        lambda: file.truncate(0),
        lambda: disk.open("/data/a"),
        lambda: disk.open("/data/n", create=True),
        lambda: disk.mkdir("/data/n"),
        lambda: disk.rename("/data/a", "/data/n"),
        lambda: disk.unlink("/data/a"),
        lambda: disk.rmdir("/data/d"),
    ):
        with pytest.raises(OSError, match="Read-only file system"):
            call()
    assert file.pread(1, 0) == b"1"
    disk.mkdir("/data/d")
    disk.unlink("/data/missing")


def test_a_mount_that_goes_away_and_comes_back():
    disk = SimDisk(["/data/mnt", "/data/other"])
    disk.mount("/data/mnt")
    file = durable_file(disk, "/data/mnt/a", ONE)
    disk.sync_dir("/data/mnt")
    device = disk.device("/data/mnt/a")
    assert device == disk.device("/data/mnt") != disk.device("/data/other")
    disk.unmount("/data/mnt")
    assert disk.device("/data/mnt") == disk.device("/data/other")
    assert disk.listdir("/data/mnt") == []
    assert file.pread(1, 0) == b"1"
    again = disk.crash(disk.operations, random.Random(1))
    assert again.device("/data/mnt") == device
    assert read_whole(again, "/data/mnt/a") == ONE


def test_cold_cache(disk):
    file = durable_file(disk, "/data/a", ONE)
    assert file.pread_nowait(10, 0) == b"1" * 10
    disk.cached_bytes = lambda _: None
    assert file.pread_nowait(10, 0) is None
    disk.cached_bytes = lambda size: size // 2
    assert file.pread_nowait(10, 0) == b"1" * 5


def test_the_dead_touch_nothing(disk):
    file = durable_file(disk, "/data/a", ONE)
    disk.die()
    for call in (
        lambda: file.pwritev([b"x"], 0),
        file.datasync,
        lambda: disk.unlink("/data/a"),
        lambda: disk.sync_dir("/data"),
        lambda: disk.open("/data/a"),
        lambda: write_atomically(disk, "/data/a", b""),
    ):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


# Properties.

step = st.one_of(
    st.tuples(
        st.just("write"), st.sampled_from("ab"), st.integers(0, 12000), st.sampled_from([1, 700, 4096, 6000])
    ),
    st.tuples(st.just("truncate"), st.sampled_from("ab"), st.integers(0, 12000)),
    st.tuples(st.just("datasync"), st.sampled_from("ab")),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(step, max_size=25), seed=st.integers(0, 1 << 30))
def test_what_was_synced_survives_unless_written_again(steps, seed):
    """Every byte after a crash is one that this file held there at its last sync or since then (or zero, past that size)."""
    disk = SimDisk(["/data"])
    files = {name: durable_file(disk, f"/data/{name}", b"") for name in "ab"}
    versions = {name: [b""] for name in "ab"}  # since the last sync, with the state at that sync
    for number, (kind, name, *arguments) in enumerate(steps):
        file = files[name]
        if kind == "write":
            file.pwritev([bytes([number + 1]) * arguments[1]], arguments[0])
        elif kind == "truncate":
            file.truncate(arguments[0])
        else:
            file.datasync()
            versions[name].clear()
        versions[name].append(file.pread(1 << 20, 0))
    rng = random.Random(seed)
    for _ in range(20):
        crashed = disk.crash(disk.operations, rng)
        for name in "ab":
            found = read_whole(crashed, f"/data/{name}")
            possible = versions[name]
            assert len(found) in {len(version) for version in possible}
            padded = [version.ljust(len(found), b"\0") for version in possible]
            if len(possible) == 1:
                assert found == possible[0]
            for start in range(0, len(found), SECTOR_SIZE):
                end = min(start + SECTOR_SIZE, len(found))
                allowed = {version[start:end] for version in padded}
                allowed |= {
                    version[start:end][:cut].ljust(end - start, b"\0")
                    for version in padded
                    for cut in {max(0, len(other) - start) for other in possible}
                    if cut < end - start
                }
                assert found[start:end] in allowed


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(step, max_size=20), seed=st.integers(0, 1 << 30))
def test_crashes_are_repeatable_and_independent(steps, seed):
    disk = SimDisk(["/data"])
    files = {name: durable_file(disk, f"/data/{name}", ONE) for name in "ab"}
    for number, (kind, name, *arguments) in enumerate(steps):
        if kind == "write":
            files[name].pwritev([bytes([number + 1]) * arguments[1]], arguments[0])
        elif kind == "truncate":
            files[name].truncate(arguments[0])
        else:
            files[name].datasync()
    before = tree(disk)
    moments = random.Random(seed).choices(range(disk.operations + 1), k=10)
    first = [(disk.crash(at, random.Random(seed + at))) for at in moments]
    for crashed in first:  # a crashed disk is a disk of its own
        if crashed.exists("/data/a"):
            crashed.open("/data/a").truncate(1)
            crashed.open("/data/a").datasync()
    second = [disk.crash(at, random.Random(seed + at)) for at in moments]
    third = [disk.crash(at, random.Random(seed + at)) for at in moments]
    assert [tree(one) for one in second] == [tree(one) for one in third]
    assert [one.decision for one in first] == [one.decision for one in second]
    assert tree(disk) == before == tree(disk.kill(disk.operations))
