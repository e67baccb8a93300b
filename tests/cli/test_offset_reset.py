"""Where a group is put, what people may write, and files of offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.cli.offset_reset import (
    Bounds,
    OffsetFileError,
    Target,
    To,
    parse_datetime,
    parse_duration,
    parse_topic,
    place,
    read_file,
    write_file,
)
from logbroker.client.types import TopicPartition

HERE = TopicPartition("t", 0)


@pytest.mark.parametrize(
    ("target", "bounds", "expected"),
    [
        (Target(To.EARLIEST), Bounds(5, 20, 7), 5),
        (Target(To.LATEST), Bounds(5, 20, 7), 20),
        (Target(To.CURRENT), Bounds(5, 20, 7), 7),
        (Target(To.CURRENT), Bounds(5, 20, 3), 5),
        (Target(To.CURRENT), Bounds(5, 20, 30), 20),
        (Target(To.CURRENT), Bounds(5, 20), 20),
        (Target(To.OFFSET, 8), Bounds(5, 20, 7), 8),
        (Target(To.OFFSET, 4), Bounds(5, 20), 5),
        (Target(To.OFFSET, 21), Bounds(5, 20), 20),
        (Target(To.SHIFT, 3), Bounds(5, 20, 7), 10),
        (Target(To.SHIFT, -3), Bounds(5, 20, 7), 5),
        (Target(To.SHIFT, 30), Bounds(5, 20, 7), 20),
        (Target(To.DATETIME, 1), Bounds(5, 20, 7, at_time=9), 9),
        (Target(To.DATETIME, 1), Bounds(5, 20, 7), 20),
        (Target(To.DURATION, 1), Bounds(5, 20, 7, at_time=6), 6),
        (Target(To.FILE, offsets={HERE: 11}), Bounds(5, 20, 7), 11),
        (Target(To.FILE, offsets={HERE: 1}), Bounds(5, 20, 7), 5),
    ],
)
def test_where_a_group_is_put(target, bounds, expected):
    assert place(target, HERE, bounds) == expected


def test_nothing_is_shifted_from_nowhere():
    with pytest.raises(ValueError, match="nothing in t-0 that could be shifted"):
        place(Target(To.SHIFT, 1), HERE, Bounds(5, 20))


@given(
    st.sampled_from([way for way in To if way is not To.FILE]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.integers(0, 2**63 - 1),
)
def test_a_group_is_never_put_outside_of_the_log(way, number, start, length, committed, at_time):
    bounds = Bounds(start, start + length, committed, at_time)
    if way is To.SHIFT and committed is None:
        return
    assert start <= place(Target(way, number), HERE, bounds) <= start + length


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1970-01-01T00:00:01.500", 1500),
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-02", 86_400_000),
    ],
)
def test_times(text, expected_ms):
    assert parse_datetime(text) == expected_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "12:00"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        parse_datetime(text)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("P1D", 86_400_000),
        ("PT30M", 1_800_000),
        ("P1DT12H", 129_600_000),
        ("pt1.5s", 1500),
        ("P2W", 1_209_600_000),
        ("PT0S", 0),
    ],
)
def test_durations(text, expected_ms):
    assert parse_duration(text) == expected_ms


@pytest.mark.parametrize("text", ["", "P", "PT", "1d", "P1H", "-P1D", "P1.5D", "PT1S1M"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t", ("t", None)),
        ("t:0", ("t", [0])),
        ("t:2,0,2", ("t", [2, 0])),
        ("t:1-3,7", ("t", [1, 2, 3, 7])),
    ],
)
def test_topics_and_their_partitions(text, expected):
    assert parse_topic(text) == expected


@pytest.mark.parametrize("text", ["t:", "t:x", "t:1,", "t:-1", "t:0-999999999"])
def test_what_are_no_partitions(text):
    with pytest.raises(ValueError, match=r"PARTITION|more than"):
        parse_topic(text)


@given(
    st.dictionaries(
        st.builds(
            TopicPartition,
            st.text("abcXYZ0.-_", min_size=1, max_size=20),
            st.integers(0, 999_999),
        ),
        st.integers(0, 2**63 - 1),
    )
)
def test_a_file_that_was_written_can_be_read(offsets):
    assert read_file(write_file(offsets).splitlines(), "g") == offsets


def test_files_of_several_groups():
    lines = ['"g","t",0,5\n', '"h","t",0,6\n', "\n", "g, t, 1, 7\n", "t,2,8\n"]
    assert read_file(lines, "g") == {
        TopicPartition("t", 0): 5,
        TopicPartition("t", 1): 7,
        TopicPartition("t", 2): 8,
    }


@pytest.mark.parametrize("line", ["t,0", "t,0,5,6,7", "t,x,5", "t,0,-5", "t,0,"])
def test_files_that_are_none(line):
    with pytest.raises(OffsetFileError, match="line 2"):
        read_file(["t,0,5", line], "g")
