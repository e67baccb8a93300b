"""Commits: what is written is read; torn, stale, forged and hostile bytes are told apart, and never cost more than the file."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage.support import batch

from logbroker.base.errors import CorruptionError
from logbroker.records.batch import parse_header, stamp
from logbroker.storage.checkpoint_file import Checkpoint
from logbroker.storage.journal_contents import Generation
from logbroker.storage.journal_format import (
    BATCH,
    DELETE,
    FILE_BLOCK,
    HEADER_SIZE,
    LOG_START,
    START,
    commit_size,
    encode_commit,
    pack_entry,
    read_commit,
    scan_heads,
)
from logbroker.storage.replay import chain

TOPIC = b"topic id 16bytes"
SALT = 0x1234


def row(made, offset, *, kind=BATCH, epoch=0, position=0, partition=0):
    header = parse_header(made) if made else None
    length, crc = (len(made), header.crc) if made else (0, 0)
    count = header.record_count if made else 0
    return pack_entry(TOPIC, partition, kind, epoch, 0, position, offset, offset, offset + count, length, crc)


def commit(sequence, *batches, generation=1, salt=SALT, controls=(), first_offset=0):
    """The bytes of a commit of these batches."""
    table, payloads, offset = [], [], first_offset
    for made in batches:
        stamp(made, offset, 0)
        table.append(row(made, offset))
        payloads.append(made)
        offset += parse_header(made).record_count
    table += [row(None, offset, kind=kind) for kind in controls]
    size = sum(map(len, payloads))
    return b"".join(encode_commit(generation, salt, sequence, table, payloads, size))


def start(sequence, generation=1, salt=SALT):
    table = [pack_entry(bytes(16), -1, START, -1, 0, 0, 0, sequence, sequence, 0, 0)]
    return b"".join(encode_commit(generation, salt, sequence, table, [], 0))


@given(
    st.lists(st.sampled_from([1, 100, 5000, 20_000]), max_size=6),
    st.lists(st.sampled_from([LOG_START, DELETE]), max_size=3),
    st.integers(0, 2**63 - 1),
)
def test_what_is_written_is_read(sizes, controls, sequence):
    batches = [batch(size) for size in sizes]
    data = commit(sequence, *batches, controls=controls)
    assert len(data) == commit_size(len(sizes) + len(controls), sum(map(len, batches)))
    assert len(data) % FILE_BLOCK == 0
    found = read_commit(memoryview(data), 0)
    assert (found.generation, found.sequence, found.size_bytes) == (1, sequence, len(data))
    assert found.payload_error is None
    assert [entry.kind for entry in found.entries] == [BATCH] * len(sizes) + list(controls)
    assert [bytes(payload) for payload in found.payloads if payload is not None] == batches


@given(st.data())
def test_no_damaged_bit_is_believed(data):
    good = bytearray(commit(5, batch(100), batch(5000), batch(1), controls=[LOG_START]))
    used = (
        HEADER_SIZE
        + 4 * len(row(None, 0))
        + sum(len(payload) for payload in read_commit(memoryview(good), 0).payloads if payload is not None)
    )
    at = data.draw(st.integers(0, used - 1))
    good[at] ^= 1 << data.draw(st.integers(0, 7))
    found = read_commit(memoryview(good), 0)
    assert found is None or found.payload_error is not None


@given(st.integers(0, 1 << 14), st.sampled_from([b"\0", b"\xff"]))
def test_a_torn_commit_is_none_or_says_which_batch(survivors, filler):
    """Any prefix of the blocks reached the disk; what lies behind is old."""
    good = commit(5, batch(3000), batch(3000), batch(3000))
    torn = good[:survivors] + filler * (len(good) - survivors)
    found = read_commit(memoryview(torn), 0)
    used = HEADER_SIZE + 3 * len(row(None, 0)) + sum(map(len, read_commit(memoryview(good), 0).payloads))
    if torn[:used] == good[:used]:
        assert found.payload_error is None
    elif survivors < HEADER_SIZE:
        assert found is None
    elif found is not None:
        offset = next(
            entry.base_offset for entry in found.entries if str(entry.base_offset) in found.payload_error
        )
        assert found.payload_error == f"the batch at offset {offset} is damaged"


def test_a_header_that_lies_about_sizes_is_cheap_and_refused():
    good = bytearray(commit(5, batch(100)))
    for at, value in ((32, 2**32 - 1), (36, 2**32 - 1), (32, 0)):
        lying = bytearray(good)
        lying[at : at + 4] = struct.pack(">I", value)
        assert read_commit(memoryview(lying), 0) is None
    # the same with a CRC that agrees, as a forger would: it points past the file
    forged = b"".join(encode_commit(1, SALT, 5, [row(batch(1), 0)], [], 2**32 - 1))
    found = read_commit(memoryview(forged), 0)
    assert found.payload_error == "the commit is longer than its file"


def test_a_cut_file():
    good = commit(5, batch(100), batch(5000))
    for size in (0, 1, HEADER_SIZE - 1, HEADER_SIZE, 200, 5000):
        found = read_commit(memoryview(good[:size]), 0)
        assert found is None or found.payload_error is not None


def test_heads_are_looked_for_on_blocks_only():
    content = bytearray(3 * FILE_BLOCK)
    content[FILE_BLOCK : FILE_BLOCK + 4] = b"LBJ1"
    content[2 * FILE_BLOCK + 8 : 2 * FILE_BLOCK + 12] = b"LBJ1"
    assert [position for position, _ in scan_heads(memoryview(content))] == [FILE_BLOCK]


# The chain over files and generations

CHECKPOINT = Checkpoint(1, SALT, 0, clean=False, points=[])
GENERATIONS = [Generation(1, SALT), Generation(2, 77)]


def linked(*files, checkpoint=CHECKPOINT, generations=GENERATIONS):
    return chain({f"{n}.ring": memoryview(data) for n, data in enumerate(files)}, checkpoint, generations)


def ring(*commits):
    return b"".join(commits)


def test_commits_are_ordered_over_files():
    made = linked(ring(commit(4), commit(5)), ring(commit(2), commit(3)), ring(start(0), commit(1)))
    assert [found.sequence for found in made.commits] == [0, 1, 2, 3, 4, 5]
    assert made.next_sequence == 6
    assert made.last_sequences == {"0.ring": 5, "1.ring": 3, "2.ring": 1}


def test_what_the_checkpoint_covers_is_left_out_and_its_files_are_free():
    made = linked(
        ring(start(0), commit(1)), ring(commit(2), commit(3)), checkpoint=CHECKPOINT._replace(sequence=3)
    )
    assert [found.sequence for found in made.commits] == [3]
    assert made.last_sequences == {"1.ring": 3}


def test_a_torn_tail_ends_the_chain():
    torn = commit(3, batch(5000))[:FILE_BLOCK] + bytes(FILE_BLOCK)
    made = linked(ring(start(0), commit(1), commit(2), torn))
    assert [found.sequence for found in made.commits] == [0, 1, 2]
    assert made.refused == {}


def test_a_bad_payload_with_a_good_commit_behind_refuses_its_partitions_only():
    bad = bytearray(commit(1, batch(100), batch(100)))
    bad[HEADER_SIZE + 2 * len(row(None, 0)) + 80] ^= 1
    made = linked(ring(start(0), bytes(bad), commit(2)))
    assert list(made.refused) == [(TOPIC, 0)]
    assert "commit 1 in 0.ring: the batch at offset 0 is damaged" in made.refused[TOPIC, 0]
    assert made.next_sequence == 3


def test_a_bad_header_with_a_good_commit_behind_refuses_the_directory():
    bad = bytearray(commit(1, batch(100)))
    bad[70] ^= 1
    with pytest.raises(CorruptionError, match="commit 1 is damaged or missing"):
        linked(ring(start(0), bytes(bad), commit(2)))
    with pytest.raises(CorruptionError, match="commit 1 is damaged or missing"):
        linked(ring(start(0)), ring(commit(2)))


def test_bytes_of_another_life_and_forged_ones_are_nothing():
    stale = commit(2, batch(100), generation=1, salt=SALT + 1)  # what an old salt left
    forged = commit(1, batch(b"x" * 10 + commit(2, batch(1), salt=0)), generation=1)
    made = linked(ring(start(0), forged, stale))
    assert [found.sequence for found in made.commits] == [0, 1]


def test_a_record_that_holds_a_commit_on_a_block_does_not_become_one():
    """Even with the right generation and a right CRC: its writer can't know the salt."""
    inner = commit(2, batch(b"forged"), salt=0xDEAD)
    filler = FILE_BLOCK - HEADER_SIZE - len(row(None, 0))
    for padding in range(filler - 90, filler):
        data = commit(1, batch(bytes(padding) + inner))
        if data[FILE_BLOCK : FILE_BLOCK + 4] == b"LBJ1":
            break
    else:
        raise AssertionError("no padding puts the forged commit on a block")
    assert len(list(scan_heads(memoryview(data)))) == 2
    made = linked(ring(start(0), data))
    assert [found.sequence for found in made.commits] == [0, 1]


def test_a_new_life_ends_the_old_one_for_ever():
    old = ring(start(0), commit(1), commit(2))
    new = ring(start(2, 2, 77), commit(3, generation=2, salt=77))
    made = linked(old, new)
    assert [(found.generation, found.sequence) for found in made.commits] == [(1, 0), (1, 1), (2, 2), (2, 3)]


def test_a_new_life_that_leaves_a_hole_is_corruption():
    with pytest.raises(CorruptionError, match="commit 2 is damaged or missing"):
        linked(ring(start(0), commit(1)), ring(start(4, 2, 77)))


def test_a_life_whose_first_commit_is_damaged_is_corruption():
    first = bytearray(start(2, 2, 77))
    first[70] ^= 1
    with pytest.raises(CorruptionError, match="the first commit of generation 2 is damaged"):
        linked(ring(start(0), commit(1)), ring(bytes(first), commit(3, generation=2, salt=77)))
