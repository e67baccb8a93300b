"""A broker as its users have it: a process of its own, started by its command line, stopped and killed by signals.

    with BrokerProcess(data_dir) as broker:        # listens on a port that the system chose
        ... broker.bootstrap ...
        broker.kill()                              # SIGKILL
        broker.start()                             # again, on the same data and the same port

Nothing here sleeps to wait: a broker is ready when its log says `serving`, and has ended when the kernel says so. `check`
is the end of every test that used one: exit status 0 after SIGTERM, no traceback in anything it ever wrote, and a data
directory in which `logbroker log verify` finds nothing wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from types import TracebackType

from prometheus_client.parser import text_string_to_metric_families

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
FAULTS = ("Traceback (most recent call last)", "Fatal Python error", "Segmentation fault")

DEFAULT_SETTINGS = {
    "metrics.listeners": "127.0.0.1:0",
    # What a person may wait for, a test need not.
    "group.initial.rebalance.delay.ms": "0",
}


def free_port(neighbours: int = 0) -> int:
    """A loopback port that nobody listens on now, nor on so many behind it."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            port = 0
            for number in range(neighbours + 1):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port + number if port else 0))
                port = port or probe.getsockname()[1]
            return port


class BrokerProcess:
    """One data directory and the processes that serve it, one after another.

    Args:
        data_dir: for records and metadata, unless `settings` name `log.dirs`; made by the broker.
        settings: more of `--set`, by name; they go before DEFAULT_SETTINGS.
        environment: variables beside those of this process, of which none that configures a broker is handed on.
        listen: where to listen; port 0 is the system's choice, kept for every later start.
        verify: whether `check` has the data directory verified.
    """

    def __init__(
        self,
        data_dir: pathlib.Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        listen: str = "127.0.0.1:0",
        verify: bool = True,
    ) -> None:
        self.data_dir = data_dir
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.environment = dict(environment or {})
        self.bootstrap = listen
        self.verify = verify
        self.metrics_address = ""
        self.lines: list[str] = []
        self.statuses: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news = threading.Condition()
        self._serving = False

    def __enter__(self) -> BrokerProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.check()
        else:
            self.end()

    # ---- Life ----------------------------------------------------------------------------------------------------

    def start(self, *, timeout_s: float = READY_TIMEOUT_S) -> BrokerProcess:
        """Start the broker and wait until it serves; AssertionError with its log when it doesn't."""
        self.launch()
        self.wait_ready(timeout_s=timeout_s)
        return self

    def launch(self) -> None:
        """Start the process, and don't wait for anything."""
        assert self._process is None, "the broker runs already"
        self._serving = False
        command = [sys.executable, "-m", "logbroker.daemons.entry", "serve"]
        command += ["--listen", self.bootstrap, "--log-format", "json"]
        if "log.dirs" not in self.settings:
            command += ["--data-dir", str(self.data_dir)]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOGBROKER_")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**inherited, **self.environment},
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._understand(line)
                self._news.notify_all()
        with self._news:
            self._serving = False
            self._news.notify_all()

    def _understand(self, line: str) -> None:
        try:
            fields = json.loads(line)
        except ValueError:
            return  # what faulthandler writes, say
        if fields.get("event") == "serving":
            self.bootstrap = fields["listeners"].split(",")[0].strip().rpartition("//")[2]
            self.metrics_address = fields.get("metrics", "").split(",")[0].strip()
            self._serving = True

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until clients are served."""
        reader = self._reader
        assert reader is not None
        with self._news:
            arrived = self._news.wait_for(lambda: self._serving or not reader.is_alive(), timeout_s)
        assert arrived, f"not ready after {timeout_s} s:\n{self.log_text()}"
        if not self._serving:
            status = self.wait_exit()
            raise AssertionError(f"the broker ended with status {status}:\n{self.log_text()}")

    def wait_exit(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Until the process has ended; its exit status, negative for a signal."""
        assert self._process is not None
        assert self._reader is not None
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log = self.log_text()
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the broker did not end within {timeout_s} s:\n{log}") from None
        finally:
            self._reader.join(5)
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._process = None
        self.statuses.append(status)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None, "the broker doesn't run"
        self._process.send_signal(number)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, and hold it to exit status 0."""
        self.signal(signal.SIGTERM)
        status = self.wait_exit(timeout_s=timeout_s)
        assert status == 0, f"exit status {status} after SIGTERM:\n{self.log_text()}"

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.signal(signal.SIGKILL)
        assert self.wait_exit() == -signal.SIGKILL

    def pause(self) -> None:
        """SIGSTOP: the process is there and does nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop cleanly and start on the same data and port."""
        self.stop()
        self.start()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the broker doesn't run"
        return self._process.pid

    # ---- What it says --------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The host of `bootstrap`."""
        return self.bootstrap.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port of `bootstrap`."""
        return int(self.bootstrap.rpartition(":")[2])

    def log_text(self, last: int = 60) -> str:
        """The newest lines of the log, of all starts together."""
        with self._news:
            return "\n".join(self.lines[-last:])

    def events(self, name: str | None = None) -> list[dict[str, object]]:
        """The log's lines as objects; only those of one event, if it is named."""
        with self._news:
            lines = list(self.lines)
        found = []
        for line in lines:
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if name is None or fields.get("event") == name:
                found.append(fields)
        return found

    def wait_event(self, name: str, *, timeout_s: float = READY_TIMEOUT_S) -> dict[str, object]:
        """Until the log has an event of that name; the newest one."""
        found: list[dict[str, object]] = []

        def there() -> bool:
            found[:] = self.events(name)
            return bool(found)

        with self._news:
            arrived = self._news.wait_for(there, timeout_s)
        assert arrived, f"no event {name!r} within {timeout_s} s:\n{self.log_text()}"
        return found[-1]

    def http(self, path: str) -> str:
        """The body of a GET from the metrics listener."""
        with urllib.request.urlopen(f"http://{self.metrics_address}{path}", timeout=30) as response:
            return str(response.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; KeyError when there is none of that name."""
        values = [
            sample.value
            for family in text_string_to_metric_families(self.http("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        if not values:
            raise KeyError(name)
        return sum(values)

    # ---- The end -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Have no process left, without any demands; for a test that failed already."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self.wait_exit()

    def check(self) -> None:
        """Stop the broker if it runs, and hold its log and its data directory to what a healthy one leaves."""
        if self._process is not None:
            self.resume()
            self.stop()
        first = next(
            (at for at, line in enumerate(self.lines) if any(fault in line for fault in FAULTS)), None
        )
        assert first is None, "the broker's log has a traceback:\n" + "\n".join(self.lines[first:][:80])
        for directory in self.log_dirs if self.verify else ():
            if directory.exists():
                done = run_cli("log", "verify", str(directory))
                assert done.returncode == 0, f"logbroker log verify:\n{done.stdout}\n{done.stderr}"

    @property
    def log_dirs(self) -> list[pathlib.Path]:
        """Where its records are."""
        named = self.settings.get("log.dirs", str(self.data_dir))
        return [pathlib.Path(directory) for directory in named.split(",")]


def run_cli(
    *arguments: str,
    timeout_s: float = 120,
    input_text: str | None = None,
    environment: Iterable[tuple[str, str]] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the `logbroker` command, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "logbroker.daemons.entry", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        input=input_text,
        stdin=subprocess.DEVNULL if input_text is None else None,
        env={**os.environ, **dict(environment)},
        check=False,
    )
