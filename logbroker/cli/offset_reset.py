"""Where `groups reset-offsets` puts a group: what was asked for, what it means for each partition, files of offsets.

The rules are those of kafka-consumer-groups: an offset outside of a partition's log becomes its first or its end, a time
after the last record its end, and a group is put nowhere that it has no offset to be moved from. Pure.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from logbroker.client.types import TopicPartition

__all__ = [
    "Bounds",
    "OffsetFileError",
    "Target",
    "To",
    "parse_datetime",
    "parse_duration",
    "parse_topic",
    "place",
    "read_file",
    "write_file",
]

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,12}(?:\.\d{1,9})?)S)?)?"
)
_FACTORS_MS = {
    "weeks": 604_800_000,
    "days": 86_400_000,
    "hours": 3_600_000,
    "minutes": 60_000,
    "seconds": 1_000,
}
_PARTITIONS_MAX = 100_000
"""Partitions of one topic that may be named."""


class OffsetFileError(ValueError):
    """A file of offsets that can't be read; says in which line."""


class To(Enum):
    """Ways to say where."""

    EARLIEST = "to-earliest"
    LATEST = "to-latest"
    OFFSET = "to-offset"
    DATETIME = "to-datetime"
    SHIFT = "shift-by"
    DURATION = "by-duration"
    CURRENT = "to-current"
    FILE = "from-file"

    @property
    def by_time(self) -> bool:
        """Whether the broker must be asked for the offset of a time."""
        return self in {To.DATETIME, To.DURATION}


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for.

    Attributes:
        to: In which way.
        number: The offset, or by how much to shift; for the ways by time a timestamp in ms.
        offsets: What a file said.
    """

    to: To
    number: int = 0
    offsets: Mapping[TopicPartition, int] | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known of a partition.

    Attributes:
        start, end: The first offset there is, and the next that will be.
        committed: Where the group is; None where it has committed nothing.
        at_time: The first offset at or after the time asked for; None where there is none.
    """

    start: int
    end: int
    committed: int | None = None
    at_time: int | None = None


def place(target: Target, partition: TopicPartition, bounds: Bounds) -> int:
    """The offset that the group is to have.

    Raises:
        ValueError: it has no offset that could be shifted.
    """
    match target.to:
        case To.EARLIEST:
            return bounds.start
        case To.LATEST:
            return bounds.end
        case To.CURRENT:
            wanted = bounds.end if bounds.committed is None else bounds.committed
        case To.DATETIME | To.DURATION:
            wanted = bounds.end if bounds.at_time is None else bounds.at_time
        case To.SHIFT:
            if bounds.committed is None:
                raise ValueError(
                    f"the group has committed nothing in {partition.topic}-{partition.partition} that could be shifted; "
                    "use another way to say where, or leave the partition out"
                )
            wanted = bounds.committed + target.number
        case To.OFFSET:
            wanted = target.number
        case To.FILE:
            wanted = (target.offsets or {})[partition]
    return min(max(wanted, bounds.start), bounds.end)


# ---- what people write


def parse_datetime(text: str) -> int:
    """A time as ISO 8601 has it, in ms since the epoch; without a zone it is UTC, as in Kafka's tool.

    Raises:
        ValueError: it is no such time.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def parse_duration(text: str) -> int:
    """A duration as ISO 8601 has it (`P1DT12H`, `PT30M`), in ms.

    Raises:
        ValueError: it is no such duration.
    """
    match = _DURATION.fullmatch(text.strip().upper())
    found = (
        {} if match is None else {name: part for name, part in match.groupdict().items() if part is not None}
    )
    if not found:
        raise ValueError(f"{text!r} is no duration like P1DT12H or PT30M")
    return round(sum(float(part) * _FACTORS_MS[name] for name, part in found.items()))


def parse_topic(text: str) -> tuple[str, list[int] | None]:
    """`topic`, or `topic:0,1,4-6` for some of its partitions: the name, and their numbers or None.

    Raises:
        ValueError: what stands behind the colon are no partitions.
    """
    name, separator, rest = text.partition(":")
    if not separator:
        return name, None
    numbers: list[int] = []
    for item in rest.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", item.strip())
        if match is None:
            raise ValueError(f"{text!r} is not TOPIC or TOPIC:PARTITION,...")
        first = int(match[1])
        last = int(match[2] or match[1])
        if last - first >= _PARTITIONS_MAX:
            raise ValueError(f"{text!r} names more than {_PARTITIONS_MAX} partitions")
        numbers += range(first, last + 1)
    return name, list(dict.fromkeys(numbers))


# ---- files


def write_file(offsets: Mapping[TopicPartition, int]) -> str:
    """The lines that `--from-file` reads, of this command and of Kafka's: `"topic",partition,offset`."""
    return "".join(f'"{topic}",{index},{offset}\n' for (topic, index), offset in offsets.items())


def read_file(lines: Iterable[str], group: str) -> dict[TopicPartition, int]:
    """The offsets in a file of lines `topic,partition,offset`, or `group,topic,partition,offset` of which those of `group` count.

    Raises:
        OffsetFileError: a line is neither.
    """
    offsets: dict[TopicPartition, int] = {}
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
        if not row:
            continue
        if len(row) not in {3, 4}:
            raise OffsetFileError(f"line {number} is not topic,partition,offset: {','.join(row)!r}")
        if len(row) == 4 and row[0] != group:
            continue
        topic, index, offset = row[-3:]
        if re.fullmatch(r"\s*\d{1,9}\s*", index) is None or re.fullmatch(r"\s*\d{1,19}\s*", offset) is None:
            raise OffsetFileError(f"line {number} has no partition and offset: {','.join(row)!r}")
        offsets[TopicPartition(topic, int(index))] = int(offset)
    return offsets
