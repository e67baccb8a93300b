"""Transaction markers: byte for byte those of Kafka, and read back."""

import pathlib

import pytest

from logbroker.base.errors import InvalidBatchError
from logbroker.records.batch import HEADER, crc32c, parse_header
from logbroker.records.builder import BatchBuilder
from logbroker.records.control import Marker, build_marker, parse_marker

PROGRAM = pathlib.Path(__file__).with_name("java") / "MarkerCheck.java"
NOW = 1_700_000_000_000
MARKERS = [
    ("commit", NOW, 4000, 0, 0),
    ("abort", NOW + 1, 4001, 7, 3),
    ("abort", 0, 0, 32_767, 2**31 - 1),
    ("commit", NOW, 2**62, 1, -1),
]


def marker_of(kind, time, producer_id, epoch, coordinator_epoch):
    return build_marker(producer_id, epoch, coordinator_epoch, commit=kind == "commit", timestamp_ms=time)


@pytest.mark.java
def test_a_marker_is_the_one_that_kafka_writes(kafka_tools):
    done = kafka_tools.run(str(PROGRAM), *(" ".join(map(str, marker)) for marker in MARKERS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [marker_of(*marker).hex() for marker in MARKERS]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_read_back(marker):
    batch = marker_of(*marker)
    header = parse_header(batch)
    assert header.is_control
    assert header.is_transactional
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (marker[2], marker[3], -1)
    assert parse_marker(batch, header) == Marker(marker[0] == "commit", marker[4])


def control(key, value):
    builder = BatchBuilder(producer_id=1, producer_epoch=0, transactional=True, control=True)
    builder.append(NOW, key, value)
    return builder.build()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"\0\0\0\2", b"\0\0"),  # a leader change, of KRaft
        (b"\0\0\0\6", None),
    ],
)
def test_other_control_records_end_nothing(key, value):
    batch = control(key, value)
    assert parse_marker(batch, parse_header(batch)) is None


def test_a_newer_marker_may_say_more():
    batch = control(b"\0\1\0\1more", b"\0\1\0\0\0\5more")
    assert parse_marker(batch, parse_header(batch)) == Marker(commit=True, coordinator_epoch=5)


def test_an_empty_control_batch_ends_nothing():
    batch = BatchBuilder(producer_id=1, producer_epoch=0, transactional=True, control=True).build(
        last_offset_delta=0
    )
    assert parse_marker(batch, parse_header(batch)) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [(None, b"\0\0\0\0\0\0"), (b"\0\0\0", b"\0\0\0\0\0\0"), (b"\0\0\0\1", b"\0\0\0"), (b"\0\0\0\1", None)],
)
def test_what_is_no_marker_is_called_damaged(key, value):
    batch = control(key, value)
    with pytest.raises(InvalidBatchError):
        parse_marker(batch, parse_header(batch))


def test_a_record_count_that_lies_is_called_damaged():
    batch = bytearray(marker_of(*MARKERS[0]))
    HEADER.pack_into(batch, 0, *parse_header(batch)._replace(record_count=5))
    batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
    with pytest.raises(InvalidBatchError):
        list(map(str, [parse_marker(batch[:70], parse_header(batch))]))
