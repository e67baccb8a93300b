"""The transaction coordinator in a whole broker, asked over real sockets."""

from __future__ import annotations

import asyncio

from support.broker_stage import Stage, on_broker

from logbroker.base.error_codes import ErrorCode
from logbroker.coordination.keys import partition_for_key
from logbroker.metadata.topic_names import TRANSACTION_TOPIC
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from logbroker.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

SMALL = {
    "transaction_state_log_num_partitions": 3,
    "transaction_abort_timed_out_transaction_cleanup_interval_ms": 50,
    "transaction_remove_expired_transaction_cleanup_interval_ms": 50,
}


async def coordinator(stage, *names):
    found = await stage.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=list(names)), 6)
    return [ErrorCode(one.error_code).name for one in found.coordinators]


async def init(stage, name="x", timeout_ms=60_000, **fields):
    answer = await stage.ask(InitProducerIdRequest(name, timeout_ms, **fields), 5)
    return ErrorCode(answer.error_code).name, (answer.producer_id, answer.producer_epoch)


async def add(stage, producer, *partitions, name="x"):
    topics = [AddPartitionsToTxnTopic(topic, [index]) for topic, index in partitions]
    answer = await stage.ask(AddPartitionsToTxnRequest(name, *producer, topics), 3)
    return {
        (topic.name, one.partition_index): ErrorCode(one.partition_error_code).name
        for topic in answer.results_by_topic_v3_and_below
        for one in topic.results_by_partition
    }


async def end(stage, producer, *, commit=True, name="x", version=5):
    answer = await stage.ask(EndTxnRequest(name, *producer, commit), version)
    return ErrorCode(answer.error_code).name, (answer.producer_id, answer.producer_epoch)


async def state(stage, name="x"):
    (answer,) = (await stage.ask(DescribeTransactionsRequest([name]), 0)).transaction_states
    return answer.transaction_state or ErrorCode(answer.error_code).name


async def settled(stage, wanted, name="x"):
    async with asyncio.timeout(20):
        while await state(stage, name) != wanted:  # noqa: ASYNC110 - it is asked for, like any client would
            await asyncio.sleep(0.005)


async def begin(stage, *partitions, **fields):
    assert await coordinator(stage, "x") == ["NONE"]
    error, producer = await init(stage, **fields)
    assert error == "NONE"
    if partitions:
        assert set((await add(stage, producer, *partitions)).values()) == {"NONE"}
    return producer


@on_broker(**SMALL)
async def test_the_first_question_creates_the_topic_as_kafka_makes_it(stage: Stage):
    assert await coordinator(stage, "x", "") == ["NONE", "NONE"]
    topic = stage.broker.metadata.image.topic(TRANSACTION_TOPIC)
    assert len(topic.partitions) == 3
    assert topic.internal
    assert topic.configs == {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "min.insync.replicas": "1",
        "segment.bytes": "104857600",
        "unclean.leader.election.enable": "false",
    }


@on_broker(**SMALL)
async def test_a_client_that_asks_for_its_metadata_gets_it_too(stage: Stage):
    request = MetadataRequest([MetadataRequestTopic(name=TRANSACTION_TOPIC)], allow_auto_topic_creation=True)
    (topic,) = (await stage.ask(request, 12)).topics
    assert (topic.error_code, topic.is_internal, len(topic.partitions)) == (0, True, 3)
    assert await coordinator(stage, "x") == ["NONE"]


@on_broker(**SMALL)
async def test_markers_reach_every_partition(stage: Stage):
    await stage.topic("t", 3)
    producer = await begin(stage, ("t", 0), ("t", 2))
    assert await end(stage, producer) == ("NONE", (producer[0], 1))
    await settled(stage, "CompleteCommit")
    assert [stage.partition("t", index).log_end_offset for index in range(3)] == [1, 0, 1]


@on_broker(**SMALL)
async def test_what_was_decided_survives_a_restart(stage: Stage):
    await stage.topic("t", 1)
    producer = await begin(stage, ("t", 0))
    await stage.restart()
    await settled(stage, "Ongoing")
    error, following = await end(stage, producer)
    assert error == "NONE"
    await stage.restart()
    await settled(stage, "CompleteCommit")
    assert await end(stage, producer) == ("NONE", following)


@on_broker(**SMALL)
async def test_a_transaction_that_takes_too_long_is_aborted(stage: Stage):
    await stage.topic("t", 1)
    producer = await begin(stage, ("t", 0), timeout_ms=100)
    await settled(stage, "CompleteAbort")
    assert await add(stage, producer, ("t", 0)) == {("t", 0): "PRODUCER_FENCED"}
    assert await init(stage) == ("NONE", (producer[0], 2))


@on_broker(**SMALL, transactional_id_expiration_ms=100)
async def test_an_id_that_nobody_uses_is_forgotten(stage: Stage):
    await begin(stage)
    await settled(stage, "TRANSACTIONAL_ID_NOT_FOUND")
    await stage.restart()
    await settled(stage, "TRANSACTIONAL_ID_NOT_FOUND")


@on_broker(**SMALL, offsets_topic_num_partitions=3)
async def test_a_transaction_ends_when_the_offsets_topic_has_grown(stage: Stage):
    """Groups stay where they are until the next start: the transaction has that partition, and a marker for a new one is written."""
    await stage.topic("t", 1)
    await stage.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 6)
    grown = await stage.ask(
        CreatePartitionsRequest([CreatePartitionsTopic("__consumer_offsets", 7, None)], 30_000), 3
    )
    assert grown.results[0].error_code == 0
    group = next(name for name in map(str, range(100)) if partition_for_key(name, 7) >= 3)
    producer = await begin(stage)
    answer = await stage.ask(AddOffsetsToTxnRequest("x", *producer, group), 4)
    assert answer.error_code == 0
    topics = [TxnOffsetCommitRequestTopic("t", [TxnOffsetCommitRequestPartition(0, 5, -1, "")])]
    answer = await stage.ask(TxnOffsetCommitRequest("x", group, *producer, topics=topics), 4)
    assert ErrorCode(answer.topics[0].partitions[0].error_code).name == "NONE"
    assert (await end(stage, producer, version=4))[0] == "NONE"
    await settled(stage, "CompleteCommit")
    assert await add(stage, producer, ("__consumer_offsets", 5)) == {("__consumer_offsets", 5): "NONE"}
    await end(stage, producer, version=4)
    await settled(stage, "CompleteCommit")
    assert stage.partition("__consumer_offsets", 5).log_end_offset == 1


@on_broker(**SMALL)
async def test_a_topic_that_is_deleted_needs_no_marker(stage: Stage):
    await stage.topic("t", 1)
    await stage.topic("gone", 1)
    producer = await begin(stage, ("t", 0), ("gone", 0))
    answer = await stage.ask(DeleteTopicsRequest(topic_names=["gone"], timeout_ms=20_000), 5)
    assert answer.responses[0].error_code == 0
    assert (await end(stage, producer))[0] == "NONE"
    await settled(stage, "CompleteCommit")


# ---- admission


async def admit(stage, producer, *partitions, add=True, name="x"):
    verdicts = await stage.broker.transactions.admit(name, *producer, partitions, add=add)
    return {partition: error.name for partition, error in verdicts.items()}


@on_broker(**SMALL)
async def test_admission_adds_or_verifies(stage: Stage):
    a, b = ("t", 0), ("t", 1)
    producer = await begin(stage)
    assert await admit(stage, producer, a, add=False) == {a: "TRANSACTION_ABORTABLE"}
    assert await admit(stage, producer, a) == {a: "NONE"}
    assert await admit(stage, producer, a, b, add=False) == {a: "NONE", b: "TRANSACTION_ABORTABLE"}
    assert await admit(stage, (producer[0], 9), a) == {a: "INVALID_PRODUCER_EPOCH"}
    assert await admit(stage, (producer[0], 9), a, add=False) == {a: "INVALID_PRODUCER_EPOCH"}
    assert await admit(stage, (999, 0), a) == {a: "INVALID_PRODUCER_ID_MAPPING"}
    assert await admit(stage, producer, a, name="nobody") == {a: "INVALID_PRODUCER_ID_MAPPING"}
    assert await admit(stage, producer, a, name="") == {a: "INVALID_REQUEST"}


@on_broker(**SMALL)
async def test_several_partitions_at_once_wait_for_each_other(stage: Stage):
    producer = await begin(stage)
    partitions = [("t", index) for index in range(20)]
    answers = [stage.broker.transactions.admit("x", *producer, [one], add=True) for one in partitions]
    for one, answer in zip(partitions, answers, strict=True):
        assert await answer == {one: ErrorCode.NONE}
    (known,) = (await stage.ask(DescribeTransactionsRequest(["x"]), 0)).transaction_states
    assert known.topics[0].partitions == list(range(20))


@on_broker(**SMALL)
async def test_whoever_waits_too_long_is_told_to_come_again(stage: Stage):
    producer = await begin(stage)
    with stage.hold("journal"):
        first = stage.broker.transactions.admit("x", *producer, [("t", 0)], add=True)
        second = stage.broker.transactions.admit("x", *producer, [("t", 1)], add=True)
        assert await second == {("t", 1): ErrorCode.CONCURRENT_TRANSACTIONS}
        assert not first.done
    assert await first == {("t", 0): ErrorCode.NONE}


@on_broker(**SMALL, transaction_partition_verification_enable=False)
async def test_verification_can_be_turned_off(stage: Stage):
    producer = await begin(stage)
    assert await admit(stage, producer, ("t", 0), add=False) == {("t", 0): "NONE"}


@on_broker(**SMALL, log_dirs=("one", "two"))
async def test_an_offline_coordinator_says_so(stage: Stage):
    await begin(stage)
    partition = stage.broker.transactions.runtime.partition_of("x")
    log = stage.broker.replicas.partition(TRANSACTION_TOPIC, partition).log
    log.host.fail(OSError(5, "broken"))
    assert (await init(stage))[0] == "NOT_COORDINATOR"
    assert await state(stage) == "Empty"
