"""The journal's ring under the engine: commits stay in their file, full files wait for a checkpoint, and appends for the ring."""

from __future__ import annotations

import errno
import os

import pytest
from storage.support import SMALL, Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import CorruptionError
from logbroker.storage.journal_contents import read_contents, write_contents
from logbroker.storage.journal_format import encode_commit, read_commit, scan_heads
from logbroker.storage.verify import verify_directory
from logbroker.storage.vfs import OsVfs


def ring_files(engine):
    folder = f"{engine.path}/journal"
    return sorted(f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".ring"))


def commits(path):
    with open(path, "rb") as file:
        data = memoryview(file.read())
    return [(at, read_commit(data, at)) for at, _ in scan_heads(data)]


def test_a_first_start_is_small_and_the_ring_grows_behind_it(tmp_path):
    engine = Engine(tmp_path, journal_files=5, journal_file_bytes=2 << 20)
    engine.open()
    sizes = [os.path.getsize(path) for path in ring_files(engine)]
    assert sizes == [1 << 20, *[2 << 20] * 4]
    assert engine.directory.journal.files_total == 5
    engine.close()


def test_what_waits_together_becomes_durable_together(tmp_path):
    with Engine(tmp_path) as engine:
        logs = [engine.create(index=index) for index in range(50)]
        before = engine.directory.journal.commits
        items = [engine.append(log) for log in logs]
        engine.run()
        assert all(item.waiter == [item] and item.error == ErrorCode.NONE for item in items)
        assert engine.directory.journal.commits - before <= 2


def test_what_comes_while_the_lane_is_about_to_end_is_committed(tmp_path, monkeypatch):
    with Engine(tmp_path) as engine:
        log, journal = engine.create(), engine.directory.journal
        late = []
        last_look = journal._wanted_again

        def just_before():
            if not late:  # the loop finds the lane at work still, and doesn't wake it
                late.append(engine.append(log))
                engine.directory.commit_path._hand_over()
            return last_look()

        monkeypatch.setattr(journal, "_wanted_again", just_before)
        engine.append(log)
        engine.run()
        assert [item.waiter for item in late] == [late]
        assert late[0].error == ErrorCode.NONE


def test_a_full_ring_makes_appends_wait_counts_it_and_goes_on(tmp_path):
    with Engine(tmp_path, checkpoint_bytes=1 << 30, writeback_bytes=1 << 30) as engine:
        logs = [engine.create(index=index) for index in range(20)]
        items = []
        for number in range(40):
            items += [engine.append(log, batch(b"%d" % number, 700)) for log in logs]
            for _ in range(3):
                engine.executor.step()
        ring_bytes = SMALL["journal_files"] * SMALL["journal_file_bytes"]
        assert sum(item.size for item in items) > 2 * ring_bytes
        engine.run()
        assert all(item.waiter == [item] and item.error == ErrorCode.NONE for item in items)
        assert engine.directory.journal.ring_waits > 0
        assert engine.directory.stats.checkpoints > 2
        for log in logs:
            assert len(engine.values(log)) == 80


def test_commits_never_cross_a_file_and_never_touch_an_earlier_one(tmp_path):
    engine = Engine(tmp_path, checkpoint_bytes=1 << 30)
    engine.open()
    log = engine.create()
    for number in range(60):
        for _ in range(number % 7 + 1):
            engine.append(log, batch(number * 20 + 1))
        engine.run()
    seen = {}
    for path in ring_files(engine):
        last = -1
        for position, found in commits(path):
            if found is None or found.sequence < last:
                break  # an earlier round
            assert found.payload_error is None
            assert position % 4096 == 0
            assert position + found.size_bytes <= os.path.getsize(path)
            seen[found.sequence] = path
            last = found.sequence
    newest = max(seen)
    assert newest == engine.directory.journal.sequence - 1
    assert all(number in seen for number in range(newest - 10, newest + 1))
    engine.close()


def test_files_are_used_again_and_never_grow(tmp_path):
    with Engine(tmp_path) as engine:
        log = engine.create(internal_segment_bytes=50_000)
        before = {path: os.path.getsize(path) for path in ring_files(engine)}
        engine.fill(log, 400, 1000)
        assert engine.directory.stats.journal_bytes > 3 * sum(before.values())
        assert {path: os.path.getsize(path) for path in ring_files(engine)} == before
        assert len(before) == SMALL["journal_files"]


def test_each_start_takes_a_new_generation_and_another_salt(tmp_path):
    engine = Engine(tmp_path)
    seen = []
    for _ in range(5):
        engine.open()
        engine.create()
        seen.append(engine.directory.journal.generation)
        engine.kill()
    numbers = [generation.number for generation in seen]
    assert numbers == sorted(set(numbers))
    assert len({generation.salt for generation in seen}) == 5
    assert read_contents(engine.vfs, f"{engine.path}/journal").generations[-1] == seen[-1]


@pytest.mark.parametrize("content", ["1 x\n", "1\n", "1 2 3\n", "\x00\x01"])
def test_an_unreadable_list_of_generations_refuses_the_directory(tmp_path, content):
    engine = Engine(tmp_path)
    engine.open()
    engine.fill(engine.create(), 3)
    engine.kill()
    path = f"{engine.path}/journal/generations"
    with open(path, "w") as file:
        file.write(content)
    with pytest.raises(CorruptionError, match="generations"):
        engine.open()


def test_a_fill_that_a_crash_cut_short_is_begun_anew(tmp_path):
    engine = Engine(tmp_path)
    engine.open()
    values = engine.fill(engine.create(), 3)
    engine.kill()
    last = ring_files(engine)[-1]
    os.rename(last, f"{last}.tmp")  # as if the crash had come before its name, and so before it was listed
    journal = f"{engine.path}/journal"
    contents = read_contents(engine.vfs, journal)
    write_contents(engine.vfs, journal, contents._replace(files=contents.files[:-1]))
    os.truncate(f"{last}.tmp", 5000)
    engine.open()
    assert list(engine.values(engine.log()).values()) == values
    assert engine.directory.journal.files_total == SMALL["journal_files"]
    assert {os.path.getsize(path) for path in ring_files(engine)} == {SMALL["journal_file_bytes"]}
    engine.close()
    assert not [name for name in os.listdir(f"{engine.path}/journal") if name.endswith(".tmp")]


def test_a_batch_larger_than_a_ring_file_goes_direct(tmp_path):
    with Engine(tmp_path) as engine:
        log = engine.create()
        item = engine.append(log, batch(300_000))
        small = engine.append(log, batch(b"after"))
        engine.run()
        assert item.error == small.error == ErrorCode.NONE
        assert log.durable_end == 2
        assert engine.directory.stats.direct_bytes > 300_000
        engine.reopen(cleanly=False)
        assert len(engine.values(engine.log())[0]) == 300_000


@pytest.mark.parametrize("loss", ["missing", "cut short"])
def test_a_ring_file_that_was_lost_is_noticed_also_the_last_one(tmp_path, loss):
    engine = Engine(tmp_path, checkpoint_bytes=1 << 30)
    engine.open()
    engine.fill(engine.create(), 3)
    engine.kill()
    newest = {
        path: max((found.sequence for _, found in commits(path) if found), default=-1)
        for path in ring_files(engine)
    }
    last = max(newest, key=newest.get)
    if loss == "missing":
        os.rename(last, f"{last}.away")
    else:
        os.truncate(last, 4096)
    with pytest.raises(CorruptionError, match=f"{os.path.basename(last)}.*(is missing|bytes early)"):
        engine.open()
    engine.directory.pool.close()
    assert [problem for problem in verify_directory(engine.path) if last in str(problem)]


def test_a_ring_file_that_is_set_aside_is_not_missed(tmp_path):
    """It leaves the list first; a crash before it gets its other name leaves a file more than is listed."""
    engine = Engine(tmp_path)
    engine.open()
    engine.run()
    journal = engine.directory.journal
    ring_file = journal._free[0]
    steps = journal._keep_steps(ring_file)
    next(steps)
    assert os.path.exists(ring_file.path)
    engine.reopen(cleanly=False)
    engine.close()


def test_a_commit_that_is_being_made_is_in_flight_all_the_time(tmp_path, monkeypatch):
    """Whoever asks while the lane encodes (the directory goes offline then) misses nobody."""
    with Engine(tmp_path) as engine:
        log = engine.create()
        seen = []

        def watched(*arguments):
            seen.append(engine.directory.journal.in_flight())
            return encode_commit(*arguments)

        monkeypatch.setattr("logbroker.storage.journal.encode_commit", watched)
        items = [engine.append(log) for _ in range(3)]
        engine.run()
        assert [item for found in seen for item in items if item in found] == items


@pytest.mark.parametrize("known", [True, False])
def test_commits_where_the_system_cannot_write_and_sync_in_one_call(tmp_path, monkeypatch, known):
    flags_seen = []
    real = os.pwritev

    def pwritev(fd, buffers, position, flags=0):
        flags_seen.append(flags)
        if flags == os.RWF_DSYNC and not known:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(fd, buffers, position, flags)

    monkeypatch.setattr(os, "pwritev", pwritev)
    with Engine(tmp_path, vfs=OsVfs()) as engine:
        engine.fill(engine.create(), 3)
        assert engine.offline == []
    assert flags_seen.count(os.RWF_DSYNC) >= 3
    assert verify_directory(engine.path) == []
