"""When tails leave memory for their segments: early where that makes large writes, and never later than `log.writeback.bytes`."""

from __future__ import annotations

import pytest
from storage.support import Engine, batch

WRITEBACK_BYTES = 4 << 20
OPTIONS = {
    "journal_files": 4,
    "journal_file_bytes": 16 << 20,
    "journal_group_max_bytes": 1 << 20,
    "direct_sync_bytes": 1 << 30,
    "checkpoint_bytes": 1 << 30,
    "writeback_bytes": WRITEBACK_BYTES,
}


@pytest.mark.parametrize(("partitions", "begins_at"), [(1, 1 << 20), (8, 2 << 20), (40, WRITEBACK_BYTES)])
def test_write_back_begins_when_each_partition_has_a_large_write(tmp_path, partitions, begins_at):
    with Engine(tmp_path, **OPTIONS) as engine:
        logs = [engine.create(index=index) for index in range(partitions)]
        engine.run()
        waiting_bytes = round_bytes = 0
        while not engine.directory.stats.writebacks:
            # A first ring file is small, and full soon: its checkpoint empties the tails, and they begin anew.
            waiting_bytes = engine.directory.checkpointer.tail_bytes
            assert waiting_bytes < 2 * WRITEBACK_BYTES, "nothing is written back"
            round_bytes = sum(engine.append(log, batch(10_000)).size for log in logs)
            engine.run()
        assert waiting_bytes < begins_at <= waiting_bytes + round_bytes
        assert engine.directory.checkpointer.tail_bytes < round_bytes
