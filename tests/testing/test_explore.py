"""The whole apparatus on a log small enough to see through: it passes as it is, and fails without any of its fences.

`TinyLog` is a log of 100-byte batches in one file, with its end in a second, replaced atomically.
"""

from __future__ import annotations

import random

import pytest

from logbroker.storage.vfs import read_whole, write_atomically
from logbroker.testing.explore import explore
from logbroker.testing.model import Batch, Model, RecoveredLog
from logbroker.testing.sim_disk import SimDisk

BATCH = 100


class TinyLog:
    def __init__(self, disk):
        self.disk = disk
        self.file = disk.open("/data/log", create=True)
        disk.sync_dir("/data")

    def append(self, payloads):
        self.file.pwritev(payloads, self.file.size())

    def flush(self):
        self.file.datasync()
        write_atomically(self.disk, "/data/end", str(self.file.size() // BATCH).encode())


def recover(disk):
    if not disk.exists("/data/end"):
        return {}
    end = int(read_whole(disk, "/data/end"))
    data = read_whole(disk, "/data/log")
    found = [Batch(n, n + 1, data[n * BATCH : (n + 1) * BATCH]) for n in range(end)]
    return {"t-0": RecoveredLog(0, end, found)}


def record():
    disk = SimDisk(["/data"])
    rng = random.Random(11)
    model = Model(lambda: disk.operations)
    log = model.create("t-0")
    tiny = TinyLog(disk)
    tiny.flush()
    log.promise_creation()
    end = 0
    for _ in range(20):
        payloads = [rng.randbytes(BATCH) for _ in range(rng.randint(1, 60))]
        for payload in payloads:
            change = log.append(Batch(end, end + 1, payload))
            end += 1
        tiny.append(payloads)
        tiny.flush()
        log.promise(change)
    return disk, model


def failures(disk, model, points=1500, seed=1):
    found = []
    for point in explore(disk, random.Random(seed), points):
        try:
            shown = recover(point.disk)
        except (OSError, ValueError) as error:
            found.append(f"recovery failed: {error}")
            continue
        found.extend(map(str, model.check(point.at, shown, power_cut=point.power_cut)))
    return found


def test_nothing_is_lost_and_every_fence_is_needed():
    disk, model = record()
    assert failures(disk, model) == []
    assert len(disk.labels) == 4
    for label in sorted(disk.labels):
        disk.disabled_fences = frozenset({label})
        assert failures(disk, model), f"nothing fails without {label}"
    disk.disabled_fences = frozenset()
    assert failures(disk, model, seed=2) == []


def test_points_are_distinct_in_order_and_repeatable():
    disk, _ = record()
    first = [(point.key, point.power_cut) for point in explore(disk, random.Random(5), 400)]
    second = [(point.key, point.power_cut) for point in explore(disk, random.Random(5), 400)]
    assert first == second
    moments = [key[0] for key, _ in first]
    assert moments == sorted(moments)
    assert len({key for key, _ in first}) == len(first) > 200
    assert {power_cut for _, power_cut in first} == {True, False}
    assert all(
        point.power_cut and point.at >= 50
        for point in explore(disk, random.Random(5), 100, kills=0, start=50)
    )


def test_crash_within_what_came_after_a_crash():
    disk, model = record()
    rng = random.Random(3)
    for point in explore(disk, rng, 20):
        shown = recover(point.disk)
        if not shown:
            continue
        carried = model.as_of(point.at, lambda point=point: point.disk.operations, power_cut=point.power_cut)
        tiny = TinyLog(point.disk)
        tiny.file.truncate(shown["t-0"].end_offset * BATCH)
        tiny.flush()
        for inner in explore(point.disk, rng, 20):
            power_cut = inner.power_cut and point.power_cut
            assert carried.check(inner.at, recover(inner.disk), power_cut=power_cut) == []


def test_no_operation_beyond_the_end():
    disk, _ = record()
    with pytest.raises(ValueError, match="there is no operation"):
        disk.crash(disk.operations + 1, random.Random(1))
    assert str(disk.trace).splitlines()[2] == "2: sync_dir /data (test_explore.TinyLog.__init__:sync_dir)"
