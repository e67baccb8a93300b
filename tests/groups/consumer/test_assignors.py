"""The assignors beside Kafka's: `assignments.jsonl` is what Kafka 4.3.1's own made of seeded groups (java/Assignments.java)."""

import json
import os
import pathlib
import shutil
import subprocess
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.groups.consumer.assignors import ASSIGNORS
from logbroker.groups.consumer.assignors.spec import GroupSpec, MemberSpec

HERE = pathlib.Path(__file__).parent
RECORDED = HERE / "assignments.jsonl"
CASES = [json.loads(line) for line in RECORDED.read_text().splitlines()]


def topic(number):
    return UUID(int=int(number) + 1)


def target(printed):
    return {topic(number): frozenset(partitions) for number, partitions in printed.items()}


def spec_of(case):
    members = {
        name: MemberSpec(m["instance"], frozenset(map(topic, m["topics"])), target(m["target"]))
        for name, m in case["members"].items()
    }
    return GroupSpec(members, {topic(i): count for i, count in enumerate(case["counts"])})


def check_complete(spec, result):
    """Every subscribed partition has one owner, who subscribes to it."""
    seen = set()
    for member_id, given_ in result.items():
        for topic_id, partitions in given_.items():
            assert partitions
            assert topic_id in spec.members[member_id].topics
            for partition in partitions:
                assert 0 <= partition < spec.partition_counts[topic_id]
                assert (topic_id, partition) not in seen
                seen.add((topic_id, partition))
    subscribed = {t for member in spec.members.values() for t in member.topics}
    assert seen == {(t, p) for t in subscribed for p in range(spec.partition_counts[t])}


def sizes(result):
    return sorted(sum(map(len, given_.values())) for given_ in result.values())


def kept(spec, result):
    """How many partitions stay with whom they were to be with."""
    return sum(
        len(partitions & spec.members[m].target.get(t, frozenset()))
        for m, given_ in result.items()
        for t, partitions in given_.items()
    )


def worst(spec, result):
    """By how much the subscribers of one topic differ at most, where one of them could give it up."""
    size = {m: sum(map(len, given_.values())) for m, given_ in result.items()}
    found = 0
    for topic_id in spec.partition_counts:
        subscribers = [m for m, member in spec.members.items() if topic_id in member.topics]
        givers = [m for m in subscribers if result[m].get(topic_id)]
        if givers:
            found = max(found, max(size[m] for m in givers) - min(size[m] for m in subscribers))
    return found


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_range_is_kafkas(case):
    spec = spec_of(case)
    result = ASSIGNORS["range"](spec)
    assert result == {name: target(printed) for name, printed in case["range"].items()}
    check_complete(spec, result)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_uniform_is_as_balanced_and_at_least_as_sticky_as_kafkas(case):
    spec = spec_of(case)
    result = ASSIGNORS["uniform"](spec)
    kafkas = {name: target(printed) for name, printed in case["uniform"].items()}
    check_complete(spec, result)
    assert worst(spec, result) <= max(worst(spec, kafkas), 1)
    if len({member.topics for member in spec.members.values()}) == 1:
        assert sizes(result) == sizes(kafkas)
        assert kept(spec, result) >= kept(spec, kafkas)


def test_uniform_moves_no_more_than_kafkas_over_all():
    """Where subscriptions differ one case may be worse, for another that is better."""
    ours = sum(kept(spec, ASSIGNORS["uniform"](spec)) for spec in map(spec_of, CASES))
    kafkas = sum(
        kept(spec_of(case), {name: target(printed) for name, printed in case["uniform"].items()})
        for case in CASES
    )
    assert ours >= kafkas


def test_range_orders_names_as_java_does():
    """By UTF-16 code units: a character beyond the first plane comes before U+FFFF."""
    members = {name: MemberSpec(None, frozenset({topic(0)}), {}) for name in ("\uffff", "\U00010000", "a")}
    result = ASSIGNORS["range"](GroupSpec(members, {topic(0): 3}))
    assert [result[name][topic(0)] for name in ("a", "\U00010000", "\uffff")] == [{0}, {1}, {2}]


@st.composite
def groups(draw):
    counts = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    same = draw(st.booleans())
    everything = frozenset(range(len(counts)))
    free = {(t, p) for t, count in enumerate(counts) for p in range(count + 2)}
    members = {}
    for number in range(draw(st.integers(1, 7))):
        topics = everything if same else draw(st.frozensets(st.sampled_from(sorted(everything))))
        had = draw(st.sets(st.sampled_from(sorted(free)), max_size=8)) if free else set()
        free -= had
        former = {}
        for t, p in had:
            former.setdefault(topic(t), set()).add(p)
        members[f"m{number}"] = MemberSpec(
            draw(st.none() | st.text(max_size=2)),
            frozenset(map(topic, topics)),
            {t: frozenset(p) for t, p in former.items()},
        )
    return GroupSpec(members, {topic(t): count for t, count in enumerate(counts)})


@pytest.mark.parametrize("name", ASSIGNORS)
@given(spec=groups())
def test_every_partition_has_one_subscriber(name, spec):
    check_complete(spec, ASSIGNORS[name](spec))


@given(spec=groups())
def test_uniform_settles(spec):
    """Asked again with its own result, it changes nothing, and hands out the very objects it was given."""
    first = ASSIGNORS["uniform"](spec)
    again = GroupSpec(
        {m: MemberSpec(s.instance_id, s.topics, first[m]) for m, s in spec.members.items()},
        spec.partition_counts,
    )
    second = ASSIGNORS["uniform"](again)
    if len({member.topics for member in spec.members.values()}) == 1:
        assert all(second[m] is first[m] for m in first)
        counts = sizes(first)
        assert counts[-1] - counts[0] <= 1
    else:
        assert worst(spec, second) <= max(1, worst(spec, first))


@given(spec=groups())
def test_uniform_moves_only_what_it_must(spec):
    """Same topics for all: it keeps as much as any assignment with that balance can."""
    if len({member.topics for member in spec.members.values()}) != 1:
        return
    topics = next(iter(spec.members.values())).topics
    counts = {t: spec.partition_counts[t] for t in topics}
    had = sorted(
        (
            sum(len([p for p in m.target.get(t, ()) if p < count]) for t, count in counts.items())
            for m in spec.members.values()
        ),
        reverse=True,
    )
    quota, extra = divmod(sum(counts.values()), len(had))
    best = sum(min(size, quota + (place < extra)) for place, size in enumerate(had))
    assert kept(spec, ASSIGNORS["uniform"](spec)) == best


def test_a_member_that_joins_a_hundred_takes_only_its_share():
    members, topics = 100, {topic(0): 1000}
    start = GroupSpec({f"m{i:03}": MemberSpec(None, frozenset(topics), {}) for i in range(members)}, topics)
    first = ASSIGNORS["uniform"](start)
    joined = {m: MemberSpec(None, frozenset(topics), given_) for m, given_ in first.items()}
    joined["new"] = MemberSpec(None, frozenset(topics), {})
    second = ASSIGNORS["uniform"](GroupSpec(joined, topics))
    share = sum(map(len, second["new"].values()))
    assert share in (9, 10)
    assert kept(GroupSpec(joined, topics), second) == 1000 - share
    assert sum(second[m] is not first[m] for m in first) == share


@pytest.mark.java
def test_the_recording_is_what_kafka_says():
    if shutil.which("javac") is None:
        pytest.skip("needs a JDK, 17 or newer: apt install default-jdk-headless")
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or HERE.parents[2] / "tools" / "kafka" / "lib")
    if not list(lib.glob("kafka-group-coordinator-4*.jar")):
        pytest.skip("needs Kafka's jars: make kafka, or KAFKA_LIB=<their directory>")
    printed = subprocess.run(
        ["java", "-cp", f"{lib}/*", str(HERE / "java" / "Assignments.java")],
        check=True,
        capture_output=True,
        timeout=100,
    ).stdout
    assert [json.loads(line) for line in printed.splitlines()] == CASES
