"""kcat, driven by lines: each operation is one run of the program, or one for each partition.

It can't give a record a timestamp or tell an empty value from a null one when it writes, and its header values are text.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

from lines import headers_of, record, serve, unpack

TIMEOUT_S = 30.0
# Long enough not to turn up in random bytes by chance.
RECORD_END = b"\x1e<record end>\x1f"
KEY_END = b"\x1e<key end>\x1f"


class Kcat:
    def __init__(self, server: str) -> None:
        self.server = server

    def _run(self, *arguments: str, input_bytes: bytes = b"") -> bytes:
        done = subprocess.run(
            ["kcat", "-b", self.server, *arguments],
            input=input_bytes,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return done.stdout

    def produce(
        self,
        topic: str,
        records: list[Any],
        codec: str = "none",
        idempotence: bool = False,
        acks: Any = "all",
    ) -> None:
        options = [
            "-P",
            "-t",
            topic,
            "-X",
            f"enable.idempotence={str(idempotence).lower()}",
            "-X",
            f"acks={acks}",
        ]
        options += ["-X", f"compression.codec={codec}", "-X", "message.max.bytes=1048000"]
        options += ["-Z", "-D", _escaped(RECORD_END), "-K", _escaped(KEY_END)]
        for (partition, headers), some in itertools.groupby(
            records, key=lambda each: (each["p"], headers_of(each))
        ):
            with_headers = [
                part
                for name, content in headers
                for part in ("-H", name if content is None else f"{name}={content.decode()}")
            ]
            data = b"".join(
                (unpack(each["k"]) or b"") + KEY_END + (unpack(each["v"]) or b"") + RECORD_END
                for each in some
            )
            self._run(*options, "-p", str(partition), *with_headers, input_bytes=data)

    def consume(
        self, topic: str, spans: dict[str, list[int]], isolation: str = "read_uncommitted"
    ) -> list[dict[str, Any]]:
        read = []
        for partition, (start, end) in spans.items():
            if start == end:
                continue
            out = self._run(
                *("-C", "-q", "-u", "-t", topic, "-p", partition, "-o", str(start), "-c", str(end - start)),
                *("-X", f"isolation.level={isolation}"),
                *("-f", r"%p %o %T %K %S %h\n%k%s\n"),
            )
            read += _parse(out)
        return read

    def offsets(self, topic: str, partitions: list[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {each: [] for each in partitions}
        for time in (-2, -1):  # earliest, latest
            for partition, offset in self._query(topic, dict.fromkeys(partitions, time)).items():
                found[partition].append(offset)
        return found

    def offsets_for_times(self, topic: str, times: dict[str, int]) -> dict[int, int | None]:
        found = self._query(topic, {int(partition): time for partition, time in times.items()})
        return {partition: None if offset < 0 else offset for partition, offset in found.items()}

    def _query(self, topic: str, times: dict[int, int]) -> dict[int, int]:
        asked = [part for partition, time in times.items() for part in ("-t", f"{topic}:{partition}:{time}")]
        out = self._run("-Q", *asked).decode()
        found = {}
        for line in out.splitlines():  # topic [0] offset 17
            where, _, offset = line.rpartition(" offset ")
            found[int(where.rpartition("[")[2].rstrip("]"))] = int(offset)
        return found

    def topics(self) -> dict[str, int]:
        listed = json.loads(self._run("-L", "-J"))
        return {each["topic"]: len(each["partitions"]) for each in listed["topics"]}

    def cluster(self) -> int:
        return len(json.loads(self._run("-L", "-J"))["brokers"])

    def read_group(self, group: str, topic: str, count: int) -> list[dict[str, Any]]:
        """Join the group, read so many records, commit, leave."""
        return _parse(
            self._run(
                *("-G", group, "-q", "-u", "-c", str(count), "-X", "auto.offset.reset=earliest"),
                *("-f", r"%p %o %T %K %S %h\n%k%s\n", topic),
            )
        )


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def _parse(out: bytes) -> list[dict[str, Any]]:
    read = []
    while out:
        head, _, out = out.partition(b"\n")
        partition, offset, timestamp, key_bytes, value_bytes, *headers = head.split(b" ", 5)
        key_end = max(int(key_bytes), 0)
        value_end = key_end + max(int(value_bytes), 0)
        key = out[:key_end] if int(key_bytes) >= 0 else None
        value = out[key_end:value_end] if int(value_bytes) >= 0 else None
        if out[value_end : value_end + 1] != b"\n":
            raise ValueError(f"record {offset!r} does not end where its lengths say")
        read.append(record(int(partition), int(offset), int(timestamp), key, value, _headers(headers)))
        out = out[value_end + 1 :]
    return read


def _headers(field: list[bytes]) -> list[tuple[str, bytes | None]]:
    if not field or not field[0]:
        return []
    pairs = [pair.partition(b"=") for pair in field[0].split(b",")]
    return [(name.decode(), None if content == b"NULL" else content) for name, _, content in pairs]


if __name__ == "__main__":
    serve(Kcat(sys.argv[1]))
