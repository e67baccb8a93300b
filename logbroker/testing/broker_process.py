"""A real broker in a process of its own: `logbroker serve` with a data directory and a free port.

Ready is when the broker says so on the socket that NOTIFY_SOCKET names (sd_notify), not when some time has passed. What
it printed is kept in `log_path` and quoted when it doesn't start.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["BrokerProcess", "free_port"]

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.2


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class BrokerProcess:
    """A broker that runs while the `with` block does; `kill` and `start` it again at will."""

    def __init__(self, directory: Path, *settings: str) -> None:
        """Keep data and log in `directory`; `settings` are `key=value`, as for `--set`."""
        self.data_dir = directory / "data"
        self.log_path = directory / "broker.log"
        self.port = free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it serves clients."""
        command = [sys.executable, "-m", "logbroker.daemons.entry", "serve"]
        command += ["--data-dir", str(self.data_dir), "--listen", self.bootstrap_servers]
        command += ["--set", "metrics.listeners="]
        for setting in self._settings:
            command += ["--set", setting]
        with (
            tempfile.TemporaryDirectory() as directory,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        ):
            path = os.path.join(directory, "notify")
            notify.bind(path)
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith("LOGBROKER_")
            }
            environment["NOTIFY_SOCKET"] = path
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
                )
            self._wait_until_ready(notify)
        return self

    def stop(self) -> int:
        """Ask it to stop, as a service manager would; returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def _wait_until_ready(self, notify: socket.socket) -> None:
        process = self._process
        if process is None:
            raise RuntimeError("the broker was not started")
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the broker exited with {process.returncode}:\n{self._tail()}")
            readable, _, _ = select.select([notify], [], [], _LOOK_AGAIN_SECONDS)
            if readable and b"READY=1" in notify.recv(4096):
                return
        self._end(signal.SIGKILL)
        raise RuntimeError(f"the broker was not ready after {START_TIMEOUT_SECONDS} s:\n{self._tail()}")

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            raise RuntimeError("the broker is not running")
        process.send_signal(number)
        try:
            return process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(
                f"the broker did not stop in {STOP_TIMEOUT_SECONDS} s:\n{self._tail()}"
            ) from None

    def _tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:] if self.log_path.exists() else ""
