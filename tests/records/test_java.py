"""Our batches in Kafka's own Java classes and theirs in ours; both sides' verdict on batches that lie."""

import pathlib
import subprocess

import pytest

from logbroker.base.errors import InvalidBatchError
from logbroker.records.batch import (
    CONTROL_MASK,
    CRC_START,
    HEADER,
    TIMESTAMP_TYPE_MASK,
    Codec,
    crc32c,
    parse_header,
    validate_from_client,
)
from logbroker.records.builder import BatchBuilder, build_batch
from logbroker.records.iterator import check_records, decode_records
from logbroker.records.recompress import recompress

pytestmark = [pytest.mark.java]

PROGRAM = pathlib.Path(__file__).with_name("java") / "RecordsCheck.java"
NOW = 1_700_000_000_000
IDEMPOTENT = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
RECORDS = [
    (NOW, b"key", b"value", []),
    (NOW + 5, None, b"no key", [("trace", b"\x01\x02"), ("again", b"")]),
    (NOW - 7, b"", None, [("none", None), ("ümläut", b"x")]),
    (NOW + 90_000, b"k" * 100, b"v" * 200_000, []),
    (NOW + 1, b"zeros", bytes(300_000), []),
    *[(NOW + n, b"key %d" % n, b'{"n": %d}' % n, []) for n in range(2000)],
]


def sealed(batch, **fields):
    """The batch with header fields changed and a CRC that agrees, unless it is one of them."""
    changed = bytearray(batch)
    HEADER.pack_into(changed, 0, *parse_header(changed)._replace(**fields))
    if "crc" not in fields:
        changed[17:21] = crc32c(changed[CRC_START:]).to_bytes(4, "big")
    return changed


def good(count=3, **options):
    return build_batch([(NOW + i, b"key", b"value", ()) for i in range(count)], **options)


LIES = {
    "nothing wrong": good(),
    "nothing wrong, packed": good(codec=Codec.ZSTD, **IDEMPOTENT),
    "empty": b"",
    "cut in the header": good()[:40],
    "cut in the payload": good()[:-1],
    "length 5": sealed(good(), length=5),
    "length below a header": sealed(good(), length=48),
    "length negative": sealed(good(), length=-1),
    "two batches": bytes(good()) + bytes(good()),
    "magic -1": sealed(good(), magic=-1),
    "magic 0": sealed(good(), magic=0),
    "magic 1": sealed(good(), magic=1),
    "magic 3": sealed(good(), magic=3),
    "crc": sealed(good(), crc=1),
    "count 0": sealed(good(), record_count=0),
    "count negative": sealed(good(), record_count=-1),
    "count above delta": sealed(good(), record_count=4),
    "delta negative": sealed(good(), last_offset_delta=-5),
    "count above payload": sealed(good(), record_count=900, last_offset_delta=899),
    "control batch": sealed(good(), attributes=CONTROL_MASK),
    "no sequence": sealed(good(**IDEMPOTENT), base_sequence=-1),
}
DIFFERENT_ON_PURPOSE = {
    # ours is the more telling answer; nobody's client sends these
    "length huge": (sealed(good(), length=2**31 - 1), "UNKNOWN_SERVER_ERROR", "INVALID_RECORD"),
    "codec 5": (sealed(good(), attributes=5), "UNKNOWN_SERVER_ERROR", "UNSUPPORTED_COMPRESSION_TYPE"),
    "append time": (sealed(good(), attributes=TIMESTAMP_TYPE_MASK), "NONE", "INVALID_TIMESTAMP"),
    "delete horizon": (sealed(good(), attributes=0x40), "NONE", "INVALID_RECORD"),
    "no epoch": (sealed(good(**IDEMPOTENT), producer_epoch=-1), "NONE", "INVALID_RECORD"),
    "no producer": (sealed(good(), attributes=0x10), "NONE", "INVALID_RECORD"),
    "stray bytes": (bytes(good()) + b"stray", "NONE", "INVALID_RECORD"),
}


def line(offset, record):
    def hexed(data):
        return "null" if data is None else "x" + bytes(data).hex()

    time, key, value, headers = record
    fields = [str(offset), str(time), hexed(key), hexed(value)]
    fields += [f"{hexed(name.encode())}={hexed(data)}" for name, data in headers]
    return " ".join(fields) + "\n"


RECORDS_TEXT = "".join(line(offset, record) for offset, record in enumerate(RECORDS))


@pytest.fixture(scope="module")
def exchanged(kafka_lib, tmp_path_factory):
    """One Java process reads, writes and judges everything the tests below ask about."""
    directory = tmp_path_factory.mktemp("java")
    for name in ("read", "judge", "write"):
        (directory / name).mkdir()
    for codec in Codec:
        batch = build_batch(RECORDS, codec=codec)
        (directory / "read" / f"{codec.name}.batch").write_bytes(batch)
        for target in Codec:
            changed = recompress(batch, target)
            (directory / "read" / f"{codec.name}-{target.name}.batch").write_bytes(changed)
    gaps = BatchBuilder(base_offset=500, log_append_time_ms=NOW + 9, codec=Codec.LZ4, **IDEMPOTENT)
    gaps.append(NOW, b"a", b"1", offset=503)
    gaps.append(NOW + 1, b"b", b"2", offset=507)
    (directory / "read" / "gaps.batch").write_bytes(gaps.build(last_offset_delta=20))
    for name, batch in [*LIES.items(), *((n, c[0]) for n, c in DIFFERENT_ON_PURPOSE.items())]:
        (directory / "judge" / f"{name}.batch").write_bytes(batch)
    (directory / "write" / "records.txt").write_text(RECORDS_TEXT)
    done = subprocess.run(
        [
            "java",
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            f"{kafka_lib}/*",
            str(PROGRAM),
            str(directory),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.mark.parametrize("codec", Codec)
def test_java_reads_what_we_write(exchanged, codec):
    assert (exchanged / "read" / f"{codec.name}.txt").read_text() == RECORDS_TEXT


@pytest.mark.parametrize("codec", Codec)
def test_java_reads_what_we_recompress(exchanged, codec):
    for source in Codec:
        assert (exchanged / "read" / f"{source.name}-{codec.name}.txt").read_text() == RECORDS_TEXT


def test_java_reads_gaps_and_append_time(exchanged):
    expected = line(503, (NOW + 9, b"a", b"1", [])) + line(507, (NOW + 9, b"b", b"2", []))
    assert (exchanged / "read" / "gaps.txt").read_text() == expected


@pytest.mark.parametrize("codec", Codec)
def test_we_read_what_java_writes(exchanged, codec):
    batch = (exchanged / "write" / f"{codec.name.lower()}.batch").read_bytes()
    header = validate_from_client(batch, max_message_bytes=1 << 20)
    assert header.codec_id == codec
    assert check_records(batch, header).max_timestamp == NOW + 90_000
    read = [(r.timestamp_ms, r.key, r.value, list(r.headers)) for r in decode_records(batch)]
    assert "".join(line(offset, record) for offset, record in enumerate(read)) == RECORDS_TEXT


def our_verdict(batch):
    try:
        check_records(batch, validate_from_client(batch, max_message_bytes=1 << 20))
    except InvalidBatchError as error:
        return error.code.name
    return "NONE"


@pytest.mark.parametrize("name", LIES)
def test_a_lie_gets_the_answer_that_kafka_gives(exchanged, name):
    assert our_verdict(LIES[name]) == (exchanged / "judge" / f"{name}.code").read_text()


@pytest.mark.parametrize("name", DIFFERENT_ON_PURPOSE)
def test_where_we_are_stricter_than_kafka(exchanged, name):
    batch, kafkas, ours = DIFFERENT_ON_PURPOSE[name]
    assert our_verdict(batch) == ours
    assert (exchanged / "judge" / f"{name}.code").read_text() == kafkas
