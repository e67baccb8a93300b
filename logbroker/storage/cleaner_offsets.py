"""Up to where each partition of a log directory has been compacted: a small text file, `cleaner-offset-checkpoint`.

    1 (version), the number of lines, then `<topic id> <partition> <offset>`: everything below was cleaned at least once

It saves work and promises nothing: it isn't synced, and what a crash or a reader finds wrong in it counts as never cleaned. As Kafka's
file of this name, but for the topic id in place of the name: a topic that was made anew must not inherit its predecessor's offset.
"""

from __future__ import annotations

from collections.abc import Mapping

from logbroker.storage.vfs import Vfs, read_whole, write_unsynced

FILE_NAME = "cleaner-offset-checkpoint"
_VERSION = "1"
_BYTES_MAX = 64 << 20

Offsets = dict[tuple[bytes, int], int]
"""By (topic id, partition)."""


def load(vfs: Vfs, directory: str) -> Offsets:
    """What the file says; nothing, if it can't be read."""
    path = f"{directory}/{FILE_NAME}"
    try:
        if not vfs.exists(path) or vfs.file_size(path) > _BYTES_MAX:
            return {}
        version, count, *lines = read_whole(vfs, path).decode("ascii").splitlines()
        if version != _VERSION or int(count) != len(lines):
            return {}
        found: Offsets = {}
        for line in lines:
            topic_id, partition, offset = line.split()
            found[bytes.fromhex(topic_id), int(partition)] = int(offset)
    except (OSError, ValueError):
        return {}
    return found


def save(vfs: Vfs, directory: str, offsets: Mapping[tuple[bytes, int], int]) -> None:
    """Replace the file."""
    lines = [_VERSION, str(len(offsets))]
    lines += [f"{topic_id.hex()} {partition} {offset}" for (topic_id, partition), offset in offsets.items()]
    write_unsynced(vfs, f"{directory}/{FILE_NAME}", "\n".join([*lines, ""]).encode("ascii"))
