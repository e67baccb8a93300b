"""What encoders and decoders promise beyond the bytes themselves."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from uuid import UUID

import pytest

from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.compile_decoder import compile_decoder
from logbroker.wire.compile_encoder import COPIED_RECORDS_BYTES_MAX, compile_encoder
from logbroker.wire.messages.consumer_protocol_subscription import (
    ConsumerProtocolSubscription,
    TopicPartition,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
)
from logbroker.wire.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
    ReplicaState,
)
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.produce import (
    LeaderIdAndEpoch,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from logbroker.wire.schema import Field, Message


def joined(pieces):
    return b"".join(pieces)


def fetched(records):
    return FetchResponse(
        responses=[
            FetchableTopicResponse(topic="t", partitions=[PartitionData(partition_index=1, records=records)])
        ]
    )


# --- known bytes ------------------------------------------------------------------------------------------


def test_a_request_in_both_encodings_byte_by_byte():
    message = ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout_ms=1500,
        topic_data=[
            TopicProduceData(name="abc", partition_data=[PartitionProduceData(index=7, records=b"RR")])
        ],
    )
    assert joined(codec.encode_request(ApiKey.PRODUCE, 8, message)).hex(" ") == (
        "ff ff ff ff 00 00 05 dc 00 00 00 01 00 03 61 62 63 00 00 00 01 00 00 00 07 00 00 00 02 52 52"
    )
    assert joined(codec.encode_request(ApiKey.PRODUCE, 9, message)).hex(" ") == (
        "00 ff ff 00 00 05 dc 02 04 61 62 63 02 00 00 00 07 03 52 52 00 00 00"
    )


def test_a_tagged_field_byte_by_byte():
    request = FetchRequest(replica_state=ReplicaState(replica_id=3, replica_epoch=9), max_bytes=1, topics=[])
    assert joined(codec.encode_request(ApiKey.FETCH, 15, request)).hex(" ") == (
        "00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 ff ff ff ff 01 01 01 "
        "01 01 0d 00 00 00 03 00 00 00 00 00 00 00 09 00"
    )


def test_a_nullable_struct_byte_by_byte():
    absent = DescribeTopicPartitionsRequest(topics=[], response_partition_limit=5)
    assert joined(codec.encode_request(75, 0, absent)).hex(" ") == "01 00 00 00 05 ff 00"
    present = dataclasses.replace(
        absent, cursor=DescribeTopicPartitionsRequestCursor(topic_name="x", partition_index=2)
    )
    encoded = joined(codec.encode_request(75, 0, present))
    assert encoded.hex(" ") == "01 00 00 00 05 01 02 78 00 00 00 02 00 00"
    assert codec.decode_request(75, 0, encoded) == present


def test_fields_that_a_version_lacks_are_passed_over_and_come_back_as_defaults():
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name="a", topic_id=UUID(int=5))], allow_auto_topic_creation=False
    )
    back = codec.decode_request(ApiKey.METADATA, 1, joined(codec.encode_request(ApiKey.METADATA, 1, request)))
    assert back == MetadataRequest(topics=[MetadataRequestTopic(name="a")], allow_auto_topic_creation=True)


def test_default_lists_are_never_shared():
    empty = joined(codec.encode_response(ApiKey.PRODUCE, 3, ProduceResponse()))
    first, second = (codec.decode_response(ApiKey.PRODUCE, 3, empty) for _ in range(2))
    first.node_endpoints.append("x")
    first.responses.append("x")
    assert second == ProduceResponse() == codec.decode_response(ApiKey.PRODUCE, 3, empty)


# --- tagged fields ----------------------------------------------------------------------------------------


def test_tagged_structs_that_hold_their_default_are_not_sent():
    def encoded(leader):
        partition = PartitionProduceResponse(index=1, current_leader=leader)
        return joined(
            codec.encode_response(
                ApiKey.PRODUCE,
                10,
                ProduceResponse(responses=[TopicProduceResponse("t", partition_responses=[partition])]),
            )
        )

    assert encoded(LeaderIdAndEpoch()) == encoded(None)
    assert encoded(LeaderIdAndEpoch(leader_epoch=4)) != encoded(None)
    back = codec.decode_response(ApiKey.PRODUCE, 10, encoded(LeaderIdAndEpoch(leader_epoch=4)))
    assert back.responses[0].partition_responses[0].current_leader == LeaderIdAndEpoch(leader_epoch=4)
    back = codec.decode_response(ApiKey.PRODUCE, 10, encoded(None))
    assert back.responses[0].partition_responses[0].current_leader is None


def with_an_unknown_tag(schema: Message) -> Message:
    """The same message in a future where each struct has one more tagged field: its first field again."""
    structs = {}
    for cls, fields in schema.structs.items():
        more: tuple[Field, ...] = ()
        if schema.flexible is not None and fields:
            again = dataclasses.replace(
                fields[0],
                first=schema.flexible,
                last=schema.last,
                nullable=(schema.flexible, schema.last),
                tag=300,
                tagged=(schema.flexible, schema.last),
            )
            more = (again,)
        structs[cls] = fields + more
    return dataclasses.replace(schema, structs=structs)


def test_unknown_tagged_fields_are_skipped_in_every_struct(cases, make_messages):
    maker = make_messages(8)
    longer = 0
    for case in cases:
        if not case.schema.flexible_in(case.version):
            continue
        encode_future = compile_encoder(with_an_unknown_tag(case.schema), case.version)
        for _ in range(3):
            message = maker.message(case.schema, case.version)
            future = joined(encode_future(message))
            longer += future != joined(case.encode(message))
            assert case.decode(memoryview(future), 0) == message, case
    assert longer > 500


# --- buffers ----------------------------------------------------------------------------------------------


def test_bytes_of_a_decoded_message_are_views_of_the_frame():
    request = JoinGroupRequest(
        group_id="g", protocols=[JoinGroupRequestProtocol(name="range", metadata=b"abcd")]
    )
    frame = bytearray(b"head" + joined(codec.encode_request(ApiKey.JOIN_GROUP, 7, request)) + b"tail")
    back = codec.decode_request(ApiKey.JOIN_GROUP, 7, memoryview(frame), 4)
    metadata = back.protocols[0].metadata
    assert isinstance(metadata, memoryview)
    assert metadata.obj is frame
    frame[frame.index(b"abcd")] = ord("X")
    assert bytes(metadata) == b"Xbcd"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_decoded_and_trailing_bytes_are_ignored(kind, cases, make_messages):
    maker = make_messages(21)
    for case in maker.random.sample(cases, 150):
        message = maker.message(case.schema, case.version)
        frame = b"\xee" * 5 + joined(case.encode(message)) + b"\x00\x01\x02"
        assert case.decode(kind(frame), 5) == message, case


def test_large_records_are_handed_through_and_small_ones_copied():
    large = bytes(COPIED_RECORDS_BYTES_MAX + 1)
    pieces = codec.encode_response(ApiKey.FETCH, 11, fetched(large))
    assert len(pieces) == 2  # nothing follows the records in this version
    assert pieces[1] is large
    assert len(codec.encode_response(ApiKey.FETCH, 12, fetched(large))) == 3
    assert len(codec.encode_response(ApiKey.FETCH, 11, fetched(bytes(COPIED_RECORDS_BYTES_MAX)))) == 1


@pytest.mark.parametrize("version", [4, 11, 12, 18])
@pytest.mark.parametrize("sizes", [[], [0], [5], [3, 4], [600, 600], [2000, 1, 3000], [1 << 20]])
def test_records_in_pieces_are_the_records_in_one(version, sizes):
    parts = [bytes([index]) * size for index, size in enumerate(sizes)]
    for kind in (bytes, bytearray, memoryview):
        in_pieces = codec.encode_response(ApiKey.FETCH, version, fetched([kind(part) for part in parts]))
        assert joined(in_pieces) == joined(
            codec.encode_response(ApiKey.FETCH, version, fetched(joined(parts)))
        )
    back = codec.decode_response(ApiKey.FETCH, version, joined(in_pieces))
    assert back.responses[0].partitions[0].records == joined(parts)


def test_absent_records_are_null():
    back = codec.decode_response(
        ApiKey.FETCH, 12, joined(codec.encode_response(ApiKey.FETCH, 12, fetched(None)))
    )
    assert back.responses[0].partitions[0].records is None


# --- mistakes of the caller -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "message", "reason"),
    [
        (9, ProduceRequest(topic_data=None), "topic_data is None, which this version can't say"),
        (8, ProduceRequest(topic_data=[TopicProduceData(name=None)]), "topic_data[0].name is None"),
        (9, ProduceRequest(acks=None), "acks is None"),
        (9, ProduceRequest(acks=40_000), "acks is 40000, outside of int16"),
        (9, ProduceRequest(acks="1"), "acks is of type str, not int"),
        (
            8,
            ProduceRequest(transactional_id="x" * 40_000),
            "transactional_id has 40000 bytes, more than 32767",
        ),
        (8, ProduceRequest(transactional_id=b"x"), "transactional_id is of type bytes, not str"),
        (8, ProduceRequest(transactional_id="\ud800"), "transactional_id can't be written as UTF-8"),
        (
            13,
            ProduceRequest(topic_data=[TopicProduceData(topic_id=b"x" * 16)]),
            "topic_data[0].topic_id is of type",
        ),
        (9, ProduceRequest(topic_data=[7]), "topic_data[0] is of type int, not TopicProduceData"),
        (
            9,
            ProduceRequest(
                topic_data=[TopicProduceData(partition_data=[PartitionProduceData(records="text")])]
            ),
            "topic_data[0].partition_data[0].records holds str, not bytes",
        ),
    ],
)
def test_what_cannot_be_encoded_is_named(version, message, reason):
    with pytest.raises(ValueError) as caught:
        codec.encode_request(ApiKey.PRODUCE, version, message)
    assert str(caught.value).startswith(f"ProduceRequest version {version}: ")
    assert reason in str(caught.value)


def test_none_for_a_tagged_array_and_for_a_bool_is_refused():
    with pytest.raises(ValueError, match="node_endpoints is None"):
        codec.encode_response(ApiKey.PRODUCE, 10, ProduceResponse(node_endpoints=None))
    with pytest.raises(ValueError, match="validate_only is None"):
        codec.encode_request(ApiKey.CREATE_TOPICS, 5, CreateTopicsRequest(topics=[], validate_only=None))
    with pytest.raises(ValueError, match=r"topics\[0\].assignments is None"):
        codec.encode_request(
            ApiKey.CREATE_TOPICS, 5, CreateTopicsRequest(topics=[CreatableTopic(assignments=None)])
        )


def test_an_unknown_version_is_the_callers_mistake_when_encoding():
    with pytest.raises(ValueError, match="ProduceResponse has no version 2; known: 3 to 13"):
        codec.encode_response(ApiKey.PRODUCE, 2, ProduceResponse())
    with pytest.raises(ValueError, match="API key 999 is not known"):
        codec.encode_request(999, 0, None)
    with pytest.raises(ValueError, match="there is no message module 'nothing'"):
        codec.encode_stored("nothing", 0, None)
    with pytest.raises(ValueError, match="there is no message module 'nothing'"):
        codec.decode_stored("nothing", 0, b"")


# --- the rest ---------------------------------------------------------------------------------------------


def test_stored_messages():
    subscription = ConsumerProtocolSubscription(
        topics=["a", "b"], user_data=None, owned_partitions=[TopicPartition("a", [0, 1])], generation_id=4
    )
    raw = codec.encode_stored("consumer_protocol_subscription", 2, subscription)
    assert raw.hex(" ") == (
        "00 00 00 02 00 01 61 00 01 62 ff ff ff ff 00 00 00 01 00 01 61 00 00 00 02 00 00 00 00 00 00 00 01 00 00 00 04"
    )
    assert codec.decode_stored("consumer_protocol_subscription", 2, b"\x00\x02" + raw, 2) == subscription


def test_compiled_functions_are_kept():
    assert codec.request_decoder(0, 9) is codec.request_decoder(0, 9)
    assert codec.response_encoder(0, 9) is codec.response_encoder(ApiKey.PRODUCE, 9)
    assert codec.request_encoder(0, 9) is not codec.request_encoder(0, 8)
    assert codec.response_decoder(0, 9) is codec.response_decoder(0, 9)
    assert codec.stored_encoder("consumer_protocol_assignment", 0) is codec.stored_encoder(
        "consumer_protocol_assignment", 0
    )


def test_elements_of_all_arrays_count_together():
    decode = compile_decoder(codec.request_schema(ApiKey.METADATA), 4, 3)
    frame = joined(
        codec.encode_request(ApiKey.METADATA, 4, MetadataRequest(topics=[MetadataRequestTopic(name="t")] * 3))
    )
    assert len(decode(frame, 0).topics) == 3
    with pytest.raises(codec.ProtocolError, match="4 more elements make more than the 3"):
        decode(frame[:3] + b"\x04" + frame[4:] + b"\x00\x00\x00", 0)


def test_a_diverging_epoch_comes_back():
    partition = PartitionData(
        diverging_epoch=EpochEndOffset(epoch=3, end_offset=99), records=b"", high_watermark=7
    )
    response = FetchResponse(responses=[FetchableTopicResponse(topic_id=UUID(int=9), partitions=[partition])])
    assert codec.decode_response(1, 16, joined(codec.encode_response(1, 16, response))) == response


def test_importing_the_codec_imports_no_message_and_no_kio():
    code = (
        "import sys, logbroker.wire.codec, logbroker.wire.headers, logbroker.wire.frames\n"
        "print(*[m for m in sys.modules if m.startswith(('kio', 'logbroker.wire.messages.'))])\n"
        "logbroker.wire.codec.request_decoder(0, 9)\n"
        "print(*[m for m in sys.modules if m.startswith(('kio', 'logbroker.wire.messages.'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "logbroker.wire.messages.produce"]
