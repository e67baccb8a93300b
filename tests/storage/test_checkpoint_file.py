"""The checkpoint file: what is written is read, and not one damaged bit of it is believed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage.support import Engine

from logbroker.base.errors import CorruptionError
from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import Point, decode, encode, encode_point
from logbroker.storage.producer_state import encode_entries

offsets = st.integers(0, 2**62)
points = st.lists(
    st.builds(
        Point,
        topic_id=st.binary(min_size=16, max_size=16),
        partition=st.integers(0, 2**31 - 1),
        start_offset=offsets,
        end_offset=offsets,
        segments=st.lists(st.tuples(offsets, st.integers(0, 2**31 - 1)), max_size=4),
        epochs=st.lists(st.tuples(st.integers(0, 2**31 - 1), offsets), max_size=4),
        producers=st.binary(max_size=40),
        refused=st.text(max_size=50),
        page_cache=st.booleans(),
        aborted=st.lists(st.tuples(offsets, st.integers(0, 2**31 - 1)), max_size=3).map(tuple),
    ),
    max_size=5,
)


@given(points, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), offsets, st.booleans())
def test_what_is_written_is_read(content, generation, salt, sequence, clean):
    data = encode(generation, salt, sequence, [encode_point(point) for point in content], clean=clean)
    found = decode(data, "x")
    assert (found.generation, found.salt, found.sequence, found.clean) == (generation, salt, sequence, clean)
    assert found.points == content


def example():
    point = Point(
        b"t" * 16, 3, 10, 90, [(0, 500), (50, 600)], [(0, 0), (4, 60)], encode_entries({}), "", False
    )
    return encode(7, 8, 9, [encode_point(point), encode_point(point._replace(partition=4))], clean=False)


def test_every_flipped_bit_is_noticed():
    good = example()
    for at in range(len(good)):
        for bit in range(8):
            data = bytearray(good)
            data[at] ^= 1 << bit
            with pytest.raises(CorruptionError) as caught:
                decode(bytes(data), "some/checkpoint")
            assert caught.value.path == "some/checkpoint"


def test_every_cut_and_every_extra_byte_is_noticed():
    good = example()
    for size in range(len(good)):
        with pytest.raises(CorruptionError):
            decode(good[:size], "x")
    with pytest.raises(CorruptionError):
        decode(good + b"\0", "x")


def test_a_count_that_lies_under_a_good_crc_is_noticed():
    """Not by chance: what a fault of ours could write."""
    one = encode_point(Point(b"t" * 16, 3, 10, 90, [], [], b""))
    for forged in ([one, one[:-1]], [one[:40]], [one, one + b"\0"], [one.replace(b"t", b"\xff") + one[:3]]):
        with pytest.raises(CorruptionError):
            decode(encode(1, 1, 1, forged, clean=True), "x")


def test_a_version_from_the_future_is_refused_with_a_word():
    data = bytearray(example())
    data[5] = 3
    with pytest.raises(CorruptionError, match="version 3 is not known; was it written by a newer logbroker"):
        decode(bytes(data), "x")


def test_a_long_reason_is_cut_and_stays_text():
    point = Point(b"t" * 16, 0, 0, 0, [], [], b"", "ü" * 100_000)
    (found,) = decode(encode(1, 1, 1, [encode_point(point)], clean=True), "x").points
    assert found.refused == "ü" * (len(found.refused))
    assert 100 < len(found.refused) < 1000


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_a_directory_with_a_damaged_checkpoint_is_refused_and_untouched(tmp_path, damage):
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create()
    engine.fill(log, 10)
    engine.close()
    path = f"{engine.path}/{checkpoint_file.FILE_NAME}"
    with open(path, "rb") as file:
        good = file.read()
    data = bytearray(good)
    data[len(data) // 2] ^= 1
    content = {"flip": data, "cut": good[:-1], "empty": b""}
    if damage == "missing":
        os.unlink(path)
    else:
        with open(path, "wb") as file:
            file.write(content[damage])
    segment = f"{engine.path}/t-0/{0:020d}.log"
    size = os.path.getsize(segment)
    for _ in range(2):  # and again, and again
        with pytest.raises(CorruptionError, match=path):
            engine.open()
        assert engine.directory.offline_reason is not None
        assert os.path.getsize(segment) == size
    with open(path, "wb") as file:
        file.write(good)
    engine.open()
    assert len(engine.values(engine.log())) == 10
    engine.close()
