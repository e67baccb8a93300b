"""Which partition has a key: Java's numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.coordination.keys import java_string_hash, partition_for_key

# `System.out.println(s.hashCode())`
JAVA = {
    "": 0,
    "a": 97,
    "ab": 3105,
    "group": 98629247,
    "console-consumer-12345": 158455506,
    "polygenelubricants": -(1 << 31),
    "ü": 252,
    "日本": 835047,
    "😀": 1772899,
    "a\x00b": 93315,
}


@pytest.mark.parametrize("text", JAVA)
def test_hash_is_javas(text):
    assert java_string_hash(text) == JAVA[text]


def test_the_one_int_without_an_absolute_value_goes_to_partition_0():
    assert partition_for_key("polygenelubricants", 50) == 0
    assert partition_for_key("polygenelubricants", 7) == 0


@given(st.text(), st.integers(1, 10_000))
def test_every_key_has_a_partition(key, count):
    assert 0 <= partition_for_key(key, count) < count


@given(st.text(max_size=40))
def test_hash_by_definition(text):
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for i in range(0, len(units), 2):
        value = value * 31 + int.from_bytes(units[i : i + 2], "big")
    value &= 0xFFFF_FFFF
    assert java_string_hash(text) == (value - (1 << 32) if value >= 1 << 31 else value)
