"""What recovery makes of a ring's bytes: crafted commits, torn, damaged, stale, forged; and of the entries in them."""

from __future__ import annotations

import random
import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.errors import CorruptionError
from logbroker.storage.checkpoint_file import Checkpoint, Point
from logbroker.storage.journal_contents import Generation
from logbroker.storage.journal_format import (
    BATCH,
    DELETE,
    FILE_BLOCK,
    FLUSHED,
    LOG_START,
    PAGE_CACHE,
    START,
    SYNCED,
    TRUNCATE,
    encode_commit,
    pack_entry,
)
from logbroker.storage.replay import Plan, chain, plan

TOPIC = bytes(15) + b"\x07"
OTHER = bytes(15) + b"\x08"
SALTS = {1: 111, 2: 222, 3: 333}
GENERATIONS = [Generation(number, salt) for number, salt in SALTS.items()]
EMPTY = Checkpoint(0, 0, 0, True, [])


def batch(base, records=1, size=100, epoch=0):
    body = struct.pack(">hiqqqhii", 0, records - 1, 1, 1, -1, -1, -1, records) + random.Random(
        base
    ).randbytes(size)
    return struct.pack(">qiibI", base, len(body) + 9, epoch, 2, crc32c(body)) + body


def entry(
    kind, previous=0, base=0, following=0, *, segment=0, position=0, length=0, topic=TOPIC, crc=0, epoch=0
):
    return pack_entry(topic, 0, kind, epoch, segment, position, previous, base, following, length, crc)


def journaled(base, records=1, *, position=0, segment=0, topic=TOPIC, size=100):
    data = batch(base, records, size)
    crc = int.from_bytes(data[17:21], "big")
    row = entry(
        BATCH,
        base,
        base,
        base + records,
        segment=segment,
        position=position,
        length=len(data),
        topic=topic,
        crc=crc,
    )
    return row, data


def commit(sequence, *rows, generation=1, salt=None):
    table = [row if isinstance(row, bytes) else row[0] for row in rows]
    payloads = [row[1] for row in rows if not isinstance(row, bytes)]
    salt = SALTS[generation] if salt is None else salt
    return b"".join(encode_commit(generation, salt, sequence, table, payloads, sum(map(len, payloads))))


def start(sequence, generation=1):
    row = pack_entry(bytes(16), -1, START, -1, 0, 0, 0, sequence, sequence, 0, 0)
    return commit(sequence, row, generation=generation)


def rings(*files, size=16 * FILE_BLOCK):
    return {
        f"{number:08d}.ring": memoryview(b"".join(file).ljust(size, b"\0"))
        for number, file in enumerate(files)
    }


def sequences(linked):
    return [one.sequence for one in linked.commits]


def damaged(data, at):
    data = bytearray(data)
    data[at] ^= 0xFF
    return bytes(data)


# The chain


def test_commits_in_order_over_files():
    files = rings([start(0), commit(1, journaled(0))], [commit(2, journaled(1)), commit(3, journaled(2))])
    linked = chain(files, EMPTY, GENERATIONS)
    assert sequences(linked) == [0, 1, 2, 3]
    assert linked.next_sequence == 4
    assert linked.last_sequences == {"00000000.ring": 1, "00000001.ring": 3}
    assert linked.places[3] == ("00000001.ring", FILE_BLOCK)
    assert linked.refused == {}


def test_what_the_checkpoint_covers_is_left_out():
    files = rings([start(0), commit(1, journaled(0))], [commit(2, journaled(1))])
    linked = chain(files, Checkpoint(1, SALTS[1], 2, False, []), GENERATIONS)
    assert sequences(linked) == [2]
    assert linked.last_sequences == {"00000001.ring": 2}


@given(cut=st.integers(min_value=0, max_value=FILE_BLOCK - 1))
def test_torn_tail_anywhere(cut):
    """The last commit, of which a crash left any beginning: never believed in part, never damage."""
    last = commit(2, journaled(1, size=3000))
    files = rings([start(0), commit(1, journaled(0)), last[:cut]])
    linked = chain(files, EMPTY, GENERATIONS)
    whole = len(last.rstrip(b"\0"))
    assert sequences(linked) == ([0, 1, 2] if cut >= whole else [0, 1])
    assert linked.refused == {}


@given(sector=st.integers(min_value=0, max_value=15))
def test_torn_tail_by_sector(sector):
    last = commit(2, journaled(1, size=8000))
    at = sector * 512
    if at >= len(last.rstrip(b"\0")):
        return
    torn = last[:at] + bytes(512) + last[at + 512 :]
    linked = chain(rings([start(0), commit(1, journaled(0)), torn]), EMPTY, GENERATIONS)
    assert sequences(linked) == [0, 1]
    assert linked.next_sequence == 2


def test_damaged_batch_in_the_middle_refuses_the_partitions_it_names():
    bad = commit(1, journaled(0), journaled(0, topic=OTHER))
    bad = damaged(bad, len(bad.rstrip(b"\0")) - 10)
    files = rings([start(0), bad, commit(2, journaled(1), journaled(7, topic=bytes(16)))])
    linked = chain(files, EMPTY, GENERATIONS)
    assert set(linked.refused) == {(TOPIC, 0), (OTHER, 0)}
    assert "commit 1" in linked.refused[TOPIC, 0]
    assert sequences(linked) == [0, 2]
    assert linked.next_sequence == 3
    assert linked.last_sequences["00000000.ring"] == 2


def test_damaged_header_in_the_middle_refuses_the_directory():
    files = rings([start(0), damaged(commit(1, journaled(0)), 70), commit(2, journaled(1))])
    with pytest.raises(CorruptionError, match="commit 1 is damaged or missing"):
        chain(files, EMPTY, GENERATIONS)


def test_missing_file_in_the_middle_refuses_the_directory():
    files = rings([start(0), commit(1, journaled(0))], [commit(3, journaled(2))])
    with pytest.raises(CorruptionError, match="commit 2 is damaged or missing"):
        chain(files, EMPTY, GENERATIONS)


def test_lives_follow_one_another():
    torn = damaged(commit(2, journaled(1)), 70)
    files = rings(
        [start(0), commit(1, journaled(0)), torn],
        [start(2, 2), commit(3, journaled(1), generation=2)],
        [start(4, 3), commit(5, journaled(2), generation=3)],
    )
    linked = chain(files, EMPTY, GENERATIONS)
    assert sequences(linked) == [0, 1, 2, 3, 4, 5]
    assert linked.next_sequence == 6


def test_a_commit_that_came_back_after_its_life_ended_is_ignored():
    """The torn tail of the first life is whole after all; the second has gone on without it."""
    files = rings([start(0), commit(1, journaled(0)), commit(2, journaled(9))], [start(2, 2)])
    linked = chain(files, EMPTY, GENERATIONS)
    assert sequences(linked) == [0, 1, 2]
    assert linked.commits[-1].generation == 2


def test_damage_before_the_next_life_began_is_damage():
    files = rings([start(0), damaged(commit(1, journaled(0)), 70)], [start(2, 2)])
    with pytest.raises(CorruptionError, match="commit 1 is damaged or missing"):
        chain(files, EMPTY, GENERATIONS)


def test_gap_between_lives():
    files = rings([start(0)], [start(3, 2)])
    with pytest.raises(CorruptionError, match="commit 1 is damaged or missing"):
        chain(files, EMPTY, GENERATIONS)


def test_torn_start_is_no_life():
    files = rings([start(0), commit(1, journaled(0))], [damaged(start(2, 2), 70)], [start(2, 3)])
    linked = chain(files, EMPTY, GENERATIONS)
    assert [(one.generation, one.sequence) for one in linked.commits] == [(1, 0), (1, 1), (3, 2)]


def test_damaged_start_with_commits_behind_it_refuses_the_directory():
    files = rings([start(0)], [damaged(start(1, 2), 70), commit(2, journaled(0), generation=2)])
    with pytest.raises(CorruptionError, match="first commit of generation 2 is damaged"):
        chain(files, EMPTY, GENERATIONS)


def test_stale_generation_is_ignored():
    checkpoint = Checkpoint(2, SALTS[2], 1, False, [])
    files = rings(
        [start(0, 2), commit(1, journaled(0), generation=2)], [commit(2, journaled(9), generation=1)]
    )
    assert sequences(chain(files, checkpoint, GENERATIONS)) == [1]


@pytest.mark.parametrize("salt", [0, 1, SALTS[2]])
def test_forged_salt_is_ignored(salt):
    forged = commit(1, journaled(5), salt=salt)
    assert sequences(chain(rings([start(0), forged]), EMPTY, GENERATIONS)) == [0]


def test_a_commit_inside_a_batch_is_not_believed():
    """A client sends a commit of the journal as a record, block-aligned: it can't know the salt."""
    forged = commit(2, journaled(5), salt=12345)
    row, data = journaled(0, size=FILE_BLOCK)
    padding = FILE_BLOCK - 64 - 72 - 61
    body = data[21:61] + bytes(padding) + forged
    data = struct.pack(">qiibI", 0, len(body) + 9, 0, 2, crc32c(body)) + body
    row = entry(BATCH, 0, 0, 1, length=len(data), crc=crc32c(body))
    files = rings([start(0), commit(1, (row, data))])
    assert forged in bytes(files["00000000.ring"])
    assert sequences(chain(files, EMPTY, GENERATIONS)) == [0, 1]


def test_unknown_generation_is_ignored():
    files = rings([start(0)], [commit(1, journaled(0), generation=9, salt=99)])
    assert sequences(chain(files, EMPTY, GENERATIONS)) == [0]


def test_empty_ring():
    linked = chain(rings([]), EMPTY, GENERATIONS)
    assert (linked.commits, linked.next_sequence, linked.last_sequences) == ([], 0, {})


@given(data=st.binary(max_size=3 * FILE_BLOCK), at=st.integers(min_value=0, max_value=2))
def test_garbage_never_escapes(data, at):
    file = bytearray(start(0) + commit(1, journaled(0)) + bytes(6 * FILE_BLOCK))
    file[at * FILE_BLOCK : at * FILE_BLOCK + len(data)] = data
    try:
        linked = chain({"00000000.ring": memoryview(bytes(file))}, EMPTY, GENERATIONS)
    except CorruptionError:
        return
    plan(linked.commits, {})


# The plan


def point(end, segments, *, start_offset=0, page_cache=False):
    return Point(TOPIC, 0, start_offset, end, segments, [(0, 0)], b"", page_cache=page_cache)


def planned(*rows, at=None):
    linked = chain(rings([start(0), *(commit(n + 1, row) for n, row in enumerate(rows))]), EMPTY, GENERATIONS)
    return plan(linked.commits, {(TOPIC, 0): at} if at is not None else {})[TOPIC, 0]


def kinds(found):
    return [(piece.entry.kind, piece.entry.segment_base, piece.entry.position) for piece in found.pieces]


def test_batches_behind_the_point():
    found = planned(journaled(3, position=300), journaled(4, position=461), at=point(3, [(0, 300)]))
    assert (found.corrupt, found.end, found.covered, found.touched) == (None, 5, 3, True)
    assert kinds(found) == [(BATCH, 0, 300), (BATCH, 0, 461)]
    assert (found.sizes, found.reach) == ({0: 300}, {0: 5})


def test_entries_may_begin_below_the_point_and_skip_what_only_it_covers():
    """Batch 1 was journaled, 2 to 4 only captured; the next life goes on at 5."""
    assert planned(journaled(1), journaled(5), at=point(5, [(0, 500)])).corrupt is None


@pytest.mark.parametrize(
    ("rows", "at"),
    [
        ((journaled(4),), point(3, [(0, 300)])),
        ((journaled(1),), None),
        ((journaled(0), journaled(2)), None),
        ((journaled(0, 3), journaled(2)), None),
        ((journaled(1), journaled(7)), point(5, [(0, 500)])),
    ],
)
def test_gaps_are_damage(rows, at):
    assert "the journal goes on at offset" in planned(*rows, at=at).corrupt


def test_truncation_takes_out_what_it_made_void():
    found = planned(
        journaled(0, position=0),
        journaled(1, position=161),
        journaled(2, segment=2),
        entry(TRUNCATE, 1, 1, 1, segment=0, position=161),
        entry(SYNCED, 1, 1, 4, segment=0, position=161, length=500),
        at=None,
    )
    assert kinds(found) == [(BATCH, 0, 0), (SYNCED, 0, 161)]
    assert (found.corrupt, found.end, found.cut) == (None, 4, 1)
    assert (found.sizes, found.reach) == ({0: 0}, {0: 4})


def test_truncation_shortens_what_it_falls_into():
    found = planned(
        entry(SYNCED, 0, 0, 4, length=400), entry(TRUNCATE, 2, 2, 2, segment=0, position=200), at=None
    )
    (piece,) = found.pieces
    assert (piece.entry.length, piece.entry.next_offset, found.end) == (200, 2, 2)


def test_truncation_below_the_point():
    found = planned(entry(TRUNCATE, 3, 3, 3, segment=0, position=300), at=point(9, [(0, 500), (5, 800)]))
    assert (found.covered, found.end, found.cut) == (3, 3, 3)
    assert (found.sizes, found.reach) == ({0: 300}, {0: 3})


def test_flushed_is_cut_with_the_log():
    found = planned(
        entry(FLUSHED, 8, 8, 8, segment=5, position=800), entry(TRUNCATE, 3, 3, 3, segment=0, position=300)
    )
    (piece,) = found.pieces
    assert (piece.entry.segment_base, piece.entry.position, piece.entry.next_offset) == (0, 300, 3)


def test_page_cache_policy():
    marks = entry(PAGE_CACHE), entry(TRUNCATE, 3, 3, 3, position=300), entry(FLUSHED, 5, 5, 5, position=500)
    assert not planned(journaled(0)).walk
    assert planned(marks[0]).walk
    assert planned(marks[0], marks[1]).walk_end == 3
    again = planned(marks[0], marks[1], marks[0])
    assert (again.walk, again.walk_end) == (True, None)
    assert not planned(marks[0], marks[2]).walk
    assert planned(entry(LOG_START), at=point(3, [(0, 300)], page_cache=True)).walk


def test_log_start_never_moves_back():
    found = planned(
        entry(LOG_START, 5, 5, 5), entry(LOG_START, 2, 2, 2), at=point(9, [(0, 900)], start_offset=1)
    )
    assert found.start == 5


def test_dead_segments():
    """What the log's start has left behind need not be there; what it lies in must."""
    found = planned(entry(LOG_START, 7, 7, 7, segment=7), at=point(9, [(0, 300), (3, 400), (7, 200)]))
    assert [found.is_dead(base, present=True) for base in (0, 3, 7)] == [True, True, False]
    ended = planned(entry(LOG_START, 9, 9, 9, segment=9), at=point(9, [(0, 900)]))
    assert ended.is_dead(0, present=True)
    inside = planned(entry(LOG_START, 9, 9, 9, segment=0), at=point(9, [(0, 900)]))
    assert not inside.is_dead(0, present=True)
    assert inside.is_dead(0, present=False)


def test_deleted():
    found = planned(journaled(0), entry(DELETE))
    assert found.deleted
    assert found.pieces == []


def test_partition_that_the_journal_does_not_name():
    found = plan([], {(TOPIC, 0): point(3, [(0, 300)])})[TOPIC, 0]
    assert (found.touched, found.end, found.start, found.covered) == (False, None, 0, 3)
    assert Plan().covered == 0
