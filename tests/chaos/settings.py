"""Settings under which a second of load makes everything happen: rings wrap, segments roll, checkpoints run."""

from __future__ import annotations


def small_ring(file_bytes, **more):
    """A ring that wraps, and segments that roll, within a second of load."""
    return {
        "log.journal.file.bytes": str(file_bytes),
        "log.journal.group.max.bytes": str(file_bytes // 2),
        "log.direct.sync.bytes": str(file_bytes // 4),
        "log.segment.bytes": "1048576",
        **{name.replace("_", "."): str(value) for name, value in more.items()},
    }


SETTINGS = (
    small_ring(262_144, log_checkpoint_interval_ms=200),
    small_ring(1_048_576, log_direct_sync_bytes=4096),
    small_ring(2_097_152, log_checkpoint_interval_ms=100, log_journal_files=2),
    small_ring(524_288, log_open_files=16),
    {},
)
