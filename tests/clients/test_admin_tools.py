"""Kafka's own tools for administration, unmodified: what they print of this broker is what they print of Kafka."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.java

CONFIGS = "kafka.admin.ConfigCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"


@pytest.fixture
def run(kafka_tools: Any, server: str) -> Callable[..., str]:
    """Run a tool against the broker; what it printed."""

    def run_tool(tool: str, *arguments: str) -> str:
        done = kafka_tools.run(tool, "--bootstrap-server", server, *arguments)
        return (done.stdout + done.stderr).strip()

    return run_tool


def test_configs_of_groups(run, new_name):
    group = new_name("tool-group")
    of_group = ("--entity-type", "groups", "--entity-name", group)
    change = ("--alter", *of_group, "--add-config", "consumer.session.timeout.ms=50000")
    assert run(CONFIGS, *change) == f"Completed updating config for group {group}."
    assert run(CONFIGS, "--describe", *of_group) == (
        f"Dynamic configs for group {group} are:\n"
        "  consumer.session.timeout.ms=50000 sensitive=false "
        "synonyms={DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms=50000, "
        "DEFAULT_CONFIG:group.consumer.session.timeout.ms=45000}"
    )
    for kind in ("users", "clients", "ips"):
        assert run(CONFIGS, "--describe", "--entity-type", kind) == ""


def test_client_metrics(run, new_name):
    name = new_name("metrics")
    assert "Altered client metrics config" in run(
        "ClientMetricsCommand", "--alter", "--name", name, "--metrics", "a.b", "--interval", "1000"
    )
    assert name in run("ClientMetricsCommand", "--list").splitlines()
    described = run("ClientMetricsCommand", "--describe", "--name", name)
    assert re.findall(r"  (\S+)=(\S*)", described) == [
        ("interval.ms", "1000"),
        ("match", ""),
        ("metrics", "a.b"),
    ]


def test_elections_and_reassignments(run, new_topic, tmp_path):
    topic = new_topic("placed")
    election = ("--election-type", "preferred", "--topic", topic, "--partition", "0")
    assert (
        run("LeaderElectionCommand", *election) == f"Valid replica already elected for partitions {topic}-0"
    )
    assert run(REASSIGN, "--list") == "No partition reassignments found."
    plan = tmp_path / "plan.json"
    partition = {"topic": topic, "partition": 0, "replicas": [1], "log_dirs": ["any"]}
    plan.write_text(json.dumps({"version": 1, "partitions": [partition]}), encoding="utf-8")
    executed = run(REASSIGN, "--execute", "--reassignment-json-file", str(plan))
    assert executed.endswith(f"Successfully started partition reassignment for {topic}-0")
    verified = run(REASSIGN, "--verify", "--reassignment-json-file", str(plan))
    assert f"Reassignment of partition {topic}-0 is completed." in verified


def test_what_is_refused(run):
    assert "SecurityDisabledException: No Authorizer is configured on the broker" in run(
        "AclCommand", "--list"
    )


@pytest.mark.usefixtures("own_broker")
def test_there_is_no_quorum_to_describe(kafka_tools: Any, server: str) -> None:
    done = kafka_tools.run("MetadataQuorumCommand", "--bootstrap-server", server, "describe", "--status")
    assert done.returncode == 1
    assert (
        "UnsupportedVersionException: The node does not support DESCRIBE_QUORUM" in done.stdout + done.stderr
    )
