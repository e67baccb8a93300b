"""`logbroker configs` against a real broker."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from logbroker.cli.main import cli

SESSION = "consumer.session.timeout.ms"


@pytest.fixture
def run(bootstrap_servers):
    """Run a command in this process."""

    def run_command(*arguments):
        return CliRunner().invoke(cli, ["configs", *arguments, "--bootstrap-server", bootstrap_servers])

    return run_command


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def described(run, *arguments):
    return {
        entry["name"]: (entry["value"], entry["source"])
        for entry in json.loads(succeeded(run("describe", *arguments, "--output", "json")))
    }


def test_configs_of_a_group(run, new_topic_name):
    group = new_topic_name()
    assert described(run, "group", group) == {}
    assert described(run, "group", group, "--all")[SESSION] == ("45000", "DEFAULT_CONFIG")
    assert (
        succeeded(run("alter", "group", group, "--config", f"{SESSION}=50000")) == f"altered group {group}\n"
    )
    assert described(run, "group", group) == {SESSION: ("50000", "GROUP_CONFIG")}
    assert f"group  {group}" in succeeded(run("list", "group"))
    succeeded(run("alter", "group", group, "--delete-config", SESSION))
    assert described(run, "group", group) == {}
    refused = run("alter", "group", group, "--config", f"{SESSION}=1")
    assert refused.exit_code == 1
    assert f"group '{group}': INVALID_CONFIG ({SESSION} must be" in refused.stderr


def test_configs_of_brokers(run):
    succeeded(run("alter", "broker", "--config", "log.retention.ms=700000"))
    succeeded(run("alter", "broker", "1", "--config", "log.retention.ms=800000"))
    try:
        assert described(run, "broker")["log.retention.ms"] == ("700000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
        assert described(run, "broker", "1")["log.retention.ms"] == ("800000", "DYNAMIC_BROKER_CONFIG")
        assert "800000  dynamic broker config" in succeeded(run("describe", "broker", "1"))
    finally:
        for scope in ([], ["1"]):
            succeeded(run("alter", "broker", *scope, "--delete-config", "log.retention.ms"))
    assert "log.retention.ms" not in described(run, "broker")
    refused = run("alter", "broker", "1", "--config", "node.id=2")
    assert refused.exit_code == 1
    assert "broker 1: INVALID_REQUEST (Cannot update these configs dynamically: [node.id])" in refused.stderr


def test_levels_of_loggers(run):
    before = described(run, "broker-logger", "1")["root"][0]
    succeeded(run("alter", "broker-logger", "1", "--config", "root=ERROR"))
    assert described(run, "broker-logger", "1")["root"] == ("ERROR", "DYNAMIC_BROKER_LOGGER_CONFIG")
    succeeded(run("alter", "broker-logger", "1", "--config", f"root={before}"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["describe", "group"], "name the group"),
        (["describe", "planet", "x"], "planet"),
        (["alter", "group", "g"], "nothing to alter"),
        (["alter", "group", "g", "--config", "a=1", "--delete-config", "a"], "can't be set and deleted"),
        (["alter", "group", "g", "--config", "a"], "NAME=VALUE"),
    ],
)
def test_wrong_usage(run, arguments, complaint):
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
