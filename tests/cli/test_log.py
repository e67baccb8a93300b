"""`logbroker log`: the tables for people, the JSON for programs, the exit codes, and that nothing is ever changed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from storage.support import NOW, Engine, batch, sealed

from logbroker.cli.main import cli
from logbroker.records.batch import Codec
from logbroker.storage.directory_identity import DirectoryLock


@pytest.fixture
def directory(tmp_path):
    """A stopped directory: one partition in two segments, an idempotent producer, the last batch in zstd."""
    engine = Engine(tmp_path / "d")
    with engine:
        log = engine.create("orders", 3, internal_segment_bytes=3000, index_interval_bytes=500)
        for number in range(20):
            made = batch(
                b"%0100d" % number, at=NOW + number, producer_id=7, producer_epoch=1, base_sequence=number
            )
            engine.append(log, made)
        engine.append(log, batch(b"text", b"\xff\xfe", None, at=NOW + 99, codec=Codec.ZSTD))
        engine.run()
    return engine


def run(*arguments):
    result = CliRunner().invoke(cli, ["log", *arguments], standalone_mode=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(*arguments, code=0):
    result = run("dump", "--output", "json", *arguments)
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def folder(engine, name=""):
    return f"{engine.path}/orders-3/{name}"


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


# verify


def test_verify_says_that_nothing_is_wrong(directory):
    result = run("verify", directory.path)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        f"{directory.path}: nothing wrong; 1 partitions, 2 segments, 21 batches, "
    )
    assert result.stdout.endswith("stopped cleanly\n")
    assert result.stderr == ""


def test_verify_says_where_and_exits_1(directory):
    path = folder(directory, f"{0:020d}.log")
    flip(path, 100)
    result = run("verify", directory.path)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(f"WRONG  {path} at byte 0, offset 0: CRC is 0x")
    assert second.startswith(f"{directory.path}: 1 problems; ")


def test_verify_in_json(directory):
    path = folder(directory, f"{0:020d}.log")
    flip(path, 100)
    result = run("verify", "--output", "json", directory.path)
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)["directories"]
    assert report["path"] == directory.path
    assert report["stopped_cleanly"] is True
    assert report["batches"] == 21
    (problem,) = report["problems"]
    assert (problem["path"], problem["position"], problem["offset"]) == (path, 0, 0)
    assert "CRC" in problem["what"]
    assert report["notes"] == []


def test_verify_after_a_kill_shows_notes_and_exits_0(directory):
    directory.open()
    directory.append(directory.log("orders", 3))
    directory.run()
    directory.kill()
    with open(folder(directory, f"{17:020d}.log"), "ab") as file:
        file.write(b"x" * 300)
    result = run("verify", directory.path)
    assert result.exit_code == 0
    note, summary = result.stdout.splitlines()
    assert note.startswith("note   ")
    assert "the next start cuts it" in note
    assert "not stopped cleanly, 1 commits to replay" in summary


def test_verify_refuses_what_is_running_or_no_log_directory(directory, tmp_path):
    lock = DirectoryLock(directory.path)
    result = run("verify", directory.path)
    lock.release()
    assert result.exit_code == 2
    assert "stop the broker first" in result.stderr
    assert run("verify", str(tmp_path)).exit_code == 2
    assert run("verify", str(tmp_path / "nothing")).exit_code == 2
    assert run("verify").exit_code == 2


def test_several_directories(directory, tmp_path):
    other = Engine(tmp_path / "other")
    with other:
        other.create()
    result = run("verify", directory.path, other.path)
    assert result.exit_code == 0
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [directory.path, other.path]


# dump


def test_dump_of_a_segment(directory):
    found = rows(folder(directory, f"{17:020d}.log"))
    assert [row["kind"] for row in found] == ["batch"] * 4
    first, last = found[0], found[-1]
    assert first["file"].endswith("17.log")
    assert (first["position"], first["base_offset"], first["record_count"]) == (0, 17, 1)
    assert (first["producer_id"], first["producer_epoch"], first["base_sequence"]) == (7, 1, 17)
    assert first["max_timestamp_ms"] == NOW + 17
    assert (last["codec"], last["record_count"], last["last_offset"]) == ("zstd", 3, 22)
    assert "producer_id" not in last


def test_dump_of_records(directory):
    found = [row for row in rows("--records", folder(directory, f"{17:020d}.log")) if row["kind"] == "record"]
    assert [row["offset"] for row in found] == [17, 18, 19, 20, 21, 22]
    assert found[0]["value"] == f"{17:0100d}"
    assert found[3]["value"] == "text"
    assert found[4]["value_encoding"] == "base64"
    assert base64.b64decode(found[4]["value"]) == b"\xff\xfe"
    assert found[5]["value"] is None
    assert all(row["key"] is None and row["headers"] == [] for row in found)


def test_dump_of_a_damaged_segment_shows_the_rest(directory):
    path = folder(directory, f"{17:020d}.log")
    flip(path, 171 + 80)
    found = rows("--records", path, code=1)
    wrong = [row for row in found if "problem" in row]
    assert len(wrong) == 1
    assert wrong[0]["kind"] == "batch"
    assert wrong[0]["base_offset"] == 18
    assert "CRC" in wrong[0]["problem"]
    assert [row["offset"] for row in found if row["kind"] == "record"] == [17, 19, 20, 21, 22]
    flip(path, 171 + 80)
    os.truncate(path, os.path.getsize(path) - 1)
    last = rows(path, code=1)[-1]
    assert last["kind"] == "nothing"
    assert "are left" in last["problem"]


def test_dump_of_a_batch_whose_inside_lies(directory):
    path = folder(directory, f"{99:020d}.log")
    with open(path, "wb") as file:
        file.write(sealed(batch(b"a", b"b"), record_count=9, last_offset_delta=8))
    (row, record) = rows("--records", path, code=1)
    assert "problem" not in row  # the CRC is right
    assert record["kind"] == "record"
    assert "records can't lie in" in record["problem"]


def test_dump_of_indexes(directory):
    entries = rows(folder(directory, f"{0:020d}.index"))
    batches = {row["position"]: row for row in rows(folder(directory, f"{0:020d}.log"))}
    assert [entry["position"] for entry in entries] == [8 * number for number in range(len(entries))]
    assert len(entries) > 3
    assert all(batches[entry["log_position"]]["last_offset"] == entry["offset"] for entry in entries)
    times = rows(folder(directory, f"{0:020d}.timeindex"))
    assert times[-1]["timestamp_ms"] == NOW + 16
    assert times[-1]["offset"] == 16
    path = folder(directory, f"{0:020d}.index")
    with open(path, "ab") as file:
        file.write(b"\0" * 11)
    wrong = [row for row in rows(path, code=1) if "problem" in row]
    assert "follows" in wrong[0]["problem"]
    assert wrong[1]["problem"] == "3 bytes where an entry of 8 should be"


def test_dump_of_a_snapshot(directory):
    (row,) = rows(folder(directory, f"{17:020d}.snapshot"))
    assert (row["producer_id"], row["producer_epoch"], row["last_sequence"], row["last_offset"]) == (
        7,
        1,
        16,
        16,
    )
    flip(folder(directory, f"{17:020d}.snapshot"), 12)
    (row,) = rows(folder(directory, f"{17:020d}.snapshot"), code=1)
    assert row["position"] == 2


def test_dump_of_the_checkpoint(directory):
    path = f"{directory.path}/checkpoint"
    head, partition = rows(path)
    assert head["clean"] is True
    assert head["partitions"] == 1
    assert (partition["start_offset"], partition["end_offset"], partition["producers"]) == (0, 23, 1)
    assert [segment["base_offset"] for segment in partition["segments"]] == [0, 17]
    assert partition["leader_epochs"] == [{"epoch": 0, "start_offset": 0}]
    flip(path, 60)
    (row,) = rows(path, code=1)
    assert "CRC" in row["problem"]


def test_dump_of_the_journal(directory):
    path = f"{directory.path}/journal/00000000.ring"
    commits = rows(path)
    assert {row["kind"] for row in commits} == {"commit"}
    assert [row["sequence"] for row in commits] == list(range(len(commits)))
    entries = [row for row in rows("--records", path) if row["kind"] == "entry"]
    assert entries[0]["what"] == "start of a generation"
    batches = [row for row in entries if row["what"] == "batch"]
    assert [row["base_offset"] for row in batches] == list(range(21))
    assert batches[20]["segment"] == 17
    flip(path, commits[1]["position"] + 200)
    wrong = [row for row in rows(path, code=1) if "problem" in row]
    assert wrong[0]["position"] == commits[1]["position"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("journal/generations", "00000000.ring "),
        ("orders-3/leader-epoch-checkpoint", "0"),
        ("orders-3/partition.metadata", "version: 0"),
        ("meta.properties", "version=1"),
    ],
)
def test_dump_of_text_files(directory, name, first):
    assert rows(f"{directory.path}/{name}")[0]["text"].startswith(first)
    with open(f"{directory.path}/{name}", "ab") as file:
        file.write(b"ab\xff\n")
    last = rows(f"{directory.path}/{name}", code=1)[-1]
    assert last["problem"] == "byte 0xff is no text"


def test_dump_for_people(directory):
    path = folder(directory, f"{17:020d}.log")
    result = run("dump", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith(
        "         0  batch  base_offset=17 last_offset=17 record_count=1"
    )
    flip(path, 100)
    result = run("dump", path, f"{directory.path}/meta.properties")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"# {path}"
    assert "WRONG: CRC is" in lines[1]
    assert f"# {directory.path}/meta.properties" in lines


def test_dump_of_what_it_does_not_know_or_find(directory):
    result = run("dump", f"{directory.path}/.lock")
    assert result.exit_code == 2
    assert "is no file that can be shown" in result.stderr
    result = run("dump", f"{directory.path}/nothing.log")
    assert result.exit_code == 1
    assert "can't be read" in result.stderr


def test_a_reader_that_has_seen_enough(directory):
    """`logbroker log dump ... | head -1`."""
    ring = f"{directory.path}/journal/00000000.ring"
    command = [sys.executable, "-m", "logbroker.daemons.entry", "log", "dump", "--records", *[ring] * 200]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"# ")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
