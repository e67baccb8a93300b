"""What else happens to a log while a pass of compaction runs over it: no live record goes, and no deleted one comes back."""

from __future__ import annotations

import errno
import os
import uuid

import msgspec
import pytest
from storage.support import NOW, Engine
from storage.test_compaction import COMPACT, clean, fill, put, records

from logbroker.records.batch import iter_batches
from logbroker.records.builder import build_batch
from logbroker.storage import cleaner_offsets
from logbroker.storage.cleaner import CleanerOptions, job_of
from logbroker.storage.cleaner_process import LocalRunner
from logbroker.storage.cleaning_choice import assess, is_settled
from logbroker.storage.transactions import append_marker
from logbroker.storage.verify import verify_directory


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path) as engine:
        yield engine
    assert verify_directory(str(tmp_path)) == []


class Interrupted(LocalRunner):
    """Does `work`, a generator of the lane, once: behind the map or behind the first group."""

    def __init__(self, vfs, work, *, behind):
        super().__init__(vfs)
        self._work = work
        self._behind = behind

    def index_steps(self, job):
        found = yield from super().index_steps(job)
        if self._behind == "map":
            yield from self._once()
        return found

    def rewrite_steps(self, group):
        cleaned = yield from super().rewrite_steps(group)
        if self._behind == "group":
            yield from self._once()
        return cleaned

    def _once(self):
        work, self._work = self._work, lambda: ()
        yield from work()


def segment_of(engine, log, *contents):
    """A segment of its own with these records."""
    for content in contents:
        put(engine, log, content)
    log.roll()
    engine.directory.mark_dirty(log)


def test_a_segment_that_grew_is_served_whole_though_nothing_followed(engine):
    """A horizon makes a tombstone longer; the durable end still lay in the segment, at its former size."""
    log = engine.create(**COMPACT)
    put(engine, log, (b"a", None))
    before = log.segments[0].size
    clean(engine, log)
    assert log.segments[0].size > before
    assert [one[2:] for one in records(engine, log)] == [(b"a", None)]
    data = b"".join(log.read(0, 1 << 20, engine.directory.reader()))
    assert len(data) == log.segments[0].size
    assert len(list(iter_batches(data))) == 1


@pytest.mark.parametrize("behind", ["map", "group"])
def test_records_whose_successors_are_cut_off_stay(engine, behind):
    log = engine.create(**COMPACT)
    segment_of(engine, log, (b"a", b"1"), (b"b", b"1"))
    segment_of(engine, log, (b"c", b"1"), (b"a", b"2"), (b"b", b"2"))

    def cut():
        ended = []
        engine.directory.truncate_to(log, 3, ended.append)
        while not ended:
            yield
        for number in range(3):
            item = engine.append(log, build_batch([(NOW, b"d", b"%d" % number, ())]))
            while not item.waiter:
                yield

    clean(engine, log, Interrupted(engine.vfs, cut, behind=behind))
    assert [one[2:] for one in records(engine, log)] == [
        (b"a", b"1"),
        (b"b", b"1"),
        (b"c", b"1"),
        (b"d", b"0"),
        (b"d", b"1"),
        (b"d", b"2"),
    ]
    assert not log.uncleanable
    assert engine.directory.stats.cleaner_failures == 0


def test_what_was_cut_off_is_not_clean_after_a_restart(engine):
    log = engine.create(**COMPACT)
    fill(engine, log)
    clean(engine, log)
    ended = []
    engine.directory.truncate_to(log, 40, ended.append)
    engine.run()
    assert ended == [0]
    assert set(cleaner_offsets.load(engine.vfs, engine.path).values()) == {log.end_offset}
    assert log.first_dirty == log.end_offset <= 40


def test_a_segment_that_was_cut_is_settled_once_a_checkpoint_knows_it_sealed_again(engine):
    log = engine.create(**COMPACT)
    segment_of(engine, log, (b"a", b"1"), (b"b", b"1"))
    segment_of(engine, log, (b"c", b"1"))
    engine.checkpoint()
    assert is_settled(log.segments[0])
    engine.directory.truncate_to(log, 1, lambda _: None)
    engine.run()
    log.roll()
    engine.run()
    assert not is_settled(log.segments[0])
    engine.directory.mark_dirty(log)
    engine.checkpoint()
    assert is_settled(log.segments[0])


def test_a_group_that_lost_its_front_ends_the_pass_before_tombstones_get_their_horizon(engine):
    """Passed over, its `a` would be there still when the tombstone in the next group goes."""
    log = engine.create(
        **{**COMPACT, "internal_segment_bytes": 600, "cleanup_policy": frozenset({"compact", "delete"})}
    )
    segment_of(engine, log, (b"x", b"1" * 100))
    segment_of(engine, log, (b"a", b"1" * 100))
    segment_of(engine, log, (b"y", b"1" * 400), (b"a", None))
    engine.checkpoint()
    first = log.segments[0]

    def trim():
        log.delete_records(1, lambda _: None)
        while not first.dropped:
            yield

    clean(engine, log, Interrupted(engine.vfs, trim, behind="map"))
    assert log.first_dirty == 0
    for _ in range(3):
        put(engine, log, (b"z", b"1"))
        clean(engine, log)
        engine.clock.advance(COMPACT["delete_retention_ms"] + 1)
    assert [one[2] for one in records(engine, log)] == [b"y", b"z"]


def test_replaced_files_are_let_go(engine, tmp_path):
    log = engine.create(**COMPACT)
    fill(engine, log)
    records(engine, log)
    clean(engine, log)
    engine.checkpoint()
    engine.tick(COMPACT["file_delete_delay_ms"] + 1)
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)]
    assert [path for path in held if path.startswith(str(tmp_path)) and path.endswith("(deleted)")] == []


def _is_open(fd):
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_a_topic_of_the_same_name_waits_for_the_pass_over_its_predecessor(engine):
    """Both would write the same `.cleaned` files."""
    log = engine.create(**COMPACT)
    fill(engine, log)
    seen = []

    def replace():
        gone = []
        engine.directory.delete_log(log, lambda: gone.append(True))
        while not gone:
            yield
        other = engine.create(topic_id=uuid.UUID(int=99), **COMPACT)
        seen.append(engine.directory.cleaner.takes(other, NOW))

    clean(engine, log, Interrupted(engine.vfs, replace, behind="group"))
    assert seen == [False]
    other = engine.log()
    latest = fill(engine, other)
    clean(engine, other)
    assert {key: (offset, value) for offset, _, key, value in records(engine, other)} == latest


def test_a_swap_that_waits_is_not_begun_once_the_topic_is_compacted_no_more(engine):
    log = engine.create(**COMPACT)
    fill(engine, log)
    before = records(engine, log)

    def change():
        config = engine.known["t", 0].config
        engine.directory.configure(log, type(config)())
        yield

    clean(engine, log, Interrupted(engine.vfs, change, behind="group"))
    assert records(engine, log) == before


def test_whoever_waits_for_a_swap_hears_that_its_directory_failed(tmp_path):
    """A deletion that never ended would keep its request waiting, a pass its process."""
    with Engine(tmp_path) as engine:
        log = engine.create(**COMPACT)
        fill(engine, log)
        gone = []
        rename = engine.vfs.rename

        def failing(source, target):
            if target.endswith(".swap"):
                engine.directory.delete_log(log, lambda: gone.append(True))
                raise OSError(errno.EIO, "broken", source)
            rename(source, target)

        engine.vfs.rename = failing
        clean(engine, log)
        assert engine.offline
        assert gone == [True]


def test_transactions_that_nobody_reads_leave_nothing_in_memory(engine):
    log = engine.create()
    for number in range(50):
        data = build_batch(
            [(NOW, None, b"x", ())], producer_id=7, producer_epoch=0, base_sequence=number, transactional=True
        )
        engine.append(log, data)
        append_marker(log, 7, 0, 0, 0, commit=True)
        engine.run()
    assert log.end_offset == 100
    assert len(log.producers.transactions) <= 1


def test_a_job_is_of_the_segments_that_were_assessed(engine):
    """Retention may have taken one since the log was looked at: each must yet end where its own successor begins."""
    log = engine.create(**COMPACT)
    for number in range(4):
        segment_of(engine, log, (b"k%d" % number, b"1"))
    engine.checkpoint()
    found = assess(log, NOW)
    log.delete_records(1, lambda _: None)
    engine.run()
    assert [source.next_base for source in job_of(found, CleanerOptions(), NOW).sources] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("half", "lie"),
    [
        ("index", {"groups": [[1], [0]]}),
        ("index", {"groups": [list(range(1000))]}),
        ("rewrite", {"next_base": 1 << 40}),
        ("rewrite", {"base_offset": 1}),
    ],
)
def test_an_answer_about_other_segments_fails_the_pass(engine, half, lie):
    class Liar(LocalRunner):
        def index_steps(self, job):
            found = yield from super().index_steps(job)
            return msgspec.structs.replace(found, **lie) if half == "index" else found

        def rewrite_steps(self, group):
            cleaned = yield from super().rewrite_steps(group)
            return msgspec.structs.replace(cleaned, **lie) if half == "rewrite" else cleaned

    log = engine.create(**COMPACT)
    fill(engine, log)
    before = records(engine, log)
    clean(engine, log, Liar(engine.vfs))
    assert records(engine, log) == before
    assert engine.directory.stats.cleaner_failures == 1
    engine.reopen(cleanly=False)
    assert records(engine, engine.log()) == before
