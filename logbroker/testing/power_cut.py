"""A real file system that can lose power, fill up, fail to sync, turn read-only or go away, under a real process.

`LoopDisk` is an ext4 image on a loop device. Root only, Linux only.

- `cut()`: ext4's shutdown ioctl without flushing its journal. From that instant nothing more reaches the image: what was only in the
  page cache is gone, and every call on the file system returns EIO. `remount()` then is the next boot.
- `starve()`: the image is sparse and lies on a small tmpfs; once that is full, the first write to a block that the image
  doesn't hold yet fails *when it is written back*: fdatasync returns ENOSPC or EIO once, and the kernel marks the pages clean (the next fdatasync
  returns success, reads show the new bytes, the image doesn't have them). Overwriting a block that isn't zero goes on working. `feed()` ends it. The loop driver
  of some kernels reports a request of which only a first part could be written as done: let no request begin on a block that the image holds and
  end on one that it doesn't (no appending to a page that is partly written).
- `abort()`: what the kernel does after an error in its metadata: read-only at once, whoever has files open.
- `detach()`: the mount goes away under open files (`umount -l`); the mount point is an empty directory of another device.
- A full disk is a small `size_bytes` and `fill()`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time

SHUTDOWN_IOCTL = 0x8004587D
"""EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)."""
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written."""
FSCK_CORRECTED = 1
"""Exit code up to which e2fsck has nothing to complain of."""
UNMOUNT_TIMEOUT_S = 10.0
"""How long `remount` waits for a killed process to let go of its files."""
TOOLS = ("mkfs.ext4", "e2fsck", "losetup", "mount", "umount", "fallocate")


def why_not() -> str:
    """Why this machine can't do it (for a test's skip); "" if it can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root: sudo .venv/bin/python -m pytest -m root"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install e2fsprogs mount util-linux"
    try:
        os.close(os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"needs loop devices: {error}"
    return ""


class LoopDisk:
    """An ext4 of its own, mounted at `path`. A context manager; `directory` (existing, empty) holds image and mount point."""

    def __init__(
        self,
        directory: str,
        size_bytes: int = 128 << 20,
        *,
        options: str = "",
        backing_bytes: int = 0,
        journal: bool = True,
    ) -> None:
        """Make and mount it. `options` are ext4's; `backing_bytes` is the size of the tmpfs below, default 1.5 x the image.

        Without `journal` the file system's metadata go to blocks that the image holds, even when it starves.
        """
        self.path = f"{directory}/mnt"
        self._below = f"{directory}/below"
        self._image = f"{self._below}/image"
        self._filler = f"{self._below}/filler"
        self._options = options
        self._loop = ""
        os.mkdir(self.path)
        os.mkdir(self._below)
        _run(
            "mount", "-t", "tmpfs", "-o", f"size={backing_bytes or size_bytes * 3 // 2}", "tmpfs", self._below
        )
        try:
            with open(self._image, "xb") as image:
                image.truncate(size_bytes)
            # Without lazy initialisation: it would write in the background, when the tmpfs may be full.
            _run(
                "mkfs.ext4",
                "-q",
                "-F",
                "-b",
                "4096",
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0",
                "-O",
                "has_journal" if journal else "^has_journal",
                self._image,
            )
            self._mount()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LoopDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Power off, now."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(directory, SHUTDOWN_IOCTL, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def remount(self) -> None:
        """Boot: unmount, replay the journal, check, mount.

        Every process that used the disk has to be dead. Raises OSError(EBUSY) if one isn't, RuntimeError if
        the file system itself came out damaged.
        """
        self._unmount()
        check = subprocess.run(
            ["e2fsck", "-fp", self._image], capture_output=True, text=True, check=False, env=_ENVIRONMENT
        )
        if check.returncode > FSCK_CORRECTED:
            raise RuntimeError(f"e2fsck says {check.returncode}: {check.stdout}{check.stderr}")
        self._mount()

    def starve(self) -> None:
        """Let write-back of blocks that are new to the image (or hold only zeros) fail. Nobody may be writing meanwhile."""
        os.sync()
        _run("fallocate", "--dig-holes", self._image)
        with open(self._filler, "ab", buffering=0) as filler:
            for block in (bytes(1 << 20), bytes(4096)):
                with contextlib.suppress(OSError):
                    while filler.write(block) == len(block):
                        pass

    def feed(self) -> None:
        """Let it write again."""
        os.unlink(self._filler)

    def fill(self, leave_bytes: int = 0) -> None:
        """Fill the file system itself with a file `filler`, but for `leave_bytes`."""
        stats = os.statvfs(self.path)
        size = stats.f_bavail * stats.f_frsize - leave_bytes
        if size <= 0:
            return
        with open(f"{self.path}/filler", "ab") as filler:
            start = os.fstat(filler.fileno()).st_size
            try:
                os.posix_fallocate(filler.fileno(), start, size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def abort(self) -> None:
        """Turn read-only as after an error of the file system, open files or not."""
        with open(
            f"/sys/fs/ext4/{os.path.basename(self._loop)}/trigger_fs_error", "w", encoding="ascii"
        ) as trigger:
            trigger.write("simulated")

    def detach(self) -> None:
        """Take the mount away under whoever uses it; `remount` brings it back once they are gone."""
        _run("umount", "-l", self.path)

    def close(self) -> None:
        """Unmount all of it, by force; the directory is left to its owner."""
        for mount in (self.path, self._below):
            while os.path.ismount(mount):
                _run("umount", "-l", mount)
            with contextlib.suppress(OSError):
                os.rmdir(mount)

    def _mount(self) -> None:
        self._loop = _run("losetup", "--find", "--show", self._image).strip()
        try:
            _run("mount", "-t", "ext4", "-o", self._options or "errors=remount-ro", self._loop, self.path)
        finally:
            _run("losetup", "-d", self._loop)  # now it goes when the mount does

    def _unmount(self) -> None:
        deadline = time.monotonic() + UNMOUNT_TIMEOUT_S
        while os.path.ismount(self.path):
            done = subprocess.run(
                ["umount", self.path], capture_output=True, text=True, check=False, env=_ENVIRONMENT
            )
            if done.returncode and time.monotonic() > deadline:
                raise OSError(errno.EBUSY, f"somebody still uses it: {done.stderr.strip()}", self.path)
            if done.returncode:
                time.sleep(0.05)
        while os.path.exists(f"/sys/fs/ext4/{os.path.basename(self._loop)}"):  # after a lazy unmount
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "files on the detached disk are still open", self.path)
            time.sleep(0.05)


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_ENVIRONMENT = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    if done.returncode:
        raise OSError(errno.EIO, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
