"""Where a pass of the scrubber stands: the file `scrub` of a log directory.

    {"version": 1, "started_ms": ..., "partition": "orders-3", "base_offset": 4200, "done_bytes": ..., "over": false,
     "last_pass_ms": ..., "damaged": [["orders-1", 0]]}

JSON, replaced and not synced: after a crash it may be old, or empty, and then a pass begins anew. Nothing depends on it but when a
segment is read next.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from logbroker.storage.vfs import Vfs, read_whole, write_unsynced

FILE_NAME = "scrub"
DAMAGED_MAX = 1000
"""Damaged segments that are remembered over a restart."""
_BYTES_MAX = 1 << 20
_VERSION = 1


@dataclass(slots=True)
class ScrubProgress:
    """One pass. Times in ms since the epoch."""

    started_ms: int
    partition: str = ""
    """Folder of the last segment that was read to its end; "" before the first."""
    base_offset: int = -1
    """Of that segment."""
    done_bytes: int = 0
    last_pass_ms: int = 0
    """When the last whole pass ended; 0: never."""
    damaged: list[tuple[str, int]] = field(default_factory=list)
    """Folder and base offset of segments with damage."""
    over: bool = False

    def begin(self, now_ms: int) -> None:
        """A new pass."""
        self.started_ms = now_ms
        self.partition = ""
        self.base_offset = -1
        self.done_bytes = 0
        self.over = False

    def note_damaged(self, partition: str, base_offset: int) -> None:
        """Remember a segment."""
        if (partition, base_offset) not in self.damaged and len(self.damaged) < DAMAGED_MAX:
            self.damaged.append((partition, base_offset))

    def forget_damaged(self, partition: str, base_offset: int) -> None:
        """The segment is intact again, or gone."""
        if (partition, base_offset) in self.damaged:
            self.damaged.remove((partition, base_offset))

    def copy(self) -> ScrubProgress:
        """As it is now, for a lane."""
        return replace(self, damaged=list(self.damaged))


def load_progress(vfs: Vfs, directory: str, now_ms: int) -> ScrubProgress:
    """What the file says; a new pass that starts now where there is none, or it makes no sense. Raises OSError."""
    fresh = ScrubProgress(now_ms)
    path = f"{directory}/{FILE_NAME}"
    if not vfs.exists(path) or vfs.file_size(path) > _BYTES_MAX:
        return fresh
    try:
        found = json.loads(read_whole(vfs, path))
        if found["version"] != _VERSION:
            return fresh
        progress = ScrubProgress(
            min(int(found["started_ms"]), now_ms),
            str(found["partition"]),
            int(found["base_offset"]),
            max(int(found["done_bytes"]), 0),
            int(found["last_pass_ms"]),
            [(str(name), int(base)) for name, base in found["damaged"][:DAMAGED_MAX]],
            bool(found["over"]),
        )
    except (ValueError, KeyError, TypeError):
        return fresh
    return progress


def save_progress(vfs: Vfs, directory: str, progress: ScrubProgress) -> None:
    """Replace the file. Raises OSError."""
    content = {
        "version": _VERSION,
        "started_ms": progress.started_ms,
        "partition": progress.partition,
        "base_offset": progress.base_offset,
        "done_bytes": progress.done_bytes,
        "over": progress.over,
        "last_pass_ms": progress.last_pass_ms,
        "damaged": progress.damaged,
    }
    write_unsynced(vfs, f"{directory}/{FILE_NAME}", json.dumps(content).encode("utf-8"))
