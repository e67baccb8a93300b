"""What a log directory counts, for metrics; plain numbers with one writer each."""

from __future__ import annotations

from logbroker.base.metrics import Histogram


class StorageStats:
    """Counters of one log directory."""

    __slots__ = (
        "checkpoint_us",
        "checkpoints",
        "cleaner_failures",
        "cleaner_last_pass_ms",
        "cleaner_passes",
        "cleaner_read_bytes",
        "cleaner_removed_records",
        "cleaner_written_bytes",
        "commit_bytes",
        "commit_us",
        "damaged_reads",
        "direct_bytes",
        "disk_errors",
        "journal_bytes",
        "scrub_findings",
        "scrub_last_pass_ms",
        "scrub_pass_bytes",
        "scrub_pass_done_bytes",
        "scrubbed_bytes",
        "scrubbed_segments",
        "segment_syncs",
        "writebacks",
    )

    def __init__(self) -> None:
        self.commit_us = Histogram(scale=1e-6, powers=(5, 25))
        self.commit_bytes = Histogram(scale=1, powers=(12, 26))
        self.checkpoint_us = Histogram(scale=1e-6, powers=(8, 28))
        self.checkpoints = 0
        self.journal_bytes = 0
        self.direct_bytes = 0
        self.segment_syncs = 0
        self.writebacks = 0
        self.disk_errors = 0
        self.damaged_reads = 0
        """Reads for clients that met bytes which are not what was written."""
        self.cleaner_passes = 0
        self.cleaner_failures = 0
        """Passes that failed, and are tried again."""
        self.cleaner_read_bytes = 0
        self.cleaner_written_bytes = 0
        self.cleaner_removed_records = 0
        self.cleaner_last_pass_ms = 0
        """How long the last pass took."""
        self.scrubbed_bytes = 0
        self.scrubbed_segments = 0
        self.scrub_findings = 0
        """Damaged places that the scrubber found, each time it found them."""
        self.scrub_pass_bytes = 0
        """Bytes that the scrubber's present pass has to read; `scrub_pass_done_bytes` of them it has read."""
        self.scrub_pass_done_bytes = 0
        self.scrub_last_pass_ms = 0
        """When it last was through with everything, ms since the epoch; 0: never."""
