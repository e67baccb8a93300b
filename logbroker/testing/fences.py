"""Every fence of the storage engine, what it guards, and the crash points that fail without it.

A fence is a sync call, or a wait or an order that no sync call shows. `SYNCS` names the first kind by label (`sim_faults.call_label`): the
simulated disk takes them away when it replays a life. `ORDERS` names the second kind, each with a patch that removes it from the engine.

    python -m logbroker.testing.fences docs/fences.md     explore, and write the list

A fence that can be removed without a failure is useless, or the lives are too tame.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from logbroker.testing import broken_orders as broken
from logbroker.testing import fence_scenarios
from logbroker.testing.fence_scenarios import SCENARIOS, Scenario
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_story import Story

FIRST_SEED = 700
POINTS = 40
POINTS_LISTED = 3_000
"""Points explored for a line of the list."""
POINTS_MAX = 40_000
"""Points after which a fence counts as useless."""

SYNCS = {
    "checkpoint_file.write>vfs.write_atomically:datasync": "The checkpoint's bytes are there before its name is: no directory is refused.",
    "checkpoint_file.write>vfs.write_atomically:sync_dir": "The checkpoint is published before the ring it replaces is written over; a first one brings the journal's folder along.",
    "checkpointer.Checkpointer._publish_steps:sync_dir": "A segment's name is durable before a checkpoint vouches for its bytes.",
    "checkpointer.Checkpointer._publish_steps:sync_dir#2": "A partition folder's name is durable before a checkpoint speaks of it.",
    "checkpointer.Checkpointer._sync_all_steps:sync_filesystem": "Segments are durable before a checkpoint vouches for them (many files).",
    "checkpointer.Checkpointer._sync_steps:datasync": "Segments are durable before a checkpoint vouches for them.",
    "deletion.Deletions._rename_steps:sync_dir": "A deleted partition's folder doesn't come back once the journal has forgotten the deletion.",
    "flush_policy._end_steps:datasync": "Nothing lies behind a log's end in its last file when recovery may walk there.",
    "flush_policy._end_steps:sync_dir": "No removed segment comes back behind a log's end when recovery may walk there.",
    "flush_policy.write_and_sync_steps:datasync": "Directly synced batches are in the segment before the journal says so.",
    "flush_policy.write_and_sync_steps:sync_dir": "A directly synced segment has its name before the journal says so.",
    "flush_policy.write_and_sync_steps:sync_dir#2": "Its folder has its name before the journal says so.",
    "journal.Journal._begin_generation:datasync": "A generation's first commit is durable before its second, which would be taken for damage.",
    "journal.Journal._commit_steps:datasync": "Batches are durable before they are acknowledged.",
    "journal.Journal.fill_steps:sync_dir": "A ring file has its name before commits rely on it.",
    "journal.write_generations>vfs.write_atomically:datasync": "The list of generations is whole before it has its name.",
    "journal.write_generations>vfs.write_atomically:sync_dir": "A generation's salt is durable before commits carry it.",
    "log_dir.LogDirectory.make_folder_steps:datasync": "A folder says whose it is before anything in it counts.",
    "log_dir.LogDirectory.remove_segment_steps:sync_dir": "Segments go highest first: what is left has no gap.",
    "rebuild.Rebuild._remove_rest:datasync": "What recovery cut stays cut: a page-cache log is walked again after the next crash.",
    "rebuild.Rebuild._remove_rest:sync_dir": "What recovery removed stays removed, for the same reason.",
    "recovery._make_sure:datasync": "A commit that only the page cache held is durable before recovery acts on it and serves it.",
    "recovery._set_aside:sync_dir": "A deleted partition's folder that recovery removed doesn't come back once the journal has forgotten the deletion.",
    "truncation.Truncations._cut_steps:datasync": "The file ends at the cut before newer batches may be acknowledged from the page cache behind it.",
}
"""Label of a sync call -> the promise it guards."""

NO_PROMISE = {
    "journal.Journal.fill_steps:datasync": "Speed: a commit into the file finds its blocks allocated and no metadata to write.",
    "file_pool.FilePool._let_go:datasync": "Its error counts, not what it makes durable: see *files: sync, then close*.",
}
"""Sync calls without which no crash alone breaks a promise, and why they are made."""


RARE = {"rebuild.Rebuild._remove_rest:datasync": (0.5, 0.5)}
"""Shares of kills and of second crashes for fences that only several crashes in a row show."""


SHOWN_BY = {
    "checkpointer.Checkpointer._sync_all_steps:sync_filesystem": 702,
    "log_dir.LogDirectory.make_folder_steps:datasync": 703,
    "rebuild.Rebuild._remove_rest:sync_dir": 704,
    "recovery._make_sure:datasync": 704,
    "checkpoint: begin at the settled sequence": 702,
    "failure: other lanes stop at once": 767,
    "files: sync, then close": 737,
    "recovery: write always": 721,
    "recovery: walked batches again": 710,
    "truncation: alone": 706,
    "truncation: PAGE_CACHE again": 704,
    "policy: acknowledge with the flush": 704,
    "files pinned until synced": 736,
}
"""A seed that showed it: where a search for the first failure begins, so that it is short while the engine is what it was."""


class Order(NamedTuple):
    """A wait or an order: what it guards, a patch without it, and the kind of life that shows it."""

    name: str
    guards: str
    without: Callable[[], AbstractContextManager[object]]
    prepare: Callable[[SimDisk, random.Random], None] = lambda _disk, _rng: None
    scenario: Callable[[int], Scenario] | None = None
    """A life made for it, where random ones hardly ever need it."""


def _failing_sync(disk: SimDisk, rng: random.Random) -> None:
    """One sync of a segment fails, somewhere."""
    disk.faults.append(Fault("datasync", path_contains=".log", skip=rng.choice((0, 2, 5, 9))))


def _failing_commit(disk: SimDisk, rng: random.Random) -> None:
    """One sync of the journal fails, somewhere."""
    disk.faults.append(Fault("datasync", path_contains=".ring", skip=rng.choice((1, 4, 9, 15))))


def _failing_writeback(disk: SimDisk, rng: random.Random) -> None:
    """The kernel fails to write a segment back, somewhere."""
    disk.fail_writeback_of = ".log"
    disk.fail_writeback_after = rng.choice((0, 3, 10, 30))


ORDERS = [
    Order("held appends", "A partition's durable end is one prefix over all routes.", broken.no_holding),
    Order(
        "direct: sync, then SYNCED", "What SYNCED vouches for is in the segment.", broken.synced_before_sync
    ),
    Order(
        "duplicates wait",
        "A duplicate is answered when its first batch is durable.",
        broken.duplicates_at_once,
    ),
    Order(
        "checkpoint: publish last",
        "A checkpoint speaks of nothing that isn't durable.",
        broken.publish_before_sync,
    ),
    Order(
        "checkpoint: then recycle",
        "The ring is kept until a checkpoint has taken its place.",
        broken.recycle_before_publish,
    ),
    Order(
        "checkpoint: begin at the settled sequence",
        "What a checkpoint doesn't show, the ring still holds.",
        broken.unsettled_capture,
    ),
    Order("checkpoint: one instant", "Producers are those of the point's end.", broken.live_producers),
    Order(
        "recovery: old ring kept",
        "A crash before the first checkpoint finds the same ring.",
        broken.old_ring_reused,
    ),
    Order(
        "recovery: new generation",
        "Bytes of an earlier life are never taken for this one's.",
        broken.same_generation,
        scenario=fence_scenarios.torn_commit,
    ),
    Order(
        "recovery: make sure first",
        "What recovery acts on outlives what it did.",
        broken.make_sure_late,
        scenario=fence_scenarios.log_start_in_the_page_cache,
    ),
    Order(
        "failure: other lanes stop at once",
        "No checkpoint believes a sync that came after a failed one.",
        broken.unguarded_lanes,
        _failing_sync,
    ),
    Order(
        "files: sync, then close",
        "A dirty file that must be closed is synced first: opened again it would not hear of its write error.",
        broken.evicted_unsynced,
        _failing_writeback,
    ),
    Order(
        "recovery: last commit again",
        "After a failed sync the cache shows what the disk lacks.",
        broken.no_second_commit,
        _failing_commit,
    ),
    Order("recovery: write always", "The same, of segments.", broken.write_where_different, _failing_sync),
    Order(
        "recovery: walked batches again",
        "The same, of page-cache topics.",
        broken.walk_without_writing,
        _failing_sync,
    ),
    Order(
        "recovery: void entries dropped",
        "A truncated batch isn't written over the one that took its place.",
        broken.void_entries_replayed,
    ),
    Order("truncation: announce first", "A cut that was begun is finished.", broken.unannounced_truncation),
    Order(
        "truncation: alone",
        "Nothing captured before a cut is written or believed after it.",
        broken.truncation_beside_checkpoint,
    ),
    Order("truncation: PAGE_CACHE again", "Only what was cut for good is walked.", broken.page_cache_unsaid),
    Order("log start: announce first", "Files that are gone were given up.", broken.unannounced_start),
    Order(
        "deletion: the name must be free",
        "A new topic never gets the old one's files.",
        broken.name_taken_at_once,
    ),
    Order(
        "policy: hold while flushing", "FLUSHED says where the journal goes on.", broken.no_holding_in_flush
    ),
    Order(
        "policy: acknowledge with the flush",
        "What FLUSHED covers isn't journaled below it.",
        broken.held_journaled_again,
    ),
    Order(
        "policy: PAGE_CACHE before the first ack",
        "Recovery keeps what the page cache was trusted with.",
        broken.page_cache_unjournaled,
    ),
    Order(
        "files pinned until synced",
        "A write error of the kernel's own is heard.",
        broken.unpinned_files,
        _failing_writeback,
    ),
]


class Tried(NamedTuple):
    """How an exploration without a fence went."""

    points: int
    failures: int
    first: int
    """Points explored up to the first failure."""
    example: str


def without_sync(label: str, *, points: int, enough: bool) -> Tried:
    """Crash lives without this sync call, at least `points` times; with `enough` the first failure will do."""
    scenario = SCENARIOS.get(label)

    def lives(seed: int) -> Generator[tuple[Story, int], None, None]:
        story, start = scenario(seed) if scenario is not None else (Story.record(seed), 0)
        story.disk.disabled_fences = frozenset({label})
        yield story, start

    kills, nested = RARE.get(label, (0.15, 0.15)) if scenario is None else (0.0, 0.0)
    first = SHOWN_BY.get(label, FIRST_SEED) if enough else FIRST_SEED
    return _explore(lives, points=points, enough=enough, kills=kills, nested=nested, seed=first)


def without_order(order: Order, *, points: int, enough: bool) -> Tried:
    """Live and crash without this order."""

    def lives(seed: int) -> Generator[tuple[Story, int], None, None]:
        with order.without():
            if order.scenario is not None:
                yield order.scenario(seed)
            else:
                yield Story.record(seed, prepare=order.prepare), 0

    kills, nested = (0.15, 0.15) if order.scenario is None else (0.0, 0.0)
    first = SHOWN_BY.get(order.name, FIRST_SEED) if enough else FIRST_SEED
    return _explore(lives, points=points, enough=enough, kills=kills, nested=nested, seed=first)


def _explore(
    lives: Callable[[int], Generator[tuple[Story, int], None, None]],
    *,
    points: int,
    enough: bool,
    kills: float,
    nested: float,
    seed: int,
) -> Tried:
    seen = failures = first = 0
    example = ""
    while seen < points or (not failures and seen < POINTS_MAX):
        with contextlib.closing(lives(seed)) as living:
            try:
                story, start = next(living)
                rng = random.Random(seed)
                for failure in story.dig(POINTS, rng, nested=nested, kills=kills, start=start):
                    failures += 1
                    example = example or str(failure)
                    first = first or seen + story.tally.points
                    if enough:
                        break
                seen += story.tally.points
            except Exception as error:  # the engine itself noticed that something is wrong
                failures += 1
                example = example or f"seed {seed}: {type(error).__name__}: {error}"
                seen += 1
                first = first or seen
        seed += 1
        if failures and enough:
            break
    return Tried(seen, failures, first, example)


def _rows() -> Iterator[tuple[str, str, str, Tried]]:
    for label, guards in SYNCS.items():
        yield "sync", f"`{label}`", guards, without_sync(label, points=POINTS_LISTED, enough=False)
    for order in ORDERS:
        yield "order", order.name, order.guards, without_order(order, points=POINTS_LISTED, enough=False)


def main() -> int:
    """Explore and write the list."""
    logging.getLogger("logbroker").setLevel(logging.CRITICAL + 1)
    lines = [
        "# Fences",
        "",
        "Every sync call of the storage engine, and every wait or order that no sync call shows: what it guards, and what crash",
        "simulation finds without it. Written by `python -m logbroker.testing.fences docs/fences.md`; `tests/crash/test_fences.py` holds that",
        "each is needed and that none is missing.",
        "",
        "| Fence | It guards | Failures | Crash points | First after |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    useless = 0
    for _, name, guards, tried in _rows():
        started = time.perf_counter()
        lines.append(f"| {name} | {guards} | {tried.failures} | {tried.points} | {tried.first or 'never'} |")
        print(lines[-1], f"({time.perf_counter() - started:.0f} s)", tried.example, flush=True)  # noqa: T201
        useless += not tried.failures
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return 1 if useless else 0


if __name__ == "__main__":
    sys.exit(main())
