"""One failing fsync under a real process, chosen by path, on any machine with a C compiler.

The library (fail_sync.c, compiled when first asked for) is preloaded into the process: `environment()` goes to `subprocess.Popen`,
`arm("...")` makes the next sync of a file whose path contains that text fail, once, and `armed` tells whether it has happened. For a
kernel that really loses the pages see `power_cut.LoopDisk.starve`.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys


def why_not() -> str:
    """Why this machine can't do it; "" if it can."""
    if sys.platform != "linux":
        return "needs Linux"
    if shutil.which("cc") is None:
        return "needs a C compiler: apt-get install gcc libc6-dev"
    return ""


class FailSync:
    """The preloaded library, built in `directory`, and its control file."""

    def __init__(self, directory: str) -> None:
        """Compile it. Raises CalledProcessError."""
        self._library = f"{directory}/fail_sync.so"
        self._control = f"{directory}/fail_sync.control"
        source = os.path.join(os.path.dirname(__file__), "fail_sync.c")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"],
            check=True,
            capture_output=True,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """This process's environment, and what makes a child obey."""
        return {**os.environ, "LD_PRELOAD": self._library, "FAIL_SYNC_CONTROL": self._control}

    def arm(self, path_contains: str, error: int = errno.EIO) -> None:
        """Fail the next fsync, fdatasync or write with RWF_DSYNC of such a file, or the next syncfs with ":syncfs" behind the directory's path."""
        temporary = f"{self._control}.tmp"
        with open(temporary, "w", encoding="utf-8") as control:
            control.write(f"{path_contains}\n{error}\n")
        os.rename(temporary, self._control)

    @property
    def armed(self) -> bool:
        """Whether it has yet to happen."""
        return os.path.exists(self._control)
