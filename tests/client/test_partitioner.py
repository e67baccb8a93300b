"""Keys go where Java's producer, and kafka-python's, would send them."""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.client.partitioner import StickyChoice, murmur2, partition_for_key

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package reads its schemas in a way that Python 3.11 deprecates
    from kafka.partitioner.default import murmur2 as their_murmur2

# From kafka-python's implementation; the last three are in Kafka's own test as well (UtilsTest.testMurmur2).
GOLDEN = {
    b"": 275646681,
    b"a": 2731586172,
    b"ab": 316155434,
    b"abc": 479470107,
    b"abcd": 2971317748,
    b"kafka": 3496464228,
    bytes(range(256)): 2346620022,
    b"21": -973932308 & 0xFFFFFFFF,
    b"foobar": -790332482 & 0xFFFFFFFF,
    b"a-little-bit-long-string": -985981536 & 0xFFFFFFFF,
}


@pytest.mark.parametrize(("key", "expected"), GOLDEN.items())
def test_golden_hashes(key, expected):
    assert murmur2(key) == expected
    assert murmur2(bytearray(key)) == expected
    assert murmur2(memoryview(key)) == expected


@given(st.binary(max_size=300))
def test_the_hash_is_theirs(key):
    assert murmur2(key) == their_murmur2(key) & 0xFFFFFFFF


@given(st.binary(max_size=40), st.integers(1, 1000))
def test_the_partition_exists_and_is_theirs(key, count):
    partition = partition_for_key(key, count)
    assert partition == (their_murmur2(key) & 0x7FFFFFFF) % count
    assert 0 <= partition < count


def test_records_without_a_key_stay_until_enough_bytes_went_there():
    choice = StickyChoice(100, random.Random(1))
    first = choice.choose([0, 1, 2], 3)
    choice.count(99)
    assert choice.choose([0, 1, 2], 3) == first
    choice.count(1)
    second = choice.choose([0, 1, 2], 3)
    assert second != first
    assert choice.choose([0, 1, 2], 3) == second


def test_partitions_without_a_leader_are_avoided_while_there_is_another():
    choice = StickyChoice(1, random.Random(2))
    for _ in range(50):
        assert choice.choose([1, 3], 4) in {1, 3}
        choice.count(1)
    assert choice.choose([], 4) in range(4)


def test_one_partition_is_no_choice():
    choice = StickyChoice(1)
    for _ in range(3):
        assert choice.choose([0], 1) == 0
        choice.count(1)


def test_a_topic_that_shrank_is_noticed():
    choice = StickyChoice(1000, random.Random(3))
    choice.partition = 7
    assert choice.choose([0, 1], 2) in {0, 1}
