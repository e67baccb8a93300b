"""Lives on a disk that fails, made for fences that a random life hardly ever needs (`fence_list.py`).

Nothing is believed there that the page cache alone shows.
"""

from __future__ import annotations

from logbroker.config.topic import TopicConfig
from logbroker.testing.fence_scenarios import Scenario, Stage
from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_world import PAGE_CACHE_MESSAGES, with_policy

PARTITIONS = 8
"""More than there may be open files."""
BATCHES = PAGE_CACHE_MESSAGES - 1
"""More than a page of them, so that what comes later writes only the last page again, and one less than flush their topic."""
_ROOMY = TopicConfig(internal_segment_bytes=1 << 20)


def journaled_batches_not_on_disk(seed: int) -> Scenario:
    """A checkpoint's sync of a segment fails; the next process finds the batches in the page cache, and in the journal."""
    return _failed_sync(seed, _ROOMY)


def walked_batches_not_on_disk(seed: int) -> Scenario:
    """The same of a page-cache topic: the next process finds them in the page cache alone."""
    return _failed_sync(seed, with_policy(_ROOMY, page_cache=True))


def _failed_sync(seed: int, config: TopicConfig) -> Scenario:
    stage = Stage(seed)
    engine = stage.start()
    key = stage.topic(config)
    engine.settle()
    stage.append(key, BATCHES)
    engine.settle()
    stage.disk.faults.append(Fault("datasync", path_contains=".log"))
    engine.directories[0].checkpointer.start()
    engine.settle()
    stage.disk.mend()
    stage.restart()
    start = stage.disk.operations
    stage.append(key)
    stage.engine.settle()
    stage.engine.directories[0].checkpointer.start()
    stage.engine.settle()
    return stage.end(start)


def dirty_file_closed(seed: int) -> Scenario:
    """The kernel fails to write a segment back; more segments are dirty than may be open, and then comes a checkpoint."""
    stage = Stage(seed, open_files_max=2)
    engine = stage.start()
    topic_id = engine.create_topic("t", PARTITIONS, _ROOMY).topic_id
    stage.disk.fail_writeback_of = ".log"
    stage.disk.fail_writeback_after = stage.rng.randrange(PARTITIONS // 2)
    for partition in range(PARTITIONS):
        stage.append((topic_id, partition))
    engine.settle()
    engine.directories[0].checkpointer.start()
    engine.settle()
    return stage.end(stage.disk.operations)
