"""The short way to a produce reply gives the bytes of the general way."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.wire import codec
from logbroker.wire.frames import response_frame
from logbroker.wire.messages.produce import PartitionProduceResponse, ProduceResponse, TopicProduceResponse
from logbroker.wire.produce_reply import TOPIC_BYTES_MAX, single_produce_reply

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(
    st.integers(3, 13),
    st.integers(-(2**31), 2**31 - 1),
    st.text("abc-_.9", max_size=TOPIC_BYTES_MAX),
    st.integers(0, 2**31 - 1),
    st.integers(-1, 140),
    INT64,
    INT64,
    INT64,
)
def test_it_is_the_general_reply(version, correlation_id, name, index, error_code, base, append_time, start):
    topic_id = uuid4()
    partition = PartitionProduceResponse(
        index=index,
        error_code=error_code,
        base_offset=base,
        log_append_time_ms=append_time,
        log_start_offset=start,
    )
    general = ProduceResponse(responses=[TopicProduceResponse(name, topic_id, [partition])])
    expected = response_frame(0, version, correlation_id, codec.encode_response(0, version, general))
    topic = topic_id.bytes if version >= 13 else name.encode()
    short = single_produce_reply(version, correlation_id, topic, index, error_code, base, append_time, start)
    assert short == b"".join(expected)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 249])
@pytest.mark.parametrize("version", range(3, 13))
def test_names_of_every_length(version, size):
    general = ProduceResponse(
        responses=[
            TopicProduceResponse("n" * size, partition_responses=[PartitionProduceResponse(1, 2, 3, 4, 5)])
        ]
    )
    expected = response_frame(0, version, 9, codec.encode_response(0, version, general))
    assert single_produce_reply(version, 9, b"n" * size, 1, 2, 3, 4, 5) == b"".join(expected)


@pytest.mark.parametrize(("version", "topic"), [(2, b"t"), (14, bytes(16)), (13, b"t"), (9, b"t" * 250)])
def test_what_it_cannot_say_is_refused(version, topic):
    with pytest.raises(ValueError):
        single_produce_reply(version, 1, topic, 0, 0, 0, 0, 0)
