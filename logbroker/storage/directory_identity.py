"""Which log directory this is, and that nobody else uses it: `meta.properties` and `.lock`.

    version=1
    cluster.id=<22 characters>
    node.id=<number>
    directory.id=<22 characters>

(Kafka's file.) The metadata remembers the directory's id, so a directory that is configured but has lost the file, as when its
file system isn't mounted, is recognised and stays offline instead of being filled anew.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from uuid import UUID

from logbroker.base.errors import ConfigError, CorruptionError
from logbroker.base.ids import kafka_uuid, parse_kafka_uuid
from logbroker.storage.vfs import Vfs, read_whole, write_atomically

FILE_NAME = "meta.properties"
LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class DirectoryIdentity:
    """What `meta.properties` says."""

    cluster_id: str
    node_id: int
    directory_id: UUID


def read_identity(vfs: Vfs, directory: str) -> DirectoryIdentity | None:
    """The directory's identity, None if it has none. Raises CorruptionError on an unreadable file."""
    path = f"{directory}/{FILE_NAME}"
    if not vfs.exists(path):
        return None
    text = read_whole(vfs, path).decode("utf-8", "replace")
    values = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )
    try:
        return DirectoryIdentity(
            values["cluster.id"], int(values["node.id"]), parse_kafka_uuid(values["directory.id"])
        )
    except (KeyError, ValueError) as error:
        raise CorruptionError(path, 0, f"not a usable meta.properties ({error})") from error


def write_identity(vfs: Vfs, directory: str, identity: DirectoryIdentity) -> None:
    """Name a new directory, durably."""
    text = (
        "version=1\n"
        f"cluster.id={identity.cluster_id}\n"
        f"node.id={identity.node_id}\n"
        f"directory.id={kafka_uuid(identity.directory_id)}\n"
    )
    write_atomically(vfs, f"{directory}/{FILE_NAME}", text.encode())


class DirectoryLock:
    """An exclusive lock on a directory for as long as the process lives. Raises ConfigError if another has it."""

    def __init__(self, directory: str) -> None:
        self._fd = os.open(f"{directory}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise ConfigError(
                f"{directory} is in use by another broker (process {holder or 'unknown'}); "
                "stop it, or give this one its own --data-dir"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode("ascii"), 0)

    def release(self) -> None:
        """Let others in."""
        os.close(self._fd)
