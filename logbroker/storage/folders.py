"""Partition folders: made with Kafka's `partition.metadata`, which says whose they are, and told apart by it. On lanes.

A folder says whose it is, durably, before anything is written into it: else a power cut may leave segments that nobody can tell from
those of an older topic of the same name. One at a time, that is a sync each; many together share one sync of the file system.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from logbroker.base.ids import kafka_uuid, parse_kafka_uuid
from logbroker.storage.executor import Steps
from logbroker.storage.vfs import Vfs, read_whole

if TYPE_CHECKING:
    from logbroker.storage.log_dir import LogDirectory

PARTITION_METADATA = "partition.metadata"


def make_folders_steps(directory: LogDirectory, folders: Sequence[tuple[str, UUID]]) -> Steps[bool]:
    """Make the folders at these paths for partitions of these topics; harmless where they are there.

    Returns whether their names are durable, too; otherwise whoever relies on them syncs the directories.
    """
    if not folders:
        return False
    vfs = directory.vfs
    directory.check_mounted()
    many = len(folders) > directory.options.sync_filesystem_files
    for path, topic_id in folders:
        vfs.mkdir(path)
        yield
        file = vfs.open(f"{path}/{PARTITION_METADATA}", create=True)
        file.pwritev([f"version: 0\ntopic_id: {kafka_uuid(topic_id)}\n".encode("ascii")], 0)
        yield
        if not many:
            file.datasync()
            yield
        file.close()
    if many and vfs.sync_filesystem(directory.path):
        yield
        return True
    if many:
        for path, _ in folders:
            file = vfs.open(f"{path}/{PARTITION_METADATA}")
            file.datasync()
            file.close()
            yield
    return False


def read_topic_id(vfs: Vfs, path: str) -> UUID | None:
    """The topic id in a folder's `partition.metadata`, None if it can't be read."""
    try:
        text = read_whole(vfs, f"{path}/{PARTITION_METADATA}").decode("ascii")
        return parse_kafka_uuid(dict(line.split(": ", 1) for line in text.splitlines())["topic_id"])
    except (OSError, ValueError, KeyError):
        return None


def remove_folder_steps(vfs: Vfs, path: str) -> Steps[None]:
    """Remove a folder and its files; a crash leaves the rest for the next start."""
    for name in vfs.listdir(path):
        vfs.unlink(f"{path}/{name}")
        yield
    vfs.rmdir(path)
    yield
