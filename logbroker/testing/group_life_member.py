"""What the member programs of `group_life` have in common: the line protocol, and what was read and not yet committed.

A member is a process with one consumer in it, so that it can be killed and paused alone. It says {"e": "ready"} when all is
loaded, and is told by lines of JSON on standard input:

    {"op": "subscribe", "bootstrap": .., "topic": .., "group": .., "name": .., "protocol": "classic" or "consumer",
     "session_timeout_ms": .., "heartbeat_interval_ms": .., "max_poll_interval_ms": .., "commit_interval_ms": ..}
    {"op": "owned"}             asks which partitions it has
    {"op": "nap", "seconds": s} don't poll for so long; heartbeats go on as far as the library sends them
    {"op": "stop"}              commit, leave the group, end

and says on standard output what happens to it, each line with the time ("t", CLOCK_MONOTONIC) and the kind ("e") of
`group_life_log.Kind`: "p" are partitions, "s" spans of records, "o" offsets by partition, "n" the number of a commit, "x" text.
The answer to "owned" is {"e": "owned", "p": [...]}. A line is one write, and what was read is said before it is committed: a
member that is killed leaves a true account. At the end of its input a member ends at once, as if killed.

Every record's value is its own "partition:offset"; a record that says something else is reported as wrong.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from logbroker.testing.group_life_log import Kind

POLL_S = 0.1
POLL_RECORDS_MAX = 500
FETCH_BYTES_MIN = 4096
FETCH_WAIT_MS_MAX = 250
COMMIT_TRIES_S = 5.0
"""For how long a commit is tried again that failed because the group was just changing."""


@dataclass(frozen=True)
class Subscribe:
    """The first command."""

    bootstrap: str
    topic: str
    group: str
    name: str
    protocol: str
    session_timeout_ms: int
    heartbeat_interval_ms: int
    max_poll_interval_ms: int
    commit_interval_ms: int


class Lines:
    """Standard input and output; what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def begin(self) -> Subscribe:
        """Wait for the first command; the others are read by a thread from then on."""
        self.say("ready")
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        fields = json.loads(line)
        del fields["op"]
        threading.Thread(target=self._read, daemon=True).start()
        return Subscribe(**fields)

    def _read(self) -> None:
        for line in sys.stdin:
            self._commands.put(json.loads(line))
        os._exit(0)

    def next_command(self) -> dict[str, Any] | None:
        """The next command, if there is one."""
        try:
            return self._commands.get_nowait()
        except queue.Empty:
            return None

    def say(self, kind: str, **fields: Any) -> None:
        """Write one line, in one piece."""
        with self._lock:
            line = (
                json.dumps({"t": time.monotonic(), "e": kind, **fields}, separators=(",", ":")).encode()
                + b"\n"
            )
            while line:
                line = line[os.write(self._out, line) :]


class Progress:
    """How far each partition was read, and what of it is committed. May be used by several threads.

    The offsets of a partition are forgotten when it goes: another member may have read on before it comes back.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._read: dict[int, int] = {}
        self._commits = 0

    def assigned(self, partitions: Iterable[int]) -> None:
        """Say what was assigned."""
        self._lines.say(Kind.ASSIGNED, p=sorted(partitions))

    def gone(self, partitions: Iterable[int], *, lost: bool = False) -> None:
        """Say and forget what was revoked or lost."""
        gone = sorted(partitions)
        with self._lock:
            for partition in gone:
                self._read.pop(partition, None)
        if gone:
            self._lines.say(Kind.LOST if lost else Kind.REVOKED, p=gone)

    def read(self, records: Iterable[tuple[int, int, bytes | None]]) -> None:
        """Process records: (partition, offset, value), in the order in which they were polled."""
        spans: list[list[int]] = []
        last: dict[int, list[int]] = {}
        for partition, offset, value in records:
            if value != b"%d:%d" % (partition, offset):
                self._lines.say(Kind.WRONG, x=f"{partition}@{offset} is {value!r}")
            span = last.get(partition)
            if span is not None and span[2] == offset:
                span[2] = offset + 1
            else:
                last[partition] = span = [partition, offset, offset + 1]
                spans.append(span)
        if not spans:
            return
        self._lines.say(Kind.READ, s=spans)
        with self._lock:
            for partition, span in last.items():
                self._read[partition] = span[2]

    def begin_commit(self, partitions: Iterable[int] | None = None) -> tuple[int, dict[int, int]]:
        """The number of a commit and its offsets: of everything, or of some partitions. Nothing is said if there are none."""
        with self._lock:
            among = self._read.keys() if partitions is None else set(partitions)
            offsets = {partition: offset for partition, offset in self._read.items() if partition in among}
            self._commits += 1
            number = self._commits
        if offsets:
            self._lines.say(Kind.COMMITTING, n=number, o=offsets)
        return number, offsets

    def committed(self, number: int, offsets: Mapping[int, int]) -> None:
        """It was acknowledged."""
        with self._lock:
            for partition, offset in offsets.items():
                if self._read.get(partition) == offset:
                    del self._read[partition]
        self._lines.say(Kind.COMMITTED, n=number)

    def refused(self, number: int, error: object) -> None:
        """It failed, and won't be tried again."""
        self._lines.say(Kind.REFUSED, n=number, x=str(error))


def live(
    lines: Lines,
    commit_interval_s: float,
    *,
    poll: Callable[[], None],
    commit: Callable[[], None],
    owned: Callable[[], Iterable[int]],
) -> None:
    """Poll, commit now and then, and do as told, until it is time to stop: the life of a member with one thread."""
    commit_s = time.monotonic() + commit_interval_s
    while True:
        command = lines.next_command()
        if command is not None:
            if command["op"] == "stop":
                return
            if command["op"] == "nap":
                time.sleep(command["seconds"])
            else:
                lines.say("owned", p=sorted(owned()))
        poll()
        if time.monotonic() >= commit_s:
            commit()
            commit_s = time.monotonic() + commit_interval_s
