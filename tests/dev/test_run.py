"""`make run`, as a person at a terminal has it (tools/dev/run.py)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RUN = REPOSITORY / "tools" / "dev" / "run.py"
TIMEOUT_S = 60.0


def free_ports(count):
    """Ports that nobody listens on at the moment; the program under test wants them named."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until_the_broker_is_gone(data_dir):
    """The broker holds the lock as long as it lives; the test's time limit ends this."""
    with open(data_dir / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def command(data_dir, port, metrics_port):
    return [
        *(sys.executable, str(RUN), "--data-dir", str(data_dir)),
        *("--port", str(port), "--metrics-port", str(metrics_port)),
    ]


def at_a_terminal(arguments, keys_at):
    """Run under a terminal of its own; type `keys` once the output has `text`. Returns the output and the exit status."""
    text, keys = keys_at
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(arguments[0], arguments)
    output, typed, until = b"", False, time.monotonic() + TIMEOUT_S
    with (
        selectors.DefaultSelector() as selector,
        contextlib.suppress(OSError),
    ):  # EIO: the other end is closed
        selector.register(terminal, selectors.EVENT_READ)
        while time.monotonic() < until:
            if selector.select(0.2):
                output += os.read(terminal, 65536)
            if text in output and not typed:
                os.write(terminal, keys)
                typed = True
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return output.decode(), os.waitstatus_to_exitcode(status)


def test_it_shows_records_and_leaves_at_ctrl_c(tmp_path):
    for earlier in (0, 3):
        shown, status = at_a_terminal(command(tmp_path / "data", *free_ports(2)), (b"stop: Ctrl-C", b"\x03"))
        assert status == 0, shown
        assert ("created" if earlier == 0 else "was there, with 3 records") in shown
        assert f"read back {earlier + 3} records" in shown or f"of {earlier + 3} records" in shown
        for client in ("kcat", "logbroker consume", "confluent_kafka"):
            assert client in shown
        assert "Traceback" not in shown


def test_ctrl_c_before_the_records_were_shown_is_no_error(tmp_path):
    """The records can't go through a broker that is stopping, and nobody needs to be told to start it."""
    shown, status = at_a_terminal(command(tmp_path / "data", *free_ports(2)), (b": serving", b"\x03"))
    assert status == 0, shown
    assert "stopped" in shown
    assert "rror" not in shown


def test_a_data_directory_may_have_a_space_in_its_name():
    shown = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.installed-runtime", "run", "DATA=my data"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    arguments = shlex.split(shown.stdout)
    assert arguments[arguments.index("--data-dir") + 1] == "my data"


@pytest.mark.parametrize("started_by", ["a shell", "a make that is killed"])
def test_a_terminal_that_goes_away_takes_the_broker_along(tmp_path, started_by):
    arguments = command(tmp_path / "data", *free_ports(2))
    if started_by != "a shell":
        arguments = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *arguments]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(arguments[0], arguments)
    output = b""
    while b"stop: Ctrl-C" not in output:
        output += os.read(terminal, 65536)
    if started_by != "a shell":
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    os.waitpid(pid, 0)
    wait_until_the_broker_is_gone(tmp_path / "data")


def test_output_that_nobody_takes_ends_the_broker(tmp_path):
    """The terminal can go in the middle of a line: to write the rest of it is an error, and the broker must not outlive that."""
    with subprocess.Popen(
        command(tmp_path / "data", *free_ports(2)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        while b"producer.produce(" not in run.stdout.readline():  # the last line but one
            assert run.poll() is None
        run.stdout.close()
        assert run.wait(TIMEOUT_S) != 0
    wait_until_the_broker_is_gone(tmp_path / "data")


def test_a_port_that_is_taken_is_said_to_be(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            command(tmp_path / "data", port, *free_ports(1)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert f"make run PORT={port + 1}" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("port", ["0", "65536", "nine", "-1", ""])
def test_what_is_no_port(tmp_path, port):
    done = subprocess.run(
        [sys.executable, str(RUN), "--data-dir", str(tmp_path / "data"), f"--port={port}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: PORT={port} is no port; give a number from 1 to 65535\n"


def test_a_signal_to_the_program_reaches_the_broker(tmp_path):
    with subprocess.Popen(
        command(tmp_path / "data", *free_ports(2)), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "stop: Ctrl-C" in line:
                running.send_signal(signal.SIGTERM)
        assert running.wait(TIMEOUT_S) == 0
