"""Groups of unmodified clients whose members join, leave, are killed, are paused and nap: one owner each, nothing skipped, nothing twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.kafka_tools import find_kafka_tools

from logbroker.testing.group_life import GroupLife, Plan
from logbroker.testing.group_life_check import check
from logbroker.testing.group_life_schedule import Slot

OTHER_BROKER = os.environ.get("LOGBROKER_TEST_BOOTSTRAP")
MEMBER_JAVA = Path(__file__).resolve().parents[1] / "clients" / "java" / "Member.java"
SETTINGS = {"offsets.topic.num.partitions": "5"}
FEW = {
    ("classic", "confluent"): 3,
    ("classic", "aiokafka"): 3,
    ("classic", "kafka_python"): 3,
    ("classic", "java"): 1,
}
FIFTY = {
    ("classic", "confluent"): 20,
    ("classic", "aiokafka"): 12,
    ("classic", "kafka_python"): 12,
    ("classic", "java"): 6,
}


def slots(counts, seed):
    return [
        Slot(f"{protocol}-{library}-{number}", f"{protocol}-{seed}", library, protocol)
        for (protocol, library), count in counts.items()
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def java_member(tmp_path_factory):
    """The command of a member in Java; None, and no such members, where there is no JDK."""
    tools = find_kafka_tools()
    if isinstance(tools, str):
        return None
    classes = tmp_path_factory.mktemp("member")
    subprocess.run(
        ["javac", "-cp", tools.class_path, "-d", classes, MEMBER_JAVA], check=True, capture_output=True
    )
    command = tools.command("Member", log_level="warn")
    command[command.index(tools.class_path)] = f"{classes}:{tools.class_path}"
    command[-1] = "Member"
    return tuple(command)


def live(counts, duration_s, make_broker, java_member, directory, seed, say):
    bootstrap = OTHER_BROKER or make_broker(settings=SETTINGS).start().bootstrap
    directory.mkdir(exist_ok=True)
    plan = Plan(
        seed=seed,
        slots=slots(
            {kind: n for kind, n in counts.items() if kind[1] != "java" or java_member is not None}, seed
        ),
        duration_s=duration_s,
        bootstrap=bootstrap,
        topic=f"life-{seed}",
        directory=directory,
        commands={} if java_member is None else {"java": java_member},
    )
    life = GroupLife(plan, say)
    try:
        log = life.run()
    finally:
        if where := os.environ.get("LOGBROKER_GROUP_LIFE_LOG"):
            Path(where).write_text(
                "\n".join(repr(each) for each in sorted(life._log.events, key=lambda e: e.at_s))
            )
    verdict = check(log)
    counted = verdict.counts
    say(f"seed {seed}: {counted}")
    assert not verdict.violations, f"seed {seed}, {directory}:\n" + "\n".join(verdict.violations)
    assert counted.records
    assert counted.quiet


@pytest.mark.timeout(300)
def test_half_a_minute(make_broker, java_member, tmp_path, seed, say):
    live(FEW, 15, make_broker, java_member, tmp_path / "members", seed, say)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_minute_of_fifty(make_broker, java_member, tmp_path, seed, say):
    live(FIFTY, 45, make_broker, java_member, tmp_path / "members", seed, say)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_ten_minutes(make_broker, java_member, tmp_path, seed, say):
    live(FIFTY, 600, make_broker, java_member, tmp_path / "members", seed, say)
