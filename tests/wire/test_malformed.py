"""Whatever bytes come, a decoder returns a message or raises ProtocolError; and it sets no memory aside for a promise."""

from __future__ import annotations

import os
import random
import re
import time
import tracemalloc

import pytest

from logbroker.base.errors import ProtocolError
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.explain import check_message
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from logbroker.wire.primitives import MAX_STRING_BYTES, write_uvarint

LENGTHS = (
    b"\x7f\xff\xff\xff",  # the largest int32; the largest int16, and what follows
    b"\x80\x00\x00\x00",  # the smallest
    b"\xff\xff\xff\xff",  # -1
    b"\xff\xff\xff\xfe",  # -2
    b"\xff\xff\xff\xff\x0f",  # the largest varint
    b"\xff\xff\xff\xff\xff",  # a varint without an end
    b"\x80\x80\x80\x80\x80\x01",
    b"\x00",
)
WHERE = re.compile(r"^(\w+) version \d+, [\w.\[\] ]+, byte \d+: \S")


def elements_max(case):
    return (
        codec.RESPONSE_ELEMENTS_MAX if case.schema.name.endswith("Response") else codec.REQUEST_ELEMENTS_MAX
    )


def decodes(case, frame):
    """Whether the frame decodes; holds the fast decoder and the slow walk to the same opinion."""
    try:
        check_message(case.schema, case.version, frame, 0, elements_max(case))
        good = True
    except ProtocolError:
        good = False
    message = refusal = None
    try:
        message = case.decode(memoryview(frame), 0)
    except ProtocolError as error:
        refusal = str(error)
    if refusal is not None:
        assert not good, f"{case} refuses what is well formed: {refusal}\n{frame.hex()}"
        assert WHERE.match(refusal), refusal
        assert refusal.startswith(f"{case.schema.name} version {case.version}")
        return False
    assert good, f"{case} takes what is malformed: {frame.hex()}"
    again = b"".join(case.encode(message))
    assert b"".join(case.encode(case.decode(memoryview(again), 0))) == again
    return True


def cut_everywhere(cases, maker, cuts_max):
    checked = 0
    for case in cases:
        whole = b"".join(case.encode(maker.message(case.schema, case.version)))
        assert decodes(case, whole)
        cuts = range(len(whole))
        if len(cuts) > cuts_max:
            cuts = maker.random.sample(cuts, cuts_max)
        for cut in cuts:
            assert not decodes(case, whole[:cut]), f"{case} takes {cut} bytes of {len(whole)}: {whole.hex()}"
            checked += 1
    return checked


def test_a_message_cut_at_any_byte_is_refused(cases, make_messages):
    assert cut_everywhere(cases, make_messages(5, list_max=2), 60) > 15_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_messages_cut_at_any_byte_are_refused(cases, make_messages):
    for seed in range(10):
        cut_everywhere(cases, make_messages(seed, list_max=2), 400)


def mutate(cases, maker, rounds):
    """Change bytes, or put absurd lengths anywhere; count what still decodes."""
    chance = maker.random
    decoded = 0
    for _ in range(rounds):
        case = chance.choice(cases)
        frame = bytearray(b"".join(case.encode(maker.message(case.schema, case.version))))
        for _ in range(chance.choice((1, 1, 2, 5))):
            position = chance.randrange(len(frame) + 1)
            if chance.random() < 0.6:
                length = chance.choice(LENGTHS)
                frame[position : position + len(length)] = length
            elif position < len(frame):
                frame[position] = chance.getrandbits(8)
        decoded += decodes(case, bytes(frame))
    return decoded


def test_mutated_messages_are_decoded_or_refused(cases, make_messages):
    decoded = mutate(cases, make_messages(11, list_max=2), 20_000)
    assert 3_000 < decoded < 17_000


def test_messages_mutated_with_a_fresh_seed_are_decoded_or_refused(cases, make_messages):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    mutate(cases, make_messages(seed, list_max=2), 10_000)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_very_many_mutated_messages_are_decoded_or_refused(cases, make_messages):
    seed = int(os.environ.get("WIRE_SEED", "0"))
    assert mutate(cases, make_messages(seed, list_max=3), 300_000) > 30_000


def test_noise_is_decoded_or_refused(cases, make_messages):
    chance = random.Random(3)
    for case in cases:
        for size in (0, 1, 7, 60):
            decodes(case, chance.randbytes(size))


# --- particular lies --------------------------------------------------------------------------------------


def refused(api_key, version, frame):
    with pytest.raises(ProtocolError) as caught:
        codec.decode_request(api_key, version, frame)
    return str(caught.value)


@pytest.mark.parametrize(
    ("version", "frame", "reason"),
    [
        (
            7,
            b"\xff\xff\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff",
            "topic_data, byte 8: the array claims 2147483647 elem",
        ),
        (
            7,
            b"\xff\xff\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff",
            "topic_data, byte 8: null, where the array may not be",
        ),
        (
            7,
            b"\xff\xff\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00",
            "topic_data[0].name, byte 12: null",
        ),
        (7, b"\x00\x02\xc3\x28", "transactional_id, byte 0: the string is not UTF-8"),
        (7, b"\x7f\xff\xc3\x28", "transactional_id, byte 0: string of 32767 bytes, 2 are left"),
        (
            9,
            b"\x81\x80\x02" + b"x" * 32_768,
            "transactional_id, byte 0: a string of 32768 bytes, more than 32767",
        ),
        (
            9,
            b"\x80\x80\x80\x80\x80\x01",
            "transactional_id, byte 0: a varint at byte 0 is longer than 5 bytes",
        ),
        (9, b"\xff\xff\xff\xff\x7f", "transactional_id, byte 0: a varint at byte 0 is longer"),
        (9, b"\x80", "transactional_id, byte 0: a varint at byte 0 runs past the end at byte 1"),
        (
            9,
            b"\x00\x00\x01\x00\x00\x00\x00\x01\x02\x07",
            "tagged fields, byte 10: a varint at byte 10 runs past",
        ),
        (9, b"\x00\x00\x01\x00\x00\x00\x00\x01\x01\x07\x05ab", "tagged field 7 claims 5 bytes, 2 are left"),
        (
            9,
            b"\x00\x00\x01\x00\x00\x00\x00\x01\xff\xff\xff\xff\x0f",
            "4294967295 more tagged fields make more than",
        ),
    ],
)
def test_the_error_names_field_byte_and_reason(version, frame, reason):
    message = refused(ApiKey.PRODUCE, version, frame)
    assert message.startswith(f"ProduceRequest version {version}, ")
    assert reason in message


def test_a_tagged_field_whose_size_lies_is_refused():
    good = b"".join(codec.encode_request(ApiKey.FETCH, 12, codec.request_schema(1).root(cluster_id="abc")))
    assert good.endswith(b"\x01\x00\x04\x04abc")
    message = refused(ApiKey.FETCH, 12, good[:-5] + b"\x05\x04abc?")
    assert "cluster_id, byte" in message
    assert "the tagged field claims 5 bytes and takes 4" in message


def test_an_unknown_api_and_an_unknown_version_are_refused():
    assert refused(4242, 0, b"") == "API key 4242 is not known"
    assert refused(ApiKey.PRODUCE, 2, b"") == "ProduceRequest has no version 2; known: 3 to 13"
    assert refused(ApiKey.PRODUCE, -1, b"") == "ProduceRequest has no version -1; known: 3 to 13"


def test_a_promised_array_costs_nothing():
    for version, count in ((8, b"\x7f\xff\xff\xff"), (9, b"\xff\xff\xff\xff\x07")):
        frame = count + bytes(100_000)
        refused(ApiKey.METADATA, version, frame)  # compiles, and warms up
        tracemalloc.start()
        refused(ApiKey.METADATA, version, frame)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 100_000


def test_a_frame_of_tiny_elements_cannot_take_more_than_its_budget():
    count = codec.REQUEST_ELEMENTS_MAX + 1
    frame = b"\x00\xff\xff\x00\x00\x00\x00" + write_uvarint(count + 1) + b"\x01\x01\x00" * count + b"\x00"
    assert f"make more than the {codec.REQUEST_ELEMENTS_MAX}" in refused(ApiKey.PRODUCE, 9, frame)
    inner = b"\x01" + write_uvarint(1001) + b"\x00\x00\x00\x00\x00\x00" * 1000 + b"\x00"
    outer = codec.REQUEST_ELEMENTS_MAX // 1000
    nested = b"\x00\xff\xff\x00\x00\x00\x00" + write_uvarint(outer + 1) + inner * outer + b"\x00"
    # The slow walk gives up long before the end, and says so.
    assert "only 20000 elements were examined" in refused(ApiKey.PRODUCE, 9, nested)


def test_millions_of_tagged_fields_take_no_time():
    frame = b"\x00\xff\xff\x00\x00\x00\x00\x01" + write_uvarint(4_000_000) + bytes(8_000_000)
    refused(ApiKey.PRODUCE, 9, frame[:100])
    began = time.process_time()
    assert "more tagged fields make more than" in refused(ApiKey.PRODUCE, 9, frame)
    assert time.process_time() - began < 0.5


def test_a_large_refused_frame_is_explained_quickly():
    topics = [MetadataRequestTopic(name=f"topic-{number}") for number in range(100_000)]
    frame = b"".join(codec.encode_request(ApiKey.METADATA, 9, MetadataRequest(topics=topics)))
    began = time.process_time()
    assert "examined" in refused(ApiKey.METADATA, 9, frame[:-1])
    assert time.process_time() - began < 2


def test_a_record_set_that_ends_after_the_frame_is_refused():
    request = ProduceRequest(
        topic_data=[
            TopicProduceData("t", partition_data=[PartitionProduceData(index=1, records=b"r" * 3000)])
        ]
    )
    frame = b"".join(codec.encode_request(ApiKey.PRODUCE, 8, request))
    assert "topic_data[0].partition_data[0].records" in refused(ApiKey.PRODUCE, 8, frame[:-1])


def test_the_longest_string_is_read_in_every_version():
    """Also where compact lengths could say more: what comes in must fit into records and older versions' answers."""
    text = "x" * MAX_STRING_BYTES
    for version in (8, 9):
        frame = b"".join(codec.encode_request(ApiKey.PRODUCE, version, ProduceRequest(transactional_id=text)))
        assert codec.decode_request(ApiKey.PRODUCE, version, frame).transactional_id == text
