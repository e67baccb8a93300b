"""The commands against a real broker, in processes of their own where that is what is tested."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from logbroker.cli.main import cli

COMMAND = [sys.executable, "-m", "logbroker.daemons.entry"]


@pytest.fixture
def run(bootstrap_servers):
    """Run a command in this process."""

    def run_command(*arguments):
        return CliRunner().invoke(cli, [*arguments, "--bootstrap-server", bootstrap_servers])

    return run_command


@pytest.fixture
def spawn(bootstrap_servers):
    """Start a command as a process of its own."""
    processes = []

    def start(*arguments, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        environment = {**os.environ, "LOGBROKER_BOOTSTRAP_SERVER": bootstrap_servers}
        process = subprocess.Popen([*COMMAND, *arguments], env=environment, **options)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def topic(run, new_topic_name):
    name = new_topic_name()
    assert run("topics", "create", name).exit_code == 0
    return name


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def test_topics_from_creation_to_deletion(run, new_topic_name):
    name = new_topic_name()
    assert (
        succeeded(run("topics", "create", name, "--partitions", "2", "--config", "retention.ms=100000"))
        == f"created topic {name}\n"
    )
    again = run("topics", "create", name)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"Error: topic '{name}': TOPIC_ALREADY_EXISTS")
    assert succeeded(run("topics", "create", name, "--if-not-exists")) == f"topic {name} exists already\n"
    assert f"{name} " in succeeded(run("topics", "list"))
    (listed,) = [
        entry
        for entry in json.loads(succeeded(run("topics", "list", "--output", "json")))
        if entry["name"] == name
    ]
    assert (listed["partitions"], listed["replication_factor"], listed["internal"]) == (2, 1, False)
    succeeded(
        run(
            "topics",
            "alter",
            name,
            "--partitions",
            "3",
            "--config",
            "max.message.bytes=5000",
            "--delete-config",
            "retention.ms",
        )
    )
    mistyped = run("topics", "alter", name, "--delete-config", "retention.mss")
    assert mistyped.exit_code == 2
    assert "there is no topic config retention.mss" in mistyped.stderr
    text = succeeded(run("topics", "describe", name))
    assert "configs     max.message.bytes=5000\n" in text
    (described,) = json.loads(succeeded(run("topics", "describe", name, "--output", "json")))
    assert [entry["partition"] for entry in described["partitions"]] == [0, 1, 2]
    assert described["configs"]["max.message.bytes"]["source"] == "DYNAMIC_TOPIC_CONFIG"
    assert described["configs"]["retention.ms"]["source"] == "DEFAULT_CONFIG"
    assert (
        json.loads(succeeded(run("topics", "describe", name, "--unavailable-partitions", "--output", "json")))
        == []
    )
    assert name in succeeded(run("topics", "describe"))
    assert succeeded(run("topics", "delete", name)) == f"deleted topic {name}\n"
    gone = run("topics", "delete", name)
    assert gone.exit_code == 1
    assert "UNKNOWN_TOPIC_OR_PARTITION" in gone.stderr
    assert succeeded(run("topics", "delete", name, "--if-exists")) == f"topic {name} does not exist\n"


def test_one_topic_that_is_refused_keeps_no_other_from_being_deleted(run, new_topic_name):
    first, missing, last = new_topic_name(), new_topic_name(), new_topic_name()
    for name in (first, last):
        succeeded(run("topics", "create", name))
    result = run("topics", "delete", first, missing, last)
    assert result.exit_code == 1
    assert result.stdout == f"deleted topic {first}\ndeleted topic {last}\n"
    assert f"Error: topic '{missing}': UNKNOWN_TOPIC_OR_PARTITION" in result.stderr
    assert "`logbroker topics list` names" in result.stderr
    assert not {first, last} & set(succeeded(run("topics", "list")).split())


def test_records_from_arguments(run, topic):
    outcome = json.loads(
        succeeded(
            run(
                "produce",
                topic,
                "--key",
                "k",
                "--value",
                "a",
                "--value",
                "b",
                "--header",
                "h=1",
                "--header",
                "h=2",
                "--output",
                "json",
            )
        )
    )
    assert outcome["records"] == 2
    assert outcome["partitions"] == [{"partition": 0, "first_offset": 0, "last_offset": 1}]
    assert succeeded(run("consume", topic)) == "a\nb\n"
    assert succeeded(run("consume", topic, "--key", "--headers", "--max-messages", "1")) == "h:1,h:2\tk\ta\n"
    assert succeeded(run("consume", topic, "--key", "--key-separator", "=", "--offset", "1")) == "k=b\n"
    lines = [json.loads(line) for line in succeeded(run("consume", topic, "--output", "json")).splitlines()]
    assert [(line["offset"], line["key"], line["value"]) for line in lines] == [(0, "k", "a"), (1, "k", "b")]
    assert lines[0]["headers"] == [{"name": "h", "value": "1"}, {"name": "h", "value": "2"}]


def test_starting_elsewhere(run, topic):
    succeeded(run("produce", topic, *(word for number in range(5) for word in ("--value", str(number)))))
    assert succeeded(run("consume", topic, "--offset", "3")) == "3\n4\n"
    assert succeeded(run("consume", topic, "--offset", "-2")) == "3\n4\n"
    assert succeeded(run("consume", topic, "--offset", "-99", "--max-messages", "1")) == "0\n"
    assert succeeded(run("consume", topic, "--offset", "latest")) == ""
    assert succeeded(run("consume", topic, "--from-timestamp", "0", "--max-messages", "2")) == "0\n1\n"
    assert succeeded(run("consume", topic, "--from-timestamp", "2100-01-01")) == ""
    assert succeeded(run("consume", topic, "--partition", "0", "--offset", "4")) == "4\n"
    assert run("consume", topic, "--partition", "7").exit_code == 2


def test_what_does_not_exist(run, new_topic_name):
    result = run("consume", new_topic_name())
    assert result.exit_code == 1
    assert "does not exist" in result.stderr
    assert "`logbroker topics list`" in result.stderr


def test_the_cluster(run, topic, bootstrap_servers):
    text = succeeded(run("cluster", "describe"))
    assert bootstrap_servers in text
    described = json.loads(succeeded(run("cluster", "describe", "--output", "json")))
    assert described["brokers"][0]["node_id"] == described["controller"]
    assert described["log_dirs"][0]["replicas"] >= 1


def test_the_tour_finds_what_an_earlier_one_left(run):
    first = succeeded(run("tour"))
    assert "wrote 3 records" in first
    second = succeeded(run("tour"))
    assert "was there, with" in second
    for thing in ("kcat -C", "logbroker consume hello", "from confluent_kafka import Producer"):
        assert thing in second


def test_many_lines_through_pipes(run, spawn, topic, tmp_path):
    lines = b"".join(b"%d\n" % number for number in range(20_000))
    path = tmp_path / "lines"
    path.write_bytes(lines)
    out, err = spawn("produce", topic, "--compression", "lz4").communicate(lines)
    assert (out, err) == (b"", b"")
    process = spawn("produce", topic, "--file", str(path), "--acks", "1")
    assert process.communicate() == (b"", b"")
    assert process.returncode == 0
    consumer = spawn("consume", topic)
    assert consumer.communicate() == (lines + lines, b"")
    assert consumer.returncode == 0


def test_bytes_that_are_no_text(spawn, topic):
    spawn("produce", topic, "--key-separator", "\\t").communicate(b"\xff\t\x00\xfe\nk\tv\n")
    out, _ = spawn("consume", topic, "--key").communicate()
    assert out == b"\xff\t\x00\xfe\nk\tv\n"
    out, _ = spawn("consume", topic, "--output", "json").communicate()
    first, second = map(json.loads, out.splitlines())
    assert (first["key"], first["key_encoding"], first["value"], first["value_encoding"]) == (
        "/w==",
        "base64",
        "AP4=",
        "base64",
    )
    assert (second["key"], second["value"], "key_encoding" in second) == ("k", "v", False)


def test_a_line_without_a_separator_says_which_and_how_many_went_before(spawn, topic):
    process = spawn("produce", topic, "--key-separator", ":")
    _, err = process.communicate(b"a:1\nnonsense\n")
    assert process.returncode == 1
    assert b"line 2, 'nonsense', has no key separator ':'\n1 record written" in err
    out, _ = spawn("consume", topic).communicate()
    assert out == b"1\n"
    assert b"Traceback" not in err


def test_a_record_the_broker_refuses(run, spawn, new_topic_name):
    name = new_topic_name()
    succeeded(run("topics", "create", name, "--config", "max.message.bytes=1000"))
    process = spawn("produce", name)
    _, err = process.communicate(b"x" * 2000 + b"\n")
    assert process.returncode == 1
    assert b"MESSAGE_TOO_LARGE" in err
    assert b"0 records written" in err
    assert b"Traceback" not in err


def test_a_reader_that_leaves_is_no_error(spawn, topic):
    spawn("produce", topic).communicate(b"0123456789\n" * 50_000)
    process = spawn("consume", topic)
    assert process.stdout.readline() == b"0123456789\n"
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == b""


def test_following_until_interrupted(run, spawn, topic):
    succeeded(run("produce", topic, "--value", "before"))
    process = spawn("consume", topic, "--follow", "--from-beginning")
    assert process.stdout.readline() == b"before\n"
    for number in range(3):
        succeeded(run("produce", topic, "--value", f"{number}"))
        assert process.stdout.readline() == b"%d\n" % number
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


def test_following_stops_after_enough(run, spawn, topic):
    process = spawn("consume", topic, "--follow", "--from-beginning", "--max-messages", "2")
    succeeded(run("produce", topic, "--value", "1", "--value", "2", "--value", "3"))
    assert process.communicate(timeout=20) == (b"1\n2\n", b"")
    assert process.returncode == 0


def test_interrupting_a_producer_keeps_what_it_has_read(run, spawn, topic):
    process = spawn("produce", topic)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    consumer = spawn("consume", topic, "--follow", "--from-beginning", "--max-messages", "1")
    assert consumer.communicate(timeout=20)[0] == b"one\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.strip() == b"Aborted!"


def test_typing_records_on_a_terminal(spawn, topic):
    outer, inner = pty.openpty()
    try:
        process = spawn("produce", topic, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        said = b""
        deadline = time.monotonic() + 20
        typed = 0
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([outer], [], [], 0.1)[0]:
                said += os.read(outer, 4096)
            if not typed and b"Ctrl-D ends" in said:
                os.write(outer, b"typed\n")
                typed = 1
                os.write(outer, b"\x04")
        assert process.wait(20) == 0
        while select.select([outer], [], [], 0)[0]:
            said += os.read(outer, 4096)
        assert b"1 record written" in said
    finally:
        os.close(inner)
        os.close(outer)
    out, _ = spawn("consume", topic).communicate()
    assert out == b"typed\n"


def test_shells_complete_topic_names(bootstrap_servers, topic):
    environment = {
        **os.environ,
        "_LOGBROKER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"logbroker consume {topic[:-1]}",
        "COMP_CWORD": "2",
        "LOGBROKER_BOOTSTRAP_SERVER": bootstrap_servers,
    }
    completed = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    assert f"plain,{topic}" in completed.stdout.splitlines()


def test_tables_are_drawn_on_a_terminal(spawn, topic):
    outer, inner = pty.openpty()
    try:
        process = spawn("topics", "list", stdin=inner, stdout=inner, stderr=inner)
        assert process.wait(20) == 0
        said = b""
        while select.select([outer], [], [], 0)[0]:
            said += os.read(outer, 65536)
    finally:
        os.close(inner)
        os.close(outer)
    assert topic.encode() in said
    assert "─".encode() in said
