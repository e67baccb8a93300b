"""The walk over a segment and its indexes: what is intact passes in any pieces, what isn't is named at its byte."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage.support import NOW, batch, sealed

from logbroker.records.batch import parse_header, stamp
from logbroker.storage.executor import run_to_end
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY
from logbroker.storage.index_rebuild import IndexBuilder
from logbroker.storage.segment_check import BatchWalk, Finding, OffsetIndexCheck, TimeIndexCheck

SIZES = (1, 50, 400, 3000)


def segment(*sizes, base=100, at=lambda number: NOW + number):
    """(bytes of a segment, positions of its batches)."""
    data, positions, offset = bytearray(), [], base
    for number, size in enumerate(sizes):
        made = batch(size, at=at(number))
        stamp(made, offset, 3)
        positions.append(len(data))
        data += made
        offset += 1
    return data, positions


def walk(data, *, chunk_bytes=1 << 20, end=None, **options):
    made = BatchWalk(
        "x.log",
        lambda size, position: bytes(data[position : position + size]),
        0,
        len(data) if end is None else end,
        chunk_bytes=chunk_bytes,
        **{"expected_offset": 100, **options},
    )
    _, error = run_to_end(made.steps())
    assert error is None
    return made


@given(st.lists(st.sampled_from(SIZES), max_size=20), st.sampled_from([61, 100, 1000, 1 << 20]))
def test_an_intact_segment_passes_in_pieces_of_any_size(sizes, chunk_bytes):
    data, positions = segment(*sizes)
    seen = []
    made = walk(data, chunk_bytes=chunk_bytes, on_batch=lambda position, _: seen.append(position))
    assert made.findings == []
    assert made.damaged == []
    assert not made.stopped
    assert seen == positions
    assert made.batches == len(sizes)
    assert made.bytes_checked == made.position == len(data)
    assert made.next_offset == 100 + len(sizes)


@given(st.data())
def test_every_flipped_bit_is_found_at_its_batch(data):
    """Base offset, length, leader epoch aside (the epoch is compared elsewhere), and whatever the CRC covers."""
    content, positions = segment(50, 1, 400, 50)
    at = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    chunk = data.draw(st.sampled_from([64, 200, 1 << 20]))
    content[at] ^= 1 << bit
    inside = at - max(position for position in positions if position <= at)
    made = walk(content, chunk_bytes=chunk)
    if 12 <= inside < 16:
        assert made.findings == []
        return
    where = max(position for position in positions if position <= at)
    assert where in {finding.position for finding in made.findings}
    assert all(finding.position >= where for finding in made.findings)
    assert all(finding.path == "x.log" and finding.problem for finding in made.findings)


def test_a_wrong_crc_is_named_and_the_walk_goes_on():
    data, positions = segment(50, 50, 50)
    data[positions[1] + 70] ^= 1
    made = walk(data)
    assert [(finding.position, finding.offset) for finding in made.findings] == [(positions[1], 101)]
    assert made.damaged == [(positions[1], positions[2])]
    assert made.next_offset == 103
    assert not made.stopped


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"magic": 1}, "magic 1 where a batch of format v2 should be"),
        ({"length": 5}, "length 5 is below 49"),
        ({"length": 1 << 30}, "a batch of 1073741836 bytes where"),
        ({"base_offset": -5}, "base offset -5 with last offset delta 0"),
        ({"last_offset_delta": -1}, "base offset 101 with last offset delta -1"),
    ],
)
def test_a_header_that_cannot_be_believed_ends_the_walk(fields, what):
    data, positions = segment(50, 50, 50)
    end = positions[2]
    data[positions[1] : end] = sealed(data[positions[1] : end], **fields)
    made = walk(data)
    (finding,) = made.findings
    assert finding.position == positions[1]
    assert finding.offset == 101
    assert finding.what.startswith(what)
    assert f"({len(data) - positions[1]} bytes can't be read from here on)" in finding.what
    assert made.stopped
    assert made.damaged == [(positions[1], len(data))]
    assert made.next_offset == 101


def test_a_file_that_ends_early_or_in_a_header():
    data, positions = segment(50, 3000)
    for cut in (len(data) - 1, positions[1] + 61, positions[1] + 10, positions[1]):
        made = walk(data[:cut], end=len(data), chunk_bytes=500)
        (finding,) = made.findings
        assert finding.position == positions[1]
        assert "the file ends" in finding.what
    made = walk(data[: positions[1] + 10])
    assert "10 bytes where a batch header of 61 should be" in made.findings[0].what


def test_gaps_are_findings_unless_compaction_may_have_made_them():
    data, positions = segment(50, 50, 50)
    stamp(memoryview(data)[positions[1] :], 150, 3)
    stamp(memoryview(data)[positions[2] :], 151, 3)
    (finding,) = walk(data).findings
    assert (finding.position, finding.offset) == (positions[1], 150)
    assert finding.what == "offsets 101 to 149 are missing before it"
    made = walk(data, gaps_allowed=True)
    assert made.findings == []
    assert made.next_offset == 152


def test_offsets_that_go_back_are_findings_always():
    data, positions = segment(50, 50, 50)
    stamp(memoryview(data)[positions[1] :], 100, 3)
    for gaps_allowed in (False, True):
        made = walk(data, gaps_allowed=gaps_allowed)
        assert [finding.what for finding in made.findings] == ["base offset 100 where 101 is next"]
        assert made.damaged == [(positions[1], positions[2])]


def test_a_limit_pauses_the_walk_and_nothing_is_read_twice_or_left_out():
    rng = random.Random(1)
    data, _ = segment(*[rng.choice(SIZES) for _ in range(40)])
    made = BatchWalk(
        "x.log", lambda size, position: bytes(data[position : position + size]), 0, len(data), chunk_bytes=700
    )
    rounds = 0
    while made.position < made.end:
        before = made.position
        run_to_end(made.steps(2000))
        assert made.position > before
        rounds += 1
    assert rounds > 5
    assert made.batches == 40
    assert made.findings == []


def test_memory_is_bounded_by_the_piece_and_not_by_what_a_length_claims():
    data, _ = segment(3000)
    asked = []

    def read(size, position):
        asked.append(size)
        return bytes(data[position : position + size])

    made = BatchWalk("x.log", read, 0, 1 << 31, chunk_bytes=256)
    data[8:12] = ((1 << 31) - 100).to_bytes(4, "big")
    run_to_end(made.steps())
    assert max(asked) <= 256
    assert "the file ends" in made.findings[0].what


# Indexes


def entries_of(data, interval=0, base=100):
    """Both indexes as the engine would write them."""
    builder = IndexBuilder(base, interval)
    walk(data, on_batch=builder.batch)
    builder.note_time()
    return builder


def packed(entry, entries):
    return b"".join(entry.pack(entries[at], entries[at + 1]) for at in range(0, len(entries), 2))


def check(kind, content, data, base=100):
    made = kind("x", content, base)
    walk(data, on_batch=made.batch)
    made.finish()
    return made.findings


@given(
    st.lists(st.sampled_from(SIZES), max_size=20),
    st.sampled_from([0, 100, 1000]),
    st.lists(st.integers(0, 30), min_size=20, max_size=20),
)
def test_indexes_as_the_engine_writes_them_pass(sizes, interval, times):
    data, _ = segment(*sizes, at=lambda number: NOW + times[number])
    built = entries_of(data, interval)
    assert check(OffsetIndexCheck, packed(OFFSET_ENTRY, built.offsets), data) == []
    assert check(TimeIndexCheck, packed(TIME_ENTRY, built.times), data) == []


@given(st.integers(0, 10_000), st.integers(0, 7), st.booleans())
def test_every_flipped_bit_in_an_index_is_found(at, bit, time):
    data, _ = segment(*[50] * 10)
    built = entries_of(data)
    entry, entries, kind = (
        (TIME_ENTRY, built.times, TimeIndexCheck) if time else (OFFSET_ENTRY, built.offsets, OffsetIndexCheck)
    )
    content = bytearray(packed(entry, entries))
    at %= len(content)
    content[at] ^= 1 << bit
    findings = check(kind, content, data)
    assert findings
    assert at // entry.size * entry.size in {finding.position for finding in findings}


def test_index_findings_say_what_is_wrong():
    data, positions = segment(50, 50, 50)
    wrong_place = packed(OFFSET_ENTRY, array("q", [1, positions[1] + 1]))
    assert check(OffsetIndexCheck, wrong_place, data) == [
        Finding("x", 0, 101, f"no batch starts at position {positions[1] + 1}")
    ]
    wrong_offset = packed(OFFSET_ENTRY, array("q", [2, positions[1]]))
    (finding,) = check(OffsetIndexCheck, wrong_offset, data)
    assert finding.what == f"the batch at position {positions[1]} ends with offset 101"
    falling = packed(OFFSET_ENTRY, array("q", [2, positions[2], 1, positions[1]]))
    (finding,) = check(OffsetIndexCheck, falling, data)
    assert (finding.position, finding.what) == (8, f"entry (1, {positions[1]}) follows (2, {positions[2]})")
    beyond = packed(OFFSET_ENTRY, array("q", [2, positions[2], 3, len(data)]))
    (finding,) = check(OffsetIndexCheck, beyond, data)
    assert finding.position == 8
    assert "point past the last batch" in finding.what
    (finding,) = check(OffsetIndexCheck, packed(OFFSET_ENTRY, array("q", [1, positions[1]])) + b"abc", data)
    assert (finding.position, finding.what) == (8, "3 bytes where an entry of 8 should be")


def test_a_time_index_entry_behind_a_larger_timestamp_is_a_finding():
    times = [5, 9, 7]
    data, _ = segment(50, 50, 50, at=lambda number: NOW + times[number])
    (finding,) = check(TimeIndexCheck, packed(TIME_ENTRY, array("q", [NOW + 7, 2])), data)
    assert finding.offset == 102
    assert finding.what == f"timestamp {NOW + 7} behind an earlier batch with {NOW + 9}"
    (finding,) = check(TimeIndexCheck, packed(TIME_ENTRY, array("q", [NOW + 8, 1])), data)
    assert finding.what == f"timestamp {NOW + 8} where the batch's largest is {NOW + 9}"


def test_the_text_of_a_finding_names_everything():
    assert str(Finding("a/b.log", 7, 3, "it is broken")) == "a/b.log at byte 7, offset 3: it is broken"
    assert str(Finding("a/b", 7, None, "it is broken")) == "a/b at byte 7: it is broken"
    assert parse_header(batch()).magic == 2
