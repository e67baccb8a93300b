"""Who listens on a TCP port already, as far as Linux lets us see.

`/proc/net/tcp` and `tcp6` name the inode of every listening socket; the process that holds it is found among the
descriptors in `/proc/<pid>/fd`. Processes of other users can't be looked into without root: then there is no name.
Elsewhere than on Linux nothing is found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"


def describe_owner(port: int) -> str | None:
    """The process that listens on `port`, as `name (pid 123)`; None if it can't be found out."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    targets = {f"socket:[{inode}]" for inode in inodes}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and _holds(entry, targets):
            return f"{_name(entry)} (pid {entry})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(pid: str, targets: set[str]) -> bool:
    directory = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(directory)
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(f"{directory}/{descriptor}") in targets:
                return True
        except OSError:
            continue
    return False


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() or "a process"
    except OSError:
        return "a process"
