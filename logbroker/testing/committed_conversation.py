"""A long talk with a broker about what transactions look like in a partition; the answers can be compared between brokers.

Transactional batches of every version and with every fault, what both kinds of readers are served while a transaction is open, committed
and aborted, where they are told the log ends, and what is told of the producers. Producer ids are numbered as they turn up; of
records the offsets, the producer and what a marker says are noted, as a marker has the broker's time in it.
"""

from __future__ import annotations

from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.records.batch import iter_batches
from logbroker.records.builder import BatchBuilder
from logbroker.records.control import parse_marker
from logbroker.testing.talk import Answers, Talk, until
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

T0_MS = 1_700_000_000_000
TIMEOUT_MS = 60_000
PARTITIONS = 3
FIRST_SECOND_VERSION = 12
"""Produce versions from here on add their partitions to the transaction."""


class _Producer:
    """A transactional producer: what it would send next."""

    def __init__(self, talk: _Talk, name: str) -> None:
        self.talk, self.name = talk, name
        self.id = self.epoch = -1
        self.sequences: dict[int, int] = {}

    def init(self) -> None:
        request = InitProducerIdRequest(self.name, TIMEOUT_MS)

        def given() -> bool:
            answer = self.talk.a.call(ApiKey.INIT_PRODUCER_ID, request, 5)
            self.id, self.epoch = answer.producer_id, answer.producer_epoch
            return not answer.error_code

        until(given)
        self.sequences = {}

    def batch(self, *values: bytes, index: int = 0, **fields: Any) -> bytearray:
        fields = {
            "producer_id": self.id,
            "producer_epoch": self.epoch,
            "base_sequence": self.sequences.get(index, 0),
            "transactional": True,
            **fields,
        }
        builder = BatchBuilder(**fields)
        for number, value in enumerate(values):
            builder.append(T0_MS + number, b"k", value)
        return builder.build()

    def add(self, *indexes: int) -> None:
        """AddPartitionsToTxn, as clients of transaction version 1 do."""
        topics = [AddPartitionsToTxnTopic("t", list(indexes))]
        request = AddPartitionsToTxnRequest(self.name, self.id, self.epoch, topics)
        until(lambda: not self._added(request))

    def _added(self, request: AddPartitionsToTxnRequest) -> bool:
        answer = self.talk.a.call(ApiKey.ADD_PARTITIONS_TO_TXN, request, 3)
        return any(
            found.partition_error_code
            for topic in answer.results_by_topic_v3_and_below
            for found in topic.results_by_partition
        )

    def send(self, label: str, *values: bytes, index: int = 0, version: int = 12, acks: int = -1) -> None:
        """Produce the next batch."""
        batch = self.batch(*values, index=index)
        if not self.talk.produce(label, self.name, (index, batch), version=version, acks=acks):
            self.sequences[index] = self.sequences.get(index, 0) + len(values)

    def end(self, *, commit: bool, version: int = 5) -> None:
        """EndTxn, and wait until every marker is written."""
        request = EndTxnRequest(self.name, self.id, self.epoch, commit)
        answer = self.talk.a.call(ApiKey.END_TXN, request, version)
        if answer.error_code:
            raise RuntimeError(f"{self.name} could not end: {ErrorCode(answer.error_code).name}")
        if version >= 5:
            self.id, self.epoch = answer.producer_id, answer.producer_epoch
            self.sequences = {}
        asked = DescribeTransactionsRequest([self.name])

        def settled() -> bool:
            found = self.talk.a.call(ApiKey.DESCRIBE_TRANSACTIONS, asked).transaction_states[0]
            return bool(found.transaction_state not in ("PrepareCommit", "PrepareAbort"))

        until(settled)


class _Talk(Talk):
    """A talk in which producer ids are numbered."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, masked=frozenset({"error_message", "last_timestamp", "record_errors"}))
        self._producers: dict[int, str] = {-1: "none"}

    def producer(self, producer_id: int) -> str:
        return self._producers.setdefault(producer_id, f"producer {len(self._producers)}")

    def _plain(self, value: Any, name: str = "") -> Any:
        if name == "producer_id":
            return self.producer(value)
        if name == "active_producers":
            return [super(_Talk, self)._plain(one) for one in sorted(value, key=lambda one: one.producer_id)]
        return super()._plain(value, name)

    def produce(
        self,
        label: str,
        transactional_id: str | None,
        *parts: tuple[int, bytes | bytearray],
        version: int = 12,
        acks: int = -1,
    ) -> int:
        """Produce to partitions of `t`; the first one's error."""
        data = [PartitionProduceData(index, records) for index, records in parts]
        topic = TopicProduceData(name="t", partition_data=data)
        request = ProduceRequest(transactional_id, acks, TIMEOUT_MS, [topic])
        answer = self.a.call(ApiKey.PRODUCE, request, version)
        for partition in answer.responses[0].partition_responses:
            if partition.error_code:
                partition.log_start_offset = -1  # Kafka names it with some errors
        self.note(f"produce {label}", answer)
        return int(answer.responses[0].partition_responses[0].error_code)

    def fetch(self, label: str, offset: int, *, index: int = 0, committed: bool = True, **more: Any) -> None:
        """Fetch one partition of `t`, without a session."""
        wanted = FetchPartition(
            partition=index,
            current_leader_epoch=-1,
            fetch_offset=offset,
            log_start_offset=-1,
            partition_max_bytes=more.pop("partition_max_bytes", 1 << 20),
        )
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=1 << 20,
            isolation_level=int(committed),
            session_id=0,
            session_epoch=-1,
            topics=[FetchTopic("t", partitions=[wanted])],
        )
        answer = self.a.call(ApiKey.FETCH, request, more.pop("version", 12))
        data = answer.responses[0].partitions[0]
        records = (
            data.records if isinstance(data.records, (bytes, memoryview)) else b"".join(data.records or ())
        )
        shown = []
        for position, header in iter_batches(records, verify_crc=True):
            marker = None
            if header.is_control:
                marker = parse_marker(records[position : position + header.size_bytes], header)
            kind = "data" if marker is None else "commit" if marker.commit else "abort"
            producer = self.producer(header.producer_id)
            shown.append([header.base_offset, header.last_offset, producer, header.producer_epoch, kind])
        data.records = b""
        level = "committed" if committed else "all"
        self.note(f"fetch {level}, {label}", data)
        self.answers[f"fetch {level}, {label}: batches"] = shown

    def offsets(self, label: str, *, index: int = 0) -> None:
        """Where the log begins, ends, and a time is found, for both kinds of readers."""
        for committed in (False, True):
            found = []
            for timestamp in (-1, -2, -3, T0_MS, T0_MS + 1, T0_MS + 5, 1):
                wanted = ListOffsetsPartition(index, -1, timestamp)
                request = ListOffsetsRequest(-1, int(committed), [ListOffsetsTopic("t", [wanted])])
                answer = self.a.call(ApiKey.LIST_OFFSETS, request, 7).topics[0].partitions[0]
                found.append([timestamp, answer.error_code, answer.offset])
            self.answers[f"offsets for {'committed' if committed else 'all'}, {label}"] = found

    def producers(self, label: str, *indexes: int) -> None:
        """DescribeProducers."""
        request = DescribeProducersRequest([TopicRequest("t", list(indexes))])
        self.ask(f"producers {label}", ApiKey.DESCRIBE_PRODUCERS, request)


def converse(bootstrap: str) -> Answers:
    """Talk to the broker; it must be new.

    Raises:
        RuntimeError: It isn't ready in time, or it is not as it must be.
        ConnectionError: It closed a connection.

    """
    talk = _Talk(bootstrap)
    try:
        _prepare(talk)
        first, second = _Producer(talk, "first"), _Producer(talk, "second")
        for one in (first, second):
            one.init()
        _committed(talk, first)
        _aborted(talk, first, second)
        _first_version(talk, second)
        _refusals(talk, first)
        return talk.answers
    finally:
        talk.close()


def _prepare(talk: _Talk) -> None:
    topic = CreatableTopic("t", PARTITIONS, 1)
    talk.a.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest([topic], TIMEOUT_MS), 7)
    asked = MetadataRequest([MetadataRequestTopic(name="t")], False)

    def known() -> bool:
        found = talk.a.call(ApiKey.METADATA, asked, 12).topics[0]
        return not found.error_code and all(part.leader_id >= 0 for part in found.partitions)

    until(known)
    until(lambda: not talk.a.offset("t", 0, -1)[0])
    names = ["first", "second", "stranger"]
    request = FindCoordinatorRequest(key_type=1, coordinator_keys=names)

    def found() -> bool:
        answer = talk.a.call(ApiKey.FIND_COORDINATOR, request, API[ApiKey.FIND_COORDINATOR].max_version)
        return not any(each.error_code for each in answer.coordinators)

    until(found)


def _show(talk: _Talk, label: str, *offsets: int, index: int = 0) -> None:
    """What readers of both kinds are served from these offsets on, and where the log ends for them."""
    for offset in offsets:
        for committed in (True, False):
            talk.fetch(f"{label}, from {offset}", offset, index=index, committed=committed)
    talk.offsets(label, index=index)
    talk.producers(label, index)


def _committed(talk: _Talk, producer: _Producer) -> None:
    plain = {"producer_id": -1, "producer_epoch": -1, "base_sequence": -1, "transactional": False}
    talk.produce("before all", None, (0, producer.batch(b"a", b"b", **plain)))
    _show(talk, "nothing open", 0, 1, 2, 3)
    producer.send("first of a transaction", b"c", b"d")
    producer.send("second of it", b"e")
    producer.send("into another partition", b"f", index=1)
    talk.produce("beside it", None, (0, producer.batch(b"g", **plain)))
    _show(talk, "one open", 0, 1, 2, 4, 6, 7)
    _show(talk, "one open there", 0, 1, index=1)
    talk.fetch("one open, a few bytes", 0, partition_max_bytes=100)
    producer.end(commit=True)
    _show(talk, "it is committed", 0, 2, 6, 7)
    _show(talk, "it is committed there", 0, index=1)
    for version in (4, 5, 7, 11, 12):
        talk.fetch(f"version {version}", 0, version=version)


def _aborted(talk: _Talk, first: _Producer, second: _Producer) -> None:
    first.send("aborted later", b"h")
    second.send("aborted later, too", b"i")
    first.send("aborted later, more", b"j")
    _show(talk, "two open", 6, 8)
    first.end(commit=False)
    _show(talk, "the first is aborted", 6, 7)
    second.send("goes on", b"k")
    second.end(commit=False)
    _show(talk, "both are aborted", 0, 7, 8, 9, 10, 11, 12, 13)
    first.send("the next one", b"l")
    first.end(commit=True)
    _show(talk, "one more is committed", 7, 12, 14)


def _first_version(talk: _Talk, producer: _Producer) -> None:
    producer.init()
    for version in (3, 9, 10, 11):
        producer.send(f"of a partition that wasn't added, v{version}", b"m", index=2, version=version)
    producer.add(2)
    for version in (3, 7, 9, 10, 11):
        producer.send(f"of one that was, v{version}", b"n", index=2, version=version)
    _show(talk, "version 1 open", 0, index=2)
    producer.end(commit=False, version=4)
    _show(talk, "version 1 aborted", 0, index=2)
    producer.send("after its end, v11", b"o", index=2, version=11)


def _refusals(talk: _Talk, producer: _Producer) -> None:
    producer.init()
    name = producer.name
    producer.send("acks 1", b"p", acks=1)
    for version in (11, 12):
        batch = producer.batch(b"q", index=1)
        talk.produce(f"no transactional id, v{version}", None, (1, batch), version=version)
        talk.produce(f"the id of another, v{version}", "second", (1, batch), version=version)
        talk.produce(f"an id that nobody has, v{version}", "stranger", (1, batch), version=version)
        talk.produce(f"an empty id, v{version}", "", (1, batch), version=version)
        older = producer.batch(b"q", index=1, producer_epoch=producer.epoch - 1)
        talk.produce(f"an older epoch, v{version}", name, (1, older), version=version)
        newer = producer.batch(b"q", index=1, producer_epoch=producer.epoch + 1)
        talk.produce(f"a newer epoch, v{version}", name, (1, newer), version=version)
        other = producer.batch(b"q", index=1, producer_id=producer.id + 1000)
        talk.produce(f"the producer id of another, v{version}", name, (1, other), version=version)
        mixed = (1, batch), (2, other)
        talk.produce(f"of two producers, v{version}", name, *mixed, version=version)
    control = producer.batch(b"q", control=True)
    talk.produce("a marker", name, (0, control))
    outside = producer.batch(b"r", transactional=False)
    talk.produce("a batch outside its transaction", name, (0, outside))
    plain = {"producer_id": -1, "producer_epoch": -1, "base_sequence": -1, "transactional": False}
    talk.produce("a plain batch with a transactional id", name, (0, producer.batch(b"s", **plain)))
    producer.send("and it goes on", b"t")
    producer.end(commit=True)
    _show(talk, "at the end", 14)
    asked = DescribeProducersRequest([TopicRequest("none", [0]), TopicRequest("t", [9, -1])])
    talk.ask("producers that aren't there", ApiKey.DESCRIBE_PRODUCERS, asked)
