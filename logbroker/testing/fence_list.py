"""The fences of the storage engine: which there are, and which promise each guards. `fences.py` takes them away, one by one.

A fence is a sync call, or a wait or an order that no sync call shows. `SYNCS` names the first kind by label (`sim_faults.call_label`),
`ORDERS` the second, each with a patch that removes it from the engine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from logbroker.testing import broken_orders as broken
from logbroker.testing import (
    checkpoint_scenarios,
    compaction_scenarios,
    failing_disk_scenarios,
    fence_scenarios,
)
from logbroker.testing.fence_scenarios import Scenario
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_faults import Fault

PROMISES = """\
1. what was acknowledged (a record, a cut, a deletion, a producer's last batch) survives, once, in its place;
2. nothing durable is cut, and nothing that is whole is refused as damaged;
3. behind a failed sync nothing is believed that the page cache alone shows;
4. no consumer sees, and recovery acts on nothing, that a crash could take back;
- *names*: what these come to for a file's name: durable before anything that depends on it is acknowledged or recycled."""
"""By the numbers of the README."""

SYNCS = {
    "checkpoint_file.write>vfs.write_atomically:datasync": (
        "2",
        "The checkpoint's bytes are there before its name is: no directory is refused.",
    ),
    "checkpoint_file.write>vfs.write_atomically:sync_dir": (
        "1, names",
        "The checkpoint is published before the ring it replaces is written over; a first one brings the journal's folder along.",
    ),
    "checkpointer.Checkpointer._publish_steps:sync_dir": (
        "names",
        "A segment's name is durable before a checkpoint vouches for its bytes.",
    ),
    "checkpointer.Checkpointer._publish_steps:sync_dir#2": (
        "names",
        "A partition folder's name is durable before a checkpoint speaks of it.",
    ),
    "checkpointer.Checkpointer._sync_all_steps:sync_filesystem": (
        "1",
        "Segments are durable before a checkpoint vouches for them (many files).",
    ),
    "checkpointer.Checkpointer._sync_steps:datasync": (
        "1",
        "Segments are durable before a checkpoint vouches for them.",
    ),
    "compaction._Output.finish_steps:datasync": (
        "1",
        "What compaction wrote is durable before it takes the place of what it was made of.",
    ),
    "deletion.Deletions._rename_steps:sync_dir": (
        "1",
        "A deleted partition's folder doesn't come back once the journal has forgotten the deletion.",
    ),
    "flush_policy._end_steps:datasync": (
        "1",
        "Nothing lies behind a log's end in its last file when recovery may walk there.",
    ),
    "flush_policy._end_steps:sync_dir": (
        "1",
        "No removed segment comes back behind a log's end when recovery may walk there.",
    ),
    "flush_policy.write_and_sync_steps:datasync": (
        "1",
        "Directly synced batches are in the segment before the journal says so.",
    ),
    "flush_policy.write_and_sync_steps:sync_dir": (
        "names",
        "A directly synced segment has its name before the journal says so.",
    ),
    "flush_policy.write_and_sync_steps:sync_dir#2": (
        "names",
        "Its folder has its name before the journal says so.",
    ),
    "folders.make_folders_steps:datasync": (
        "2",
        "A folder says whose it is before anything in it counts.",
    ),
    "folders.make_folders_steps:sync_filesystem": (
        "2",
        "Many folders at once say whose they are before anything in them counts.",
    ),
    "journal.Journal._begin_generation:datasync": (
        "2",
        "A generation's first commit is durable before its second, which would be taken for damage.",
    ),
    "journal.Journal._begin_generation:sync_dir": (
        "names",
        "A ring file that a crash overtook has its name before the list says that it must be there.",
    ),
    "journal.Journal._commit_steps:datasync": ("1", "Batches are durable before they are acknowledged."),
    "journal.Journal.fill_steps:sync_dir": ("names", "A ring file has its name before commits rely on it."),
    "journal_contents.write_contents>vfs.write_atomically:datasync": (
        "2",
        "The list of generations is whole before it has its name.",
    ),
    "journal_contents.write_contents>vfs.write_atomically:sync_dir": (
        "1, names",
        "A generation's salt is durable before commits carry it.",
    ),
    "log_dir.LogDirectory.remove_segment_steps:sync_dir": (
        "2",
        "Segments go highest first: what is left has no gap.",
    ),
    "rebuild.Rebuild._remove_rest:datasync": (
        "1",
        "What recovery cut stays cut: a page-cache log is walked again after the next crash.",
    ),
    "rebuild.Rebuild._remove_rest:sync_dir": (
        "1",
        "What recovery removed stays removed: a page-cache log is walked again after the next crash.",
    ),
    "recovery._make_sure:datasync": (
        "4",
        "A commit that only the page cache held is durable before recovery acts on it and serves it.",
    ),
    "recovery._set_aside:sync_dir": (
        "1",
        "A deleted partition's folder that recovery removed doesn't come back once the journal has forgotten the deletion.",
    ),
    "swap.Swaps._name_steps:sync_dir": (
        "names",
        "A compacted segment has a name before the journal says that it counts.",
    ),
    "swap.place_steps:sync_dir": (
        "names",
        "It has the name of the one it replaces before a checkpoint speaks of its size.",
    ),
    "transaction_index.write_aborted_steps:datasync": (
        "4",
        "Whose records readers pass over is durable before a checkpoint counts it: old entries may lie in its place.",
    ),
    "truncation.Truncations._cut_steps:datasync": (
        "1",
        "The file ends at the cut before newer batches may be acknowledged from the page cache behind it.",
    ),
}
"""Label of a sync call -> the promise it guards, and what that means here."""

LIVES = {
    **fence_scenarios.SCENARIOS,
    "journal.Journal.fill_steps:sync_dir": checkpoint_scenarios.second_ring_file,
}
"""Label of a sync call -> a life made for it, where random ones hardly ever need it."""

SWAP_SYNCS = frozenset(label for label in SYNCS if label.startswith(("compaction.", "swap.")))
"""Shown by lives of a compacted log."""

NO_PROMISE = {
    "journal.Journal.fill_steps:datasync": "Speed: a commit into the file finds its blocks allocated and no metadata to write.",
    "compaction._Output.finish_steps:datasync#2": "Lost indexes are made anew, and no batch of an aborted transaction is left to be indexed; but `verify` takes those of sealed segments for durable.",
    "file_pool.FilePool._let_go:datasync": "Its error counts, not what it makes durable: see *files: sync, then close*.",
}
"""Sync calls without which no crash alone breaks a promise, and why they are made."""


SHOWN_BY = {
    "checkpointer.Checkpointer._sync_all_steps:sync_filesystem": 702,
    "checkpoint: begin at the settled sequence": 702,
    "deletion: the name must be free": 703,
    "swap: only what a checkpoint knows": 720,
    "files pinned until synced": 736,
}
"""A seed that showed it: where a search for the first failure begins, so that it is short while the engine is what it was."""


class Order(NamedTuple):
    """A wait or an order: what it guards, a patch without it, and the kind of life that shows it."""

    name: str
    promise: str
    guards: str
    without: Callable[[], AbstractContextManager[object]]
    prepare: Callable[[SimDisk, random.Random], None] = lambda _disk, _rng: None
    scenario: Callable[[int], Scenario] | None = None
    """A life made for it, where random ones hardly ever need it."""


def _failing_commit(disk: SimDisk, rng: random.Random) -> None:
    """One sync of the journal fails, somewhere."""
    disk.faults.append(Fault("datasync", path_contains=".ring", skip=rng.choice((1, 4, 9, 15))))


def _failing_writeback(disk: SimDisk, rng: random.Random) -> None:
    """The kernel fails to write a segment back, somewhere."""
    disk.fail_writeback_of = ".log"
    disk.fail_writeback_after = rng.choice((0, 3, 10, 30))


ORDERS = [
    Order("held appends", "1", "A partition's durable end is one prefix over all routes.", broken.no_holding),
    Order(
        "direct: sync, then SYNCED",
        "1",
        "What SYNCED vouches for is in the segment.",
        broken.synced_before_sync,
    ),
    Order(
        "duplicates wait",
        "1",
        "A duplicate is answered when its first batch is durable.",
        broken.duplicates_at_once,
    ),
    Order(
        "checkpoint: publish last",
        "1",
        "A checkpoint speaks of nothing that isn't durable.",
        broken.publish_before_sync,
    ),
    Order(
        "checkpoint: then recycle",
        "1",
        "The ring is kept until a checkpoint has taken its place.",
        broken.recycle_before_publish,
    ),
    Order(
        "checkpoint: begin at the settled sequence",
        "1",
        "What a checkpoint doesn't show, the ring still holds.",
        broken.unsettled_capture,
    ),
    Order("checkpoint: one instant", "1", "Producers are those of the point's end.", broken.live_producers),
    Order(
        "recovery: old ring kept",
        "1",
        "A crash before the first checkpoint finds the same ring.",
        broken.old_ring_reused,
    ),
    Order(
        "recovery: new generation",
        "2",
        "Bytes of an earlier life are never taken for this one's.",
        broken.same_generation,
        scenario=fence_scenarios.torn_commit,
    ),
    Order(
        "recovery: make sure first",
        "4",
        "What recovery acts on outlives what it did.",
        broken.make_sure_late,
        scenario=fence_scenarios.log_start_in_the_page_cache,
    ),
    Order(
        "failure: other lanes stop at once",
        "3",
        "No checkpoint believes a sync that came after a failed one.",
        broken.unguarded_lanes,
        scenario=fence_scenarios.one_sync_tells_another_lies,
    ),
    Order(
        "files: sync, then close",
        "3",
        "A dirty file that must be closed is synced first: opened again it would not hear of its write error.",
        broken.evicted_unsynced,
        scenario=failing_disk_scenarios.dirty_file_closed,
    ),
    Order(
        "recovery: last commit again",
        "3",
        "After a failed sync the cache shows of the ring what the disk lacks.",
        broken.no_second_commit,
        _failing_commit,
    ),
    Order(
        "recovery: write always",
        "3",
        "After a failed sync the cache shows of a segment what the disk lacks.",
        broken.write_where_different,
        scenario=failing_disk_scenarios.journaled_batches_not_on_disk,
    ),
    Order(
        "recovery: walked batches again",
        "3",
        "The same, of a page-cache topic's segment.",
        broken.walk_without_writing,
        scenario=failing_disk_scenarios.walked_batches_not_on_disk,
    ),
    Order(
        "recovery: void entries dropped",
        "1",
        "A truncated batch isn't written over the one that took its place.",
        broken.void_entries_replayed,
    ),
    Order(
        "truncation: announce first", "2", "A cut that was begun is finished.", broken.unannounced_truncation
    ),
    Order(
        "truncation: alone",
        "1",
        "Nothing captured before a cut is written or believed after it.",
        broken.truncation_beside_checkpoint,
        scenario=checkpoint_scenarios.cut_beside_checkpoints,
    ),
    Order(
        "truncation: PAGE_CACHE again",
        "2",
        "Only what was cut for good is walked.",
        broken.page_cache_unsaid,
        scenario=checkpoint_scenarios.page_cache_after_a_cut,
    ),
    Order("log start: announce first", "2", "Files that are gone were given up.", broken.unannounced_start),
    Order(
        "deletion: the name must be free",
        "1",
        "A new topic never gets the old one's files.",
        broken.name_taken_at_once,
    ),
    Order(
        "swap: announce first",
        "2",
        "Recovery knows which file counts.",
        broken.unannounced_swap,
        scenario=compaction_scenarios.compacted_log,
    ),
    Order(
        "swap: alone",
        "1",
        "No checkpoint speaks of a segment whose name isn't durable.",
        broken.swap_beside_checkpoint,
        scenario=compaction_scenarios.compacted_log,
    ),
    Order(
        "swap: only what a checkpoint knows",
        "1",
        "The ring holds nothing of a replaced segment that the point doesn't cover.",
        broken.unpublished_segments,
        scenario=compaction_scenarios.compacted_at_once,
    ),
    Order(
        "recovery: finish the swap",
        "1",
        "A compaction that was announced counts, whatever its files are called.",
        broken.unfinished_swap,
        scenario=compaction_scenarios.compacted_log,
    ),
    Order(
        "policy: hold while flushing",
        "1",
        "FLUSHED says where the journal goes on.",
        broken.no_holding_in_flush,
    ),
    Order(
        "policy: acknowledge with the flush",
        "2",
        "What FLUSHED covers isn't journaled below it.",
        broken.held_journaled_again,
        scenario=checkpoint_scenarios.appended_before_a_flush,
    ),
    Order(
        "policy: PAGE_CACHE before the first ack",
        "1",
        "Recovery keeps what the page cache was trusted with.",
        broken.page_cache_unjournaled,
    ),
    Order(
        "files pinned until synced",
        "3",
        "A write error of the kernel's own is heard.",
        broken.unpinned_files,
        _failing_writeback,
    ),
]
