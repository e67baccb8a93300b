"""Each client's admin: topics, configs, partitions, records, directories, groups; and refusals it can understand."""

from __future__ import annotations

import pytest
from samples import plain
from support.client_driver import KINDS, ClientError, eventually

ADMINS = [name for name, kind in KINDS.items() if kind.administers]


@pytest.mark.parametrize("name", ADMINS)
def test_life_of_a_topic(name, client, new_name):
    admin = client(name)
    topic = new_name("life")
    admin.call("create_topic", topic=topic, partitions=3, config={"retention.ms": "7200000"})
    eventually(lambda: admin.call("topics").get(topic), 3)
    configs = admin.call("configs", topic=topic)
    assert configs["retention.ms"] == "7200000"
    assert configs["cleanup.policy"] == "delete"

    admin.call("set_config", topic=topic, name="max.message.bytes", value="123456")
    eventually(lambda: admin.call("configs", topic=topic)["max.message.bytes"], "123456")

    admin.call("create_partitions", topic=topic, total=5)
    eventually(lambda: admin.call("topics")[topic], 5)
    admin.call("produce", topic=topic, records=plain(4, 20))
    assert admin.call("delete_records", topic=topic, before={4: 7}) == {4: 7}
    assert admin.call("delete_records", topic=topic, before={4: -1}) == {4: 20}
    assert admin.call("offsets", topic=topic, partitions=[4]) == {4: [20, 20]}

    admin.call("delete_topic", topic=topic)
    eventually(lambda: topic in admin.call("topics"), expected=False)


@pytest.mark.parametrize("name", ADMINS)
def test_a_topic_comes_back_empty(name, client, new_name):
    admin = client(name)
    topic = new_name("again")
    for _ in range(2):
        admin.call("create_topic", topic=topic, partitions=1)
        reports = client("confluent").call("produce", topic=topic, records=plain(0, 5))
        assert [report[1] for report in reports] == list(range(5))
        admin.call("delete_topic", topic=topic)


@pytest.mark.parametrize("name", ADMINS)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"topic": None}, r"(?i)exist"),
        ({"topic": "no spaces"}, r"(?i)invalid|illegal"),
        ({"topic": "..", "partitions": 1}, r"(?i)invalid|illegal"),
        ({"partitions": 0}, r"(?i)partitions"),
        ({"config": {"no.such.config": "1"}}, r"(?i)config"),
        ({"config": {"retention.ms": "soon"}}, r"(?i)config"),
    ],
    ids=["exists", "name", "dots", "no-partitions", "unknown-config", "config-value"],
)
def test_what_is_wrong_with_a_topic_is_said(name, change, complaint, client, new_name, new_topic):
    asked = {"topic": new_name("refused"), "partitions": 1, **change}
    if asked["topic"] is None:
        asked["topic"] = new_topic("there")
    with pytest.raises(ClientError, match=complaint):
        client(name).call("create_topic", **asked)


@pytest.mark.parametrize("name", ADMINS)
def test_other_refusals(name, client, new_name, new_topic):
    admin = client(name)
    topic = new_topic("settled", partitions=3)
    client("confluent").call(
        "produce", topic=topic, records=plain(0, 1)
    )  # it has a leader now, wherever it runs
    with pytest.raises(ClientError, match=r"(?i)partition"):
        admin.call("create_partitions", topic=topic, total=2)
    with pytest.raises(ClientError, match=r"(?i)config|error 40"):
        admin.call("set_config", topic=topic, name="segment.bytes", value="-3")
    with pytest.raises(ClientError, match=r"(?i)unknown|error 3"):
        admin.call("delete_topic", topic=new_name("never-made"))
    with pytest.raises(ClientError, match=r"(?i)range|error 1"):
        admin.call("delete_records", topic=topic, before={0: 5})


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.log_dirs])
def test_log_directories(name, client, new_topic):
    topic = new_topic("sized", partitions=2)
    client("confluent").call("produce", topic=topic, records=plain(1, 50))
    sizes = client(name).call("log_dirs")
    assert sizes[f"{topic}-0"] == 0
    assert sizes[f"{topic}-1"] > 50 * len("value")


@pytest.mark.parametrize("name", KINDS)
def test_the_cluster_is_one_broker(name, client):
    assert client(name).call("cluster") == 1
