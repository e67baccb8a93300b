"""Groups of unmodified clients whose members join, leave, are killed, are paused and nap: one owner each, nothing skipped, nothing twice.

Three groups side by side read one topic: one by the classic protocol, one by the consumer protocol of KIP-848, and one whose
members speak either, which the broker converts while it lives. LOGBROKER_TEST_BOOTSTRAP=host:port plays it against another
broker, Kafka say, whose bounds have to allow the session timeout (SETTINGS, and `group.initial.rebalance.delay.ms=0`).
"""

from __future__ import annotations

import os
import pathlib
import subprocess
from functools import partial

import pytest
from support.kafka_tools import find_kafka_tools

from logbroker.testing.group_life import GroupLife, Plan
from logbroker.testing.group_life_check import check
from logbroker.testing.group_life_schedule import Action, ActionKind, Slot

OTHER_BROKER = os.environ.get("LOGBROKER_TEST_BOOTSTRAP")
MEMBER_JAVA = pathlib.Path(__file__).resolve().parents[1] / "clients" / "java" / "Member.java"
SETTINGS = {
    "offsets.topic.num.partitions": "5",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "500",
}
# (group, library, protocol): how many
SIXTEEN = {
    ("classic", "confluent", "classic"): 2,
    ("classic", "aiokafka", "classic"): 2,
    ("classic", "kafka_python", "classic"): 2,
    ("classic", "java", "classic"): 1,
    ("consumer", "confluent", "consumer"): 3,
    ("consumer", "java", "consumer"): 1,
    ("mixed", "confluent", "consumer"): 2,
    ("mixed", "confluent", "classic"): 1,
    ("mixed", "aiokafka", "classic"): 1,
    ("mixed", "kafka_python", "classic"): 1,
}
FIFTY = {
    ("classic", "confluent", "classic"): 7,
    ("classic", "aiokafka", "classic"): 9,
    ("classic", "kafka_python", "classic"): 9,
    ("classic", "java", "classic"): 2,
    ("consumer", "confluent", "consumer"): 8,
    ("consumer", "java", "consumer"): 2,
    ("mixed", "confluent", "consumer"): 2,
    ("mixed", "java", "consumer"): 1,
    ("mixed", "confluent", "classic"): 3,
    ("mixed", "aiokafka", "classic"): 3,
    ("mixed", "kafka_python", "classic"): 3,
    ("mixed", "java", "classic"): 1,
}


def new_run(seed):
    """What no other run against the same broker has in its names."""
    return f"{seed}-{os.urandom(2).hex()}"


def slots(counts, seed):
    run = new_run(seed)
    return [
        Slot(f"{group}-{library}-{protocol}-{number}", f"{group}-{run}", library, protocol)
        for (group, library, protocol), count in counts.items()
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def java_member(tmp_path_factory):
    """The command of a member in Java: compiled once, since each is a process of its own."""
    tools = find_kafka_tools()
    if isinstance(tools, str):
        pytest.skip(tools)
    classes = tmp_path_factory.mktemp("member")
    compiler = ["javac", "-cp", tools.class_path, "-d", str(classes), str(MEMBER_JAVA)]
    subprocess.run(compiler, check=True, capture_output=True)
    command = tools.command("", log_level="warn")[:-1]
    command[command.index(tools.class_path)] = f"{classes}:{tools.class_path}"
    return (*command, "Member")


def live(members, duration_s=0, *, make_broker, java_member, tmp_path, seed, say, rounds=None):
    bootstrap = OTHER_BROKER or make_broker(settings=SETTINGS).start().bootstrap
    directory = tmp_path / "members"
    directory.mkdir()
    plan = Plan(
        seed=seed,
        slots=members,
        duration_s=duration_s,
        bootstrap=bootstrap,
        topic=f"life-{new_run(seed)}",
        directory=directory,
        commands={"java": java_member},
    )
    life = GroupLife(plan, say)
    try:
        log = life.run(rounds)
    finally:
        events = sorted(life.log.events, key=lambda event: event.at_s)
        (directory / "events.txt").write_text("\n".join(repr(event) for event in events))
    verdict = check(log)
    counted = verdict.counts
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.kinds.items()))
    say(
        f"seed {seed}: {counted.records} records processed, {counted.redelivered} of them again; {counted.commits} commits, "
        f"{counted.refused} refused; {counted.tenures} tenures, {counted.quiet} quiet moments, "
        f"stalls of {sum(stall.end_s - stall.start_s for stall in log.stalls):.0f} s; events: {what}"
    )
    assert not verdict.violations, f"seed {seed}, {directory}:\n" + "\n".join(verdict.violations)
    assert counted.records > plan.partitions
    assert counted.quiet >= 2 * len({slot.group for slot in plan.slots})


@pytest.fixture
def play(make_broker, java_member, tmp_path, seed, say):
    """Plays a group life against a new broker, and judges it."""
    return partial(
        live, make_broker=make_broker, java_member=java_member, tmp_path=tmp_path, seed=seed, say=say
    )


@pytest.mark.timeout(300)
def test_a_round_of_accidents(play, seed):
    play(slots(SIXTEEN, seed), 1)


@pytest.mark.timeout(300)
def test_groups_change_their_protocol(play, seed):
    """One group from the classic protocol to the consumer protocol and back, beside another that is converted once."""
    moving, moves = moved(seed)
    converted, accident = converted_while_members_wait_to_join(seed)
    play(
        [*moving, *converted],
        rounds=[sorted([*moves[0], *accident], key=lambda action: action.at_s), *moves[1:]],
    )


def moved(seed):
    """Who is there first, and what they do round by round."""
    run = f"moving-{new_run(seed)}"
    classic = [Slot(f"classic-{library}", run, library) for library in ("kafka_python", "aiokafka")]
    consumer = [Slot(f"consumer-{library}", run, library, "consumer") for library in ("confluent", "java")]
    moves = [*zip(classic, consumer, strict=True), *zip(consumer, classic, strict=True)]
    return classic, [
        [Action(0.0, ActionKind.JOIN, to), Action(2.0, ActionKind.LEAVE, of)] for of, to in moves
    ]


def converted_while_members_wait_to_join(seed):
    """Who is there first, and what they do."""
    run = f"converted-{new_run(seed)}"
    sleeper, *others = (
        Slot(f"waiting-{library}-{number}", run, library)
        for number, library in enumerate(("aiokafka", "kafka_python", "confluent", "aiokafka"))
    )
    consumer = Slot("converting-confluent", run, "confluent", "consumer")
    accident = [
        Action(0.0, ActionKind.PAUSE, sleeper),  # so the others' JoinGroup has to wait
        Action(0.2, ActionKind.JOIN, others[-1]),
        Action(2.0, ActionKind.JOIN, consumer),
        Action(3.5, ActionKind.RESUME, sleeper),
    ]
    return [sleeper, *others[:-1]], accident


@pytest.mark.long
@pytest.mark.timeout(0)
def test_ten_minutes_of_fifty(play, seed):
    play(slots(FIFTY, seed), float(os.environ.get("LOGBROKER_GROUP_LIFE_S") or 600))
