"""Kafka's DumpLogSegments over segments, indexes and producer snapshots that the engine wrote: it complains of nothing, and counts the same."""

from __future__ import annotations

import collections
import os
import re

import pytest
from storage.support import NOW, Engine, batch

from logbroker.base.errors import CorruptionError
from logbroker.records.batch import Codec
from logbroker.storage import snapshot_file
from logbroker.storage.verify import verify_directory

pytestmark = pytest.mark.java

TOOL = "DumpLogSegments"
BATCH_LINE = re.compile(
    r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*compresscodec: (\w+) .*isvalid: (\w+)"
)
RECORD_LINE = re.compile(r"\| offset: (\d+) ")
COMPLAINTS = (
    "mismatch",
    "corrupt",
    "invalid bytes",
    "is followed by",
    "out of order",
    "not found",
    "could not",
    "exception",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory with every codec, several segments each, restarts in between, and idempotent producers."""
    path = tmp_path_factory.mktemp("written")
    engine = Engine(path, direct_sync_bytes=4000)
    engine.open()
    for index, codec in enumerate(Codec):
        engine.create(index=index, internal_segment_bytes=6000, index_interval_bytes=200)
        sequences = collections.Counter()
        for number in range(90):
            log = engine.log(index=index)
            values = [b"%d of %d " % (i, number) * 20 for i in range(number % 4 + 1)]
            # timestamps go up and down, and batches come by both routes
            at = NOW + 1000 * (number * 37 % 50)
            producer_id = 7 + number % 2
            producer = {
                "producer_id": producer_id,
                "producer_epoch": 0,
                "base_sequence": sequences[producer_id],
            }
            if number % 3 == 0:
                producer = {}
            if number % 10 == 9:
                values = [os.urandom(5000)]
            engine.append(log, batch(*values, at=at, codec=codec, **producer))
            sequences[producer_id] += len(values) if producer else 0
            engine.run()
            if number in (30, 60):
                engine.reopen(cleanly=number == 30)
    engine.run()
    lengths = {
        index: (engine.log(index=index).end_offset, engine.log(index=index)) for index in range(len(Codec))
    }
    engine.close()
    assert verify_directory(str(path)) == []
    return engine, lengths


def paths(engine, suffix):
    found = []
    for index in range(len(Codec)):
        found += [f"{engine.path}/t-{index}/{name}" for name in engine.files(index=index, suffix=suffix)]
    return found


def run(kafka_tools, *arguments):
    done = kafka_tools.run(TOOL, *arguments)
    assert done.returncode == 0, done.stderr
    complaints = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if any(word in line.lower() for word in COMPLAINTS)
        # said of every segment that doesn't begin at offset 0
        and not re.fullmatch(r"\s+-1 is followed by \d+", line)
    ]
    assert complaints == []
    return done.stdout


def test_every_batch_and_record_is_read_in_order(written, kafka_tools):
    engine, lengths = written
    files = paths(engine, ".log")
    assert len(files) > 20
    output = run(kafka_tools, "--deep-iteration", "--files", ",".join(files))
    ends = collections.Counter()
    records = 0
    index = None
    codecs = set()
    for line in output.splitlines():
        if line.startswith("Dumping "):
            index = int(line.rpartition("/")[0].rpartition("-")[2])
        elif found := BATCH_LINE.search(line):
            assert int(found[1]) == ends[index], line
            assert int(found[3]) == int(found[2]) - int(found[1]) + 1
            assert found[5] == "true"
            codecs.add(found[4].lower())
            ends[index] = int(found[2]) + 1
        elif RECORD_LINE.search(line):
            records += 1
    assert ends == {index: end for index, (end, _) in lengths.items()}
    assert records == sum(ends.values())
    assert codecs == {codec.name.lower() for codec in Codec}


@pytest.mark.parametrize("check", ["--index-sanity-check", "--verify-index-only"])
@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_indexes_pass_their_checks(written, kafka_tools, check, suffix):
    engine, _ = written
    files = paths(engine, suffix)
    assert len(files) > 20
    output = run(kafka_tools, check, "--files", ",".join(files))
    assert output.count("Dumping ") == len(files)
    if check == "--index-sanity-check":
        assert output.count("passed sanity check") == len(files)


def test_there_is_a_snapshot_at_each_roll_and_kafka_reads_what_ours_reads(written, kafka_tools):
    engine, lengths = written
    files = paths(engine, ".snapshot")
    bases = {
        f"{engine.path}/t-{index}/{segment.base_offset:020d}.snapshot"
        for index, (_, log) in lengths.items()
        for segment in log.segments[1:]
    }
    assert set(files) == bases
    output = run(kafka_tools, "--files", ",".join(files))
    shown = collections.Counter(re.findall(r"producerId: (\d+)", output))
    ours = collections.Counter()
    for path in files:
        ours.update(str(producer_id) for producer_id in snapshot_file.read(engine.vfs, path))
    assert shown == ours
    assert set(ours) == {"7", "8"}


def test_it_would_complain(written, kafka_tools, tmp_path):
    """The words that the tests above look for are those of the tool."""
    engine, _ = written
    source = paths(engine, ".index")[1]
    stem = source.removesuffix(".index")
    for suffix in (".log", ".timeindex"):
        with (
            open(stem + suffix, "rb") as file,
            open(tmp_path / f"{os.path.basename(stem)}{suffix}", "wb") as copy,
        ):
            copy.write(file.read())
    with open(source, "rb") as file:
        data = bytearray(file.read())
    data[7] ^= 8  # a position
    broken = tmp_path / os.path.basename(source)
    broken.write_bytes(data)
    done = kafka_tools.run(TOOL, "--verify-index-only", "--files", str(broken))
    assert any(word in (done.stdout + done.stderr).lower() for word in COMPLAINTS)
    with pytest.raises(CorruptionError):
        snapshot_file.decode(b"\0" * 20, "x")
