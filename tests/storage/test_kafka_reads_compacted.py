"""Kafka's DumpLogSegments over compacted segments: it complains of nothing, and finds what we find."""

from __future__ import annotations

import pathlib
import random
import re

import pytest
from storage.support import NOW, Engine
from storage.test_compaction import COMPACT, clean, put
from storage.test_kafka_reads_it import BATCH_LINE, COMPLAINTS, RECORD_LINE, TOOL

from logbroker.records.batch import Codec, iter_batches
from logbroker.storage.transactions import append_marker
from logbroker.storage.verify import verify_directory

pytestmark = pytest.mark.java


@pytest.fixture(scope="module")
def compacted(tmp_path_factory):
    """Every codec, idempotent producers, transactions, tombstones, three passes."""
    path = tmp_path_factory.mktemp("compacted")
    engine = Engine(path)
    engine.open()
    for index, codec in enumerate(Codec):
        log = engine.create(index=index, **COMPACT)
        rng = random.Random(index)
        for _ in range(3):
            for number in range(60):
                content = [
                    (b"k%d" % rng.randrange(15), None if rng.random() < 0.1 else rng.randbytes(40))
                    for _ in range(rng.randrange(1, 4))
                ]
                options = {}
                if number % 3 == 0:
                    producer_id = 7 + number % 2
                    entry = log.producers.get(producer_id)
                    sequence = entry.last_sequence + 1 if entry is not None else 0
                    options = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": sequence}
                    options["transactional"] = producer_id == 8
                put(engine, log, *content, at=NOW + number, codec=codec, **options)
                if options.get("transactional"):
                    append_marker(log, 8, 0, 0, 0, commit=rng.random() < 0.5)
            engine.run()
            clean(engine, log)
            engine.tick(70_000)
    engine.run()
    engine.close()
    assert verify_directory(str(path)) == []
    return engine


def paths(engine, suffix):
    return [
        f"{engine.path}/t-{index}/{name}"
        for index in range(len(Codec))
        for name in engine.files(index=index, suffix=suffix)
    ]


def _rises(line):
    found = re.fullmatch(r"\s+(-?\d+) is followed by (\d+)", line)
    return found is not None and int(found[1]) < int(found[2])


def run(kafka_tools, *arguments):
    """The tool's output; it may say that offsets are missing, and nothing else."""
    done = kafka_tools.run(TOOL, *arguments)
    assert done.returncode == 0, done.stderr
    complaints = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if any(word in line.lower() for word in COMPLAINTS) and not _rises(line)
    ]
    assert complaints == []
    return done.stdout


def test_every_batch_and_record_is_read(compacted, kafka_tools):
    files = paths(compacted, ".log")
    output = run(kafka_tools, "--deep-iteration", "--files", ",".join(files))
    batches = records = empty = horizons = 0
    for line in output.splitlines():
        if found := BATCH_LINE.search(line):
            assert found[5] == "true", line
            batches += 1
            empty += int(found[3]) == 0
            horizons += "deleteHorizonMs: OptionalLong[" in line
        elif RECORD_LINE.search(line):
            records += 1
    ours = [
        header
        for path in files
        for _, header in iter_batches(pathlib.Path(path).read_bytes(), verify_crc=True)
    ]
    assert batches == len(ours)
    assert records == sum(header.record_count for header in ours)
    assert empty == sum(header.record_count == 0 for header in ours) > 0
    assert horizons == sum(header.has_delete_horizon for header in ours) > 0


@pytest.mark.parametrize("check", ["--index-sanity-check", "--verify-index-only"])
@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_indexes_pass_their_checks(compacted, kafka_tools, check, suffix):
    files = paths(compacted, suffix)
    output = run(kafka_tools, check, "--files", ",".join(files))
    assert output.count("Dumping ") == len(files)


def test_the_indexes_of_aborted_transactions_are_read(compacted, kafka_tools):
    files = paths(compacted, ".txnindex")
    if files:
        run(kafka_tools, "--files", ",".join(files))
