"""The v2 batch header: what is proved, what is stamped, and with which code each lie is answered."""

import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.records import batch as b
from logbroker.records.builder import build_batch

NOW = 1_700_000_000_000
LIMIT = 1_048_588


def sealed(batch, **fields):
    """The batch with header fields changed and, unless `crc` is one of them, a CRC that agrees."""
    changed = bytearray(batch)
    header = b.parse_header(changed)._replace(**fields)
    b.HEADER.pack_into(changed, 0, *header)
    if "crc" not in fields:
        struct.pack_into(">I", changed, 17, crc32c(memoryview(changed)[b.CRC_START :]))
    return changed


def good(count=3, **options):
    return build_batch([(NOW + i, b"key", b"value", ()) for i in range(count)], **options)


def validate(batch, limit=LIMIT, **options):
    return b.validate_from_client(batch, max_message_bytes=limit, **options)


def test_the_layout_is_kafkas():
    header = b.parse_header(good(producer_id=7, producer_epoch=1, base_sequence=5, transactional=True))
    assert b.HEADER_SIZE == 61
    assert header.size_bytes == len(good(producer_id=7))
    assert header[:4] == (0, header.size_bytes - 12, -1, 2)
    assert header.attributes == 0x10
    assert header[6:] == (2, NOW, NOW + 2, 7, 1, 5, 3)
    assert (header.last_offset, header.next_offset, header.last_sequence) == (2, 3, 7)
    assert header.is_transactional
    assert header.has_producer_id
    assert not header.is_control
    assert not header.is_log_append_time
    assert not header.has_delete_horizon


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_a_good_batch_passes_in_any_buffer(view):
    batch = good(producer_id=7, producer_epoch=0, base_sequence=0)
    assert validate(view(batch)) == b.parse_header(batch)
    assert validate(memoryview(b"xx" + batch)[2:]) == b.parse_header(batch)


@pytest.mark.parametrize("codec", b.Codec)
def test_every_codec_passes(codec):
    assert validate(good(codec=codec)).codec_id == codec


def test_exactly_the_allowed_size_passes():
    batch = good()
    validate(batch, limit=len(batch))
    with pytest.raises(InvalidBatchError, match=r"max\.message\.bytes") as caught:
        validate(batch, limit=len(batch) - 1)
    assert caught.value.code == ErrorCode.MESSAGE_TOO_LARGE


IDEMPOTENT = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
LIES = [
    ({"magic": 3}, ErrorCode.CORRUPT_MESSAGE, "magic 3"),
    ({"magic": -1}, ErrorCode.CORRUPT_MESSAGE, "magic -1"),
    ({"magic": 0}, ErrorCode.INVALID_RECORD, "format v0"),
    ({"magic": 1}, ErrorCode.INVALID_RECORD, "format v1"),
    ({"length": 48}, ErrorCode.CORRUPT_MESSAGE, "length 48"),
    ({"length": -1}, ErrorCode.CORRUPT_MESSAGE, "length -1"),
    ({"length": 2**31 - 1}, ErrorCode.INVALID_RECORD, "says it has"),
    ({"length": 60}, ErrorCode.INVALID_RECORD, "exactly one"),
    ({"base_offset": 1}, ErrorCode.INVALID_RECORD, "base offset"),
    ({"base_offset": -1}, ErrorCode.INVALID_RECORD, "base offset"),
    ({"crc": 1}, ErrorCode.CORRUPT_MESSAGE, "CRC is 0x00000001"),
    ({"attributes": 5}, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "codec 5"),
    ({"attributes": 7}, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "codec 7"),
    ({"attributes": b.CONTROL_MASK}, ErrorCode.INVALID_RECORD, "control"),
    ({"attributes": b.DELETE_HORIZON_MASK}, ErrorCode.INVALID_RECORD, "delete horizon"),
    ({"attributes": b.TIMESTAMP_TYPE_MASK}, ErrorCode.INVALID_TIMESTAMP, "LogAppendTime"),
    ({"attributes": b.TRANSACTIONAL_MASK}, ErrorCode.INVALID_RECORD, "needs a producer id"),
    ({"record_count": 0}, ErrorCode.INVALID_RECORD, "record count is 0"),
    ({"record_count": -1}, ErrorCode.INVALID_RECORD, "record count is -1"),
    ({"record_count": 0, "last_offset_delta": -1}, ErrorCode.INVALID_RECORD, "record count is 0"),
    ({"record_count": 4}, ErrorCode.INVALID_RECORD, "does not agree"),
    ({"last_offset_delta": 5}, ErrorCode.INVALID_RECORD, "does not agree"),
    ({"last_offset_delta": -(2**31)}, ErrorCode.INVALID_RECORD, "does not agree"),
    ({"record_count": 900, "last_offset_delta": 899}, ErrorCode.INVALID_RECORD, "900 records don't fit"),
    ({**IDEMPOTENT, "base_sequence": -1}, ErrorCode.INVALID_RECORD, "base sequence -1"),
    ({**IDEMPOTENT, "producer_epoch": -1}, ErrorCode.INVALID_RECORD, "epoch -1"),
]


@pytest.mark.parametrize(("fields", "code", "says"), LIES)
def test_each_lie_gets_its_code(fields, code, says):
    with pytest.raises(InvalidBatchError, match=says) as caught:
        validate(sealed(good(), **fields))
    assert caught.value.code == code


def test_zstd_can_be_refused_for_old_produce_versions():
    batch = good(codec=b.Codec.ZSTD)
    with pytest.raises(InvalidBatchError, match="version 7") as caught:
        validate(batch, allow_zstd=False)
    assert caught.value.code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    validate(good(codec=b.Codec.LZ4), allow_zstd=False)


def test_a_second_batch_or_a_stray_byte_is_refused():
    for tail in (b"\0", bytes(100), good()):
        with pytest.raises(InvalidBatchError, match="exactly one") as caught:
            validate(good() + tail)
        assert caught.value.code == ErrorCode.INVALID_RECORD


def test_every_truncation_is_refused():
    batch = good()
    for size in range(len(batch)):
        with pytest.raises(InvalidBatchError) as caught:
            validate(batch[:size])
        assert caught.value.code in (ErrorCode.INVALID_RECORD, ErrorCode.CORRUPT_MESSAGE)


def test_every_flipped_bit_after_the_leaders_fields_is_noticed():
    batch = good()
    for position in (*range(12), *range(16, len(batch))):
        for bit in range(8):
            flipped = bytearray(batch)
            flipped[position] ^= 1 << bit
            with pytest.raises(InvalidBatchError):
                validate(flipped)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data):
    with pytest.raises(InvalidBatchError):
        validate(data)


@given(base_offset=st.integers(0, 2**63 - 1), epoch=st.integers(-1, 2**31 - 1))
def test_stamping_keeps_the_batch_valid(base_offset, epoch):
    batch = good()
    payload = bytes(batch[b.HEADER_SIZE :])
    b.stamp(memoryview(batch), base_offset, epoch)
    header = b.parse_header(batch)
    assert (header.base_offset, header.partition_leader_epoch) == (base_offset, epoch)
    b.check_crc(batch, header)
    assert batch[b.HEADER_SIZE :] == payload


@pytest.mark.parametrize("codec", [b.Codec.NONE, b.Codec.ZSTD])
def test_log_append_time_changes_header_and_crc_only(codec):
    batch = good(codec=codec, producer_id=7, producer_epoch=0, base_sequence=0)
    before = b.parse_header(batch)
    payload = bytes(batch[b.HEADER_SIZE :])
    header = b.stamp_log_append_time(batch, NOW + 999)
    assert header == b.parse_header(batch)
    assert header == before._replace(
        attributes=before.attributes | b.TIMESTAMP_TYPE_MASK, max_timestamp=NOW + 999, crc=header.crc
    )
    b.check_crc(batch, header)
    assert batch[b.HEADER_SIZE :] == payload


def test_max_timestamp_can_be_mended():
    batch = good()
    header = b.stamp_max_timestamp(batch, NOW + 50)
    assert header.max_timestamp == NOW + 50
    assert not header.is_log_append_time
    b.check_crc(batch, header)


@pytest.mark.parametrize(
    ("base", "maximum", "before_ms", "after_ms", "passes"),
    [
        (NOW, NOW + 2, 2**63 - 1, 3_600_000, True),
        (NOW - 10, NOW, 10, 0, True),
        (NOW - 11, NOW, 10, 0, False),
        (NOW, NOW + 5, 0, 5, True),
        (NOW, NOW + 6, 0, 5, False),
        (NOW + 6, NOW, 0, 5, False),
        (-1, -1, 0, 0, True),
        (-1, NOW, 0, 0, True),
        (NOW, -1, 0, 0, True),
        (-2, NOW, 2**63 - 1, 0, False),
        (0, 0, 2**63 - 1, 0, True),
        (0, 2**63 - 1, 2**63 - 1, 2**63 - 1, True),
    ],
)
def test_timestamps_within_the_two_bounds(base, maximum, before_ms, after_ms, passes):
    header = b.parse_header(sealed(good(), base_timestamp=base, max_timestamp=maximum))
    if passes:
        b.check_timestamps(header, NOW, before_ms, after_ms)
        return
    with pytest.raises(InvalidBatchError, match="outside") as caught:
        b.check_timestamps(header, NOW, before_ms, after_ms)
    assert caught.value.code == ErrorCode.INVALID_TIMESTAMP


def test_iterating_stops_at_a_batch_that_is_cut_short():
    first, second = good(1), good(2)
    both = bytes(first) + bytes(second)
    whole = [(0, b.parse_header(first)), (len(first), b.parse_header(second))]
    assert list(b.iter_batches(both)) == whole
    assert list(b.iter_batches(b"xyz" + both, 3, verify_crc=True))[1][0] == 3 + len(first)
    for size in range(len(both)):
        expected = whole[:1] if size >= len(first) else []
        assert list(b.iter_batches(both[:size])) == expected


def test_iterating_names_the_place_of_damage():
    first = good(1)
    bad = sealed(good(2), crc=5)
    with pytest.raises(InvalidBatchError, match=f"at byte {len(first)}"):
        list(b.iter_batches(first + bad, verify_crc=True))
    list(b.iter_batches(first + bad))
    with pytest.raises(InvalidBatchError, match="length 0"):
        list(b.iter_batches(first + bytes(16) + b"\x02" + bytes(60)))


def test_old_formats_are_named_when_read():
    with pytest.raises(InvalidBatchError, match="format v1") as caught:
        b.parse_header(bytes(16) + b"\x01" + bytes(60))
    assert caught.value.code == ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT


def test_check_crc_refuses_what_is_cut_short():
    batch = good()
    header = b.parse_header(batch)
    with pytest.raises(InvalidBatchError, match="ends at byte"):
        b.check_crc(batch[:-1], header)


def test_sequences_wrap_after_31_bits():
    assert b.next_sequence(2**31 - 1) == 0
    assert b.next_sequence(2**31 - 3, 5) == 2
    assert b.next_sequence(0, 5) == 5
    header = b.parse_header(good(producer_id=1, producer_epoch=0, base_sequence=2**31 - 2))
    assert header.last_sequence == 0
    assert b.parse_header(good()).last_sequence == b.NO_SEQUENCE
