"""What a broker promised to clients, written down by those clients, and the check that it is all still there.

Clients tell the `Ledger` what they are about to send *before* they send it, and what was answered after; everything in between is in
doubt, and the check allows both outcomes. Payloads are unique and can be made again from what stands in them, so a record
that is read back proves itself: whose it is, its number, and every byte.

`verify` reads every partition back and reports each of these as a violation:

- an acknowledged record that isn't at its offset; a record that a consumer saw and that is gone or another one now;
- a record that nobody sent there, a damaged payload, a record twice, a writer's records out of their order;
- a hole in the records of an idempotent writer;
- a topic whose creation was acknowledged and that is missing (or has another id or fewer partitions), one whose deletion was
  acknowledged and that is there;
- a committed offset below the last acknowledged commit, or one that nobody committed; a log start below an acknowledged one;
- a producer id that was given twice.

Thread-safe where clients write; `verify` runs when they are done.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.records.batch import iter_batches
from logbroker.records.iterator import iter_records
from logbroker.testing.wire_client import EARLIEST, LATEST, WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.metadata import MetadataRequest
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)

VIOLATIONS_MAX: Final = 50
"""A check reports no more than so many: the first ones tell the story."""
READ_BYTES: Final = 8 << 20
PATIENCE_S: Final = 20.0
"""How long a fetch below the log's end may come back empty."""
_FILLER: Final = bytes(range(33, 127)) * 16


class PartitionKey(NamedTuple):
    """A partition by name."""

    topic: str
    partition: int


class Acked(NamedTuple):
    """Records `first` to `first + records - 1` of a writer were acknowledged at `base_offset`."""

    base_offset: int
    writer: str
    first: int
    records: int


@dataclass(slots=True)
class Topic:
    """A topic as its creator knows it; `doubt` while a creation or deletion is unanswered, `may_grow` while one more partition is."""

    name: str
    partitions: int
    topic_id: UUID | None = None
    exists: bool = False
    doubt: bool = False
    may_grow: bool = False


@dataclass(slots=True)
class Range:
    """A number that only grows: the last one acknowledged, the last one asked for."""

    acked: int = -1
    asked: int = -1


@dataclass(slots=True)
class Verdict:
    """What `verify` found."""

    records: int = 0
    acked: int = 0
    partitions: int = 0
    violations: list[str] = field(default_factory=list)


def payload(writer: str, number: int, size_bytes: int) -> bytes:
    """Return a writer's payload of that number: about `size_bytes`, and checkable without a copy."""
    head = b"%s %d %d " % (writer.encode(), number, size_bytes)
    shift = number % 94
    missing = max(size_bytes - len(head), 0)
    return head + (_FILLER[shift:] + _FILLER * (missing // len(_FILLER) + 1))[:missing]


def parse_payload(value: bytes) -> tuple[str, int]:
    """Return writer and number of a payload. Raises ValueError: it isn't one, or is damaged."""
    writer, number, size, _ = value.split(b" ", 3)
    if value != payload(writer.decode(), int(number), int(size)):
        raise ValueError("the payload is damaged")
    return writer.decode(), int(number)


class Ledger:
    """See the module."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: dict[PartitionKey, dict[str, int]] = defaultdict(dict)
        self.acked: dict[PartitionKey, list[Acked]] = defaultdict(list)
        self.seen: dict[PartitionKey, dict[int, tuple[str, int]]] = defaultdict(dict)
        self.idempotent: set[str] = set()
        self.topics: dict[str, Topic] = {}
        self.commits: dict[tuple[str, PartitionKey], Range] = defaultdict(Range)
        self.starts: dict[PartitionKey, Range] = defaultdict(Range)
        self.producer_ids: set[int] = set()
        self.violations: list[str] = []
        self.errors: dict[int, int] = defaultdict(int)
        """Answers other than success, by error code."""

    def wrong(self, what: str) -> None:
        """Note a violation that a client saw itself."""
        with self.lock:
            self.violations.append(what)

    def failed(self, code: int) -> None:
        """Note an error code in an answer."""
        with self.lock:
            self.errors[code] += 1

    def sending(self, key: PartitionKey, writer: str, up_to: int) -> None:
        """A writer is about to send its records below `up_to`."""
        with self.lock:
            self.sent[key][writer] = max(up_to, self.sent[key].get(writer, 0))

    def was_acked(self, key: PartitionKey, ack: Acked) -> None:
        """The broker said that these records are safe."""
        with self.lock:
            self.acked[key].append(ack)

    def was_given(self, producer_id: int) -> None:
        """The broker gave out a producer id."""
        with self.lock:
            if producer_id in self.producer_ids:
                self.violations.append(f"producer id {producer_id} was given twice")
            self.producer_ids.add(producer_id)

    def forget(self, topic: str) -> None:
        """A topic's deletion was acknowledged: none of its records may ever be seen again."""
        with self.lock:
            for table in (self.sent, self.acked, self.seen, self.starts):
                for key in [key for key in table if key.topic == topic]:
                    del table[key]

    @property
    def acked_records(self) -> int:
        """How many records were acknowledged, in topics that still exist."""
        return sum(ack.records for acks in self.acked.values() for ack in acks)


def verify(bootstrap: str, ledger: Ledger) -> Verdict:
    """Read everything back. What was in doubt about topics is settled in the ledger, so that clients can go on."""
    check = _Check(ledger)
    with WireClient(bootstrap, timeout_s=60) as client:
        check.topics(client)
        for key in sorted(set(ledger.sent) | set(ledger.starts)):
            topic = ledger.topics.get(key.topic)
            if topic is None or topic.exists:
                check.partition(client, key)
        check.commits(client)
    check.verdict.violations = ledger.violations + check.verdict.violations
    return check.verdict


class _Check:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.verdict = Verdict()

    def wrong(self, what: str) -> None:
        if len(self.verdict.violations) < VIOLATIONS_MAX:
            self.verdict.violations.append(what)

    def topics(self, client: WireClient) -> None:
        response = client.call(ApiKey.METADATA, MetadataRequest(topics=None))
        found = {topic.name: topic for topic in response.topics}
        for topic in self.ledger.topics.values():
            there = found.get(topic.name)
            if topic.doubt:
                topic.doubt = False
                topic.exists = there is not None
                if there is None:
                    self.ledger.forget(topic.name)
                    topic.topic_id = None
                elif topic.topic_id is None:
                    topic.topic_id = there.topic_id
            if topic.exists and there is None:
                self.wrong(f"topic {topic.name} was created and is gone")
                topic.exists = False
            elif not topic.exists and there is not None:
                self.wrong(f"topic {topic.name} was deleted and is there")
            elif there is not None:
                if there.topic_id != topic.topic_id:
                    self.wrong(
                        f"topic {topic.name} has id {there.topic_id}, was created with {topic.topic_id}"
                    )
                if topic.may_grow and len(there.partitions) == topic.partitions + 1:
                    topic.partitions += 1
                topic.may_grow = False
                if len(there.partitions) != topic.partitions:
                    self.wrong(f"{topic.name} has {len(there.partitions)} partitions, not {topic.partitions}")

    def partition(self, client: WireClient, key: PartitionKey) -> None:
        ledger = self.ledger
        start_error, start = client.offset(*key, EARLIEST)
        end_error, end = client.offset(*key, LATEST)
        if start_error or end_error:
            self.wrong(f"{key}: its offsets are answered with errors {start_error} and {end_error}")
            return
        self.verdict.partitions += 1
        allowed = ledger.starts[key]
        if not max(allowed.acked, 0) <= start <= max(allowed.asked, 0):
            self.wrong(
                f"{key}: the log starts at {start}; acknowledged {allowed.acked}, asked {allowed.asked}"
            )
        found = self._read(client, key, start, end)
        for base_offset, writer, first, count in ledger.acked[key]:
            self.verdict.acked += count
            for position in range(count):
                offset = base_offset + position
                if offset >= start and found.get(offset) != (writer, first + position):
                    self.wrong(
                        f"{key}: {writer} {first + position} was acknowledged at offset {offset}; "
                        f"there is {found.get(offset)}, the log is {start} to {end}"
                    )
        for offset, record in ledger.seen[key].items():
            if offset >= start and found.get(offset) != record:
                self.wrong(f"{key}: a consumer saw {record} at {offset}; there is {found.get(offset)} now")

    def _read(
        self, client: WireClient, key: PartitionKey, start: int, end: int
    ) -> dict[int, tuple[str, int]]:
        found: dict[int, tuple[str, int]] = {}
        newest: dict[str, int] = {}
        sent = self.ledger.sent[key]
        offset = start
        patience = time.monotonic() + PATIENCE_S
        while offset < end:
            data = client.fetch(*key, offset, max_bytes=READ_BYTES)
            if not data.error_code and not data.records and time.monotonic() < patience:
                continue  # a broker that has lost an index looks for the offset for a while, a few pieces a fetch
            patience = time.monotonic() + PATIENCE_S
            if data.error_code or not data.records:
                self.wrong(
                    f"{key}: nothing to fetch at {offset}, below the end {end} (error {data.error_code})"
                )
                return found
            before = offset
            for at, record_offset, value in records_in(data.records):
                if record_offset < offset:
                    continue
                if record_offset != offset:
                    self.wrong(f"{key}: offset {record_offset} follows {offset - 1} (batch at byte {at})")
                offset = record_offset + 1
                try:
                    writer, number = parse_payload(value)
                except ValueError as error:
                    self.wrong(
                        f"{key}: offset {record_offset} has no payload of ours: {error}, {value[:80]!r}"
                    )
                    continue
                found[record_offset] = writer, number
                last = newest.get(writer, -1)
                if number >= sent.get(writer, 0):
                    self.wrong(
                        f"{key}: offset {record_offset} has {writer} {number}, which was never sent there"
                    )
                elif number <= last:
                    self.wrong(f"{key}: offset {record_offset} has {writer} {number} after {last}")
                elif number != last + 1 and writer in self.ledger.idempotent and (last >= 0 or start == 0):
                    self.wrong(f"{key}: offset {record_offset} has {writer} {number} after {last}: a hole")
                newest[writer] = number
            if offset == before:
                self.wrong(f"{key}: a fetch at {offset} returned nothing new")
                return found
        self.verdict.records += len(found)
        return found

    def commits(self, client: WireClient) -> None:
        by_group: dict[str, dict[PartitionKey, Range]] = defaultdict(dict)
        for (group, key), committed in self.ledger.commits.items():
            by_group[group][key] = committed
        for group, partitions in by_group.items():
            topics: dict[str, list[int]] = defaultdict(list)
            for key in partitions:
                topics[key.topic].append(key.partition)
            asked = [
                OffsetFetchRequestTopics(name=name, partition_indexes=indexes)
                for name, indexes in topics.items()
            ]
            response = client.call(
                ApiKey.OFFSET_FETCH,
                OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=asked)]),
            ).groups[0]
            if response.error_code:
                self.wrong(f"the offsets of {group} are answered with {ErrorCode(response.error_code).name}")
                continue
            for topic in response.topics:
                for partition in topic.partitions:
                    key = PartitionKey(topic.name, partition.partition_index)
                    allowed = partitions[key]
                    if not allowed.acked <= partition.committed_offset <= allowed.asked:
                        self.wrong(
                            f"{group} {key}: committed {partition.committed_offset}; acknowledged {allowed.acked}, "
                            f"asked {allowed.asked}"
                        )


def records_in(data: object) -> list[tuple[int, int, bytes]]:
    """(position of the batch, offset, value) of every record in the whole batches of a fetched piece."""
    whole = memoryview(data if not isinstance(data, list) else b"".join(data))  # type: ignore[arg-type]
    return [
        (position, record.offset, bytes(record.value or b""))
        for position, header in iter_batches(whole, verify_crc=True)
        for record in iter_records(whole, position, header=header)
    ]
