"""Running the load client and the bare disk beside it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
KLOAD = REPOSITORY / "build" / "kload"
DISKBENCH = REPOSITORY / "build" / "diskbench"


def kload(
    mode: str, bootstrap: str, topic: str, arguments: list[str], timeout_s: float = 600
) -> dict[str, Any]:
    """One run of the load client; SystemExit with what it said when something went wrong."""
    host, _, port = bootstrap.rpartition(":")
    command = [str(KLOAD), mode, host, port, topic, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}: {done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def bare_disk(directory: pathlib.Path, seconds: float = 1.0) -> dict[str, Any]:
    """Overwrites of 4 KB, each with its fdatasync, one after another: what a commit costs at least."""
    command = [str(DISKBENCH), str(directory), "fdatasync", "overwrite", "4096", "2000", "1", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def file_system(directory: pathlib.Path) -> str:
    """Type and device of the file system, as `ext4 on /dev/vda`."""
    path = os.path.realpath(directory)
    best, found = "", "unknown"
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        device, mount, kind = line.split()[:3]
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, found = mount, f"{kind} on {device}"
    return found
