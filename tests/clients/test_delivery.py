"""What a producer is told, for each acks; topics that come into being by being written to."""

from __future__ import annotations

import pytest
from samples import content, plain
from support.client_driver import KINDS, eventually


@pytest.mark.parametrize("acks", ["0", "1", "all"])
@pytest.mark.parametrize("name", KINDS)
def test_acks(name, acks, client, new_topic):
    topic = new_topic(f"acks-{acks}")
    value = acks if name in ("kcat", "confluent", "java") or acks == "all" else int(acks)
    records = plain(0, 300)
    reports = client(name).call("produce", topic=topic, records=records, acks=value)
    # With acks=0 nobody says when they are in: the reader waits for them.
    read = client("confluent").call("consume", topic=topic, spans={0: [0, 300]})
    assert [content(record) for record in read] == [content(record) for record in records]
    if acks != "0" and KINDS[name].reports:
        assert [report[:2] for report in reports] == [[0, offset] for offset in range(300)]


@pytest.mark.parametrize("name", KINDS)
def test_topic_is_created_by_writing_to_it(name, client, new_name):
    topic = new_name("auto")
    client(name).call("produce", topic=topic, records=plain(0, 3))
    eventually(lambda: client(name).call("topics").get(topic), 1)
    assert len(client(name).call("consume", topic=topic, spans={0: [0, 3]})) == 3


def test_idempotent_producers_share_a_partition(client, new_topic):
    topic = new_topic("idempotent")
    names = [name for name, kind in KINDS.items() if kind.reports]
    total = 0
    for start in (0, 50):
        for name in names:
            reports = client(name).call("produce", topic=topic, records=plain(0, 50, start), idempotence=True)
            assert [report[1] for report in reports] == list(range(total, total + 50))
            total += 50
