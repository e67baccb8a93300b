"""What `make run` does once everything is installed: start a broker, show records going through it, stay until Ctrl-C.

The broker is a child in a process group of its own, which gets the terminal's foreground: Ctrl-C then reaches the broker
and neither this program nor make, so that all of them end with the broker's own exit status, 0. A signal that someone
sends to this program or to make's group instead is passed on; when the terminal goes away, or make does, the broker is stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from logbroker.net.port_owner import describe_owner

HOST = "127.0.0.1"
PORT_MAX = 65535
READY_TIMEOUT_S = 120.0
PARENT_POLL_S = 1.0
PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,  # the terminal is gone; to the broker it would mean to read its settings again
}
LOGBROKER = str(pathlib.Path(sys.executable).with_name("logbroker"))


def main() -> int:
    """Returns what make should exit with."""
    parser = argparse.ArgumentParser(description="Start a broker and show records going through it.")
    parser.add_argument("--port", default="9092")
    parser.add_argument("--metrics-port", default="9644")
    parser.add_argument("--data-dir", default="data")
    wanted = parser.parse_args()
    try:
        wanted.port = _port(wanted.port, "PORT")
        wanted.metrics_port = _port(wanted.metrics_port, "METRICS_PORT")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not _free(wanted.port, "PORT") or not _free(wanted.metrics_port, "METRICS_PORT"):
        return 1
    server = f"{HOST}:{wanted.port}"
    print(f"starting a broker on {server}, data in {os.path.abspath(wanted.data_dir)}", flush=True)
    with _ready_channel() as (channel, address):
        broker = subprocess.Popen(
            [
                *(LOGBROKER, "serve", "--data-dir", wanted.data_dir, "--listen", server),
                *("--set", f"metrics.listeners={HOST}:{wanted.metrics_port}"),
            ],
            env={**os.environ, "NOTIFY_SOCKET": address},
            process_group=0,
        )
        parent = os.getppid()
        for number, meant in PASSED_ON.items():
            signal.signal(number, lambda _got, _frame, meant=meant: _pass_on(broker, meant))
        with _stopped_at_the_end(broker), _terminal_of(broker):
            if _wait_until_ready(broker, channel):
                shown = subprocess.run(
                    [LOGBROKER, "tour", "--bootstrap-server", server], stderr=subprocess.PIPE, check=False
                )
                if shown.returncode == 0:
                    print(
                        f"\nmetrics: http://{HOST}:{wanted.metrics_port}/metrics   stop: Ctrl-C", flush=True
                    )
                elif not _stopping(broker, channel):
                    sys.stderr.buffer.write(shown.stderr)
                    return 1
            return _wait_for_the_end(broker, parent)


@contextlib.contextmanager
def _stopped_at_the_end(broker: subprocess.Popen[bytes]) -> Iterator[None]:
    """However this program ends, the broker ends before it: by an error too, such as that of writing to a terminal that is gone."""
    try:
        yield
    finally:
        if broker.poll() is None:
            _pass_on(broker, signal.SIGTERM)
            broker.wait()


def _wait_for_the_end(broker: subprocess.Popen[bytes], parent: int) -> int:
    """The broker's exit status. Without the make that started us nobody could stop it any more, so it is stopped then."""
    while True:
        try:
            return broker.wait(PARENT_POLL_S)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                parent = os.getppid()
                _pass_on(broker, signal.SIGTERM)


def _port(text: str, variable: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= PORT_MAX:
        raise ValueError(f"{variable}={text} is no port; give a number from 1 to {PORT_MAX}")
    return int(text)


def _free(port: int, variable: str) -> bool:
    """Whether the port can be listened on; if not, say who has it and what to do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            owner = describe_owner(port)
            reason = f"it is taken by {owner}" if owner else error.strerror
            print(
                f"error: can't listen on {HOST}:{port}: {reason}; choose another port with: "
                f"make run {variable}={port + 1 if port < PORT_MAX else port - 1}",
                file=sys.stderr,
            )
            return False
    return True


@contextlib.contextmanager
def _ready_channel() -> Iterator[tuple[socket.socket, str]]:
    """A socket for sd_notify(3), on which the broker says when clients are served."""
    with tempfile.TemporaryDirectory(prefix="logbroker-run-") as directory:
        address = f"{directory}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(address)
            yield channel, address


def _wait_until_ready(broker: subprocess.Popen[bytes], channel: socket.socket) -> bool:
    """Until READY=1; False when the broker ended instead, which has then said why."""
    channel.settimeout(0.1)
    waited_s = 0.0
    while broker.poll() is None:
        try:
            if channel.recv(4096).startswith(b"READY=1"):
                return True
        except TimeoutError:
            waited_s += 0.1
            if waited_s >= READY_TIMEOUT_S:
                # A large ring to replay takes long, and the broker's own log says so.
                print(f"still not ready after {READY_TIMEOUT_S:.0f} s; waiting", file=sys.stderr)
                waited_s = 0.0
    return False


def _stopping(broker: subprocess.Popen[bytes], channel: socket.socket) -> bool:
    """Whether the broker has ended or was asked to: then it is no news that records no longer went through it."""
    channel.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while broker.poll() is None:
            if channel.recv(4096).startswith(b"STOPPING=1"):
                return True
    return broker.poll() is not None


def _pass_on(broker: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        broker.send_signal(number)


@contextlib.contextmanager
def _terminal_of(broker: subprocess.Popen[bytes]) -> Iterator[None]:
    """Give the terminal's foreground, if there is one and it is ours, to the broker's group, and take it back at the end."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield
        return
    ours = os.getpgrp()
    # A process in the background that sets the foreground is stopped by SIGTTOU, unless it ignores it; this program is in
    # the background from here on.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        in_foreground = os.tcgetpgrp(terminal) == ours
        if in_foreground:
            with contextlib.suppress(OSError):  # the broker ended already
                os.tcsetpgrp(terminal, broker.pid)
        try:
            yield
        finally:
            if in_foreground:
                with contextlib.suppress(OSError):
                    os.tcsetpgrp(terminal, ours)
    finally:
        signal.signal(signal.SIGTTOU, before)
        os.close(terminal)


if __name__ == "__main__":
    sys.exit(main())
