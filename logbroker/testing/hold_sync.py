"""A disk that takes its time, under a real process: every sync of files chosen by path waits until it is released.

The library (hold_sync.c, compiled when first asked for) is preloaded: `environment()` goes to the process. `hold("/journal/")` makes
syncs of such files wait, `wait_held` returns when one does, `release` lets them go.
"""

from __future__ import annotations

import os
import subprocess
import time

from logbroker.testing.fail_sync import why_not

__all__ = ["HoldSync", "why_not"]

LOOK_AGAIN_S = 0.005


class HoldSync:
    """The preloaded library, built in `directory`, and its control file."""

    def __init__(self, directory: str) -> None:
        """Compile it. Raises CalledProcessError."""
        self._library = f"{directory}/hold_sync.so"
        self._control = f"{directory}/hold_sync.control"
        source = os.path.join(os.path.dirname(__file__), "hold_sync.c")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"],
            check=True,
            capture_output=True,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """What makes a child obey."""
        return {"LD_PRELOAD": self._library, "HOLD_SYNC_CONTROL": self._control}

    def hold(self, path_contains: str) -> None:
        """From now on syncs of such files wait."""
        temporary = f"{self._control}.tmp"
        with open(temporary, "w", encoding="utf-8") as control:
            control.write(f"{path_contains}\n")
        os.rename(temporary, self._control)

    def wait_held(self, count: int = 1, *, timeout_s: float = 20.0) -> None:
        """Return when so many syncs were held since the library was made. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while self.held < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.held} syncs were held, not {count}")
            time.sleep(LOOK_AGAIN_S)

    @property
    def held(self) -> int:
        """How many syncs were held so far."""
        try:
            return os.path.getsize(f"{self._control}.held")
        except FileNotFoundError:
            return 0

    def release(self) -> None:
        """Let all of them go."""
        os.unlink(self._control)
