"""Clients that keep a broker busy while something terrible happens to it, and write down what it promised them.

    load = Load(ledger, seed=seed)
    load.set_up(bootstrap)          # once: the topics that stay
    load.start(bootstrap)
    ... kill the broker ...
    load.join()                     # every client has noticed
    ... start it again ...
    load.settle(bootstrap)          # idempotent clients send again what was not answered: each must be accepted, once
    verdict = acked.verify(bootstrap, ledger)

Each client is a thread with a connection of its own, and goes on in the next life of the broker where it was:

- `Producing`: one-record and larger batches, now and then one large enough for a direct sync, pipelined, to many partitions; idempotent
  or not, `acks` all or 1;
- `Clerk`: commits growing offsets for a few groups, asks for producer ids;
- `Churn`: creates topics, produces to them, adds partitions, deletes them, and creates them again under the same name;
- `Trimming`: produces to a topic and moves its log start;
- `Reading`: fetches what the others produce and remembers every record it was shown.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import Final, NamedTuple, Protocol

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.acked import Acked, Ledger, PartitionKey, Topic, parse_payload, payload, records_in
from logbroker.testing.wire_client import WireClient, batch_of
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)

IN_FLIGHT: Final = 5
"""What the broker remembers of an idempotent producer, per partition."""
JOIN_TIMEOUT_S: Final = 60.0
LARGE_BATCH_BYTES: Final = 120_000
STEADY: Final = "steady"
TRIMMED: Final = "trimmed"


class _GaveUpError(Exception):
    """The broker answered with an error: this client does nothing more in this life."""


class _Batch(NamedTuple):
    key: PartitionKey
    first: int
    records: int
    size_bytes: int
    timestamp_ms: int


class Client(Protocol):
    """One of the clients."""

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """Work until told to stop; raises ConnectionError when the broker is gone."""


class Producing:
    """See the module."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        keys: list[PartitionKey],
        seed: int,
        *,
        idempotent: bool,
        acks: int = -1,
    ) -> None:
        self.name = name
        self.pending: deque[_Batch] = deque()
        """Sent and not acknowledged; an idempotent producer sends it again."""
        self._ledger = ledger
        self._keys = keys
        self._random = random.Random(seed)
        self._idempotent = idempotent
        self._acks = acks
        self._producer_id = -1
        self._next: dict[PartitionKey, int] = dict.fromkeys(keys, 0)
        if idempotent:
            ledger.idempotent.add(name)

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """See `Client`."""
        with WireClient(bootstrap) as client:
            self._resume(client)
            self._ready(client)
            while not stop.is_set():
                while len(self.pending) < IN_FLIGHT:
                    self._send(client, self._new_batch())
                self._answered(client)
            while self.pending:
                self._answered(client)

    def settle(self, bootstrap: str) -> None:
        """Send again what wasn't acknowledged, if idempotent."""
        with WireClient(bootstrap) as client:
            self._resume(client)

    def _ready(self, client: WireClient) -> None:
        if self._idempotent and self._producer_id < 0:
            self._producer_id = client.producer_id()
            self._ledger.was_given(self._producer_id)

    def _resume(self, client: WireClient) -> None:
        if not self._idempotent:
            self.pending.clear()
            return
        again = list(self.pending)
        self.pending.clear()
        for place, batch in enumerate(again):
            try:
                self._send(client, batch)
            except ConnectionError:
                self.pending.extend(again[place + 1 :])
                raise
        while self.pending:
            self._answered(client)

    def _new_batch(self) -> _Batch:
        draw = self._random.random()
        if draw < 0.6:
            count, size = 1, self._random.randrange(60, 400)
        elif draw < 0.97:
            count, size = self._random.randrange(2, 40), self._random.randrange(60, 200)
        else:
            count, size = self._random.randrange(1, 8), LARGE_BATCH_BYTES // self._random.randrange(1, 4)
        key = self._random.choice(self._keys)
        first = self._next[key]
        self._next[key] = first + count
        return _Batch(key, first, count, size, int(time.time() * 1000))

    def _send(self, client: WireClient, batch: _Batch) -> None:
        key, first, count, size, timestamp_ms = batch
        self.pending.append(batch)
        self._ledger.sending(key, self.name, first + count)
        encoded = batch_of(
            [payload(self.name, number, size) for number in range(first, first + count)],
            timestamp_ms=timestamp_ms,
            producer_id=self._producer_id,
            sequence=first if self._idempotent else -1,
        )
        client.send_produce(*key, encoded, acks=self._acks)

    def _answered(self, client: WireClient) -> None:
        """Take one answer; after an error what is in flight is taken too, and the client gives up."""
        failed: list[_Batch] = []
        code = 0
        while True:
            try:
                answer = client.receive_produced()
            except ConnectionError:
                self.pending.extendleft(reversed(failed))
                raise
            batch = self.pending.popleft()
            if answer.error_code:
                code = answer.error_code
                self._ledger.failed(code)
                failed.append(batch)
            elif answer.base_offset < 0:
                self._ledger.wrong(f"{batch} of {self.name} was acknowledged at offset {answer.base_offset}")
            else:
                self._ledger.was_acked(
                    batch.key, Acked(answer.base_offset, self.name, batch.first, batch.records)
                )
            if not failed:
                return
            if not self.pending:
                self.pending.extend(failed)
                raise _GaveUpError(ErrorCode(code).name)


class Clerk:
    """See the module."""

    def __init__(self, ledger: Ledger, name: str, keys: list[PartitionKey], seed: int) -> None:
        self.name = name
        self._ledger = ledger
        self._keys = keys
        self._random = random.Random(seed)
        self._next = 0

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """See `Client`."""
        with WireClient(bootstrap) as client:
            while not stop.is_set():
                if self._random.random() < 0.2:
                    self._ledger.was_given(client.producer_id())
                else:
                    self._commit(client)

    def _commit(self, client: WireClient) -> None:
        group = f"{self.name}-{self._random.randrange(3)}"
        keys = self._random.sample(self._keys, min(2, len(self._keys)))
        self._next += 1
        ranges = [self._ledger.commits[group, key] for key in keys]
        for committed in ranges:
            committed.asked = self._next
        topics = [
            OffsetCommitRequestTopic(
                name=key.topic,
                partitions=[
                    OffsetCommitRequestPartition(partition_index=key.partition, committed_offset=self._next)
                ],
            )
            for key in keys
        ]
        response = client.call(ApiKey.OFFSET_COMMIT, OffsetCommitRequest(group_id=group, topics=topics))
        for topic, committed in zip(response.topics, ranges, strict=True):
            code = topic.partitions[0].error_code
            if code in {ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}:
                client.call(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(coordinator_keys=[group]))
            elif code:
                self._ledger.failed(code)
                raise _GaveUpError(ErrorCode(code).name)
            else:
                committed.acked = self._next


class Churn:
    """See the module."""

    def __init__(self, ledger: Ledger, names: list[str], seed: int) -> None:
        self.name = "churn"
        self._ledger = ledger
        self._names = names
        self._random = random.Random(seed)
        self._lives = 0

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """See `Client`."""
        with WireClient(bootstrap) as client:
            while not stop.is_set():
                name = self._random.choice(self._names)
                topic = self._ledger.topics.setdefault(name, Topic(name, 1))
                draw = self._random.random()
                if not topic.exists:
                    create(client, self._ledger, name, self._random.randrange(1, 4))
                elif draw < 0.3:
                    self._delete(client, topic)
                elif draw < 0.4:
                    self._grow(client, topic)
                else:
                    self._produce(client, topic)

    def _produce(self, client: WireClient, topic: Topic) -> None:
        key = PartitionKey(topic.name, self._random.randrange(topic.partitions))
        self._lives += 1
        writer = f"churn-{self._lives}"
        self._ledger.sending(key, writer, 3)
        values = [payload(writer, number, 100) for number in range(3)]
        answer = client.produce(*key, batch_of(values, timestamp_ms=int(time.time() * 1000)))
        if answer.error_code:
            self._ledger.failed(answer.error_code)
            raise _GaveUpError(ErrorCode(answer.error_code).name)
        self._ledger.was_acked(key, Acked(answer.base_offset, writer, 0, 3))

    def _delete(self, client: WireClient, topic: Topic) -> None:
        topic.doubt = True
        code = (
            client.call(
                ApiKey.DELETE_TOPICS,
                DeleteTopicsRequest(topics=[DeleteTopicState(topic.name)], timeout_ms=30_000),
            )
            .responses[0]
            .error_code
        )
        if code:  # it may be done nevertheless
            self._ledger.failed(code)
            raise _GaveUpError(ErrorCode(code).name)
        topic.doubt = False
        topic.exists = False
        topic.topic_id = None
        self._ledger.forget(topic.name)

    def _grow(self, client: WireClient, topic: Topic) -> None:
        count = topic.partitions + 1
        if count > 5:
            return
        asked = CreatePartitionsTopic(name=topic.name, count=count, assignments=None)
        topic.may_grow = True
        response = client.call(
            ApiKey.CREATE_PARTITIONS, CreatePartitionsRequest(topics=[asked], timeout_ms=30_000)
        )
        if response.results[0].error_code:
            self._ledger.failed(response.results[0].error_code)
            raise _GaveUpError(ErrorCode(response.results[0].error_code).name)
        topic.may_grow = False
        topic.partitions = count


class Trimming:
    """See the module."""

    def __init__(self, ledger: Ledger, key: PartitionKey, seed: int) -> None:
        self.name = "trimming"
        self._ledger = ledger
        self._key = key
        self._random = random.Random(seed)
        self._next = 0

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """See `Client`."""
        ledger, key = self._ledger, self._key
        with WireClient(bootstrap) as client:
            while not stop.is_set():
                first = self._next
                self._next += 20
                ledger.sending(key, self.name, self._next)
                values = [payload(self.name, number, 3000) for number in range(first, self._next)]
                answer = client.produce(*key, batch_of(values, timestamp_ms=int(time.time() * 1000)))
                if answer.error_code:
                    ledger.failed(answer.error_code)
                    raise _GaveUpError(ErrorCode(answer.error_code).name)
                ledger.was_acked(key, Acked(answer.base_offset, self.name, first, 20))
                if self._random.random() < 0.3:
                    self._trim(client, answer.base_offset + self._random.randrange(21))

    def _trim(self, client: WireClient, offset: int) -> None:
        allowed = self._ledger.starts[self._key]
        allowed.asked = max(offset, allowed.asked)
        partitions = [DeleteRecordsPartition(partition_index=self._key.partition, offset=offset)]
        answer = (
            client.call(
                ApiKey.DELETE_RECORDS,
                DeleteRecordsRequest(
                    topics=[DeleteRecordsTopic(self._key.topic, partitions)], timeout_ms=30_000
                ),
            )
            .topics[0]
            .partitions[0]
        )
        if answer.error_code:
            self._ledger.failed(answer.error_code)
            raise _GaveUpError(ErrorCode(answer.error_code).name)
        allowed.acked = answer.low_watermark


class Reading:
    """See the module."""

    def __init__(self, ledger: Ledger, keys: list[PartitionKey], seed: int) -> None:
        self.name = "reading"
        self._ledger = ledger
        self._keys = keys
        self._random = random.Random(seed)
        self._next: dict[PartitionKey, int] = dict.fromkeys(keys, 0)

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """See `Client`."""
        with WireClient(bootstrap) as client:
            while not stop.is_set():
                key = self._random.choice(self._keys)
                answer = client.fetch(*key, self._next[key], max_wait_ms=20, max_bytes=200_000)
                if answer.error_code:
                    self._ledger.failed(answer.error_code)
                    if answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
                        self._ledger.wrong(
                            f"{key}: offset {self._next[key]} was read up to and is out of range"
                        )
                    raise _GaveUpError(ErrorCode(answer.error_code).name)
                if not answer.records:
                    continue
                seen = self._ledger.seen[key]
                for _, offset, value in records_in(answer.records):
                    if offset >= self._next[key]:
                        seen[offset] = parse_payload(value)
                        self._next[key] = offset + 1


def create(client: WireClient, ledger: Ledger, name: str, partitions: int) -> None:
    """Create a topic; its doubt and its end are written in the ledger."""
    topic = ledger.topics[name] = Topic(name, partitions, doubt=True)
    asked = [CreatableTopic(name=name, num_partitions=partitions, replication_factor=1)]
    answer = client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0]
    if answer.error_code:
        ledger.failed(answer.error_code)
        raise _GaveUpError(ErrorCode(answer.error_code).name)
    topic.doubt = False
    topic.exists = True
    topic.topic_id = answer.topic_id


class Load:
    """All of them together, over one ledger and any number of lives of the broker."""

    def __init__(
        self, ledger: Ledger, *, seed: int, partitions: int = 12, producers: int = 3, churn: bool = True
    ) -> None:
        self.ledger = ledger
        self._partitions = partitions
        keys = [PartitionKey(STEADY, index) for index in range(partitions)]
        self.clients: list[Client] = [
            Producing(
                ledger,
                f"p{number}",
                keys,
                seed + number,
                idempotent=number % 2 == 0,
                acks=1 if number % 3 == 1 else -1,
            )
            for number in range(producers)
        ]
        self.clients.append(Clerk(ledger, "group", keys[:4], seed + 100))
        self.clients.append(Reading(ledger, keys, seed + 102))
        if churn:
            self.clients.append(Churn(ledger, ["churn-a", "churn-b", "churn-c"], seed + 101))
            self.clients.append(Trimming(ledger, PartitionKey(TRIMMED, 0), seed + 103))
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def set_up(self, bootstrap: str) -> None:
        """Create the topics that stay, and the coordinator's."""
        with WireClient(bootstrap, timeout_s=60) as client:
            create(client, self.ledger, STEADY, self._partitions)
            create(client, self.ledger, TRIMMED, 1)
            client.call(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(coordinator_keys=["group-0"]))

    def start(self, bootstrap: str) -> None:
        """Start every client."""
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(client, bootstrap), name=f"load-{number}", daemon=True)
            for number, client in enumerate(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until every client has stopped: told to, or because the broker is gone or fails."""
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
            if thread.is_alive():
                raise AssertionError(f"client {thread.name} hangs")
        self._threads = []

    def stop(self) -> None:
        """Have every client finish what it has in flight, and wait for them."""
        self._stop.set()
        self.join()

    def settle(self, bootstrap: str) -> None:
        """Have idempotent clients send again what was not acknowledged, on new connections; the broker must take it."""
        for client in self.clients:
            if isinstance(client, Producing):
                try:
                    client.settle(bootstrap)
                except _GaveUpError as error:
                    self.ledger.wrong(
                        f"{client.name} sent again what was not answered, and was refused: {error}"
                    )

    def _run(self, client: Client, bootstrap: str) -> None:
        try:
            client.run(bootstrap, self._stop)
        except (ConnectionError, _GaveUpError):
            pass
        except Exception as error:
            self.ledger.wrong(f"client {client} failed: {error!r}")
