"""Unmodified Kafka clients, each in a process of its own that is told by lines of JSON what to do (clients/drivers).

A process of its own, because a client may abort at a reply that it didn't expect: then the test that asked fails, with
what the client wrote, and the next test gets a fresh one.
"""

from __future__ import annotations

import json
import pathlib
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from support.kafka_tools import find_kafka_tools

CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"
ANSWER_TIMEOUT_S = 90.0
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class ClientError(Exception):
    """What a client raised; `kind` is the name of its class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass(frozen=True)
class ClientKind:
    """What a client can do, as far as it differs from the others."""

    name: str
    timestamps: bool = True  # can give a record a timestamp
    empty_values: bool = True  # can write empty values and keys that are not null
    nothing: bool = True  # can write a record with neither key nor value
    reports: bool = True  # says at which offset a record was written
    binary_headers: bool = True  # header values are bytes; else text that ends at a zero byte
    null_headers: bool = True  # can write headers without a value
    seeks: bool = True
    administers: bool = True
    groups: bool = True
    log_dirs: bool = False
    max_timestamp: bool = True

    def command(self, server: str) -> list[str]:
        """How its driver is run; ClientMissingError where what it needs isn't installed."""
        if self.name == "java":
            tools = find_kafka_tools()
            if isinstance(tools, str):
                raise ClientMissingError(tools)
            return tools.command(str(CLIENTS / "java" / "Driver.java"), server, log_level="warn")
        if self.name == "kcat" and shutil.which("kcat") is None:
            raise ClientMissingError("needs kcat: sudo apt-get install kcat")
        return [sys.executable, str(CLIENTS / "drivers" / f"{self.name}_driver.py"), server]


class ClientMissingError(Exception):
    """A client isn't installed; the message says how it would be."""


KINDS = {
    kind.name: kind
    for kind in (
        ClientKind("confluent"),
        ClientKind("aiokafka", nothing=False, max_timestamp=False),
        ClientKind("kafka_python", nothing=False, null_headers=False, log_dirs=True),
        ClientKind("java", log_dirs=True),
        ClientKind(
            "kcat",
            timestamps=False,
            empty_values=False,
            reports=False,
            binary_headers=False,
            seeks=False,
            administers=False,
            groups=False,
            max_timestamp=False,
        ),
    )
}


class ClientDriver:
    """One process of one client."""

    def __init__(self, kind: ClientKind, server: str, log_file: pathlib.Path) -> None:
        self.kind = kind
        self._server = server
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __repr__(self) -> str:
        return self.kind.name

    def send(self, op: str, **arguments: Any) -> None:
        """Begin an operation; `receive` has its result. Drivers given something to do in turn work at the same time."""
        process = self._process
        if process is None or process.poll() is not None:
            with self._log_file.open("ab") as log:
                process = self._process = subprocess.Popen(
                    self.kind.command(self._server), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
                )
            self._unread = b""
        assert process.stdin is not None
        process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        process.stdin.flush()

    def receive(self) -> Any:
        """The result of what was sent; ClientError is the client's own, AssertionError when it died or hung."""
        answer = json.loads(self._line())
        if "error" in answer:
            raise ClientError(answer["kind"], answer["error"])
        return _with_numbers(answer["ok"])

    def call(self, op: str, **arguments: Any) -> Any:
        """Begin an operation and wait for its result."""
        self.send(op, **arguments)
        return self.receive()

    def _line(self) -> bytes:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(ANSWER_TIMEOUT_S):
                    process.kill()
                    raise AssertionError(
                        f"{self} did not answer within {ANSWER_TIMEOUT_S} s:\n{self.log_text()}"
                    )
                piece = process.stdout.read1(1 << 20)
                if not piece:
                    raise AssertionError(f"{self} ended with status {process.wait()}:\n{self.log_text()}")
                self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def log_text(self, last_bytes: int = 4000) -> str:
        """The end of what the client wrote to standard error."""
        return self._log_file.read_bytes()[-last_bytes:].decode(errors="backslashreplace")

    def close(self) -> None:
        """End the process: at the end of its input, or by force when it doesn't see that."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._process = None


def together(calls: Sequence[tuple[ClientDriver, str, dict[str, Any]]]) -> list[Any]:
    """Have several drivers do something at the same time; their results in order."""
    for driver, op, arguments in calls:
        driver.send(op, **arguments)
    results: list[Any] = []
    problem: Exception | None = None
    for driver, _, _ in calls:
        try:
            results.append(driver.receive())
        except ClientError as error:
            problem = error
    if problem is not None:
        raise problem
    return results


def eventually(read: Callable[[], Any], expected: Any, timeout_s: float = 20.0) -> None:
    """Hold a reading to a value that it may take a moment to have: metadata reaches clients and brokers bit by bit."""
    until = time.monotonic() + timeout_s
    while (got := read()) != expected:
        assert time.monotonic() < until, f"still {got!r}, not {expected!r}, after {timeout_s} s"


def _with_numbers(result: Any) -> Any:
    """JSON objects have text for keys; ours that are numbers are partitions."""
    if isinstance(result, dict):
        return {int(key) if key.isdecimal() else key: _with_numbers(value) for key, value in result.items()}
    return result
