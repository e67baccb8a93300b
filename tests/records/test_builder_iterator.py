"""What was built is what is read, in every codec, and hostile bytes raise one kind of error."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.records.batch import (
    HEADER_SIZE,
    Codec,
    check_crc,
    parse_header,
    stamp_log_append_time,
    validate_from_client,
)
from logbroker.records.builder import BatchBuilder, build_batch, encode_varint, write_header
from logbroker.records.iterator import (
    WALKED_BYTES_MAX,
    InvalidRecordError,
    check_records,
    decode_records,
    iter_records,
)
from logbroker.records.recompress import recompress

NOW = 1_700_000_000_000
BOUND = 1 << 22

byte_strings = st.none() | st.binary(max_size=40) | st.integers(100, 9000).map(lambda n: b"v" * n)
header_lists = st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=20)), max_size=4)
record_lists = st.lists(
    st.tuples(st.integers(-1, 2**45), byte_strings, byte_strings, header_lists), min_size=1, max_size=20
)


def plain(record):
    headers = [(key, None if value is None else bytes(value)) for key, value in record.headers]
    key = None if record.key is None else bytes(record.key)
    value = None if record.value is None else bytes(record.value)
    return record.offset, record.timestamp_ms, key, value, headers


def expected(records, base_offset=0):
    return [
        (base_offset + index, time, key, value, headers)
        for index, (time, key, value, headers) in enumerate(records)
    ]


@settings(max_examples=150)
@given(records=record_lists, codec=st.sampled_from(Codec), base_offset=st.integers(0, 2**60))
def test_what_is_built_is_read(records, codec, base_offset):
    batch = build_batch(records, codec=codec, base_offset=base_offset)
    header = parse_header(batch)
    check_crc(batch, header)
    assert header.codec_id == codec
    assert header.record_count == len(records)
    assert header.base_timestamp == records[0][0]
    assert header.max_timestamp == max(time for time, *_ in records)
    assert [plain(record) for record in decode_records(batch)] == expected(records, base_offset)
    checked = check_records(batch, header, max_decompressed_bytes=BOUND)
    assert checked.max_timestamp == header.max_timestamp
    again = memoryview(b"pad" + batch + b"tail")
    assert [plain(r) for r in iter_records(again, 3, header=header)] == expected(records, base_offset)


@settings(max_examples=60)
@given(
    records=record_lists,
    source=st.sampled_from(Codec),
    target=st.sampled_from(Codec),
    with_payload=st.booleans(),
)
def test_recompression_changes_nothing_but_the_codec(records, source, target, with_payload):
    batch = build_batch(
        records, codec=source, producer_id=9, producer_epoch=2, base_sequence=77, transactional=True
    )
    header = parse_header(batch)
    payload = check_records(batch, header).payload if with_payload else None
    changed = recompress(batch, target, payload=payload)
    validate_from_client(changed, max_message_bytes=BOUND)
    after = parse_header(changed)
    assert after == header._replace(length=after.length, crc=after.crc, attributes=0x10 | target)
    assert [plain(r) for r in decode_records(changed)] == [plain(r) for r in decode_records(batch)]


def test_recompression_keeps_leader_fields_and_log_append_time():
    batch = build_batch([(NOW, b"k", b"v", ())], base_offset=500, leader_epoch=4, codec=Codec.GZIP)
    stamp_log_append_time(batch, NOW + 5)
    header = parse_header(recompress(batch, Codec.NONE))
    assert (header.base_offset, header.partition_leader_epoch) == (500, 4)
    assert header.is_log_append_time
    assert header.max_timestamp == NOW + 5


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_are_protobufs_sint(number):
    value = (number << 1) ^ (number >> 63)
    expected_bytes = bytearray()
    while value > 0x7F:
        expected_bytes.append(value & 0x7F | 0x80)
        value >>= 7
    expected_bytes.append(value)
    assert encode_varint(number) == expected_bytes


def test_the_builder_knows_its_size_and_can_build_twice():
    builder = BatchBuilder()
    for index in range(300):
        assert builder.append(NOW + index, b"k" * index, None, [("h", b"x")]) == index
        assert builder.size_bytes == len(builder.build())
    assert builder.build() == builder.build()
    assert builder.record_count == 300


def test_gaps_and_a_later_end_survive_as_compaction_leaves_them():
    builder = BatchBuilder(base_offset=100, producer_id=3, producer_epoch=0, base_sequence=40)
    builder.append(NOW, b"a", b"1", offset=102)
    builder.append(NOW - 50, b"b", b"2", offset=150)
    with pytest.raises(ValueError, match="does not follow"):
        builder.append(NOW, b"c", b"3", offset=150)
    batch = builder.build(last_offset_delta=60)
    header = parse_header(batch)
    assert (header.last_offset, header.last_sequence, header.record_count) == (160, 100, 2)
    assert [(r.offset, r.timestamp_ms) for r in decode_records(batch)] == [(102, NOW), (150, NOW - 50)]
    with pytest.raises(ValueError, match="last offset delta 49"):
        builder.build(last_offset_delta=49)
    with pytest.raises(InvalidRecordError, match="offset delta is 2 where 0"):
        check_records(batch, header)


def test_an_empty_batch_keeps_its_place():
    builder = BatchBuilder(base_offset=9, producer_id=3, producer_epoch=0, base_sequence=40, codec=Codec.LZ4)
    with pytest.raises(ValueError, match="0 records"):
        builder.build()
    batch = builder.build(last_offset_delta=4)
    assert len(batch) == HEADER_SIZE
    assert parse_header(batch).last_offset == 13
    assert decode_records(batch) == []


def test_control_and_append_time_flags():
    builder = BatchBuilder(control=True, transactional=True, log_append_time_ms=NOW + 7)
    builder.append(NOW, b"\0\0\0\1", b"\0\0\0\0\0\0")
    header = parse_header(builder.build())
    assert header.is_control
    assert header.is_transactional
    assert header.is_log_append_time
    assert decode_records(builder.build())[0].timestamp_ms == NOW + 7


def test_header_keys_that_are_no_text_survive():
    key = b"\xff\xfe".decode("utf-8", "surrogateescape")
    (record,) = decode_records(build_batch([(NOW, None, None, [(key, b"\xff")])]))
    assert record.headers[0][0].encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_keys_and_values_are_views_not_copies():
    batch = build_batch([(NOW, b"key", b"value", [("h", b"x")])])
    (record,) = decode_records(batch)
    assert record.value.obj is batch
    assert record.key.obj is batch
    assert record.headers[0][1].obj is batch


def test_compacted_topics_refuse_null_keys_and_say_which():
    batch = build_batch([(NOW, b"a", None, ()), (NOW, b"", None, ()), (NOW, None, b"x", ())])
    header = parse_header(batch)
    check_records(batch, header)
    with pytest.raises(InvalidRecordError, match=r"record 2 of the batch.*without a key") as caught:
        check_records(batch, header, require_keys=True)
    assert (caught.value.record_index, caught.value.code) == (2, ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("time", [NOW - 11, NOW + 6])
def test_each_records_timestamp_can_be_checked(time):
    batch = build_batch([(NOW, b"a", b"", ()), (-1, b"a", b"", ()), (time, b"a", b"", ())])
    header = parse_header(batch)
    check_records(batch, header, earliest_ms=NOW - 11, latest_ms=NOW + 6)
    with pytest.raises(InvalidRecordError, match=str(time)) as caught:
        check_records(batch, header, earliest_ms=NOW - 10, latest_ms=NOW + 5)
    assert (caught.value.record_index, caught.value.code) == (2, ErrorCode.INVALID_TIMESTAMP)
    with pytest.raises(InvalidRecordError):
        check_records(batch, header, earliest_ms=NOW - 10) if time < NOW else check_records(
            batch, header, latest_ms=NOW + 5
        )


def test_a_lying_max_timestamp_is_found():
    batch = build_batch([(NOW, None, b"", ()), (NOW + 30, None, b"", ()), (NOW + 20, None, b"", ())])
    header = parse_header(batch)._replace(max_timestamp=5)
    assert check_records(batch, header).max_timestamp == NOW + 30


def with_payload(payload, count=1, codec=Codec.NONE, base_timestamp=NOW):
    """A batch whose CRC is right and whose inside is `payload`."""
    batch = bytearray(HEADER_SIZE) + payload
    write_header(
        batch,
        base_offset=0,
        leader_epoch=0,
        attributes=int(codec),
        last_offset_delta=max(count - 1, 0),
        base_timestamp=base_timestamp,
        max_timestamp=NOW,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        record_count=count,
    )
    return batch


TOO_LONG = b"\xff" * 5 + b"\x01"
LIES = [
    (b"\x0d" + bytes(6), "record length -7"),
    (b"\x40" + bytes(6), "record length 32"),
    (b"\x0e" + bytes(7), "its fields end at byte 7, its length at byte 8"),
    (b"\x0a" + bytes(6), "its fields end at byte 7, its length at byte 6"),
    (b"\x0c" + bytes(7), "1 bytes follow the last of the batch's 1 records"),
    (TOO_LONG + bytes(8), "longer than the 5 bytes"),
    (b"\x20\0" + b"\xff" * 10 + b"\x01" + bytes(4), "longer than the 10 bytes"),
    (b"\x1c\0" + b"\xff" * 9 + b"\x01" + bytes(4), "timestamp delta before byte 12 is out of range"),
    (b"\x0c\0\0\0\x08" + bytes(2), "key length 4"),
    (b"\x0c\0\0\0\0\x08" + bytes(1), "value length 4"),
    (b"\x0c\0\0\0\0\0\x01", "header count -1"),
    (b"\x0c\0\0\0\0\0\x02", "header count 1"),
    (b"\x10\0\0\0\0\0\x02\x01\x01", "header key length -1"),
    (b"\x10\0\0\0\0\0\x02\x08\x01", "header key length 4"),
    (b"\x10\0\0\0\0\0\x02\0\x08", "header value length 4"),
    (b"\x0c\0\0\0\x01\x01\x80", "the payload ends at byte 7"),
    (b"\x0c\0\0\0\x01\xff\xff", "the payload ends at byte 7"),
]


@pytest.mark.parametrize(("payload", "says"), LIES)
@pytest.mark.parametrize("reader", ["decode", "check"])
def test_lying_records_are_named(payload, says, reader):
    batch = with_payload(payload)
    validate_from_client(batch, max_message_bytes=BOUND)
    with pytest.raises(InvalidBatchError, match=says) as caught:
        decode_records(batch) if reader == "decode" else check_records(batch, parse_header(batch))
    assert caught.value.code == ErrorCode.INVALID_RECORD


def test_the_index_is_that_of_the_bad_record():
    record = b"\x0c\0\0\0\x01\x01\0"
    second = b"\x0c\0\0\x02\x01\x01\0"
    bad = b"\x0c\0\0\x04\x01\x09\0"
    assert len(decode_records(with_payload(record + second, count=2))) == 2
    batch = with_payload(record + second + bad[:5] + b"\x08\0", count=3)
    for read in (decode_records, lambda buffer: check_records(buffer, parse_header(buffer))):
        with pytest.raises(InvalidRecordError, match="record 2") as caught:
            read(batch)
        assert caught.value.record_index == 2


def test_a_count_that_cannot_be_is_refused_before_anything_is_made_for_it():
    for codec in Codec:
        packed = build_batch([(NOW, b"k", b"v", ())], codec=codec)
        batch = with_payload(packed[HEADER_SIZE:], count=2**31 - 1, codec=codec)
        with pytest.raises(InvalidBatchError, match="2147483647 records can't lie in"):
            decode_records(batch)
    for payload in (bytes(7), b""):
        with pytest.raises(InvalidBatchError, match="-5 records can't lie in"):
            decode_records(with_payload(payload, count=-5))


def test_nothing_is_made_of_headers_that_are_only_walked():
    """Two bytes each, and next to nothing compressed: as objects they would be fifty times as much."""
    fields = b"\0\0\0\x01\x01" + encode_varint(500_000) + b"\0\x01" * 500_000
    batch = with_payload(encode_varint(len(fields)) + fields)
    tracemalloc.start()
    try:
        check_records(batch, parse_header(batch))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(batch)


def test_a_broker_walks_no_more_than_its_bound():
    value = bytes(WALKED_BYTES_MAX)
    batch = build_batch([(NOW, None, value, ())], codec=Codec.ZSTD)
    assert len(batch) < 10_000
    with pytest.raises(InvalidBatchError, match="more than the") as caught:
        check_records(batch, parse_header(batch))
    assert caught.value.code == ErrorCode.MESSAGE_TOO_LARGE
    assert check_records(batch, parse_header(batch), max_decompressed_bytes=2 * len(value)).payload


def test_timestamps_stay_int64():
    with pytest.raises(InvalidBatchError, match="base timestamp"):
        decode_records(with_payload(b"\x0c\0\0\0\x01\x01\0", base_timestamp=1 << 62))


@pytest.mark.parametrize("codec", Codec)
def test_truncation_at_every_byte_is_refused(codec):
    batch = build_batch([(NOW + i, b"key", b"value%d" % i, [("h", b"x")]) for i in range(5)], codec=codec)
    for size in range(len(batch)):
        with pytest.raises(InvalidBatchError):
            decode_records(batch[:size])
    for size in range(HEADER_SIZE, len(batch)):
        with pytest.raises(InvalidBatchError):
            decode_records(with_payload(batch[HEADER_SIZE:size], count=5, codec=codec))


def mutate(rng, batch):
    """Damage behind the CRC's back: the payload changes and the CRC is made to agree."""
    payload = bytearray(batch[HEADER_SIZE:])
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        kind = rng.randrange(4)
        at = rng.randrange(len(payload)) if payload else 0
        if kind == 0 and payload:
            payload[at] = rng.randrange(256)
        elif kind == 1 and payload:
            payload[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            payload[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del payload[at : at + rng.randrange(1, 20)]
    header = parse_header(batch)
    count = rng.choice((header.record_count, header.record_count, rng.randrange(-2, 40)))
    return with_payload(
        payload, count=count, codec=rng.choice((header.codec_id, header.codec_id, rng.randrange(5)))
    )


READERS = (
    lambda batch: decode_records(batch, max_decompressed_bytes=BOUND),
    lambda batch: check_records(batch, parse_header(batch), require_keys=True, max_decompressed_bytes=BOUND),
    lambda batch: recompress(batch, Codec.SNAPPY, max_decompressed_bytes=BOUND),
)


def hostile(seed, rounds):
    rng = random.Random(seed)
    batches = [
        build_batch(
            [
                (
                    NOW + i,
                    rng.randbytes(5),
                    rng.randbytes(rng.randrange(200)),
                    [("trace", b"abc"), ("n", None)],
                )
                for i in range(rng.randrange(1, 30))
            ],
            codec=codec,
        )
        for codec in Codec
        for _ in range(4)
    ]
    read = 0
    for _ in range(rounds):
        batch = mutate(rng, rng.choice(batches))
        for reader in READERS:
            try:
                reader(batch)
            except InvalidBatchError:
                continue
            read += 1
    return read


def test_mutated_batches_raise_only_invalid_batch_errors():
    assert hostile(seed=20_240, rounds=3_000) > 300


@pytest.mark.long
def test_many_mutated_batches_raise_only_invalid_batch_errors():
    assert hostile(seed=random.randrange(2**32), rounds=200_000) > 20_000
