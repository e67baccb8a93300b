"""Headers of every API and version, frame lengths, and whole frames."""

from __future__ import annotations

import struct

import pytest

from logbroker.base.errors import ProtocolError
from logbroker.wire import codec
from logbroker.wire.api import API, PRODUCE_ADVERTISED_MIN, ApiKey
from logbroker.wire.frames import LENGTH_BYTES, frame_length, request_frame, response_frame, spoken_instead
from logbroker.wire.headers import (
    decode_request_header,
    decode_response_header,
    encode_request_header,
    encode_response_header,
)
from logbroker.wire.messages import MODULE_OF_API_KEY
from logbroker.wire.messages.api_versions import ApiVersionsResponse


def test_the_table_and_the_messages_know_the_same_apis_and_versions():
    assert set(API) == set(MODULE_OF_API_KEY) == {int(key) for key in ApiKey}
    for key, spec in API.items():
        for schema in (codec.request_schema(key), codec.response_schema(key)):
            assert schema.first == spec.min_version
            assert schema.last >= spec.max_version  # unstable versions are in the messages, not in the table
            assert schema.flexible == spec.first_flexible_version
            assert schema.name.startswith(spec.name)
        assert spec.supports(spec.max_version)
        assert not spec.supports(spec.max_version + 1)
        assert not spec.supports(spec.min_version - 1)


def test_advertised_versions():
    assert API[ApiKey.PRODUCE].advertised_min == PRODUCE_ADVERTISED_MIN == 0
    assert not API[ApiKey.PRODUCE].supports(0)
    assert API[ApiKey.FETCH].advertised_min == 4
    assert API[ApiKey.INIT_PRODUCER_ID].max_version == 5


@pytest.mark.parametrize("client_id", [None, "", "rdkafka", "ü" * 200])
def test_request_headers_come_back(client_id):
    for key, spec in API.items():
        for version in range(spec.min_version, spec.max_version + 1):
            header = encode_request_header(key, version, -77, client_id)
            frame = memoryview(b"??" + header + b"message")
            assert decode_request_header(frame, 2) == (key, version, -77, client_id, 2 + len(header))
            tagged = spec.request_header_version(version) == 2
            assert len(header) == 10 + len((client_id or "").encode()) + tagged


def test_request_headers_byte_by_byte():
    assert encode_request_header(0, 8, 5, "ab").hex(" ") == "00 00 00 08 00 00 00 05 00 02 61 62"
    assert encode_request_header(0, 9, 5, "ab").hex(" ") == "00 00 00 09 00 00 00 05 00 02 61 62 00"
    assert encode_request_header(18, 3, 5, None).hex(" ") == "00 12 00 03 00 00 00 05 ff ff 00"


def test_the_header_of_a_version_that_nobody_knows_can_be_read():
    header = bytes.fromhex("0012 7fff 00000005 0002 6162 00")
    assert decode_request_header(header) == (18, 32767, 5, "ab", 13)
    assert decode_request_header(bytes.fromhex("0000 0002 00000005 ffff 00")) == (0, 2, 5, None, 10)
    assert decode_request_header(bytes.fromhex("0000 ffff 00000005 ffff 00")) == (0, -1, 5, None, 10)


def test_a_client_id_that_is_not_utf_8_is_a_name_all_the_same():
    header = bytes.fromhex("0000 0009 00000005 0004 636166e9 00")
    assert decode_request_header(header) == (0, 9, 5, "caf\ufffd", 15)


def test_tagged_fields_of_a_request_header_are_skipped():
    header = encode_request_header(0, 9, 5, "ab")[:-1] + b"\x01\x07\x03xyz"
    assert decode_request_header(header + b"message")[4] == len(header)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "a request of 0 bytes has no header; 10 are the least"),
        ("0000 0009 00000005 00", "a request of 9 bytes has no header"),
        ("1092 0009 00000005 ffff 00", r"API key 4242 \(version 9\) is not known"),
        ("0004 0001 00000005 ffff 00", r"API key 4 \(version 1\) is not known"),
        ("0000 0009 00000005 7fff 61", "Produce version 9: a client id of 32767 bytes ends after the frame"),
        ("0000 0009 00000005 0001 61", "Produce version 9, the header's tagged fields: a varint at byte 11"),
        (
            "0000 0009 00000005 ffff 01 07 09 00",
            "Produce version 9, the header's tagged fields: tagged field 7",
        ),
        ("0000 0009 00000005 ffff ff ff ff ff 0f", "4294967295 tagged fields at byte 10 are more than 1000"),
    ],
)
def test_bad_request_headers_are_refused(raw, reason):
    with pytest.raises(ProtocolError, match=reason):
        decode_request_header(memoryview(bytes.fromhex(raw)))


def test_response_headers_come_back_and_api_versions_has_the_old_one():
    for key, spec in API.items():
        for version in range(spec.min_version, spec.max_version + 1):
            header = encode_response_header(key, version, 123456)
            assert decode_response_header(key, version, header + b"message") == (123456, len(header))
            assert len(header) == (5 if spec.response_header_version(version) else 4)
    assert encode_response_header(ApiKey.API_VERSIONS, 4, 1) == b"\x00\x00\x00\x01"
    assert encode_response_header(ApiKey.METADATA, 12, 1) == b"\x00\x00\x00\x01\x00"


def test_bad_response_headers_are_refused():
    with pytest.raises(ProtocolError, match="a response of 3 bytes has no header; 4 are the least"):
        decode_response_header(3, 8, b"\x00\x00\x00")
    with pytest.raises(ProtocolError, match="varint at byte 4 runs past the end"):
        decode_response_header(3, 9, b"\x00\x00\x00\x01")


# --- frames -----------------------------------------------------------------------------------------------


def test_frame_lengths_within_the_bound_are_believed():
    assert frame_length(b"..\x00\x00\x01\x00", 2, 256) == 256
    assert frame_length(b"\x00\x00\x00\x00", 0, 256) == 0


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\x00\x00\x01\x01", "a request of 257 bytes, more than the 256 that are taken"),
        (b"\x7f\xff\xff\xff", "a request of 2147483647 bytes"),
        (b"\xff\xff\xff\xff", "a request of negative length -1"),
        (b"\x16\x03\x01\x02", "speaks TLS .* security.protocol=PLAINTEXT"),
        (b"GET ", "speaks HTTP"),
        (b"POST", "speaks HTTP"),
        (b"PRI ", "speaks HTTP"),
        (b"SSH-", "speaks SSH"),
    ],
)
def test_frame_lengths_beyond_it_are_refused(start, reason):
    with pytest.raises(ProtocolError, match=reason):
        frame_length(memoryview(start), 0, 256)


def test_a_kafka_length_is_no_other_protocol():
    assert spoken_instead(b"\x00\x00\x10\x00") is None


def test_the_side_that_asked_says_response():
    with pytest.raises(ProtocolError, match="a response of negative length -5"):
        frame_length(struct.pack(">i", -5), 0, 256, what="response")


def test_request_frames_are_length_header_message():
    pieces = request_frame(0, 9, 7, "me", [b"first", memoryview(b"records"), b"last"])
    whole = b"".join(pieces)
    assert frame_length(whole, 0, 1000) == len(whole) - LENGTH_BYTES
    header = decode_request_header(memoryview(whole)[LENGTH_BYTES:])
    assert header[:4] == (0, 9, 7, "me")
    assert whole[LENGTH_BYTES + header[4] :] == b"firstrecordslast"


@pytest.mark.parametrize(("api_key", "version"), [(0, 8), (0, 9), (18, 0), (18, 4)])
@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", memoryview(b"bc")], [b"", b"abc", b""]])
def test_response_frames_are_length_header_message(api_key, version, pieces):
    whole = b"".join(response_frame(api_key, version, 7, pieces))
    assert frame_length(whole, 0, 1000) == len(whole) - LENGTH_BYTES
    correlation_id, position = decode_response_header(api_key, version, whole, LENGTH_BYTES)
    assert correlation_id == 7
    assert whole[position:] == b"abc"


def test_large_pieces_of_a_response_are_not_copied():
    records = bytes(5000)
    frame = response_frame(1, 12, 7, [b"head", records, b"tail"])
    assert frame[1] is records


def test_a_real_answer_whole():
    frame = response_frame(18, 4, 7, codec.encode_response(18, 4, ApiVersionsResponse(error_code=0)))
    assert b"".join(frame).hex(" ") == "00 00 00 0c 00 00 00 07 00 00 01 00 00 00 00 00"
