"""The numbers a log directory runs with, apart from any settings file (the simulation makes them small)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogDirectoryOptions:
    """See `config/settings.py` for what each means to an operator."""

    journal_files: int = 8
    journal_file_bytes: int = 16 << 20
    journal_group_max_bytes: int = 4 << 20
    direct_sync_bytes: int = 256 << 10
    writeback_bytes: int = 16 << 20
    checkpoint_interval_ms: int = 30_000
    checkpoint_bytes: int = 256 << 20
    sync_filesystem_files: int = 64
    """A checkpoint of more files than this syncs the file system at once."""
    disk_reserve_bytes: int = 0
    open_files_max: int = 4096
    descriptor_wait_s: float = 10.0
    """How long work waits for a file descriptor when none is left."""
    parallel_direct: bool = True
    random_bytes: Callable[[int], bytes] = os.urandom
