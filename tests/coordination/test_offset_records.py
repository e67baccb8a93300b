"""Offsets' records are read fast, and as the table of their format says."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.coordination.formats.consumer_offsets import (
    OffsetCommitValue,
    offset_commit,
    offset_commit_key,
    offset_commit_value,
    read_offset_commit_key,
    read_offset_commit_value,
)

names = st.text(max_size=20)
values = st.builds(
    OffsetCommitValue,
    st.integers(-1, 2**63 - 1),
    st.integers(-1, 2**31 - 1),
    st.just("") | st.text(max_size=5),
    st.integers(0, 2**63 - 1),
    st.just(-1),
    st.builds(UUID, int=st.integers(0, 3)),
)


@given(names, names, st.integers(0, 2**31 - 1), st.binary(max_size=2), st.integers(0, 60))
def test_keys(group, topic, partition, behind, cut):
    key = offset_commit_key(group, topic, partition)
    assert read_offset_commit_key(key) == (group, topic, partition)
    for damaged in (key + behind, key[:cut]):
        try:
            expected = offset_commit.decode_key(damaged)
        except ValueError:
            with pytest.raises(ValueError, match=r"\w"):
                read_offset_commit_key(damaged)
        else:
            assert read_offset_commit_key(damaged) == (expected.group, expected.topic, expected.partition)


@given(values)
def test_values(value):
    assert read_offset_commit_value(offset_commit_value(value)) == offset_commit.decode_value(
        offset_commit_value(value)
    )


@given(values, st.integers(0, 50), st.integers(0, 255))
def test_damaged_values(value, position, byte):
    damaged = bytearray(offset_commit_value(value))
    if position < len(damaged):
        damaged[position] = byte
    try:
        expected = offset_commit.decode_value(bytes(damaged))
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            read_offset_commit_value(bytes(damaged))
    else:
        assert read_offset_commit_value(bytes(damaged)) == expected
