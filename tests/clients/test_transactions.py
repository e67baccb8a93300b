"""Transactions of every client, read by every client: nothing is half visible, and whoever was fenced is told so."""

from __future__ import annotations

import pytest
from support.client_driver import ClientError, eventually

from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest

CLIENTS = ["confluent", "aiokafka", "kafka_python", "java"]
PARTITIONS = [0, 1, 2]


def rounds(name):
    """What one producer does: records by partition, and how the transaction ends."""
    return [
        ([[0, f"{name}-a"], [1, f"{name}-b"]], "commit"),
        ([[0, f"{name}-lost"], [2, f"{name}-lost"]], "abort"),
        ([[2, f"{name}-c"]], "commit"),
        ([[1, f"{name}-lost"]], "abort"),
        ([[0, f"{name}-d"], [1, f"{name}-e"], [2, f"{name}-f"]], "commit"),
    ]


@pytest.fixture(params=CLIENTS)
def name(request):
    return request.param


def test_committed_records_are_seen_and_aborted_ones_are_not(server, client, new_topic, new_name, name):
    topic, transactional_id = new_topic("transactions", 3), new_name("tx")
    producer = client(name)
    producer.call("transactor", name="one", transactional_id=transactional_id)
    for records, end in rounds(name):
        producer.call("transaction", name="one", topic=topic, records=records, end=end)
    expected = {
        0: [f"{name}-a", f"{name}-d"],
        1: [f"{name}-b", f"{name}-e"],
        2: [f"{name}-c", f"{name}-f"],
    }
    for reader in CLIENTS:
        # The last marker reaches its partitions a moment after the client is told.
        eventually(
            lambda reader=reader: client(reader).call("read_committed", topic=topic, partitions=PARTITIONS),
            expected,
        )
    with WireClient(server) as wire:
        request = DescribeTransactionsRequest([transactional_id])
        (known,) = wire.call(ApiKey.DESCRIBE_TRANSACTIONS, request).transaction_states
    assert known.transaction_state == "CompleteCommit"
    # Java's producer speaks transaction version 2: each of its five ends bumped the epoch (KIP-890).
    assert known.producer_epoch == (5 if name == "java" else 0)


def test_an_open_transaction_hides_itself_and_what_comes_after_it(client, new_topic, new_name, name):
    topic = new_topic("transactions", 3)
    open_id = new_name("tx")
    driver = client(name)
    driver.call("transactor", name="open", transactional_id=open_id)
    driver.call("transaction", name="open", topic=topic, records=[[0, "open"]], end="leave it")
    driver.call("transactor", name="other", transactional_id=new_name("tx"))
    driver.call("transaction", name="other", topic=topic, records=[[0, "behind"], [1, "free"]])
    seen = lambda: driver.call("read_committed", topic=topic, partitions=[0, 1])  # noqa: E731
    eventually(seen, {0: [], 1: ["free"]})
    # Somebody takes the transactional id over: the open transaction is aborted, and its producer is fenced.
    driver.call("transactor", name="heir", transactional_id=open_id)
    eventually(seen, {0: ["behind"], 1: ["free"]})
    with pytest.raises(ClientError):
        driver.call("transaction", name="open", topic=topic, records=[[0, "zombie"]])
    driver.call("transaction", name="heir", topic=topic, records=[[0, "heir"]])
    eventually(seen, {0: ["behind", "heir"], 1: ["free"]})


def test_offsets_are_committed_with_the_transaction(client, new_topic, new_name, name):
    topic, group = new_topic("transactions", 3), new_name("group")
    driver = client(name)
    driver.call("transactor", name="offsets", transactional_id=new_name("tx"))
    committed = lambda: client("java").call("committed", group=group, topic=topic, partitions=[0, 1])  # noqa: E731

    def transact(first, second, end):
        driver.call(
            "transaction",
            name="offsets",
            topic=topic,
            records=[[0, "x"]],
            offsets={"group": group, "positions": {"0": first, "1": second}},
            end=end,
        )

    transact(3, 5, "commit")
    eventually(committed, {0: 3, 1: 5})
    transact(10, 11, "abort")
    eventually(committed, {0: 3, 1: 5})
    transact(4, 6, "commit")
    eventually(committed, {0: 4, 1: 6})
