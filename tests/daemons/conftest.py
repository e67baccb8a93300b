"""A real broker in a process of its own, watched through its log lines."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading

import pytest

COMMAND = [sys.executable, "-m", "logbroker.daemons.entry"]
WAIT_S = 30


def clean_environment(**changes):
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LOGBROKER_")}
    return {**kept, **changes}


class BrokerProcess:
    """`logbroker serve` with JSON lines on standard error."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--log-format", "json", "--set", "metrics.listeners=127.0.0.1:0", *arguments],
            stderr=subprocess.PIPE,
            env=clean_environment(**environment),
        )
        self.lines = []
        self._queue = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self._queue.put(line.decode())
        self._queue.put(None)

    def event(self, event):
        """Wait for a log line with this event and return it."""
        while (line := self._queue.get(timeout=WAIT_S)) is not None:
            self.lines.append(line)
            assert line.startswith("{"), "".join(self.lines)
            found = json.loads(line)
            if found["event"] == event:
                return found
        raise AssertionError(f"ended with {self.process.wait()} before {event!r}:\n{''.join(self.lines)}")

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Wait for the end; returns the status."""
        status = self.process.wait(WAIT_S)
        while (line := self._queue.get(timeout=WAIT_S)) is not None:
            self.lines.append(line)
        return status

    def stop(self):
        """Stop as an operator would, unless it has ended; returns the status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.end()


@pytest.fixture
def broker():
    """Give a function that starts brokers; those still running at the end are killed."""
    started = []

    def start(*arguments, **environment):
        one = BrokerProcess(*arguments, **environment)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        one.process.stderr.close()


@pytest.fixture
def command():
    """Give a function that runs `logbroker` to its end, with text output."""

    def run(*arguments, **environment):
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
            env=clean_environment(**environment),
        )

    return run
