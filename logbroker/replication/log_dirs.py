"""The log directories of a broker: which are configured, recognising each at a start, and what is told of them. Loop thread only."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from logbroker.base.errors import ConfigError, StorageOfflineError
from logbroker.base.ids import new_kafka_uuid
from logbroker.config.settings import Settings
from logbroker.metadata.image import ClusterImage
from logbroker.storage.directory_identity import (
    DirectoryIdentity,
    DirectoryLock,
    read_identity,
    write_identity,
)
from logbroker.storage.executor import ThreadExecutor
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.storage.recovery import RecoveryReport
from logbroker.storage.scrubber import Scrubber
from logbroker.storage.vfs import Vfs

UNKNOWN_BYTES: Final = -1
"""Size of a volume that can't be told, as Kafka says it."""

DESCRIPTOR_WAIT_S: Final = 10.0
"""How long work on a log directory waits for a file descriptor when none is left."""
OPEN_FILES_LEAST: Final = 16
OPEN_FILES_MOST: Final = 1 << 20


@dataclass(slots=True)
class LogDirState:
    """One configured log directory, online or not."""

    path: str
    directory_id: UUID | None = None
    directory: LogDirectory | None = None
    executor: ThreadExecutor | None = None
    scrubber: Scrubber | None = None
    lock: DirectoryLock | None = None
    report: RecoveryReport | None = None
    error: str | None = None
    is_new: bool = False

    @property
    def online(self) -> bool:
        """Whether partitions in it can be used."""
        return self.directory is not None and self.directory.offline_reason is None


@dataclass(frozen=True, slots=True)
class LogDirInfo:
    """A log directory as DescribeLogDirs tells of it."""

    path: str
    directory_id: UUID | None
    online: bool
    total_bytes: int
    usable_bytes: int
    partitions: list[tuple[str, int, int]] = field(default_factory=list)
    """(topic, partition, size in bytes)"""


def identify(vfs: Vfs, state: LogDirState, image: ClusterImage, known: Mapping[str, UUID]) -> None:
    """Lock and recognise a directory; `known` are the ids of those that the metadata has, by path.

    Raises:
        ConfigError: it belongs to another broker or is in use.
        StorageOfflineError: it is gone, while the metadata knows it.
        CorruptionError, OSError: it can't be used.

    """
    registered = state.directory_id = known.get(state.path)
    if not os.path.isdir(state.path):
        if registered is not None:
            raise StorageOfflineError(f"{state.path} is missing; is its file system mounted?")
        os.makedirs(state.path, exist_ok=True)
    identity = read_identity(vfs, state.path)
    if identity is None:
        if registered is not None:
            raise StorageOfflineError(f"{state.path} holds no meta.properties; is its file system mounted?")
        strange = [name for name in os.listdir(state.path) if name.rpartition("-")[2].isdecimal()]
        if strange:
            raise ConfigError(
                f"{state.path} holds {strange[0]} but no meta.properties; is it another broker's directory? "
                "Choose an empty one with --data-dir or log.dirs"
            )
        identity = DirectoryIdentity(image.cluster_id, image.node_id, new_kafka_uuid())
        state.lock = DirectoryLock(state.path)
        write_identity(vfs, state.path, identity)
        state.is_new = True
    elif identity.cluster_id != image.cluster_id or identity.node_id != image.node_id:
        raise ConfigError(
            f"{state.path} belongs to node {identity.node_id} of cluster {identity.cluster_id}, this is node "
            f"{image.node_id} of cluster {image.cluster_id}; was metadata.log.dir moved or emptied?"
        )
    else:
        state.lock = DirectoryLock(state.path)
        state.is_new = identity.directory_id not in image.directories
    state.directory_id = identity.directory_id


def refuse_twice(paths: Iterable[str]) -> None:
    """Two names of one directory, by a link or a slash, would find it locked, by this very process. Raises ConfigError."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(os.path.realpath(path), path)
        if other != path:
            raise ConfigError(f"log.dirs names one directory twice, as {other} and as {path}; name it once")


def refuse_copies(states: Iterable[LogDirState]) -> None:
    """Raises ConfigError: of two directories with one id, one is a copy, and nobody can tell which lacks what."""
    paths: dict[UUID, str] = {}
    for state in states:
        if state.lock is not None and state.directory_id is not None:
            other = paths.setdefault(state.directory_id, state.path)
            if other != state.path:
                raise ConfigError(
                    f"{other} and {state.path} are the same log directory (directory.id in meta.properties), one a copy "
                    "of the other; leave the copy out of log.dirs"
                )


def describe(state: LogDirState) -> LogDirInfo:
    """What DescribeLogDirs tells of a directory."""
    total = usable = 0
    sizes: list[tuple[str, int, int]] = []
    if state.online and state.directory is not None:
        try:
            stats = os.statvfs(state.path)
        except OSError:  # the next tick finds out, too, and takes it offline
            total = usable = UNKNOWN_BYTES
        else:
            total = stats.f_blocks * stats.f_frsize
            usable = stats.f_bavail * stats.f_frsize
        sizes = [(log.topic, log.index, log.size_bytes) for log in state.directory.logs.values()]
    return LogDirInfo(state.path, state.directory_id, state.online, total, usable, sizes)


def options_of(settings: Settings) -> LogDirectoryOptions:
    """The storage engine's numbers from the settings."""
    return LogDirectoryOptions(
        journal_files=settings.log_journal_files,
        journal_file_bytes=settings.log_journal_file_bytes,
        journal_group_max_bytes=min(
            settings.log_journal_group_max_bytes, settings.log_journal_file_bytes // 2
        ),
        direct_sync_bytes=min(settings.log_direct_sync_bytes, settings.log_journal_file_bytes // 4),
        writeback_bytes=settings.log_writeback_bytes,
        checkpoint_interval_ms=settings.log_checkpoint_interval_ms,
        checkpoint_bytes=4 * settings.log_journal_files * settings.log_journal_file_bytes,
        disk_reserve_bytes=settings.log_disk_reserve_bytes,
        descriptor_wait_s=DESCRIPTOR_WAIT_S,
        open_files_max=min(settings.log_open_files, open_files_share(len(settings.log_dirs))),
    )


def open_files_share(directories: int) -> int:
    """Descriptors that one log directory may use for segments, and once more for mapped indexes.

    Together half of what the process may have, so that connections, new names and recovery find some left.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return OPEN_FILES_MOST
    return max(soft // (4 * max(directories, 1)), OPEN_FILES_LEAST)
