"""kill -9 at every step of a transaction's end: it is wholly visible or not at all, and nobody's last stable offset hangs.

The broker kills itself at a failpoint while a client ends its transaction over four partitions and a group's offsets; what was decided before
is done after the next start, by itself.
"""

from __future__ import annotations

import signal
import time

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.records.builder import BatchBuilder
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from logbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

PARTITIONS = 4
SETTINGS = {
    "transaction.state.log.num.partitions": "2",
    "offsets.topic.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
}
WAIT_S = 30.0

STEPS = [
    "transaction.prepared=kill",
    "transaction.marked=kill",
    *(f"transaction.marker=kill@{number}" for number in range(1, PARTITIONS + 2)),
]
"""Failpoints on the way of a transaction that is to be committed; its partitions and the group's are marked one by one."""

SAMPLE = ["transaction.prepared=kill", "transaction.marker=kill@3", "transaction.marked=kill"]


class Client:
    """A transactional producer, request by request."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.wire = WireClient(broker.bootstrap)
        self.producer = (-1, -1)

    def begin(self, timeout_ms: int) -> None:
        for key_type, key in ((1, "x"), (0, "g")):
            self.ask(
                ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key_type=key_type, coordinator_keys=[key]), 6
            )
        answer = self.ask(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest("x", timeout_ms), 5)
        self.producer = (answer.producer_id, answer.producer_epoch)

    def write(self) -> None:
        """A record for each partition, and an offset for the group."""
        topics = [AddPartitionsToTxnTopic("t", list(range(PARTITIONS)))]
        added = self.ask(
            ApiKey.ADD_PARTITIONS_TO_TXN, AddPartitionsToTxnRequest("x", *self.producer, topics), 3
        )
        for result in added.results_by_topic_v3_and_below[0].results_by_partition:
            assert result.partition_error_code == 0
        batches = []
        for index in range(PARTITIONS):
            builder = BatchBuilder(
                producer_id=self.producer[0],
                producer_epoch=self.producer[1],
                base_sequence=0,
                transactional=True,
            )
            builder.append(time.time_ns() // 1_000_000, None, b"x")
            batches.append(PartitionProduceData(index, builder.build()))
        request = ProduceRequest("x", -1, 10_000, [TopicProduceData(name="t", partition_data=batches)])
        for answer in self.ask(ApiKey.PRODUCE, request, 11).responses[0].partition_responses:
            assert answer.error_code == 0
        self.ask(ApiKey.ADD_OFFSETS_TO_TXN, AddOffsetsToTxnRequest("x", *self.producer, "g"), 3)
        offsets = [TxnOffsetCommitRequestTopic("t", [TxnOffsetCommitRequestPartition(0, 42)])]
        self.ask(
            ApiKey.TXN_OFFSET_COMMIT, TxnOffsetCommitRequest("x", "g", *self.producer, topics=offsets), 3
        )

    def end(self, *, commit: bool) -> None:
        self.ask(ApiKey.END_TXN, EndTxnRequest("x", *self.producer, commit), 4)

    def ask(self, key, request, version):
        """Ask until the answer isn't that it should be asked again."""
        until = time.monotonic() + WAIT_S
        while True:
            answer = self.wire.call(key, request, version)
            error = getattr(answer, "error_code", 0)
            if not error:
                return answer
            assert ErrorCode(error).retriable, ErrorCode(error).name
            assert time.monotonic() < until
            time.sleep(0.01)

    def ends(self, *, committed: bool) -> list[int]:
        asked = [ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(PARTITIONS)]
        request = ListOffsetsRequest(-1, int(committed), [ListOffsetsTopic("t", asked)])
        answers = self.wire.call(ApiKey.LIST_OFFSETS, request, 7).topics[0].partitions
        return [answer.offset for answer in sorted(answers, key=lambda each: each.partition_index)]

    def offset(self) -> int:
        """The group's stable offset: -1 for none; UNSTABLE_OFFSET_COMMIT is asked again."""
        topics = [OffsetFetchRequestTopics("t", partition_indexes=[0])]
        request = OffsetFetchRequest(
            groups=[OffsetFetchRequestGroup("g", topics=topics)], require_stable=True
        )
        until = time.monotonic() + WAIT_S
        while True:
            group = self.wire.call(ApiKey.OFFSET_FETCH, request, 8).groups[0]
            partition = group.topics[0].partitions[0] if group.topics else None
            if partition is not None and not group.error_code and not partition.error_code:
                return partition.committed_offset
            assert time.monotonic() < until, (group, "the offset is never stable")
            time.sleep(0.02)

    def state(self) -> str:
        answer = self.wire.call(ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest(["x"]))
        return answer.transaction_states[0].transaction_state


def visible(client: Client) -> list[bool]:
    """Which partitions show the record to a reader of committed records."""
    shown = []
    for index in range(PARTITIONS):
        data = client.wire.fetch("t", index, 0)
        aborted = committed_reader(client, index)
        shown.append(bool(data.records) and not aborted)
    return shown


def committed_reader(client: Client, index: int) -> bool:
    """Whether the record of a partition is among aborted transactions."""
    from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic

    wanted = FetchPartition(partition=index, fetch_offset=0, log_start_offset=-1, partition_max_bytes=1 << 20)
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=1 << 20,
        isolation_level=1,
        session_epoch=-1,
        topics=[FetchTopic(topic="t", partitions=[wanted])],
    )
    found = client.wire.call(ApiKey.FETCH, request, 12).responses[0].partitions[0]
    assert found.error_code == 0
    return bool(found.aborted_transactions) or not found.records


@pytest.mark.parametrize("step", SAMPLE)
def test_killed_at_a_step(make_broker, step):
    kill_at(make_broker(settings=SETTINGS), step)


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step(make_broker, step):
    kill_at(make_broker(settings=SETTINGS), step)


def kill_at(broker: BrokerProcess, step: str) -> None:
    broker.environment["LOGBROKER_FAILPOINTS"] = step
    broker.start()
    with WireClient(broker.bootstrap) as wire:
        created = wire.call(
            ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", PARTITIONS, 1)], 30_000), 5
        )
        assert created.topics[0].error_code == 0
    client = Client(broker)
    try:
        client.begin(3000)
        client.write()
        client.end(commit=True)
        until = time.monotonic() + WAIT_S
        while client.state() != "CompleteCommit":  # markers are on their way
            assert time.monotonic() < until
            time.sleep(0.01)
        pytest.fail("the failpoint was never hit")
    except OSError:
        assert broker.wait_exit() == -signal.SIGKILL
    client.wire.close()
    del broker.environment["LOGBROKER_FAILPOINTS"]
    broker.start()
    client = Client(broker)
    until = time.monotonic() + WAIT_S
    while client.state() in ("Ongoing", "PrepareCommit", "PrepareAbort") or client.ends(
        committed=True
    ) != client.ends(committed=False):
        assert time.monotonic() < until, (client.state(), "a last stable offset hangs")
        time.sleep(0.02)
    shown = visible(client)
    assert len(set(shown)) == 1, f"half of a transaction is visible: {shown}"
    offset = client.offset()
    assert (offset == 42) is shown[0], "offsets and records of one transaction disagree"
    # At each of these steps the outcome was durable, whether the client was told or not.
    assert shown[0], "what was committed is lost"
    client.wire.close()
