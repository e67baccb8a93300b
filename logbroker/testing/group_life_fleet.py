"""The processes of `group_life`: one for each member, whose account goes into the log, and one that operates."""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from logbroker.testing.group_life_log import Event, Kind, Log
from logbroker.testing.group_life_schedule import Slot

ANSWER_TIMEOUT_S = 10.0
OPERATOR_TIMEOUT_S = 60.0
END_TIMEOUT_S = 40.0
PYTHON_LIBRARIES = ("confluent", "aiokafka", "kafka_python")
CHANGES = frozenset((Kind.ASSIGNED, Kind.REVOKED, Kind.LOST))
LOG_TAIL_BYTES = 1500


class MemberProcess:
    """One life of one slot.

    Events are appended to the log by a thread that reads what the process says, and by whoever does something to it.
    """

    def __init__(
        self, name: str, slot: Slot, command: Sequence[str], log: Log, log_file: pathlib.Path
    ) -> None:
        self.name = name
        self.slot = slot
        self.last_change_s = time.monotonic()
        self.paused = False
        self._log = log
        self._log_file = log_file
        self._ready = threading.Event()
        self._left = False
        self._killed = False
        self._answers: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        log.groups[name] = slot.group
        self._note(Kind.STARTED)
        with log_file.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _note(self, kind: Kind, **fields: Any) -> None:
        self._log.events.append(Event(time.monotonic(), self.name, kind, **fields))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # not the last words of one that was killed
                self._understand(json.loads(line))
        status = self._process.wait()
        self._ready.set()
        if not self._killed and not self._left:
            tail = self._log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="backslashreplace")
            self._note(Kind.DIED, text=f"status {status}, {tail}")

    def _understand(self, said: dict[str, Any]) -> None:
        at_s, name = said["t"], said["e"]
        if name == "ready":
            self._ready.set()
            return
        partitions = tuple(said.get("p", ()))
        if name == "owned":
            self._answers.put(partitions)
            return
        kind = Kind(name)
        if kind in CHANGES:
            self.last_change_s = time.monotonic()
        self._left = self._left or kind is Kind.LEFT
        self._log.events.append(
            Event(
                at_s,
                self.name,
                kind,
                partitions=partitions,
                spans=tuple((partition, first, end) for partition, first, end in said.get("s", ())),
                offsets={int(partition): offset for partition, offset in said.get("o", {}).items()},
                commit=said.get("n", 0),
                text=said.get("x", ""),
            )
        )

    def wait_ready(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Until everything is loaded: what is left costs little."""
        if not self._ready.wait(timeout_s):
            raise TimeoutError(f"{self.name} is not ready after {timeout_s} s")

    def send(self, op: str, **fields: Any) -> None:
        """Give a command; one that is dead doesn't hear it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
            self._process.stdin.flush()

    def owned(self) -> tuple[int, ...] | None:
        """What it has; to be asked before (`send`). None when it doesn't answer in time."""
        try:
            return self._answers.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            return None

    def nap(self, seconds: float) -> None:
        """Have it stop polling for a while."""
        self._note(Kind.NAPPED, seconds=seconds)
        self.send("nap", seconds=seconds)

    def pause(self) -> None:
        """SIGSTOP."""
        self._note(Kind.PAUSED)
        self._process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)
        self._note(Kind.RESUMED)
        self.paused = False

    def crash(self) -> None:
        """SIGKILL."""
        self._killed = True
        self._process.kill()
        self._process.wait()
        self._note(Kind.CRASHED)

    def wait_end(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Until it has ended, as it was told to; one that does not end in time is killed, which the log calls a death."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._note(Kind.DIED, text=f"it did not stop within {timeout_s} s")
            self.close()
        self._reader.join(ANSWER_TIMEOUT_S)

    def close(self) -> None:
        """Have no process left."""
        self._killed = True
        self._process.kill()
        self._process.wait()
        self._reader.join(ANSWER_TIMEOUT_S)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()


class Fleet:
    """Starts members, each under a name that none had before.

    Args:
        commands: how a member's program is run, by library; those in Python are known.
        subscribe: the fields of the first command that are the same for all.
    """

    def __init__(
        self, log: Log, directory: pathlib.Path, commands: dict[str, Sequence[str]], subscribe: dict[str, Any]
    ) -> None:
        self._log = log
        self._directory = directory
        self._commands = commands
        self._subscribe = subscribe
        self._numbers = itertools.count(1)
        self.all: list[MemberProcess] = []

    def start(self, slot: Slot) -> MemberProcess:
        """A process that loads its library, and joins when it is told to (`join`)."""
        name = f"{slot.name}.{next(self._numbers)}"
        command = self._commands.get(slot.library) or (
            sys.executable,
            "-m",
            f"logbroker.testing.group_life_{slot.library}",
        )
        member = MemberProcess(name, slot, command, self._log, self._directory / f"{name}.log")
        self.all.append(member)
        return member

    def join(self, member: MemberProcess) -> None:
        """Have it subscribe."""
        slot = member.slot
        member.send(
            "subscribe", **self._subscribe, group=slot.group, name=member.name, protocol=slot.protocol
        )

    def close(self) -> None:
        """Have no process left."""
        for member in self.all:
            member.close()


class OperatorProcess:
    """The process of `group_life_operator`."""

    def __init__(self, bootstrap: str, log_file: pathlib.Path) -> None:
        self._log_file = log_file
        with log_file.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "logbroker.testing.group_life_operator", bootstrap],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        put: Callable[[bytes], None] = self._answers.put
        for line in self._process.stdout:
            put(line)
        put(b"")

    def call(self, op: str, **arguments: Any) -> Any:
        """Do one operation; RuntimeError with what went wrong."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._answers.get(timeout=OPERATOR_TIMEOUT_S)
        if not line:
            raise RuntimeError(f"the operator ended:\n{self._log_file.read_text()[-LOG_TAIL_BYTES:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{op}: {answer['error']}")
        return answer["ok"]

    def close(self) -> None:
        """Have no process left."""
        self._process.kill()
        self._process.wait()
        self._reader.join(ANSWER_TIMEOUT_S)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
