"""`logbroker transactions` against a real broker, with transactions of an unmodified client."""

from __future__ import annotations

import json
import time

import confluent_kafka
import pytest
from click.testing import CliRunner

from logbroker.cli.main import cli
from logbroker.testing.talk import until

WAIT_S = 30


@pytest.fixture
def run(bootstrap_servers):
    """Run a command in this process."""

    def run_command(*arguments):
        return CliRunner().invoke(cli, [*arguments, "--bootstrap-server", bootstrap_servers])

    return run_command


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(run, *arguments):
    return json.loads(succeeded(run("transactions", *arguments, "--output", "json")))


@pytest.fixture
def topic(run, new_topic_name):
    name = new_topic_name()
    succeeded(run("topics", "create", name))
    return name


@pytest.fixture
def producer(bootstrap_servers, topic):
    """A producer with a transaction under way, whose first record is at offset 0."""
    made = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap_servers, "transactional.id": f"id-{topic}", "linger.ms": 0}
    )
    made.init_transactions(WAIT_S)
    made.begin_transaction()
    made.produce(topic, b"value")
    made.flush(WAIT_S)
    return made


def test_a_transaction_from_begin_to_commit(run, topic, producer):
    name = f"id-{topic}"
    listed = {entry["transactional_id"]: entry["state"] for entry in as_json(run, "list")}
    assert listed[name] == "Ongoing"
    assert name in succeeded(run("transactions", "list", "--state", "Ongoing"))
    assert name not in succeeded(run("transactions", "list", "--state", "Empty"))

    described = as_json(run, "describe", name)
    assert (described["state"], described["partitions"]) == ("Ongoing", [{"topic": topic, "partition": 0}])
    assert 0 <= time.time() - described["started_ms"] / 1000 < WAIT_S
    text = succeeded(run("transactions", "describe", name))
    assert f"partitions  {topic}-0\n" in text
    (known,) = as_json(run, "producers", topic)
    assert (known["producer_id"], known["transaction_start"]) == (described["producer_id"], 0)

    producer.commit_transaction(WAIT_S)
    # The producer is answered as soon as the outcome is settled, and the markers follow.
    until(lambda: as_json(run, "describe", name)["state"] == "CompleteCommit")
    assert as_json(run, "describe", name)["partitions"] == []
    (known,) = as_json(run, "producers", f"{topic}:0")
    assert known["transaction_start"] == -1


def test_a_transaction_is_aborted_by_hand(run, topic, producer):
    wrong = run("transactions", "abort", topic, "--partition", "0", "--start-offset", "7")
    assert wrong.exit_code == 1
    assert "no transaction is open" in wrong.stderr
    done = succeeded(run("transactions", "abort", topic, "--partition", "0", "--start-offset", "0"))
    assert done.startswith("aborted the transaction of producer ")
    assert all(known["transaction_start"] == -1 for known in as_json(run, "producers", topic))


def test_what_is_not_there(run, topic):
    unknown = run("transactions", "describe", "no-such-id")
    assert unknown.exit_code == 1
    assert "TRANSACTIONAL_ID_NOT_FOUND" in unknown.stderr
    assert "names those there are" in unknown.stderr
    assert run("transactions", "producers", f"{topic}:x").exit_code == 2
    assert succeeded(run("transactions", "producers", topic)) == ""
