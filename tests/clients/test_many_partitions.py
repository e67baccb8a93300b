"""A topic of ten thousand partitions: made, listed, written to and read by clients that know nothing of it."""

from __future__ import annotations

import pytest
from samples import by_partition, described
from support.client_driver import KINDS, eventually

PARTITIONS = 10_000
TOUCHED = [0, 1, 4095, 4096, 9998, 9999]


@pytest.fixture(scope="module")
def vast(server, make_driver, new_name):
    """The topic's name, and a client of its own to make it with."""
    topic = new_name("vast")
    admin = make_driver("confluent", server)
    # In two steps: Kafka, to which this test can be held too, refuses so many in one request.
    admin.call("create_topic", topic=topic, partitions=PARTITIONS // 2)
    admin.call("create_partitions", topic=topic, total=PARTITIONS)
    # A producer waits until there is a leader, where that takes a while.
    admin.call(
        "produce", topic=topic, records=[described(partition, None, b"first") for partition in TOUCHED]
    )
    yield topic, admin
    admin.call("delete_topic", topic=topic)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KINDS)
def test_ten_thousand_partitions(name, vast, client):
    topic, _ = vast
    driver = client(name)
    eventually(lambda: driver.call("topics").get(topic), PARTITIONS, timeout_s=60)
    before = driver.call("offsets", topic=topic, partitions=TOUCHED)
    records = [described(partition, b"key", name.encode()) for partition in TOUCHED]
    driver.call("produce", topic=topic, records=records)
    after = driver.call("offsets", topic=topic, partitions=TOUCHED)
    assert {partition: span[1] for partition, span in after.items()} == {
        partition: span[1] + 1 for partition, span in before.items()
    }
    spans = {partition: [span[1] - 1, span[1]] for partition, span in after.items()}
    read = by_partition(driver.call("consume", topic=topic, spans=spans))
    assert {partition: record["v"] for partition, (record,) in read.items()} == {
        record["p"]: record["v"] for record in records
    }
