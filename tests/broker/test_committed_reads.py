"""Transactions as the partitions of a broker show them: produce, fetch, list offsets and describe producers, over sockets."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, fetch_request, on_broker, produce_request, until

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.produce_admission import Question, check_admitted, question_of
from logbroker.records.batch import iter_batches
from logbroker.records.builder import BatchBuilder
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from logbroker.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from logbroker.wire.messages.produce import PartitionProduceData

COMMITTED = 1
UNCOMMITTED = 0


def transactional(values, *, producer_id=4000, epoch=0, sequence=0):
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, transactional=True
    )
    for value in values:
        builder.append(time.time_ns() // 1_000_000, None, value)
    return builder.build()


class Client:
    """A transactional producer by hand, and its reader."""

    def __init__(self, stage, name="tx"):
        self.stage, self.name = stage, name
        self.sequences = {}

    async def init(self):
        request = FindCoordinatorRequest(key=self.name, key_type=1, coordinator_keys=[self.name])
        while True:
            found = await self.stage.ask(request, 4)
            if found.coordinators[0].error_code == 0:
                break
            await asyncio.sleep(0.005)
        request = InitProducerIdRequest(transactional_id=self.name, transaction_timeout_ms=60_000)
        while True:
            answer = await self.stage.ask(request, 5)
            if answer.error_code == 0:
                break
            assert answer.error_code in (
                ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode.NOT_COORDINATOR,
                ErrorCode.CONCURRENT_TRANSACTIONS,
            )
            await asyncio.sleep(0.005)
        self.id, self.epoch = answer.producer_id, answer.producer_epoch
        self.sequences = {}

    def request(self, topic, *values, index=0):
        sequence = self.sequences.get((topic, index), 0)
        self.sequences[topic, index] = sequence + len(values)
        batch = transactional(values, producer_id=self.id, epoch=self.epoch, sequence=sequence)
        request = produce_request(topic, batch, index)
        request.transactional_id = self.name
        return request

    async def send(self, topic, *values, index=0, version=12, connection=None):
        request = self.request(topic, *values, index=index)
        if connection is None:
            response = await self.stage.ask(request, version)
        else:
            response = await connection.request(ApiKey.PRODUCE, request, version=version)
        return response.responses[0].partition_responses[0]

    async def end(self, *, commit):
        request = EndTxnRequest(self.name, self.id, self.epoch, commit)
        answer = await self.stage.ask(request, 5)
        assert answer.error_code == 0
        self.id, self.epoch = answer.producer_id, answer.producer_epoch
        self.sequences = {}


def offsets(data):
    return [header.base_offset for _, header in iter_batches(bytes_of(data))]


async def latest(stage, topic, isolation, timestamp=-1):
    request = ListOffsetsRequest(
        isolation_level=isolation,
        topics=[ListOffsetsTopic(topic, [ListOffsetsPartition(0, timestamp=timestamp)])],
    )
    return (await stage.ask(request, 7)).topics[0].partitions[0].offset


@on_broker()
async def test_readers_of_committed_records_see_a_transaction_when_it_has_ended(stage: Stage):
    partition = await stage.topic("t")
    await stage.produce("t", batch_of([b"before"]))
    client = Client(stage)
    await client.init()
    assert (await client.send("t", b"a", b"b")).base_offset == 1
    assert (await client.send("t", b"c")).base_offset == 3
    await stage.produce("t", batch_of([b"beside"]))
    seen = await stage.fetch("t", 0, isolation_level=COMMITTED)
    assert (seen.high_watermark, seen.last_stable_offset, offsets(seen)) == (5, 1, [0])
    assert seen.aborted_transactions == []
    seen = await stage.fetch("t", 0, isolation_level=UNCOMMITTED)
    assert (seen.last_stable_offset, offsets(seen), seen.aborted_transactions) == (1, [0, 1, 3, 4], None)
    assert offsets(await stage.fetch("t", 3, isolation_level=COMMITTED)) == []
    assert [await latest(stage, "t", level) for level in (COMMITTED, UNCOMMITTED)] == [1, 5]
    assert [await latest(stage, "t", level, 1) for level in (COMMITTED, UNCOMMITTED)] == [0, 0]
    assert await latest(stage, "t", COMMITTED, -3) == -1
    await client.end(commit=True)
    await until(lambda: partition.last_stable_offset == 6)
    seen = await stage.fetch("t", 0, isolation_level=COMMITTED)
    assert (seen.last_stable_offset, offsets(seen), seen.aborted_transactions) == (6, [0, 1, 3, 4, 5], [])
    assert await latest(stage, "t", COMMITTED) == 6


@on_broker()
async def test_they_are_told_what_was_aborted(stage: Stage):
    partition = await stage.topic("t")
    client = Client(stage)
    await client.init()
    await client.send("t", b"a")
    await client.end(commit=False)
    await until(lambda: partition.last_stable_offset == 2)
    await client.send("t", b"b")
    await client.end(commit=True)
    await until(lambda: partition.last_stable_offset == 4)
    for offset, expected in ((0, [(client.id, 0)]), (1, [(client.id, 0)]), (2, [])):
        seen = await stage.fetch("t", offset, isolation_level=COMMITTED)
        told = [(each.producer_id, each.first_offset) for each in seen.aborted_transactions]
        assert told == expected
    await stage.restart()
    seen = await stage.fetch("t", 0, isolation_level=COMMITTED)
    assert [(each.producer_id, each.first_offset) for each in seen.aborted_transactions] == [(client.id, 0)]


@on_broker()
async def test_a_reader_waits_for_the_marker_not_for_what_it_may_not_see(stage: Stage):
    partition = await stage.topic("t")
    client = Client(stage)
    await client.init()
    await client.send("t", b"a")
    connection = await stage.connect()
    request = fetch_request({("t", 0): 0}, max_wait_ms=30_000, isolation_level=COMMITTED)
    answer = asyncio.ensure_future(connection.request(ApiKey.FETCH, request, version=12))
    await until(lambda: partition.log.on_advance is not None)
    await client.send("t", b"b")
    await stage.produce("t", batch_of([b"beside"]))
    assert not answer.done()
    await client.end(commit=True)
    data = (await answer).responses[0].partitions[0]
    assert offsets(data) == [0, 1, 2, 3]
    assert partition.last_stable_offset == 4


@on_broker()
async def test_an_open_transaction_outlives_the_broker(stage: Stage):
    await stage.topic("t")
    client = Client(stage)
    await client.init()
    await client.send("t", b"a")
    await stage.restart()
    partition = stage.partition("t")
    assert (partition.last_stable_offset, partition.open_transaction(client.id)) == (0, 0)
    await client.init()  # fences what was open
    await until(lambda: partition.last_stable_offset == 2)
    (aborted,) = partition.aborted_transactions(0, 2)
    assert (aborted.producer_id, aborted.first_offset, aborted.last_offset) == (client.id, 0, 1)


@on_broker()
async def test_producers_are_described(stage: Stage):
    await stage.topic("t")
    client = Client(stage)
    await client.init()
    await stage.produce("t", batch_of([b"x", b"y"], producer_id=77, epoch=3))
    await client.send("t", b"a")
    request = DescribeProducersRequest([TopicRequest("t", [0, 1]), TopicRequest("none", [0])])
    found, missing = (await stage.ask(request, 0)).topics
    producers = {producer.producer_id: producer for producer in found.partitions[0].active_producers}
    plain, open_one = producers[77], producers[client.id]
    assert (plain.producer_epoch, plain.last_sequence, plain.coordinator_epoch) == (3, 1, -1)
    assert (plain.current_txn_start_offset, open_one.current_txn_start_offset) == (-1, 2)
    assert abs(open_one.last_timestamp - time.time() * 1000) < 60_000
    assert found.partitions[1].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert missing.partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


# Admission


@pytest.mark.parametrize("version", [9, 11, 12])
def test_a_batch_of_no_transaction_is_refused(version, tmp_path):
    @on_broker()
    async def run(stage: Stage):
        partition = await stage.topic("t")
        client = Client(stage)
        await client.init()
        request = client.request("t", b"v")
        request.transactional_id = None
        answer = (await stage.ask(request, version)).responses[0].partition_responses[0]
        assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        client.sequences = {}
        answer = await client.send("t", b"v", version=version)
        expected = {9: ErrorCode.INVALID_TXN_STATE, 11: ErrorCode.TRANSACTION_ABORTABLE, 12: ErrorCode.NONE}
        assert answer.error_code == expected[version]
        assert partition.log_end_offset == (1 if version == 12 else 0)

    run(tmp_path)


@on_broker(transaction_partition_verification_enable=False)
async def test_without_verification_it_is_taken(stage: Stage):
    partition = await stage.topic("t")
    client = Client(stage)
    await client.init()
    assert (await client.send("t", b"v", version=11)).error_code == 0
    assert partition.open_transaction(client.id) == 0


@on_broker()
async def test_a_transactional_id_alone_makes_no_transaction(stage: Stage):
    partition = await stage.topic("t")
    request = produce_request("t", batch_of([b"v"]))
    request.transactional_id = "tx"
    answer = (await stage.ask(request, 12)).responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.NONE
    assert partition.last_stable_offset == 1


@on_broker()
async def test_batches_of_several_producers_are_refused_together(stage: Stage):
    partition = await stage.topic("t", partitions=2)
    client = Client(stage)
    await client.init()
    request = client.request("t", b"v")
    other = transactional([b"w"], producer_id=client.id + 1)
    request.topic_data[0].partition_data.append(PartitionProduceData(1, other))
    answers = (await stage.ask(request, 12)).responses[0].partition_responses
    assert [answer.error_code for answer in answers] == [ErrorCode.INVALID_PRODUCER_ID_MAPPING] * 2
    assert partition.log_end_offset == 0


@on_broker()
async def test_what_follows_on_the_connection_waits_and_nobody_else(stage: Stage, monkeypatch):
    partition = await stage.topic("t")
    client = Client(stage)
    await client.init()
    held, asked = [], []
    admit = stage.broker.transactions.admit

    def late(*arguments, **options):
        answer: Completion = Completion()
        asked.append(arguments)
        admit(*arguments, **options).on_done(lambda verdicts: held.append((answer, verdicts)))
        return answer

    monkeypatch.setattr(stage.broker.transactions, "admit", late)
    connection = await stage.connect()
    answers = [
        asyncio.ensure_future(client.send("t", b"%d" % number, connection=connection)) for number in range(4)
    ]
    plain = asyncio.ensure_future(stage.produce("t", batch_of([b"plain"]), connection=connection))
    await until(lambda: held)
    assert (await stage.produce("t", batch_of([b"other"]))).base_offset == 0
    assert len(asked) == 1
    assert not any(answer.done() for answer in [*answers, plain])
    answer, verdicts = held.pop()
    answer.set(verdicts)
    assert [(await answer).base_offset for answer in answers] == [1, 2, 3, 4]
    assert (await plain).base_offset == 5
    assert len(asked) == 1
    assert not stage.broker.produce_holds
    assert partition.open_transaction(client.id) == 1


@on_broker()
async def test_a_connection_that_closes_while_it_is_asked_leaves_nothing_behind(stage: Stage, monkeypatch):
    partition = await stage.topic("t")
    client = Client(stage)
    await client.init()
    held = []
    admit = stage.broker.transactions.admit

    def late(*arguments, **options):
        answer: Completion = Completion()
        admit(*arguments, **options).on_done(lambda verdicts: held.append((answer, verdicts)))
        return answer

    monkeypatch.setattr(stage.broker.transactions, "admit", late)
    connection = await stage.connect()
    sent = [asyncio.ensure_future(client.send("t", value, connection=connection)) for value in (b"a", b"b")]
    await until(lambda: held)
    connection.close()
    assert all(isinstance(error, Exception) for error in await asyncio.gather(*sent, return_exceptions=True))
    answer, verdicts = held.pop()
    answer.set(verdicts)
    # They had come whole: they count, as any produce whose sender is gone.
    await until(lambda: partition.log_end_offset == 2)
    assert not stage.broker.produce_holds
    assert (await client.send("t", b"c")).base_offset == 2


@on_broker()
async def test_a_refused_admission_lets_the_connection_go_on(stage: Stage, monkeypatch):
    await stage.topic("t")
    client = Client(stage)
    await client.init()
    connection = await stage.connect()
    answers = []

    def away(_id, _producer, _epoch, partitions, **_):
        answers.append(Completion())
        return answers[-1]

    monkeypatch.setattr(stage.broker.transactions, "admit", away)
    first = asyncio.ensure_future(client.send("t", b"a", connection=connection))
    second = asyncio.ensure_future(client.send("t", b"b", connection=connection))
    plain = asyncio.ensure_future(stage.produce("t", batch_of([b"plain"]), connection=connection))
    for number in (1, 2):
        await until(lambda number=number: len(answers) == number)
        answers[-1].set({("t", 0): ErrorCode.NOT_COORDINATOR})
    for answer in (first, second):
        assert (await answer).error_code == ErrorCode.NOT_ENOUGH_REPLICAS
    assert (await plain).base_offset == 0


@on_broker()
async def test_what_was_ended_while_it_was_asked_about_is_not_begun_again(stage: Stage):
    partition = await stage.topic("t")
    batch = transactional([b"v"])
    question = question_of([(partition, batch)])
    assert question == Question(4000, 0, {("t", 0): None})

    def check(version, verdict=ErrorCode.NONE, asked=question):
        check_admitted(partition, batch, version, asked, {("t", 0): verdict}, verified=True)

    check(11)
    partition.append_marker(4000, 0, 0, commit=False)
    with pytest.raises(BrokerError) as raised:
        check(11)
    assert raised.value.code == ErrorCode.INVALID_TXN_STATE
    check(11, asked=question_of([(partition, batch)]))
    check(12)  # there, the marker's epoch would be newer
    for version, verdict, expected in (
        (11, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS),
        (12, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.CONCURRENT_TRANSACTIONS),
        (12, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NOT_ENOUGH_REPLICAS),
        (10, ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.INVALID_TXN_STATE),
        (11, ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.TRANSACTION_ABORTABLE),
        (11, ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH),
        (11, ErrorCode.INVALID_PRODUCER_ID_MAPPING, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
    ):
        with pytest.raises(BrokerError) as raised:
            check(version, verdict)
        assert raised.value.code == expected


@pytest.mark.parametrize(
    ("version", "told"),
    [(9, "NOT_ENOUGH_REPLICAS"), (11, "NOT_ENOUGH_REPLICAS"), (12, "CONCURRENT_TRANSACTIONS")],
)
def test_a_batch_does_not_overtake_one_that_was_refused_before_it(version, told, tmp_path, monkeypatch):
    """The second would begin the producer at its sequence, and the first could never be sent again."""

    @on_broker()
    async def run(stage: Stage):
        partition = await stage.topic("t")
        client = Client(stage)
        await client.init()
        if version < 12:
            topics = [AddPartitionsToTxnTopic("t", [0])]
            await stage.ask(AddPartitionsToTxnRequest(client.name, client.id, client.epoch, topics), 3)
        connection = await stage.connect()
        admit = stage.broker.transactions.admit
        busy = [ErrorCode.CONCURRENT_TRANSACTIONS]

        def once_busy(*arguments, **options):
            if not busy:
                return admit(*arguments, **options)
            answer: Completion = Completion()
            answer.set({("t", 0): busy.pop()})
            return answer

        monkeypatch.setattr(stage.broker.transactions, "admit", once_busy)

        async def send_both():
            client.sequences = {}
            sent = [
                asyncio.ensure_future(client.send("t", value, version=version, connection=connection))
                for value in (b"a", b"b")
            ]
            return [ErrorCode((await answer).error_code).name for answer in sent]

        assert await send_both() == [told, "OUT_OF_ORDER_SEQUENCE_NUMBER"]
        assert await send_both() == ["NONE", "NONE"]
        assert partition.open_transaction(client.id) == 0

    run(tmp_path)


@pytest.mark.parametrize("version", [9, 12])
def test_a_partition_knows_a_fenced_producer_without_asking(version, tmp_path):
    @on_broker()
    async def run(stage: Stage):
        partition = await stage.topic("t")
        client = Client(stage)
        await client.init()
        partition.append_marker(client.id, client.epoch + 1, 0, commit=False)
        client.name = "nobody"
        for sequence in (0, 1):
            client.sequences = {("t", 0): sequence}
            answer = await client.send("t", b"v", version=version)
            assert answer.error_code == ErrorCode.INVALID_PRODUCER_EPOCH

    run(tmp_path)
