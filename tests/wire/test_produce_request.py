"""`single_produce_request` says what the general decoder says, or nothing."""

import random
import struct
from uuid import UUID

import pytest

from logbroker.base.errors import ProtocolError
from logbroker.wire.codec import decode_request, encode_request
from logbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from logbroker.wire.produce_request import FIRST_WITH_TOPIC_ID, single_produce_request

VERSIONS = range(3, 14)


def frame_of(version: int, request: ProduceRequest, prefix: bytes = b"head") -> memoryview:
    return memoryview(bytearray(prefix + b"".join(encode_request(0, version, request))))


def request_of(records, *, name="topic", acks=-1, index=7, transactional_id=None) -> ProduceRequest:
    topic = TopicProduceData(name, UUID(int=5), [PartitionProduceData(index, records)])
    return ProduceRequest(transactional_id, acks, 1234, [topic])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 61, 126, 127, 128, 16_382, 16_383, 16_384, 2_097_151, 2_097_152])
def test_one_batch_is_taken_apart(version, size):
    records = random.Random(size).randbytes(size)
    found = single_produce_request(version, frame_of(version, request_of(records)), 4)
    assert found is not None
    acks, timeout_ms, topic, index, data = found
    assert (acks, timeout_ms, index) == (-1, 1234, 7)
    assert topic == (UUID(int=5).bytes if version >= FIRST_WITH_TOPIC_ID else b"topic")
    assert data == records
    assert not data.readonly


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_that_simple_is_left_to_the_decoder(version):
    two = request_of(b"x")
    two.topic_data[0].partition_data.append(PartitionProduceData(8, b"y"))
    others = [two, request_of(None), request_of(b"x", transactional_id="t"), ProduceRequest(None, 1, 1, [])]
    topics = request_of(b"x")
    topics.topic_data.append(TopicProduceData("other", UUID(int=6), [PartitionProduceData(0, b"z")]))
    for request in [*others, topics]:
        assert single_produce_request(version, frame_of(version, request), 4) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_mutation_agrees_with_the_decoder(version):
    rng = random.Random(version)
    whole = bytes(frame_of(version, request_of(rng.randbytes(90), name="a-topic")))
    agreed = 0
    for _ in range(3000):
        mutated = bytearray(whole)
        for _ in range(rng.randrange(1, 3)):
            at = rng.randrange(4, len(mutated))
            mutated[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.3:
            del mutated[rng.randrange(4, len(mutated)) :]
        frame = memoryview(mutated)
        found = single_produce_request(version, frame, 4)
        if found is None:
            continue
        try:
            request = decode_request(0, version, frame, 4)
        except ProtocolError:
            # The only thing the decoder looks at and the fast way doesn't: whether a name is UTF-8. No topic has such a name.
            with pytest.raises(UnicodeDecodeError):
                found[2].decode()
            continue
        agreed += 1
        (topic,) = request.topic_data
        (data,) = topic.partition_data
        name = topic.topic_id.bytes if version >= FIRST_WITH_TOPIC_ID else topic.name.encode()
        assert found == (request.acks, request.timeout_ms, name, data.index, data.records)
        assert request.transactional_id is None
    assert agreed > 300


def test_cut_short_anywhere_is_never_an_index_error():
    for version in VERSIONS:
        whole = frame_of(version, request_of(b"r" * 300, name="n" * 20))
        for end in range(len(whole)):
            single_produce_request(version, whole[:end], 4)
    assert single_produce_request(3, memoryview(struct.pack(">hhiih", -1, 1, 1, 1, 30)), 0) is None
