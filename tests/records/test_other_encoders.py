"""Batches that independent implementations wrote, and what they make of ours: aiokafka and kafka-python.

`golden.json` keeps batches as bytes, written by aiokafka, kafka-python and Kafka's own Java classes in each codec, so
that they are read on a machine without Java too.
"""

import json
import pathlib
import warnings

import aiokafka.record.default_records as aio
import pytest
from aiokafka.record._crecords import default_records as aio_compiled

from logbroker.records.batch import Codec, validate_from_client
from logbroker.records.builder import BatchBuilder
from logbroker.records.iterator import check_records, decode_records
from logbroker.records.recompress import recompress

with warnings.catch_warnings():  # it reads its own files in a way that Python 3.11 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.record.default_records as kp

GOLDEN = json.loads(pathlib.Path(__file__).with_name("golden.json").read_text())
NOW = 1_700_000_000_000
RECORDS = [
    (NOW, b"key", b"value", []),
    (NOW + 5, None, b"no key", [("trace", b"\x01\x02"), ("again", b"")]),
    (NOW - 7, b"", None, []),
    (NOW + 90_000, b"k" * 100, b"v" * 20_000, [("trace", None)]),
    *[(NOW + n, b"key %d" % n, b'{"n": %d}' % n, []) for n in range(200)],
]


def plain(record):
    return (
        record.timestamp_ms,
        None if record.key is None else bytes(record.key),
        None if record.value is None else bytes(record.value),
        [(key, None if value is None else bytes(value)) for key, value in record.headers],
    )


def aiokafka_writes(codec, builder_class):
    builder = builder_class(2, int(codec), True, 77, 3, 1000, 1 << 20)
    for offset, (time, key, value, headers) in enumerate(RECORDS):
        assert builder.append(offset, timestamp=time, key=key, value=value, headers=headers) is not None
    return bytes(builder.build())


def kafka_python_writes(codec):
    builder = kp.DefaultRecordBatchBuilder(2, int(codec), True, 77, 3, 1000, 1 << 20)
    for offset, (time, key, value, headers) in enumerate(RECORDS):
        assert builder.append(offset, time, key, value, headers) is not None
    return bytes(builder.build())


def we_write(codec):
    builder = BatchBuilder(
        codec=codec, producer_id=77, producer_epoch=3, base_sequence=1000, transactional=True
    )
    for time, key, value, headers in RECORDS:
        builder.append(time, key, value, headers)
    return bytes(builder.build())


def we_read(batch, codec):
    header = validate_from_client(batch, max_message_bytes=1 << 20)
    assert header.codec_id == codec
    assert header.record_count == len(RECORDS)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (77, 3, 1000)
    assert header.is_transactional
    assert (header.base_timestamp, header.max_timestamp) == (NOW, NOW + 90_000)
    assert check_records(batch, header).max_timestamp == NOW + 90_000
    assert [plain(record) for record in decode_records(batch)] == RECORDS


def they_read(batch_class, batch):
    read = batch_class(bytearray(batch))
    assert read.validate_crc()
    assert read.is_transactional
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in read] == [
        (offset, time, key, value, headers) for offset, (time, key, value, headers) in enumerate(RECORDS)
    ]


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize(
    "builder_class", [aio._DefaultRecordBatchBuilderPy, aio_compiled.DefaultRecordBatchBuilder]
)
def test_we_read_what_aiokafka_writes(codec, builder_class):
    we_read(aiokafka_writes(codec, builder_class), codec)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])  # its other codecs need packages of their own
def test_we_read_what_kafka_python_writes(codec):
    we_read(kafka_python_writes(codec), codec)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("batch_class", [aio._DefaultRecordBatchPy, aio_compiled.DefaultRecordBatch])
def test_aiokafka_reads_what_we_write(codec, batch_class):
    they_read(batch_class, we_write(codec))


@pytest.mark.parametrize("codec", Codec)
def test_aiokafka_reads_what_we_recompress(codec):
    for source in Codec:
        theirs = aiokafka_writes(source, aio._DefaultRecordBatchBuilderPy)
        they_read(aio._DefaultRecordBatchPy, recompress(theirs, codec))


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_kafka_python_reads_what_we_write(codec):
    they_read(kp.DefaultRecordBatch, we_write(codec))


def test_uncompressed_bytes_are_the_same_from_all_of_us():
    ours = we_write(Codec.NONE)
    assert ours == aiokafka_writes(Codec.NONE, aio_compiled.DefaultRecordBatchBuilder)[: len(ours)]
    # kafka-python stamps leader epoch 0 where the others leave -1
    theirs = kafka_python_writes(Codec.NONE)
    assert ours[:12] + ours[16:] == theirs[:12] + theirs[16:]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes_are_read(name):
    batch = bytes.fromhex(GOLDEN[name])
    header = validate_from_client(batch, max_message_bytes=1 << 20)
    assert name.split()[-1].upper() == Codec(header.codec_id).name
    assert [plain(record) for record in decode_records(batch)] == [
        (NOW, b"key", b"value", []),
        (NOW + 5, None, b"no key", [("trace", b"\x01\x02"), ("again", b"")]),
        (NOW - 7, b"", None, [("none", None)]),
        (NOW + 90_000, b"k", b"v" * 200, []),
    ]
