"""Every client reads what every other wrote: in each codec, idempotent or not, byte for byte.

A writer's topic has a partition for each codec and kind of producer; each reader reads them all.
"""

from __future__ import annotations

import itertools
import random
import time

import pytest
from samples import as_seen_by, awkward, by_partition, content, described
from support.client_driver import CODECS, KINDS

COMBINATIONS = list(itertools.product(CODECS, (False, True)))


@pytest.fixture(scope="session")
def written_by(client, new_topic):
    """(topic, records by partition, when it was begun) of a writer; written once."""
    done = {}

    def write(name):
        if name not in done:
            writer = client(name)
            topic = new_topic(f"by-{name}", partitions=len(COMBINATIONS))
            began_ms = time.time_ns() // 1_000_000
            records = {}
            for partition, (codec, idempotence) in enumerate(COMBINATIONS):
                records[partition] = awkward(writer.kind, partition, f"{name} {codec} {idempotence}")
                reports = writer.call(
                    "produce", topic=topic, records=records[partition], codec=codec, idempotence=idempotence
                )
                if writer.kind.reports:
                    expected = [(partition, offset) for offset in range(len(records[partition]))]
                    assert [tuple(report[:2]) for report in reports] == expected
            done[name] = (topic, records, began_ms)
        return done[name]

    return write


@pytest.mark.parametrize("reader", KINDS)
@pytest.mark.parametrize("writer", KINDS)
def test_what_was_written_is_read(writer, reader, written_by, client):
    topic, written, began_ms = written_by(writer)
    spans = {partition: [0, len(records)] for partition, records in written.items()}
    isolation = "read_committed" if list(KINDS).index(writer) % 2 else "read_uncommitted"
    read = by_partition(client(reader).call("consume", topic=topic, spans=spans, isolation=isolation))
    assert read.keys() == written.keys()
    for partition, records in written.items():
        combination = COMBINATIONS[partition]
        assert [record["o"] for record in read[partition]] == list(range(len(records))), combination
        expected = [as_seen_by(KINDS[reader], record) for record in records]
        assert [content(record) for record in read[partition]] == expected, combination
        for expected, got in zip(records, read[partition], strict=True):
            if expected["t"] is not None:
                assert got["t"] == expected["t"], combination
            else:
                assert began_ms <= got["t"] <= time.time() * 1000, combination


@pytest.mark.parametrize("name", KINDS)
def test_records_of_a_million_bytes(name, client, new_topic):
    chance = random.Random(name)
    topic = new_topic("large", partitions=len(CODECS))
    written = {}
    for partition, codec in enumerate(CODECS):
        written[partition] = [
            described(partition, b"large", chance.randbytes(1_000_000)),
            described(partition, b"small", b"after it"),
        ]
        client(name).call(
            "produce", topic=topic, records=written[partition], codec=codec, idempotence=partition % 2 == 0
        )
    spans = {partition: [0, 2] for partition in written}
    readers = list(KINDS)
    # Two readers for each writer here: itself and the next; the whole square is the test above.
    for reader in {name, readers[(readers.index(name) + 1) % len(readers)]}:
        read = by_partition(client(reader).call("consume", topic=topic, spans=spans))
        for partition, records in written.items():
            assert [content(record) for record in read[partition]] == [content(record) for record in records]
