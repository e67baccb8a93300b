"""The broker's process: start, signals, reload, probes, and the operator's mistakes that only a start can find."""

import http.client
import pathlib
import re
import signal
import socket

import confluent_kafka
import pytest
from prometheus_client.parser import text_string_to_metric_families

from logbroker.base.version import VERSION

DASHBOARD = pathlib.Path(__file__).parents[2] / "config" / "grafana-dashboard.json"


def get(address, path):
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def here(tmp_path):
    """Arguments for a broker with its data in this test's directory, on a port of the system's choice."""
    return ["--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_start_and_stop(broker, here, tmp_path, number):
    one = broker(*here)
    serving = one.event("serving")
    assert serving["version"] == VERSION
    assert serving["directories"] == str(tmp_path / "data")
    assert serving["pid"] == one.process.pid
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)", str(serving["listeners"]))
    socket.create_connection(("127.0.0.1", int(port)), timeout=10).close()
    assert get(serving["metrics"], "/healthz") == (200, "ok\n")
    assert get(serving["metrics"], "/readyz") == (200, "serving\n")
    one.signal(number)
    assert one.event("stopping")["signal"] == number.name
    assert one.event("stopped")["hurried"] is False
    assert one.end() == 0
    # What it left is found again.
    again = broker(*here)
    again.event("serving")
    assert again.stop() == 0


def test_after_a_kill_it_recovers(broker, here):
    one = broker(*here)
    one.event("serving")
    one.signal(signal.SIGKILL)
    assert one.end() == -signal.SIGKILL
    again = broker(*here)
    again.event("serving")
    assert again.stop() == 0


def test_reload(broker, here, tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text("log.retention.ms = 5000\nnum.partitions = 2\n")
    one = broker(*here, "--config", str(file))
    assert one.event("serving")["config"] == str(file)
    file.write_text("log.retention.ms = 6000\nnum.partitions = 3\nlog.level = 'debug'\n")
    one.signal(signal.SIGHUP)
    changed = {
        line["setting"]: (line["before"], line["after"])
        for line in (one.event("setting changed") for _ in "12")
    }
    assert changed == {"log.retention.ms": (5000, 6000), "log.level": ("info", "debug")}
    assert one.event("setting needs a restart")["setting"] == "num.partitions"
    assert one.event("settings reloaded")["changed"] == 2
    file.write_text("log.retention.ms = -5\n")
    one.signal(signal.SIGHUP)
    assert "Value must be at least -1" in one.event("the settings were not reloaded")["problem"]
    assert one.stop() == 0


def test_the_dashboard_shows_only_metrics_that_exist(broker, here):
    one = broker(*here)
    text = get(one.event("serving")["metrics"], "/metrics")[1]
    exist = {family.name: family for family in text_string_to_metric_families(text)}
    shown = set(re.findall(r"\b(?:kafka|logbroker|process|python)_[a-z_]+\b", DASHBOARD.read_text()))
    assert len(shown) > 30
    for name in shown:
        # The parser takes a counter's `_total` off its name, and what is shown of a histogram are its parts.
        parts = {name, name.removesuffix("_total"), re.sub(r"_(bucket|sum|count)$", "", name)}
        assert parts & set(exist), name
    assert "logbroker_metrics_collectors_failed 0\n" in text
    assert one.stop() == 0


def test_what_a_scrape_shows_of_real_work(broker, here):
    one = broker(*here, "--set", "group.initial.rebalance.delay.ms=0")
    serving = one.event("serving")
    address = re.findall(r"127\.0\.0\.1:\d+", serving["listeners"])[0]
    producer = confluent_kafka.Producer({"bootstrap.servers": address})
    for number in range(10):
        producer.produce("orders", str(number).encode())
    assert producer.flush(30) == 0
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "billing"})
    try:
        partition = confluent_kafka.TopicPartition("orders", 0, 4)
        consumer.commit(offsets=[partition], asynchronous=False)
    finally:
        consumer.close()
    text = get(serving["metrics"], "/metrics")[1]
    for line in (
        'kafka_topic_partition_current_offset{topic="orders",partition="0"} 10',
        'kafka_consumergroup_current_offset{consumergroup="billing",topic="orders",partition="0"} 4',
        'kafka_consumergroup_lag{consumergroup="billing",topic="orders",partition="0"} 6',
        'kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"} 6',
        "logbroker_metrics_collectors_failed 0",
    ):
        assert f"\n{line}\n" in text, line
    assert re.search(r'^logbroker_request_seconds_count{api="Produce"} [1-9]', text, re.MULTILINE)
    assert re.search(r"^logbroker_commit_seconds_count{directory=.*} [1-9]", text, re.MULTILINE)
    assert one.stop() == 0


def test_sd_notify(broker, here, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)

        def message(key):
            while True:
                found = dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())
                if key in found:
                    return found

        one = broker(*here, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        assert message("READY")["MAINPID"] == str(one.process.pid)
        for _ in range(3):
            message("WATCHDOG")
        one.signal(signal.SIGHUP)
        message("RELOADING")
        message("READY")
        one.signal(signal.SIGTERM)
        message("STOPPING")
        assert one.end() == 0


def assert_one_line(ended, *parts):
    assert ended.returncode == 1, ended.stderr
    lines = ended.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, ended.stderr
    assert lines[-1] == errors[0]
    assert "Traceback" not in ended.stderr
    for part in parts:
        assert part in errors[0]


def test_a_port_that_is_taken(broker, command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_one_line(
            command(
                "serve",
                "--data-dir",
                str(tmp_path),
                "--listen",
                f"127.0.0.1:{port}",
                "--set",
                "metrics.listeners=",
            ),
            f"127.0.0.1:{port}",
            "in use",
            "--listen",
        )


def test_a_metrics_port_that_is_taken(broker, command, here):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_one_line(
            command("serve", *here, "--set", f"metrics.listeners=127.0.0.1:{port}"),
            f"127.0.0.1:{port}",
            "--set metrics.listeners=",
        )


def test_a_directory_that_can_not_be_made(broker, command, tmp_path):
    (tmp_path / "file").write_text("not a directory")
    assert_one_line(
        command(
            "serve",
            "--data-dir",
            str(tmp_path / "file" / "data"),
            "--listen",
            "127.0.0.1:0",
            "--set",
            "metrics.listeners=",
        ),
        str(tmp_path / "file"),
    )


def test_a_directory_that_another_broker_has(broker, command, here, tmp_path):
    one = broker(*here)
    serving = one.event("serving")
    assert_one_line(command("serve", *here, "--set", "metrics.listeners="), str(tmp_path / "data"))
    # The first one doesn't mind.
    assert get(serving["metrics"], "/readyz") == (200, "serving\n")
    assert one.stop() == 0


def test_a_failpoint_that_does_not_exist(broker, command, here):
    ended = command("serve", *here, "--set", "metrics.listeners=", LOGBROKER_FAILPOINTS="no.such=kill")
    assert_one_line(ended, "there is no failpoint named no.such")
