"""A consumer group's records: what is written is read back, in any order, and Kafka's DumpLogSegments decodes each."""

import itertools
import json
import random
import re
import uuid

import pytest

from logbroker.coordination.formats import consumer_groups as formats
from logbroker.groups.consumer import records
from logbroker.groups.consumer.group import ConsumerGroup, ResolvedRegex
from logbroker.groups.consumer.member import ClassicMetadata, ConsumerMember, MemberState
from logbroker.records.builder import BatchBuilder
from logbroker.testing.consumer_world import on_record

T, U = uuid.UUID(int=0x1234), uuid.UUID("44b482ca-9a31-427c-9981-d412d2347bc3")
NOW = 1_700_000_000_000


def full_group():
    """A group with something of everything."""
    group = ConsumerGroup("g")
    group.epoch, group.metadata_hash, group.assignment_epoch = 7, -(1 << 62), 6
    group.put_member(
        ConsumerMember(
            "m-1", "i-1", "rack", "clïent", "/10.0.0.7", frozenset({"t", "ü"}), None, 60_000, "range",
            epoch=6, previous_epoch=5, state=MemberState.UNREVOKED_PARTITIONS,
            assigned={T: {0: 3, 1: 5}}, revoking={T: {2: 4}, U: {7: 6}},
        )
    )  # fmt: skip
    group.put_member(
        ConsumerMember(
            "m-2", topics=frozenset({"t"}), regex="", rebalance_timeout_ms=5, epoch=7, previous_epoch=7,
            classic=ClassicMetadata(45_000, (("range", b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\x00\x00\x00\x00"),)),
            state=MemberState.UNRELEASED_PARTITIONS,
        )
    )  # fmt: skip
    group.put_member(ConsumerMember("m-3", regex="t.*", epoch=-2, assigned={U: {0: 1}}))
    group.target = {"m-1": {T: frozenset({0, 1})}, "m-2": {}, "m-3": {U: frozenset({0, 7})}}
    group.put_regex("t.*", ResolvedRegex(frozenset({"t", "tt"}), 12, NOW))
    return group


def written(group):
    return [
        *records.group_records(group, NOW),
        *(records.regular_expression("g", regex, resolved) for regex, resolved in group.regexes.items()),
    ]


def test_a_group_is_read_back_from_its_records_in_any_order():
    group = full_group()
    expected = on_record(group)
    all_records = written(group)
    for seed in range(20):
        shuffled = list(all_records)
        random.Random(seed).shuffle(shuffled)
        back = ConsumerGroup("g")
        for key, value in shuffled:
            kind = int.from_bytes(key[:2], "big")
            assert records.group_of(kind, key) == "g"
            records.replay(back, kind, key, value)
        assert on_record(back) == expected
        assert back.assignment_ms == NOW
        assert back.owner(T, 2) == "m-1"
        assert back.owner(U, 0) == "m-3"
        assert back.owner(U, 1) is None


def test_every_key_has_its_tombstone():
    group = full_group()
    keys = [key for key, _ in written(group)]
    dropped = records.group_tombstones("g", list(group.members), list(group.regexes))
    assert all(value is None for _, value in dropped)
    assert set(keys) <= {key for key, _ in dropped}


def test_what_other_releases_wrote():
    """Before Kafka 4.3 without assignment epochs; states that aren't known yet."""
    key = formats.current_assignment.encode_key(formats.MemberKey("g", "m"))
    value = formats.ConsumerGroupCurrentMemberAssignmentValue(
        4, 3, 9, [formats.CurrentTopicPartitions(T, [1, 2])]
    )
    group = ConsumerGroup("g")
    kind = formats.CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT
    records.replay(group, kind, key, formats.current_assignment.encode_value(value, 0))
    member = group.members["m"]
    assert member.state is MemberState.UNKNOWN
    assert member.assigned == {T: {1: 4, 2: 4}}
    metadata = formats.partition_metadata.encode_value(
        formats.ConsumerGroupPartitionMetadataValue([formats.TopicMetadata(T, "t", 3)]), 0
    )
    records.replay(group, formats.CONSUMER_GROUP_PARTITION_METADATA, b"", metadata)
    assert group.has_partition_metadata


@pytest.mark.parametrize(
    "kind", [kind for kind in records.REPLAYED if kind != formats.CONSUMER_GROUP_PARTITION_METADATA]
)
def test_a_damaged_record_is_refused(kind):
    key = next(k for k, _ in written(full_group()) if int.from_bytes(k[:2], "big") == kind)
    for value in (b"", b"\x00", b"\x00\x00", b"\x00\x09\x00\x00\x00\x00\x00"):
        with pytest.raises(ValueError, match=r"\d"):
            records.replay(ConsumerGroup("g"), kind, key, value)


@pytest.mark.java
def test_kafka_decodes_every_record(kafka_tools, tmp_path):
    group = full_group()
    live = written(group)
    everything = [*live, *records.group_tombstones("g", list(group.members), list(group.regexes))]
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    builder = BatchBuilder(leader_epoch=0)
    for key, value in everything:
        builder.append(NOW, key, value)
    (folder / "00000000000000000000.log").write_bytes(builder.build())
    done = kafka_tools.run(
        "DumpLogSegments", "--offsets-decoder", "--files", str(folder / "00000000000000000000.log")
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\| offset: \d+ .*? key: (\{.*\}) payload: (.*)$", done.stdout, re.MULTILINE)
    assert len(lines) == len(everything), done.stdout
    decoded = [(json.loads(key), None if value == "<DELETE>" else json.loads(value)) for key, value in lines]
    assert [(int(key["type"]), value is None) for key, value in decoded] == [
        (int.from_bytes(key[:2], "big"), value is None) for key, value in everything
    ]
    by_type = {
        kind: [value["data"] for _, value in members]
        for kind, members in itertools.groupby(decoded[: len(live)], key=lambda each: int(each[0]["type"]))
    }
    assert by_type[3] == [{"epoch": 7, "metadataHash": -(1 << 62)}]
    assert by_type[6] == [{"assignmentEpoch": 6, "assignmentTimestamp": NOW}]
    assert by_type[5][0]["instanceId"] == "i-1"
    assert by_type[5][1]["classicMemberMetadata"]["sessionTimeoutMs"] == 45_000
    assert by_type[8][0]["assignedPartitions"][0]["partitions"] == [0, 1]
    assert by_type[8][0]["assignedPartitions"][0]["assignmentEpochs"] == [3, 5]
    assert by_type[8][0]["state"] == 1
    assert by_type[16] == [{"topics": ["t", "tt"], "version": 12, "timestamp": NOW}]
