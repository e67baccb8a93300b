"""What a start finds in a log directory: whose it is, what is missing, what nobody owns; and what it must never do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid

import pytest
from storage.support import Engine, QuickVfs

from logbroker.base.errors import BrokerError, ConfigError, CorruptionError
from logbroker.base.ids import kafka_uuid
from logbroker.storage.directory_identity import (
    DirectoryIdentity,
    DirectoryLock,
    read_identity,
    write_identity,
)
from logbroker.storage.verify import verify_directory

OTHER_ID = uuid.UUID(int=0x99)


# Identity and lock


def test_an_identity_is_written_and_read(tmp_path):
    identity = DirectoryIdentity("cluster", 3, uuid.UUID(int=5))
    assert read_identity(QuickVfs(), str(tmp_path)) is None
    write_identity(QuickVfs(), str(tmp_path), identity)
    assert read_identity(QuickVfs(), str(tmp_path)) == identity
    text = (tmp_path / "meta.properties").read_text()
    assert text.splitlines()[0] == "version=1"  # Kafka's file
    assert f"directory.id={kafka_uuid(uuid.UUID(int=5))}" in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version=1\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n",
        b"cluster.id=x\nnode.id=one\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n",
        b"cluster.id=x\nnode.id=1\ndirectory.id=!\n",
        b"\xff\xfe\x00",
    ],
)
def test_an_unusable_identity_says_so(tmp_path, content):
    (tmp_path / "meta.properties").write_bytes(content)
    with pytest.raises(CorruptionError, match=r"not a usable meta\.properties"):
        read_identity(QuickVfs(), str(tmp_path))


def test_a_directory_has_one_user_and_says_who(tmp_path):
    lock = DirectoryLock(str(tmp_path))
    with pytest.raises(
        ConfigError, match=f"in use by another broker \\(process {os.getpid()}\\).*--data-dir"
    ):
        DirectoryLock(str(tmp_path))
    lock.release()
    DirectoryLock(str(tmp_path)).release()


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import os, sys; from logbroker.storage.directory_identity import DirectoryLock;"
        "lock = DirectoryLock(sys.argv[1]); print('locked', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "locked\n"
    assert done.returncode == -9
    DirectoryLock(str(tmp_path)).release()


# Missing and damaged


@pytest.fixture
def stopped(tmp_path):
    """Two partitions of one topic, several segments each."""
    engine = Engine(tmp_path / "d")
    engine.open()
    for index in (0, 1):
        engine.fill(engine.create(index=index, internal_segment_bytes=2000), 30)
    engine.close()
    return engine


def served(engine, index):
    return len(engine.values(engine.log(index=index)))


def refused(engine, index):
    log = engine.log(index=index)
    with pytest.raises(BrokerError) as caught:
        log.read(0, 1000, engine.directory.reader())
    with pytest.raises(BrokerError):
        engine.append(log)
    return str(caught.value)


def content(engine):
    return {
        name: os.path.getsize(f"{engine.path}/t-0/{name}")
        for name in sorted(os.listdir(f"{engine.path}/t-0"))
    }


def segment(engine, index, at):
    return f"{engine.path}/t-{index}/{engine.files(index=index, suffix='.log')[at]}"


@pytest.mark.parametrize("damage", ["folder", "first", "middle", "last", "short"])
def test_what_is_missing_refuses_its_partition_and_no_other(stopped, damage):
    if damage == "folder":
        shutil.rmtree(f"{stopped.path}/t-0")
        what = "folder is missing"
    elif damage == "short":
        path = segment(stopped, 0, 1)
        os.truncate(path, os.path.getsize(path) - 1)
        what = f"{path} at byte {os.path.getsize(path)}: the file ends 1 bytes early"
    else:
        path = segment(stopped, 0, {"first": 0, "middle": 1, "last": -1}[damage])
        os.unlink(path)
        what = f"{path} at byte 0: the segment is missing"
    left = content(stopped) if damage != "folder" else None
    for cleanly in (
        False,
        False,
        True,
        True,
    ):  # it stays refused, whatever restarts, and its files stay as they are
        report = stopped.open()
        assert len(report.refused) == 1
        assert "t-0" in report.refused[0]
        assert what in refused(stopped, 0)
        assert served(stopped, 1) > 0
        stopped.fill(stopped.log(index=1), 1)
        stopped.checkpoint()
        if cleanly:
            stopped.close()
        else:
            stopped.kill()
        assert left is None or content(stopped) == left


def test_a_refused_partition_stays_refused_over_clean_restarts(stopped):
    path = segment(stopped, 0, 1)
    with open(path, "rb") as file:
        good = file.read()
    os.truncate(path, 10)
    for _ in range(3):
        assert len(stopped.open().refused) == 1
        assert "bytes early" in refused(stopped, 0)
        stopped.close()
    with open(path, "wb") as file:  # restoring the file alone is not enough: nobody knows what else was lost
        file.write(good)
    assert len(stopped.open().refused) == 1
    stopped.close()


def test_a_deleted_refused_partition_is_gone_and_its_name_is_free(stopped):
    os.truncate(segment(stopped, 0, 1), 10)
    stopped.open()
    stopped.directory.delete_log(stopped.log(index=0))
    stopped.run()
    assert not os.path.exists(f"{stopped.path}/t-0")
    fresh = stopped.create(index=0, topic_id=OTHER_ID)
    stopped.fill(fresh, 2)
    stopped.reopen(cleanly=False)
    assert served(stopped, 0) == 2
    stopped.close()
    assert verify_directory(stopped.path) == []


def test_a_partition_that_was_never_written_needs_no_folder(tmp_path):
    engine = Engine(tmp_path)
    engine.open()
    engine.create()
    engine.kill()
    assert engine.open().refused == []
    engine.fill(engine.log(), 1)
    engine.close()


# Folders that the metadata doesn't know


def test_an_unknown_topic_is_set_aside_and_never_deleted(stopped):
    content = {}
    for name in os.listdir(f"{stopped.path}/t-1"):
        with open(f"{stopped.path}/t-1/{name}", "rb") as file:
            content[name] = file.read()
    topic_id = stopped.known.pop(("t", 1)).topic_id
    report = stopped.open()
    assert report.strays == ["t-1"]
    (aside,) = [name for name in os.listdir(stopped.path) if name.endswith("-stray")]
    assert topic_id.hex in aside
    assert not os.path.exists(f"{stopped.path}/t-1")
    for name, data in content.items():
        with open(f"{stopped.path}/{aside}/{name}", "rb") as file:
            assert file.read() == data
    assert served(stopped, 0) == 30
    assert stopped.reopen().strays == []
    assert os.path.exists(f"{stopped.path}/{aside}")
    stopped.close()
    assert verify_directory(stopped.path) == []


def test_a_folder_of_another_topic_with_the_same_name_is_set_aside(stopped):
    partition = stopped.known["t", 1]
    stopped.known["t", 1] = partition._replace(topic_id=OTHER_ID)
    report = stopped.open()
    assert report.strays == ["t-1"]
    assert served(stopped, 1) == 0  # the new topic begins empty, not with the other's records
    stopped.fill(stopped.log(index=1), 2)
    stopped.reopen()
    assert served(stopped, 1) == 2
    stopped.close()


def test_foreign_files_and_folders_are_left_alone(stopped):
    os.makedirs(f"{stopped.path}/backup-2024")
    os.makedirs(f"{stopped.path}/lost+found")
    with open(f"{stopped.path}/notes-1", "w") as file:
        file.write("hello")
    stopped.open()
    assert {"backup-2024", "lost+found", "notes-1"} <= set(os.listdir(stopped.path))
    stopped.close()


def test_a_deletion_that_a_crash_interrupted_is_finished(stopped):
    stopped.open()
    log = stopped.log(index=1)
    stopped.directory.delete_log(log)
    while stopped.executor.step():
        if any(name.endswith("-delete") for name in os.listdir(stopped.path)):
            break
    stopped.kill()
    stopped.known.pop(("t", 1))
    stopped.open()
    assert [name for name in os.listdir(stopped.path) if name.startswith("t-")] == ["t-0"]
    stopped.close()
    assert verify_directory(stopped.path) == []


@pytest.mark.parametrize("cleanly", [True, False])
@pytest.mark.parametrize(
    "lost", ["everything", "rings", "generations", "old generations", "damaged generations"]
)
def test_a_directory_that_lost_its_journal_is_refused_and_untouched(stopped, lost, cleanly):
    stopped.open()
    stopped.fill(stopped.log(index=0), 3)
    stopped.directory.checkpointer.start()
    stopped.run()
    stopped.fill(stopped.log(index=0), 3)
    if cleanly:
        stopped.close()
    else:
        stopped.kill()
    journal = f"{stopped.path}/journal"
    if lost == "everything":
        shutil.rmtree(journal)
        os.unlink(f"{stopped.path}/checkpoint")
    elif lost == "rings":
        for name in os.listdir(journal):
            if name.endswith(".ring"):
                os.unlink(f"{journal}/{name}")
    elif lost == "generations":
        os.unlink(f"{journal}/generations")
    else:
        with open(f"{journal}/generations", "rb") as file:
            lines = file.read().splitlines(keepends=True)
        if lost == "old generations":
            lines = lines[:-1]
        else:
            lines[-1] = lines[-1].replace(b"1", b"2") if b"1" in lines[-1] else lines[-1].replace(b"3", b"4")
        with open(f"{journal}/generations", "wb") as file:
            file.writelines(lines)
    before = content(stopped)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=r"generation|ring file|checkpoint and journal are missing"):
            stopped.open()
        assert content(stopped) == before
    if lost == "everything":
        return
    assert verify_directory(stopped.path) != []


def test_a_first_start_that_a_crash_cut_short_is_still_a_first_start(tmp_path):
    for steps in range(40):
        engine = Engine(tmp_path / str(steps))
        engine.start()
        for _ in range(steps):
            engine.executor.step()
        engine.executor.abandon()
        engine.open()
        engine.fill(engine.create(), 1)
        engine.close()
        assert verify_directory(engine.path) == []


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_a_start_that_is_given_up_during_recovery_forgets_nothing(tmp_path, steps):
    """It publishes no checkpoint: what it would say of partitions that are not recovered yet isn't true."""
    engine = Engine(tmp_path)
    engine.open()
    logs = [engine.create(index=index) for index in range(3)]
    values = {log.index: engine.fill(log, 4) for log in logs}
    engine.checkpoint()
    values[0] += engine.fill(logs[0], 3)
    engine.kill()
    before = (tmp_path / "checkpoint").read_bytes()
    outcome = engine.start()
    for _ in range(steps):
        engine.executor.step()
    assert not outcome
    closed = []
    engine.directory.close(lambda: closed.append(True))
    assert not closed  # not while its lane is at it
    engine.run()
    assert closed == [True]
    assert (tmp_path / "checkpoint").read_bytes() == before
    assert engine.open().clean is False
    for index, expected in values.items():
        assert list(engine.values(engine.log(index=index)).values()) == expected
    engine.close()
    assert verify_directory(engine.path) == []


def test_an_empty_partition_is_not_refused_for_its_folder(tmp_path):
    """Nobody syncs the name of a folder in which there is nothing, so a power cut may take it behind the partition's point."""
    with Engine(tmp_path) as engine:
        engine.create()
        engine.checkpoint()
        engine.kill()
        shutil.rmtree(tmp_path / "t-0", ignore_errors=True)
        engine.open()
        assert not engine.log().refused
        values = engine.fill(engine.log(), 2)
        engine.reopen(cleanly=False)
        assert list(engine.values(engine.log()).values()) == values
