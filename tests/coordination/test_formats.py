"""The records of `__consumer_offsets`, byte for byte as a Kafka 4.3.1 broker wrote them."""

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.coordination.formats.consumer_offsets import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
    group_metadata,
    group_metadata_key,
    offset_commit,
    offset_commit_key,
    offset_commit_value,
)
from logbroker.coordination.formats.record import leading_int16
from logbroker.wire.schema import ZERO_UUID

TOPIC_ID = UUID("44b482ca-9a31-427c-9981-d412d2347bc3")
MEMBER = "probe-cdc0e7f3-d9eb-4068-bb0f-00b187f8ee19"

# Taken from the segments of a broker that had answered a consumer called "probe".
OFFSET_KEY = bytes.fromhex("000100016700017400000001")
OFFSETS = {
    "with topic id": (
        OffsetCommitValue(5, 7, "meta", 1795529840801, topic_id=TOPIC_ID),
        "0004000000000000000500000007056d657461000001a20deb18a101001044b482ca9a31427c9981d412d2347bc3",
    ),
    "no leader epoch": (
        OffsetCommitValue(6, -1, "", 1795529840801, topic_id=TOPIC_ID),
        "00040000000000000006ffffffff01000001a20deb18a101001044b482ca9a31427c9981d412d2347bc3",
    ),
    "with retention": (
        OffsetCommitValue(5, -1, "meta", 1795529840803, 1795529940803),
        "0001000000000000000500046d657461000001a20deb18a3000001a20dec9f43",
    ),
}
GROUPS = {
    "new": (
        GroupMetadataValue(current_state_timestamp=1795529840716),
        "0003000000000000ffffffff000001a20deb184c00000000",
    ),
    "stable": (
        GroupMetadataValue(
            "consumer",
            1,
            "range",
            MEMBER,
            1795529840758,
            [
                MemberMetadata(
                    MEMBER,
                    None,
                    "probe",
                    "/127.0.0.1",
                    20000,
                    10000,
                    bytes.fromhex("00000000000100017400000000"),
                    b"abc",
                )
            ],
        ),
        (
            "00030008636f6e73756d657200000001000572616e6765002a70726f62652d63646330653766332d643965622d343036"
            "382d626230662d303062313837663865653139000001a20deb187600000001002a70726f62652d63646330653766332d"
            "643965622d343036382d626230662d303062313837663865653139ffff000570726f6265000a2f3132372e302e302e31"
            "00004e20000027100000000d0000000000010001740000000000000003616263"
        ),
    ),
    "empty": (
        GroupMetadataValue("consumer", 2, None, None, 1795529840849),
        "00030008636f6e73756d657200000002ffffffff000001a20deb18d100000000",
    ),
}


def test_keys_are_kafkas():
    assert offset_commit_key("g", "t", 1) == OFFSET_KEY
    assert offset_commit.encode_key(OffsetCommitKey("g", "t", 1)) == OFFSET_KEY
    assert offset_commit.decode_key(OFFSET_KEY) == OffsetCommitKey("g", "t", 1)
    assert group_metadata_key("gx") == bytes.fromhex("000200026778")
    assert group_metadata.decode_key(bytes.fromhex("000200026778")) == GroupMetadataKey("gx")
    assert leading_int16(OFFSET_KEY) == offset_commit.type == 1


@pytest.mark.parametrize("case", OFFSETS)
def test_offsets_are_kafkas(case):
    value, encoded = OFFSETS[case]
    assert offset_commit_value(value).hex() == encoded
    assert offset_commit.decode_value(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize("case", GROUPS)
def test_groups_are_kafkas(case):
    value, encoded = GROUPS[case]
    assert group_metadata.encode_value(value, 3).hex() == encoded
    assert group_metadata.decode_value(bytes.fromhex(encoded)) == value


names = st.text(max_size=50)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
int32 = st.integers(-(1 << 31), (1 << 31) - 1)
values = st.builds(
    OffsetCommitValue,
    offset=int64,
    leader_epoch=int32,
    metadata=st.text(max_size=300),
    commit_timestamp=int64,
    expire_timestamp=st.just(-1) | int64,
    topic_id=st.just(ZERO_UUID) | st.uuids(),
)


@given(values)
def test_the_quick_encoder_writes_what_the_table_says(value):
    encoded = offset_commit_value(value)
    version = leading_int16(encoded)
    assert version == (1 if value.expire_timestamp != -1 else 3 if value.topic_id == ZERO_UUID else 4)
    assert encoded == offset_commit.encode_value(value, version)


@given(names, names, int32)
def test_the_quick_key_is_what_the_table_says(group, topic, partition):
    key = offset_commit_key(group, topic, partition)
    assert key == offset_commit.encode_key(OffsetCommitKey(group, topic, partition))
    assert offset_commit.decode_key(key) == OffsetCommitKey(group, topic, partition)


@given(values, st.integers(0, 4))
def test_every_version_of_an_offset_reads_back(value, version):
    read = offset_commit.decode_value(offset_commit.encode_value(value, version))
    assert (read.offset, read.metadata, read.commit_timestamp) == (
        value.offset,
        value.metadata,
        value.commit_timestamp,
    )
    assert read.leader_epoch == (value.leader_epoch if version >= 3 else -1)
    assert read.expire_timestamp == (value.expire_timestamp if version == 1 else -1)
    assert read.topic_id == (value.topic_id if version == 4 else ZERO_UUID)


members = st.builds(
    MemberMetadata,
    member_id=names,
    group_instance_id=st.none() | names,
    client_id=names,
    client_host=names,
    rebalance_timeout=int32,
    session_timeout=int32,
    subscription=st.binary(max_size=200),
    assignment=st.binary(max_size=200),
)


@given(
    st.builds(
        GroupMetadataValue,
        protocol_type=names,
        generation=int32,
        protocol=st.none() | names,
        leader=st.none() | names,
        current_state_timestamp=int64,
        members=st.lists(members, max_size=4),
    ),
    st.integers(0, 4),
)
def test_every_version_of_a_group_reads_back(value, version):
    read = group_metadata.decode_value(group_metadata.encode_value(value, version))
    assert (read.protocol_type, read.generation, read.protocol, read.leader) == (
        value.protocol_type,
        value.generation,
        value.protocol,
        value.leader,
    )
    assert read.current_state_timestamp == (value.current_state_timestamp if version >= 2 else -1)
    for ours, theirs in zip(read.members, value.members, strict=True):
        assert ours.member_id == theirs.member_id
        assert bytes(ours.assignment) == theirs.assignment
        assert ours.rebalance_timeout == (theirs.rebalance_timeout if version >= 1 else -1)
        assert ours.group_instance_id == (theirs.group_instance_id if version >= 3 else None)


def test_a_newer_version_says_so():
    with pytest.raises(ValueError, match="version 5; versions 0 to 4 are known: a newer release"):
        offset_commit.decode_value(struct.pack(">hq", 5, 1))
    with pytest.raises(ValueError, match="no value version 5"):
        group_metadata.encode_value(GroupMetadataValue(), 5)


@pytest.mark.parametrize("case", OFFSETS)
def test_cut_values_are_refused_wherever_they_are_cut(case):
    encoded = bytes.fromhex(OFFSETS[case][1])
    for end in range(len(encoded)):
        with pytest.raises(ValueError):
            offset_commit.decode_value(encoded[:end])


def test_cut_groups_are_refused_wherever_they_are_cut():
    encoded = bytes.fromhex(GROUPS["stable"][1])
    for end in range(len(encoded)):
        with pytest.raises(ValueError):
            group_metadata.decode_value(encoded[:end])


def test_what_the_format_cannot_say_is_a_value_error():
    with pytest.raises(ValueError, match="longer than 32767"):
        offset_commit_key("g" * 40_000, "t", 0)
    with pytest.raises(ValueError, match="longer than 32767"):
        offset_commit_value(OffsetCommitValue(metadata="m" * 40_000))
    with pytest.raises(ValueError, match="longer than 32767"):
        offset_commit_value(OffsetCommitValue(metadata="m" * 40_000, topic_id=TOPIC_ID))
    longest = OffsetCommitValue(metadata="m" * 32_767, topic_id=TOPIC_ID)
    assert offset_commit.decode_value(offset_commit_value(longest)) == longest
