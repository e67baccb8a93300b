"""`logbroker groups` against a real broker."""

from __future__ import annotations

import json
import time

import confluent_kafka
import pytest
from click.testing import CliRunner

from logbroker.cli.main import cli

RECORDS = 9
WAIT_S = 30


@pytest.fixture
def run(bootstrap_servers):
    """Run a command in this process."""

    def run_command(*arguments, **options):
        return CliRunner().invoke(cli, [*arguments, "--bootstrap-server", bootstrap_servers], **options)

    return run_command


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(result):
    return json.loads(succeeded(result))


@pytest.fixture
def topic(run, new_topic_name):
    """A topic of three partitions with nine records in the first."""
    name = new_topic_name()
    succeeded(run("topics", "create", name, "--partitions", "3"))
    values = [f"--value=value {number}" for number in range(RECORDS)]
    succeeded(run("produce", name, "--partition", "0", *values))
    return name


@pytest.fixture
def group(topic):
    return f"group-of-{topic}"


def offsets(run, group):
    (described,) = as_json(run("groups", "describe", group, "--output", "json"))
    return {entry["partition"]: entry["current_offset"] for entry in described["offsets"]}


@pytest.fixture(params=["classic", "consumer"])
def protocol(request):
    """Which of the two group protocols the member speaks."""
    return request.param


@pytest.fixture
def member(bootstrap_servers, topic, group, protocol):
    """A consumer that is in the group and has committed what it read."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "client.id": "reader",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "group.protocol": protocol,
        }
    )
    consumer.subscribe([topic])
    deadline = time.monotonic() + WAIT_S
    read = 0
    while read < RECORDS:
        assert time.monotonic() < deadline, "the consumer reads nothing"
        message = consumer.poll(0.2)
        read += message is not None and message.error() is None
    consumer.commit(asynchronous=False)
    yield consumer
    consumer.close()


def test_a_group_is_put_where_one_says(run, topic, group, tmp_path):
    def reset(*arguments):
        return run("groups", "reset-offsets", group, *arguments)

    dry = succeeded(reset("--topic", topic, "--to-latest"))
    assert dry.splitlines()[1].split() == [group, topic, "0", "-", str(RECORDS)]
    assert offsets(run, group) == {}
    succeeded(reset("--topic", topic, "--to-latest", "--execute"))
    assert offsets(run, group) == {0: RECORDS, 1: 0, 2: 0}
    succeeded(reset("--all-topics", "--shift-by", "-2", "--execute"))
    assert offsets(run, group) == {0: RECORDS - 2, 1: 0, 2: 0}
    succeeded(reset("--topic", f"{topic}:0", "--to-offset", "99", "--execute"))
    assert offsets(run, group)[0] == RECORDS
    succeeded(reset("--topic", topic, "--to-earliest", "--execute"))
    assert offsets(run, group)[0] == 0
    succeeded(reset("--topic", topic, "--to-datetime", "2020-01-01T00:00:00", "--execute"))
    assert offsets(run, group)[0] == 0
    succeeded(reset("--topic", topic, "--by-duration", "PT0S", "--execute"))
    assert offsets(run, group)[0] == RECORDS

    file = tmp_path / "offsets.csv"
    file.write_text(f'"{topic}",0,4\n', encoding="utf-8")
    (move,) = as_json(reset("--from-file", str(file), "--execute", "--output", "json"))
    assert (move["current_offset"], move["new_offset"], move["done"]) == (RECORDS, 4, True)
    exported = succeeded(reset("--all-topics", "--to-current", "--export"))
    assert exported == f'"{topic}",0,4\n"{topic}",1,0\n"{topic}",2,0\n'


def test_a_group_with_members_is_shown_and_left_alone(run, topic, group, member, protocol):
    listed = as_json(run("groups", "list", "--output", "json"))
    assert [entry["state"] for entry in listed if entry["group_id"] == group] == ["Stable"]
    assert group in succeeded(run("groups", "list", "--state", "Stable"))
    assert group not in succeeded(run("groups", "list", "--state", "Empty"))

    (described,) = as_json(run("groups", "describe", group, "--output", "json"))
    assert (described["state"], described["type"], described["protocol_type"]) == (
        "Stable",
        protocol,
        "consumer",
    )
    assert (described["epoch"] is None) == (protocol == "classic")
    (found,) = described["members"]
    assert found["client_id"] == "reader"
    assert sorted(partition["partition"] for partition in found["assignment"]) == [0, 1, 2]
    row = next(entry for entry in described["offsets"] if entry["partition"] == 0)
    assert (row["current_offset"], row["log_end_offset"], row["lag"]) == (RECORDS, RECORDS, 0)
    assert row["consumer_id"] == found["member_id"]

    assert f"{topic}(0,1,2)" in succeeded(run("groups", "describe", group, "--members"))
    assert "Stable" in succeeded(run("groups", "describe", group, "--state"))
    assert "reader" in succeeded(run("groups", "describe", group))

    refused = run("groups", "reset-offsets", group, "--topic", topic, "--to-earliest", "--execute")
    assert refused.exit_code == 1
    assert f"group {group} is Stable with 1 members" in refused.stderr
    assert offsets(run, group)[0] == RECORDS


def test_offsets_and_groups_are_deleted(run, topic, group):
    succeeded(run("groups", "reset-offsets", group, "--topic", topic, "--to-latest", "--execute"))
    table = succeeded(run("groups", "delete-offsets", group, "--topic", f"{topic}:1,2"))
    assert [line.split()[1:] for line in table.splitlines()[1:]] == [["1", "deleted"], ["2", "deleted"]]
    assert offsets(run, group) == {0: RECORDS}
    assert run("groups", "delete-offsets", group, "--topic", f"{topic}:9").exit_code == 1
    (outcome,) = as_json(run("groups", "delete-offsets", group, "--topic", topic, "--output", "json"))
    assert outcome == {"topic": topic, "partition": 0, "error": None}
    succeeded(run("groups", "reset-offsets", group, "--topic", topic, "--to-latest", "--execute"))
    assert succeeded(run("groups", "delete", group)) == f"deleted group {group}\n"
    again = run("groups", "delete", group)
    assert (again.exit_code, "GROUP_ID_NOT_FOUND" in again.stderr) == (1, True)


def test_a_group_with_members_is_not_deleted(run, group, member):
    refused = run("groups", "delete", "nobody-knows-it", group)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "GROUP_ID_NOT_FOUND" in refused.stderr
    assert "NON_EMPTY_GROUP" in refused.stderr
    assert "stop its members" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["reset-offsets", "g", "--to-earliest"], "give --topic or --all-topics"),
        (["reset-offsets", "g", "--topic", "t"], "give one of --to-earliest"),
        (["reset-offsets", "g", "--topic", "t", "--to-earliest", "--to-latest"], "give one of --to-earliest"),
        (
            ["reset-offsets", "g", "--topic", "t", "--all-topics", "--to-latest"],
            "give --topic or --all-topics",
        ),
        (["reset-offsets", "g", "--topic", "t:x", "--to-latest"], "not TOPIC or TOPIC:PARTITION"),
        (
            ["reset-offsets", "g", "--topic", "t", "--to-latest", "--execute", "--export"],
            "give one of --dry-run",
        ),
        (["reset-offsets", "g", "--topic", "t", "--to-datetime", "soon"], "--to-datetime"),
        (["reset-offsets", "g", "--topic", "t", "--by-duration", "1d"], "no duration"),
        (["describe"], "name groups, or give --all-groups"),
        (["describe", "g", "--all-groups"], "name groups, or give --all-groups"),
        (["delete-offsets", "g", "--topic", "t:"], "not TOPIC or TOPIC:PARTITION"),
    ],
)
def test_wrong_usage(run, arguments, complaint):
    result = run("groups", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_what_is_not_there(run, topic):
    for arguments, complaint in (
        (["describe", "no-such-group"], "there is no group no-such-group"),
        (
            ["reset-offsets", "g", "--topic", "no-such-topic", "--to-latest"],
            "there is no topic no-such-topic",
        ),
        (["reset-offsets", "g", "--topic", f"{topic}:3", "--to-latest"], "3 is none of them"),
        (["reset-offsets", "new", "--topic", topic, "--shift-by", "1"], "could be shifted"),
    ):
        result = run("groups", *arguments)
        assert result.exit_code == 1
        assert complaint in result.stderr
