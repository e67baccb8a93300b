"""Lives made for fences that a random life hardly ever needs: several accidents in a row, or one at just the wrong moment.

Each returns a recorded `Story` and the operation from which on it is to be crashed. All are sound with every fence in place.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

from logbroker.base.clock import ManualClock
from logbroker.config.topic import TopicConfig
from logbroker.storage.journal_format import read_commit, scan_heads
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.testing.explore import CrashPoint
from logbroker.testing.model import Model
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_engine import Key, SimEngine
from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_story import Story
from logbroker.testing.sim_world import World, make_batch, with_policy

Scenario = tuple[Story, int]

ONE_BATCH_BYTES = 1000
"""A batch of the scenarios; segments hold one."""
_CONFIG = TopicConfig(internal_segment_bytes=ONE_BATCH_BYTES, index_interval_bytes=1, segment_index_bytes=960)
_ROOMY = TopicConfig(internal_segment_bytes=1 << 20)


class Stage:
    """A story with one directory and one topic, `t`, of one partition."""

    def __init__(
        self,
        seed: int,
        *,
        sync_filesystem_files: int = 64,
        direct_sync_bytes: int = 1 << 20,
        open_files_max: int = 4096,
    ) -> None:
        self.rng = random.Random(seed)
        clock = ManualClock()
        disk = SimDisk(["/d0"], now_ms=clock.wall_ms)
        random_bytes = random.Random(seed).randbytes
        options = LogDirectoryOptions(
            journal_files=3,
            journal_file_bytes=64 << 10,
            direct_sync_bytes=direct_sync_bytes,
            sync_filesystem_files=sync_filesystem_files,
            open_files_max=open_files_max,
            random_bytes=random_bytes,
        )
        world = World(lambda: disk.operations)
        self.story = Story(seed, disk, world, Model(lambda: disk.operations), options, 1)
        self.disk = disk
        self.clock = clock
        self.engine = self.story.engine(self.rng, clock)

    def start(self, *, checkpoint: bool = True) -> SimEngine:
        """Recover; without `checkpoint` none begins, not even the first."""
        engine = self.engine
        if not checkpoint:
            engine.directories[0].checkpointer.exclusively(lambda: None)
        engine.start()
        if checkpoint:
            engine.settle()
        return engine

    def topic(self, config: TopicConfig) -> Key:
        """Create it."""
        return (self.engine.create_topic("t", 1, config).topic_id, 0)

    def append(self, key: Key, count: int = 1, *, producer: tuple[int, int, int] = (-1, -1, -1)) -> None:
        """Batches of one record each, handed over, nothing more."""
        for _ in range(count):
            data = make_batch(self.rng, 1, ONE_BATCH_BYTES, self.clock.wall_ms(), producer)
            self.engine.append(key, data)

    def until(self, done: Callable[[], bool]) -> None:
        """Step until something is so. Raises RuntimeError if it never is."""
        while not done():
            if not self.engine.executor.step():
                raise RuntimeError("the scenario came to a halt")

    def until_operation(self, kind: str, path_contains: str) -> int:
        """Step until there is a new such operation; returns how many operations there are up to it."""
        seen = self.disk.operations

        def done() -> bool:
            fresh = self.disk.trace.operations[seen:]
            return any(one.kind == kind and path_contains in one.path for one in fresh)

        self.until(done)
        return 1 + next(
            index
            for index, one in enumerate(self.disk.trace.operations)
            if index >= seen and one.kind == kind and path_contains in one.path
        )

    def restart(self, *, checkpoint: bool = True) -> None:
        """Kill the process, start the next on the same page cache, and hold what it shows for promised."""
        self.story.end(self.engine)
        self.engine = self.story.engine(self.rng, self.clock)
        self.start(checkpoint=checkpoint)
        self.story.adopt(self.engine, power_cut=False)

    def next(self, point: CrashPoint) -> Stage:
        """The stage after a crash: recovered, and what it shows promised."""
        other = copy.copy(self)
        other.story = self.story.after(point, carry=True)
        other.disk = point.disk
        other.engine = other.story.engine(self.rng, self.clock)
        other.start(checkpoint=False)
        other.story.adopt(other.engine, power_cut=point.power_cut)
        return other

    def end(self, start: int) -> Scenario:
        """The process is killed; crash the life from operation `start` on."""
        self.story.end(self.engine)
        return self.story, start


def deletion_forgotten(seed: int) -> Scenario:
    """A topic is deleted to the end; the next checkpoint forgets the DELETE entry, and is just being published."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    engine.settle()
    engine.directories[0].checkpointer.start()
    engine.settle()
    engine.delete_topic("t")
    engine.settle()
    engine.directories[0].checkpointer.start()
    return stage.end(stage.until_operation("name", "/d0/checkpoint.tmp -> "))


def removed_at_start(seed: int) -> Scenario:
    """The process is killed when a DELETE entry is durable; the next start removes the folder, its first checkpoint forgets the entry."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    engine.settle()
    engine.directories[0].checkpointer.start()
    engine.settle()
    engine.delete_topic("t")
    stage.until_operation("datasync", ".ring")
    stage.restart(checkpoint=False)
    stage.engine.directories[0].checkpointer.release()
    return stage.end(stage.until_operation("name", "/d0/checkpoint.tmp -> "))


def checkpoint_of_a_new_folder(seed: int) -> Scenario:
    """The first checkpoint that speaks of a partition is just being published."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    engine.settle()
    engine.directories[0].checkpointer.start()
    return stage.end(stage.until_operation("name", "/d0/checkpoint.tmp -> "))


def torn_commit(seed: int) -> Scenario:
    """A power cut tears a commit, its header whole; the next life commits twice."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    engine.settle()  # so that the ring file is needed
    stage.append(key, 12)
    at = stage.until_operation("write", ".ring")
    stage.story.end(engine)
    rng = random.Random(seed)
    while True:
        disk = stage.disk.crash(at, rng)
        if _torn(disk):
            break
    stage = stage.next(CrashPoint(at, disk.decision, True, disk))
    for _ in range(2):
        stage.append(key)
        stage.engine.settle()
    return stage.end(stage.disk.operations)


def _torn(disk: SimDisk) -> bool:
    for name in disk.listdir("/d0/journal"):
        if name.endswith(".ring"):
            file = disk.open(f"/d0/journal/{name}")
            data = memoryview(file.pread(file.size(), 0))
            commits = [read_commit(data, position) for position, _ in scan_heads(data)]
            if any(commit is not None and commit.payload_error for commit in commits):
                return True
    return False


def log_start_in_the_page_cache(seed: int) -> Scenario:
    """The process is killed when the page cache alone holds the commit with a log start; the next start removes segments."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_CONFIG)
    stage.append(key, 3)
    engine.settle()
    engine.directories[0].checkpointer.start()
    engine.settle()
    engine.delete_records(key, 2)
    stage.until_operation("write", ".ring")
    stage.story.end(engine)
    start = stage.disk.operations
    stage.engine = stage.story.engine(stage.rng, stage.clock)
    stage.start(checkpoint=False)
    return stage.end(start)


def cut_batches_come_back(seed: int) -> Scenario:
    """A page-cache topic is cut inside a segment, and taken on from there."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(with_policy(_ROOMY, page_cache=True))
    engine.settle()
    stage.append(key, 3)
    engine.settle()
    _sync_everything(stage)
    engine.truncate(key, 1)
    engine.settle()
    start = stage.disk.operations
    stage.append(key)
    engine.settle()
    return stage.end(start)


def cut_segments_come_back(seed: int) -> Scenario:
    """A page-cache topic is cut; what is appended then ends where a removed segment began."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(with_policy(_CONFIG, page_cache=True))
    engine.settle()
    engine.directories[0].checkpointer.exclusively(lambda: None)
    stage.append(key, 3)
    engine.settle()
    engine.directories[0].checkpointer.release()
    _sync_everything(stage)
    engine.truncate(key, 0)
    engine.settle()
    start = stage.disk.operations
    stage.append(key)
    engine.settle()
    return stage.end(start)


def removed_names_come_back(seed: int) -> Scenario:
    """The same, killed between removing the segments and making that durable."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(with_policy(_CONFIG, page_cache=True))
    engine.settle()
    stage.append(key, 2)
    engine.settle()
    _sync_everything(stage)
    engine.truncate(key, 0)
    stage.until_operation("name", f"{1:020d}.log removed")
    stage.restart(checkpoint=False)
    stage.engine.settle()
    start = stage.disk.operations
    stage.append(key)
    stage.engine.settle()
    return stage.end(start)


def unacknowledged_comes_back(seed: int) -> Scenario:
    """A batch that was never acknowledged lies in a segment; recovery cuts it and is killed before that is durable.

    The next life takes the topic to the page cache, so that the one after it walks what it finds.
    """
    return _unacknowledged(seed, _ROOMY)


def unacknowledged_segment_comes_back(seed: int) -> Scenario:
    """The same, where the batch has a segment of its own, which recovery removes."""
    return _unacknowledged(seed, _CONFIG)


def _unacknowledged(seed: int, config: TopicConfig) -> Scenario:
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(config)
    stage.append(key)
    engine.settle()
    engine.directories[0].checkpointer.start()
    engine.settle()
    stage.append(key)  # handed to nobody yet
    directory = engine.directories[0]
    directory.mark_dirty(directory.logs[key[0].bytes, key[1]])
    directory.checkpointer._start_writeback()
    engine.executor.finish("0/writer")
    _sync_everything(stage)
    stage.story.end(engine)
    stage.engine = stage.story.engine(stage.rng, stage.clock)
    stage.engine.open()
    if config is _CONFIG:
        stage.until_operation("name", f"{1:020d}.log removed")
    else:
        stage.until_operation("write", f"{0:020d}.log")
    stage.restart(checkpoint=False)
    stage.engine.configure_topic("t", with_policy(config, page_cache=True))
    stage.engine.directories[0].checkpointer.release()
    start = stage.disk.operations
    stage.engine.settle()
    return stage.end(start)


def cut_again_at_start(seed: int) -> Scenario:
    """A page-cache topic's truncation is durable in the journal, the process killed before the cut: the next start makes it."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(with_policy(_ROOMY, page_cache=True))
    engine.settle()
    stage.append(key, 3)
    engine.settle()
    _sync_everything(stage)
    engine.truncate(key, 1)
    stage.until_operation("datasync", ".ring")
    stage.restart(checkpoint=False)
    stage.engine.settle()
    start = stage.disk.operations
    stage.append(key)
    stage.engine.settle()
    return stage.end(start)


def _sync_everything(stage: Stage) -> None:
    """Something else on the machine syncs the disk."""
    stage.disk.sync_filesystem("/d0")


def directly_synced_in_a_new_folder(seed: int) -> Scenario:
    """The first batches of a partition are synced directly; its folder is new."""
    stage = Stage(seed, direct_sync_bytes=3 * ONE_BATCH_BYTES)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key, 4)
    engine.settle()
    return stage.end(stage.disk.operations)


def second_commit_overtakes_the_first(seed: int) -> Scenario:
    """Two commits of a new generation are written."""
    stage = Stage(seed)
    stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    stage.restart(checkpoint=False)
    start = stage.disk.operations
    stage.append(key)
    stage.until_operation("write", ".ring")
    return stage.end(start)


def ring_file_named_in_the_page_cache(seed: int) -> Scenario:
    """The process is killed before a new ring file's name is durable; the next start lists the file among those that must be there."""
    stage = Stage(seed)
    stage.start(checkpoint=False)
    stage.topic(_ROOMY)
    stage.until_operation("name", ".ring.tmp -> ")
    stage.story.end(stage.engine)
    stage.engine = stage.story.engine(stage.rng, stage.clock)
    stage.engine.open()
    return stage.end(stage.until_operation("name", "generations.tmp -> "))


def flushed_in_a_new_folder(seed: int) -> Scenario:
    """A page-cache topic, which no checkpoint knows yet, becomes durable: the journal says so of segments in a new folder."""
    return _flushed(Stage(seed))


def flushed_in_new_folders(seed: int) -> Scenario:
    """The same, where so many folders are new that the whole file system is synced."""
    return _flushed(Stage(seed, sync_filesystem_files=0))


def _flushed(stage: Stage) -> Scenario:
    engine = stage.start()
    key = stage.topic(with_policy(_ROOMY, page_cache=True))
    engine.settle()
    stage.append(key, 3)
    engine.settle()
    engine.configure_topic("t", _ROOMY)
    engine.settle()
    stage.append(key)
    engine.settle()
    return stage.end(stage.disk.operations)


def one_sync_tells_another_lies(seed: int) -> Scenario:
    """A direct sync of a segment fails; right after it a checkpoint's sync of the same segment succeeds."""
    stage = Stage(seed, direct_sync_bytes=3 * ONE_BATCH_BYTES)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    stage.append(key)
    engine.settle()
    executor = engine.executor
    engine.directories[0].checkpointer.start()
    executor.finish("0/writer")
    while executor.run_callback():
        pass
    stage.disk.faults.append(Fault("datasync", path_contains=".log"))
    stage.append(key, 4)
    while executor.run_callback():
        pass
    start = stage.disk.operations
    for lane in sorted(executor.lanes()):  # direct before sync
        executor.finish(lane)
    engine.settle()
    return stage.end(start)


def aborted_behind_a_cut(seed: int) -> Scenario:
    """An aborted transaction is cut off and another takes its offsets, and its entry's bytes; the checkpoint is just published."""
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(_ROOMY)
    for producer_id in (200, 201):
        _abort(stage, key, producer_id)
    engine.directories[0].checkpointer.start()
    engine.settle()
    engine.truncate(key, 2)
    engine.settle()
    _abort(stage, key, 202)
    engine.directories[0].checkpointer.start()
    start = stage.until_operation("name", "/d0/checkpoint.tmp -> ")
    engine.settle()
    return stage.end(start)


def _abort(stage: Stage, key: Key, producer_id: int) -> None:
    """A transaction of one record and its end."""
    producer = (producer_id, 0, 0)
    data = make_batch(stage.rng, 1, ONE_BATCH_BYTES, stage.clock.wall_ms(), producer, transactional=True)
    stage.engine.append(key, data)
    stage.engine.append_marker(key, (producer_id, 0), commit=False, coordinator_epoch=0, leader_epoch=0)
    stage.engine.settle()


SCENARIOS: dict[str, Callable[[int], Scenario]] = {
    "transaction_index.write_aborted_steps:datasync": aborted_behind_a_cut,
    "deletion.Deletions._rename_steps:sync_dir": deletion_forgotten,
    "recovery._set_aside:sync_dir": removed_at_start,
    "checkpointer.Checkpointer._publish_steps:sync_dir#2": checkpoint_of_a_new_folder,
    "journal.Journal._begin_generation:sync_dir": ring_file_named_in_the_page_cache,
    "folders.make_folders_steps:datasync": flushed_in_a_new_folder,
    "folders.make_folders_steps:sync_filesystem": flushed_in_new_folders,
    "flush_policy.write_and_sync_steps:sync_dir#2": directly_synced_in_a_new_folder,
    "journal.Journal._begin_generation:datasync": second_commit_overtakes_the_first,
    "rebuild.Rebuild._remove_rest:datasync": cut_again_at_start,
    "recovery._make_sure:datasync": log_start_in_the_page_cache,
    "truncation.Truncations._cut_steps:datasync": cut_batches_come_back,
    "log_dir.LogDirectory.remove_segment_steps:sync_dir": cut_segments_come_back,
    "rebuild.Rebuild._remove_rest:sync_dir": removed_names_come_back,
    "flush_policy._end_steps:datasync": unacknowledged_comes_back,
    "flush_policy._end_steps:sync_dir": unacknowledged_segment_comes_back,
}
"""By the label of the sync call that it needs."""
