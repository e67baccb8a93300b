"""Kafka's DumpLogSegments decodes what real clients' groups and transactions left in the internal topics of a broker."""

import json
import re

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

WAIT_S = 30.0
SETTINGS = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}
OFFSET_COMMIT, CLASSIC_GROUP, CONSUMER_GROUP, MEMBER = "1", "2", "3", "5"
"""Types of records."""


def live(bootstrap):
    """A classic group, a consumer group, and one whose offsets are committed with a transaction, and with one that is aborted."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic("in", 2, 1), NewTopic("out", 2, 1)]).values():
        future.result(WAIT_S)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(10):
        producer.produce("in", b"%d" % number, partition=number % 2)
    assert producer.flush(WAIT_S) == 0
    for group, protocol in (("old", "classic"), ("new", "consumer")):
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe(["in"])
        seen = 0
        while seen < 10:
            message = consumer.poll(WAIT_S)
            assert message is not None
            assert message.error() is None, message.error()
            seen += 1
        consumer.commit(offsets=[TopicPartition("in", 0, 3), TopicPartition("in", 1, 5)], asynchronous=False)
        consumer.close()
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "copier"})
    transactional.init_transactions(WAIT_S)
    for offset, commit in ((4, True), (9, False)):
        metadata = Consumer({"bootstrap.servers": bootstrap, "group.id": "exact"})
        transactional.begin_transaction()
        transactional.produce("out", b"copied", partition=0)
        transactional.send_offsets_to_transaction(
            [TopicPartition("in", 0, offset)], metadata.consumer_group_metadata(), WAIT_S
        )
        if commit:
            transactional.commit_transaction(WAIT_S)
        else:
            transactional.abort_transaction(WAIT_S)
        metadata.close()


@pytest.fixture
def dump(kafka_tools, make_broker):
    """Runs clients against a broker, kills it, lets it come back and stop; then dumps the segments of a topic."""
    broker = make_broker(settings=SETTINGS).start()
    live(broker.bootstrap)
    broker.kill()
    broker.start()
    broker.stop()

    def run(topic, decoder):
        files = [
            str(file) for file in sorted(broker.data_dir.glob(f"{topic}-*/*.log")) if file.stat().st_size
        ]
        assert files
        done = kafka_tools.run("DumpLogSegments", "--files", ",".join(files), decoder)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"(?i)isvalid: false|corrupt|could not|unexpected|exception", done.stdout), (
            done.stdout
        )
        records = re.findall(r"^\| offset: \d+ .*? key: (\{.*\}) payload: (.*)$", done.stdout, re.MULTILINE)
        return done.stdout, [
            (json.loads(key), None if value == "<DELETE>" else json.loads(value)) for key, value in records
        ]

    return run


@pytest.mark.java
def test_it_decodes_groups_offsets_and_transactions(dump):
    text, records = dump("__consumer_offsets", "--offsets-decoder")
    assert {key["type"] for key, _ in records} >= {OFFSET_COMMIT, CLASSIC_GROUP, CONSUMER_GROUP, MEMBER}
    committed = {}
    for key, value in records:
        if key["type"] == OFFSET_COMMIT:
            where = tuple(key["data"][field] for field in ("group", "topic", "partition"))
            committed.setdefault(where, []).append(value["data"]["offset"])
    assert committed["old", "in", 0] == committed["new", "in", 0] == [3]
    assert committed["exact", "in", 0] == [4, 9]
    assert len(re.findall(r"endTxnMarker: COMMIT", text)) == 1
    assert len(re.findall(r"endTxnMarker: ABORT", text)) == 1
    assert text.count("isTransactional: true isControl: false") == 2

    _, records = dump("__transaction_state", "--transaction-log-decoder")
    assert {key["data"]["transactionalId"] for key, _ in records} == {"copier"}
    states = [value["data"]["transactionStatus"] for _, value in records]
    assert states[0] == 0  # empty
    assert {1, 2, 3, 4, 5} <= set(states)  # ongoing, both decisions, both ends
