"""Disks that fail: each sync call once (and then the cache lies), writes, names, reads, and a disk that is full.

The directory goes offline, nothing is acknowledged from then on, everybody waiting is told, the next start on the mended disk is clean,
and no crash before or after that loses what was acknowledged.
"""

from __future__ import annotations

import errno
import random

import pytest

from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_story import Story

FIRST_SEED = 500_000
SCOUTS = 12
"""Lives that show which sync calls there are."""

OPERATIONS = {
    "pwritev": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "truncate": (errno.EIO,),
    "open": (errno.EIO, errno.ENOSPC, errno.EACCES),
    "rename": (errno.EIO, errno.ENOSPC),
    "unlink": (errno.EIO,),
    "mkdir": (errno.ENOSPC,),
    "rmdir": (errno.EIO,),
    "listdir": (errno.EIO,),
    "exists": (errno.EIO,),
    "file_size": (errno.EIO,),
    "pread": (errno.EIO,),
    "free_bytes": (errno.EIO,),
    "sync_filesystem": (errno.EIO,),
}


def sync_labels():
    labels = set()
    for seed in range(FIRST_SEED, FIRST_SEED + SCOUTS):
        labels |= Story.record(seed).disk.labels
    return sorted(labels)


def live_with(fault, seed, points, *, actions=60):
    """A life in which this goes wrong; why it broke a promise, and whether the fault struck and took a directory offline."""

    def prepare(disk, rng):
        disk.faults.append(fault)

    story = Story.record(seed, actions=actions, prepare=prepare)
    rng = random.Random(seed)
    kills = 0.0 if fault.operation == "sync_dir" and fault.hits else 0.2
    failures = [str(failure) for failure in story.dig(points, rng, kills=kills, nested=0.05, depth=1)]
    return failures, fault.hits, bool(story.failures)


def check_labels(labels, seeds, points):
    struck = dict.fromkeys(labels, 0)
    wrong = []
    for number, label in enumerate(labels):
        for seed in seeds:
            rng = random.Random(f"{label} {seed}")
            kind = label.rpartition(":")[2].partition("#")[0]
            fault = Fault(kind, label=label, skip=rng.choice((0, 1, 3, 8)))
            failures, hits, offline = live_with(fault, FIRST_SEED + seed * 100 + number, points)
            struck[label] += hits
            wrong += [f"{label}: {failure}" for failure in failures]
            if hits and not offline:
                wrong.append(f"{label} failed in seed {FIRST_SEED + seed * 100 + number}, and nobody noticed")
    return struck, wrong


def test_each_sync_fails_once():
    labels = sync_labels()
    assert len(labels) > 15
    struck, wrong = check_labels(labels, range(3), 6)
    assert wrong == []
    assert sum(hits > 0 for hits in struck.values()) > len(labels) * 0.6


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_each_sync_fails_once_in_many_lives():
    struck, wrong = check_labels(sync_labels(), range(2, 40), 25)
    assert wrong == []
    assert [label for label, hits in struck.items() if not hits] == []


def other_faults(rounds, points):
    wrong = []
    offline = 0
    for operation, errors in OPERATIONS.items():
        for error in errors:
            for number in range(rounds):
                seed = FIRST_SEED + 50_000 + number * 1000 + error
                rng = random.Random(f"{operation} {error} {number}")
                fault = Fault(operation, error, skip=rng.choice((0, 3, 20, 60)))
                if operation == "pwritev" and rng.random() < 0.5:
                    fault.short_bytes = rng.choice((1, 100, 4096))
                failures, _, failed = live_with(fault, seed, points)
                offline += failed
                wrong += [f"{operation} {errno.errorcode[error]}: {failure}" for failure in failures]
    return wrong, offline


def test_other_operations_fail():
    wrong, offline = other_faults(2, 4)
    assert wrong == []
    assert offline > 15


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_other_operations_fail_in_many_lives():
    wrong, _ = other_faults(40, 20)
    assert wrong == []


def lives_with(prepare, first_seed, lives, points, *, actions=60):
    """Lives on a disk that `prepare` has its way with; what went wrong, and how many of them lost a directory."""
    wrong = []
    offline = 0
    for seed in range(first_seed, first_seed + lives):
        story = Story.record(seed, actions=actions, prepare=prepare)
        offline += bool(story.failures)
        wrong += [str(failure) for failure in story.dig(points, random.Random(seed), nested=0.05, depth=1)]
    return wrong, offline


def lose_pages(disk, rng):
    """The kernel fails to write a file back by itself: whoever syncs next hears of it."""
    disk.fail_writeback_of = rng.choice((".log", ".ring", ""))
    disk.fail_writeback_after = rng.choice((0, 3, 10, 30))


def nearly_full(disk, rng):
    """Writes are cut short and refused."""
    disk.capacity_bytes = disk.used_bytes() + rng.choice((500, 5000, 30_000, 100_000))


def read_only(disk, rng):
    disk.read_only = True


def test_the_kernel_loses_pages():
    wrong, offline = lives_with(lose_pages, FIRST_SEED + 85_000, 30, 6)
    assert wrong == []
    assert offline > 10


def test_full_disk():
    """At every size of the disk; with room again the broker starts and goes on."""
    wrong, offline = lives_with(nearly_full, FIRST_SEED + 90_000, 12, 6)
    assert wrong == []
    assert offline > 5


def test_read_only_remount():
    wrong, offline = lives_with(read_only, FIRST_SEED + 95_000, 8, 6, actions=40)
    assert wrong == []
    assert offline == 8


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("prepare", [lose_pages, nearly_full, read_only])
def test_many_lives_of(prepare):
    wrong, offline = lives_with(prepare, FIRST_SEED + 200_000, 500, 20)
    assert wrong == []
    assert offline > 100
