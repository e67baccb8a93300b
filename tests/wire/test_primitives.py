"""The primitives round-trip, agree with Kafka's encodings, and refuse what is cut or lies."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.errors import ProtocolError
from logbroker.wire import primitives as p
from logbroker.wire.schema import ZERO_UUID

UINT32 = st.integers(0, 2**32 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
BYTES = st.binary(max_size=300)

ROUND_TRIPS = [
    (p.write_uvarint, p.read_uvarint, UINT32),
    (p.write_varint, p.read_varint, INT32),
    (p.write_varlong, p.read_varlong, INT64),
    (p.write_int8, p.read_int8, st.integers(-128, 127)),
    (p.write_int16, p.read_int16, st.integers(-(2**15), 2**15 - 1)),
    (p.write_int32, p.read_int32, INT32),
    (p.write_int64, p.read_int64, INT64),
    (p.write_string, p.read_string, TEXT),
    (p.write_nullable_string, p.read_nullable_string, st.none() | TEXT),
    (p.write_bytes, p.read_bytes, BYTES),
    (p.write_nullable_bytes, p.read_nullable_bytes, st.none() | BYTES),
    (p.write_compact_string, p.read_compact_string, TEXT),
    (p.write_compact_nullable_string, p.read_compact_nullable_string, st.none() | TEXT),
    (p.write_compact_bytes, p.read_compact_bytes, BYTES),
    (p.write_compact_nullable_bytes, p.read_compact_nullable_bytes, st.none() | BYTES),
]


@pytest.mark.parametrize(
    ("write", "read", "values"), ROUND_TRIPS, ids=[read.__name__ for _, read, _ in ROUND_TRIPS]
)
def test_round_trip_and_every_cut(write, read, values):
    @given(values)
    def check(value):
        encoded = write(value)
        for kind in (bytes, bytearray, memoryview):
            back, end = read(kind(b"?" + encoded + b"!"), 1)
            assert back == value
            assert end == 1 + len(encoded)
        for cut in {0, 1, len(encoded) // 2, len(encoded) - 1}:
            if cut < len(encoded):
                with pytest.raises(ProtocolError):
                    read(encoded[:cut], 0)

    check()


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "80 01"), (300, "ac 02"), (2**32 - 1, "ff ff ff ff 0f")],
)
def test_unsigned_varints(value, encoded):
    assert p.write_uvarint(value).hex(" ") == encoded
    assert p.read_uvarint(bytes.fromhex(encoded), 0) == (value, len(bytes.fromhex(encoded)))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "80 01"), (-(2**31), "ff ff ff ff 0f")],
)
def test_zigzag_varints(value, encoded):
    assert p.write_varint(value).hex(" ") == encoded
    assert p.write_varlong(value).hex(" ") == encoded
    assert p.read_varint(bytes.fromhex(encoded), 0)[0] == value
    assert p.read_varlong(bytes.fromhex(encoded), 0)[0] == value


@pytest.mark.parametrize("raw", ["80 80 80 80 80 01", "ff ff ff ff 7f", "ff ff ff ff 10"])
def test_a_varint_that_is_too_long_is_refused(raw):
    with pytest.raises(ProtocolError, match="at byte 0 is longer than 5 bytes or than its value may be"):
        p.read_uvarint(bytes.fromhex(raw), 0)


@pytest.mark.parametrize("raw", ["80 80 80 80 80 80 80 80 80 80 01", "ff ff ff ff ff ff ff ff ff 02"])
def test_a_varlong_that_is_too_long_is_refused(raw):
    with pytest.raises(ProtocolError, match="at byte 0 is longer than 10 bytes"):
        p.read_varlong(bytes.fromhex(raw), 0)


@pytest.mark.parametrize(
    ("write", "value"),
    [
        (p.write_uvarint, -1),
        (p.write_uvarint, 2**32),
        (p.write_varint, 2**31),
        (p.write_varlong, -(2**63) - 1),
        (p.write_string, "x" * 32768),
    ],
)
def test_what_does_not_fit_is_refused(write, value):
    with pytest.raises(ValueError):
        write(value)


def test_null_where_it_is_not_allowed():
    for read, raw in (
        (p.read_string, b"\xff\xff"),
        (p.read_bytes, b"\xff\xff\xff\xff"),
        (p.read_compact_string, b"\x00"),
        (p.read_compact_bytes, b"\x00"),
    ):
        with pytest.raises(ProtocolError, match="null at byte 1, where null is not allowed"):
            read(b"?" + raw, 1)


def test_text_that_is_not_utf8():
    for read, raw in ((p.read_string, b"\x00\x02\xc3\x28"), (p.read_compact_string, b"\x03\xc3\x28")):
        with pytest.raises(ProtocolError, match=r"the string at byte \d is not UTF-8"):
            read(raw, 0)


def test_array_lengths():
    assert p.read_array_length(p.write_array_length(None), 0, 1) == (None, 4)
    assert p.read_compact_array_length(p.write_compact_array_length(None), 0, 1) == (None, 1)
    assert p.read_array_length(p.write_array_length(3) + bytes(12), 0, 4) == (3, 4)
    assert p.read_compact_array_length(p.write_compact_array_length(3) + bytes(12), 0, 4) == (3, 1)
    with pytest.raises(ProtocolError, match="claims 3 elements, 11 bytes are left"):
        p.read_array_length(p.write_array_length(3) + bytes(11), 0, 4)
    with pytest.raises(ProtocolError, match="claims 4294967294 elements"):
        p.read_compact_array_length(b"\xff\xff\xff\xff\x0f" + bytes(11), 0, 1)


def test_tagged_fields_are_skipped_within_bounds():
    assert p.skip_tagged_fields(b"?\x00!", 1) == 2
    assert p.skip_tagged_fields(b"\x02\x05\x01a\xac\x02\x03abc!", 0) == 10
    with pytest.raises(ProtocolError, match="tagged field 5 at byte 1 claims 9 bytes, 1 are left"):
        p.skip_tagged_fields(b"\x01\x05\x09a", 0)
    with pytest.raises(ProtocolError, match="1001 tagged fields at byte 0 are more than 1000"):
        p.skip_tagged_fields(p.write_uvarint(1001) + bytes(4000), 0)


def test_uuids_are_kept_within_bounds():
    first = p.uuid_of(b"1234567890123456")
    assert first == UUID(bytes=b"1234567890123456")
    assert p.uuid_of(b"1234567890123456") is first
    assert p.uuid_of(bytes(16)) is ZERO_UUID
    for number in range(p.MAX_CACHED_UUIDS + 10):
        p.uuid_of(number.to_bytes(16, "big"))
    assert len(p._uuids) <= p.MAX_CACHED_UUIDS
    assert p.uuid_of(bytes(16)) is ZERO_UUID
