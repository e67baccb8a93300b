"""Produce over real sockets: what each version is answered, in which order, when, and what nobody may append."""

from __future__ import annotations

import asyncio
import struct
import time
from dataclasses import replace
from uuid import UUID

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, on_broker, produce_request, until

from logbroker.base.error_codes import ErrorCode
from logbroker.net.client_connection import ConnectionLostError
from logbroker.records.batch import (
    CONTROL_MASK,
    TIMESTAMP_TYPE_MASK,
    TRANSACTIONAL_MASK,
    Codec,
    check_crc,
    iter_batches,
    parse_header,
)
from logbroker.records.builder import BatchBuilder
from logbroker.records.iterator import WALKED_BYTES_MAX, decode_records
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.create_topics import CreateTopicsRequest
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)

SPEC = API[ApiKey.PRODUCE]
VERSIONS = range(3, SPEC.max_version + 1)


@on_broker()
async def test_every_version_appends_by_name_or_by_id(stage: Stage):
    partition = await stage.topic("t")
    assert SPEC.max_version == 13
    for number, version in enumerate(VERSIONS):
        if version < 13:
            request = produce_request("t", batch_of([b"%d" % version]))
        else:
            request = produce_request("", batch_of([b"%d" % version]), topic_id=partition.topic_id)
        response = await stage.ask(request, version)
        (topic,) = response.responses
        (answer,) = topic.partition_responses
        assert (answer.index, answer.error_code, answer.base_offset) == (0, 0, number)
        assert answer.log_append_time_ms == -1
        assert topic.name == ("t" if version < 13 else "")
        assert version < 13 or topic.topic_id == partition.topic_id
        assert answer.log_start_offset == (0 if version >= 5 else -1)
    data = await stage.fetch("t", 0)
    values = [bytes(record.value) for record in decode_all(data)]
    assert values == [b"%d" % version for version in VERSIONS]


@pytest.mark.parametrize("version", range(3))
@on_broker()
async def test_versions_before_3_are_advertised_and_close_the_connection(stage: Stage, version: int):
    await stage.topic("t")
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(struct.pack(">ihhih", 10, 0, version, 1, -1))
    assert await reader.read() == b""
    writer.close()
    assert stage.partition("t").log_end_offset == 0


@on_broker()
async def test_acks_1_and_all_wait_until_it_is_durable(stage: Stage):
    partition = await stage.topic("t")
    for acks in (1, -1):
        end = partition.log_end_offset
        with stage.hold("journal") as release:
            answer = asyncio.ensure_future(stage.produce("t", batch_of([b"v"]), acks=acks))
            await until(lambda end=end: partition.log_end_offset == end + 1)
            await asyncio.sleep(0.05)
            assert not answer.done()
            assert partition.high_watermark == end
            data = await asyncio.wait_for(stage_fetch(stage, "t", end), 5)
            assert bytes_of(data) == b"", "nobody may read what isn't durable"
            assert data.high_watermark == end
            release.set()
            assert (await answer).base_offset == end


@on_broker()
async def test_acks_0_is_not_answered_and_keeps_its_place(stage: Stage):
    partition = await stage.topic("t")
    connection = await stage.connect()
    with stage.hold("journal"):
        connection.send_unanswered(ApiKey.PRODUCE, produce_request("t", batch_of([b"0"]), acks=0), version=9)
        second = connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"1"])), version=9)
        await until(lambda: partition.log_end_offset == 2)
    assert (await second).responses[0].partition_responses[0].base_offset == 1


@on_broker()
async def test_acks_0_that_fails_closes_the_connection_with_a_line(stage: Stage, caplog):
    await stage.topic("t")
    connection = await stage.connect()
    before = connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"1"])), version=9)
    connection.send_unanswered(
        ApiKey.PRODUCE, produce_request("nowhere", batch_of([b"0"]), acks=0), version=9
    )
    after = connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"2"])), version=9)
    assert (await before).responses[0].partition_responses[0].error_code == 0, "what came before is answered"
    with pytest.raises(ConnectionLostError):
        await after
    (closed,) = [record.fields for record in caplog.records if record.message == "connection closed"]
    assert "acks=0" in closed["reason"]
    assert "UNKNOWN_TOPIC_OR_PARTITION" in closed["reason"]
    assert closed["client"].startswith("127.0.0.1:")


@pytest.mark.parametrize("acks", [2, -2, 32767])
@on_broker()
async def test_other_acks_are_refused(stage: Stage, acks: int):
    partition = await stage.topic("t")
    answer = await stage.produce("t", batch_of([b"v"]), acks=acks)
    assert answer.error_code == ErrorCode.INVALID_REQUIRED_ACKS
    assert answer.base_offset == -1
    assert partition.log_end_offset == 0


@on_broker()
async def test_what_does_not_exist(stage: Stage):
    partition = await stage.topic("t")
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for version in VERSIONS:
        if version < 13:
            for topic, index in (("nowhere", 0), ("t", 1), ("t", -1), ("", 0)):
                answer = await stage.produce(topic, batch_of([b"v"]), index, version=version)
                assert answer.error_code == unknown
                assert answer.base_offset == -1
        else:
            for topic_id, index, code in (
                (UUID(int=7), 0, ErrorCode.UNKNOWN_TOPIC_ID),
                (UUID(int=0), 0, ErrorCode.UNKNOWN_TOPIC_ID),
                (partition.topic_id, 1, unknown),
            ):
                request = produce_request("", batch_of([b"v"]), index, topic_id=topic_id)
                response = await stage.ask(request, version)
                assert response.responses[0].partition_responses[0].error_code == code
    assert stage.broker.metadata.image.topic("nowhere") is None, "produce creates no topics"


def changed(batch: bytearray, position: int, form: str, value: int, *, mend_crc: bool = True) -> bytearray:
    from crc32c import crc32c

    batch = bytearray(batch)
    struct.pack_into(form, batch, position, value)
    if mend_crc:
        struct.pack_into(">I", batch, 17, crc32c(memoryview(batch)[21:]))
    return batch


def attributes(batch: bytearray, bits: int) -> bytearray:
    return changed(batch, 21, ">h", parse_header(batch).attributes | bits)


GOOD = batch_of([b"one", b"two"], timestamps=1_700_000_000_000)
IDEMPOTENT = batch_of([b"one"], producer_id=5)
BAD = {
    "null": (None, ErrorCode.INVALID_RECORD, "exactly one record batch"),
    "empty": (b"", ErrorCode.INVALID_RECORD, "exactly one record batch"),
    "short": (GOOD[:60], ErrorCode.INVALID_RECORD, "exactly one record batch"),
    "cut": (GOOD[:-1], ErrorCode.INVALID_RECORD, "the partition carries"),
    "two": (GOOD + GOOD, ErrorCode.INVALID_RECORD, "exactly one record batch"),
    "trailing": (GOOD + b"x", ErrorCode.INVALID_RECORD, "follow the first"),
    "crc": (GOOD[:-1] + b"!", ErrorCode.CORRUPT_MESSAGE, "CRC"),
    "magic 1": (changed(GOOD, 16, ">b", 1), ErrorCode.INVALID_RECORD, "v1"),
    "magic 3": (changed(GOOD, 16, ">b", 3), ErrorCode.CORRUPT_MESSAGE, "magic 3"),
    "length 0": (changed(GOOD, 8, ">i", 0), ErrorCode.CORRUPT_MESSAGE, "length 0"),
    "negative length": (changed(GOOD, 8, ">i", -1), ErrorCode.CORRUPT_MESSAGE, "length -1"),
    "huge length": (changed(GOOD, 8, ">i", 2**31 - 1), ErrorCode.INVALID_RECORD, "bytes"),
    "base offset": (changed(GOOD, 0, ">q", 7), ErrorCode.INVALID_RECORD, "base offset"),
    "no records": (changed(GOOD, 57, ">i", 0), ErrorCode.INVALID_RECORD, "record count"),
    "negative count": (changed(GOOD, 57, ">i", -1), ErrorCode.INVALID_RECORD, "record count"),
    "other count": (changed(GOOD, 57, ">i", 3), ErrorCode.INVALID_RECORD, "last offset delta"),
    "control": (attributes(GOOD, CONTROL_MASK), ErrorCode.INVALID_RECORD, "control"),
    "codec 5": (attributes(GOOD, 5), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "codec 5"),
    "append time": (attributes(GOOD, TIMESTAMP_TYPE_MASK), ErrorCode.INVALID_TIMESTAMP, "LogAppendTime"),
    "transaction": (
        attributes(IDEMPOTENT, TRANSACTIONAL_MASK),
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        "transactional id",
    ),
    "no sequence": (changed(IDEMPOTENT, 53, ">i", -1), ErrorCode.INVALID_RECORD, "base sequence"),
    "no epoch": (changed(IDEMPOTENT, 51, ">h", -1), ErrorCode.INVALID_RECORD, "epoch"),
}


@pytest.mark.parametrize("name", BAD)
@on_broker()
async def test_a_batch_that_its_header_proves_wrong(stage: Stage, name: str):
    batch, code, words = BAD[name]
    partition = await stage.topic("t")
    for version in (3, 7, 8, 12):
        answer = await stage.produce("t", batch, version=version)
        assert answer.error_code == code, answer
        assert answer.base_offset == -1
        if version >= 8:
            assert words in (answer.error_message or "")
    request = produce_request("", batch, topic_id=partition.topic_id)
    answer = (await stage.ask(request, 13)).responses[0].partition_responses[0]
    assert answer.error_code == code
    assert partition.log_end_offset == 0
    assert (await stage.produce("t", GOOD)).base_offset == 0, "and the partition goes on"


@on_broker()
async def test_zstd_needs_version_7(stage: Stage):
    await stage.topic("t")
    batch = batch_of([b"v" * 100], codec=Codec.ZSTD)
    assert (await stage.produce("t", batch, version=6)).error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert (await stage.produce("t", batch, version=7)).error_code == 0


@on_broker()
async def test_mixed_results_in_one_request(stage: Stage):
    await stage.topic("a", 2)
    await stage.topic("compacted", cleanup_policy="compact")
    data = [
        TopicProduceData(
            "a",
            partition_data=[
                PartitionProduceData(1, batch_of([b"1"])),
                PartitionProduceData(7, batch_of([b"7"])),
                PartitionProduceData(0, b"nonsense"),
            ],
        ),
        TopicProduceData(
            "compacted",
            partition_data=[PartitionProduceData(0, batch_of([(b"k", b"v"), (b"k", b"w"), (None, b"x")]))],
        ),
        TopicProduceData("nowhere", partition_data=[PartitionProduceData(0, batch_of([b"v"]))]),
    ]
    for acks in (1, -1):
        response = await stage.ask(ProduceRequest(acks=acks, timeout_ms=1000, topic_data=data), 12)
        assert [topic.name for topic in response.responses] == ["a", "compacted", "nowhere"]
        (good, absent, nonsense), (refused,), (unknown,) = (
            topic.partition_responses for topic in response.responses
        )
        assert (good.index, good.error_code, good.base_offset) == (1, 0, 0 if acks == 1 else 1)
        assert (absent.index, absent.error_code) == (7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert (nonsense.index, nonsense.error_code) == (0, ErrorCode.INVALID_RECORD)
        assert refused.error_code == ErrorCode.INVALID_RECORD
        assert [error.batch_index for error in refused.record_errors] == [2]
        assert "key" in refused.record_errors[0].batch_index_error_message
        assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        data = [replace_batches(topic) for topic in data]


def replace_batches(topic: TopicProduceData) -> TopicProduceData:
    return replace(topic, partition_data=[replace(item) for item in topic.partition_data])


@on_broker()
async def test_a_request_without_partitions_is_answered(stage: Stage):
    for version in VERSIONS:
        response = await stage.ask(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[]), version)
        assert response.responses == []


@on_broker()
async def test_replies_keep_the_order_of_requests(stage: Stage):
    await stage.topic("t", 2)
    connection = await stage.connect()
    with stage.hold("journal"):
        answers = []
        for number in range(20):
            topic = "t" if number % 3 != 1 else "nowhere"  # an error is known at once, and waits for its turn
            request = produce_request(topic, batch_of([b"%d" % number]), number % 2)
            answers.append(connection.send(ApiKey.PRODUCE, request, version=9))
        await until(
            lambda: stage.partition("t").log_end_offset + stage.partition("t", 1).log_end_offset == 13
        )
        assert not any(answer.done() for answer in answers)
    responses = await asyncio.gather(*answers)  # the client checks that each answers its own request
    codes = [response.responses[0].partition_responses[0].error_code for response in responses]
    assert codes == [0 if number % 3 != 1 else 3 for number in range(20)]


# ---- time


@pytest.mark.parametrize("several", [False, True])
@on_broker()
async def test_what_is_late_is_told_so_and_still_counts(stage: Stage, several: bool):
    partition = await stage.topic("t", 2)
    request = produce_request("t", batch_of([b"late"]), timeout_ms=50)
    if several:
        request.topic_data[0].partition_data.append(PartitionProduceData(9, batch_of([b"x"])))
    with stage.hold("journal"):
        began = time.monotonic()
        response = await stage.ask(request, 9)
        assert time.monotonic() - began >= 0.05
        answers = response.responses[0].partition_responses
        assert answers[0].error_code == ErrorCode.REQUEST_TIMED_OUT
        assert answers[0].base_offset == -1
        if several:
            assert answers[1].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert partition.high_watermark == 0
    await until(lambda: partition.high_watermark == 1)
    assert [bytes(record.value) for record in decode_all(await stage.fetch("t", 0))] == [b"late"]
    await until(lambda: len(stage.broker.produce_waits) == 0)
    assert (await stage.produce("t", batch_of([b"next"]))).base_offset == 1


@on_broker()
async def test_a_client_that_left_harms_nobody(stage: Stage):
    partition = await stage.topic("t")
    connection = await stage.connect()
    with stage.hold("journal"):
        lost = connection.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"1"])), version=9)
        await until(lambda: partition.log_end_offset == 1)
        connection.close()
        with pytest.raises(ConnectionLostError):
            await lost
        other = asyncio.ensure_future(stage.produce("t", batch_of([b"2"])))
        await until(lambda: partition.log_end_offset == 2)
    assert (await other).base_offset == 1


# ---- idempotent producers


@on_broker()
async def test_a_duplicate_gets_the_first_answer_and_is_not_appended(stage: Stage):
    partition = await stage.topic("t")
    for number in range(5):
        batch = batch_of([b"a", b"b"], producer_id=9, sequence=2 * number)
        assert (await stage.produce("t", batch)).base_offset == 2 * number
    for number in range(5):
        batch = batch_of([b"a", b"b"], producer_id=9, sequence=2 * number)
        for acks in (1, -1):
            answer = await stage.produce("t", batch, acks=acks)
            assert (answer.error_code, answer.base_offset) == (0, 2 * number)
    assert partition.log_end_offset == 10
    batch = batch_of([b"a", b"b"], producer_id=9, sequence=10)
    await stage.produce("t", batch)
    batch = batch_of([b"a", b"b"], producer_id=9, sequence=0)
    answer = await stage.produce("t", batch)
    assert answer.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "only five are remembered"


@on_broker()
async def test_a_duplicate_of_what_is_not_durable_waits_for_it(stage: Stage):
    partition = await stage.topic("t")
    batch = batch_of([b"a"], producer_id=9)
    with stage.hold("journal"):
        first = asyncio.ensure_future(stage.produce("t", bytearray(batch), connection=await stage.connect()))
        await until(lambda: partition.log_end_offset == 1)
        second = asyncio.ensure_future(stage.produce("t", bytearray(batch), connection=await stage.connect()))
        timed = await stage.produce("t", batch, timeout_ms=10, connection=await stage.connect())
        assert timed.error_code == ErrorCode.REQUEST_TIMED_OUT
        assert not first.done()
        assert not second.done()
        assert partition.log_end_offset == 1
    assert (await first).base_offset == 0
    assert (await second).base_offset == 0


@on_broker()
async def test_sequences_and_epochs(stage: Stage):
    await stage.topic("t")

    async def send(sequence: int, epoch: int = 0) -> int:
        batch = batch_of([b"v"], producer_id=9, epoch=epoch, sequence=sequence)
        return (await stage.produce("t", batch)).error_code

    assert await send(0) == 0
    assert await send(2) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert await send(1) == 0
    assert await send(5, epoch=1) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert await send(0, epoch=1) == 0
    assert await send(2) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert await send(1, epoch=1) == 0


@on_broker()
async def test_duplicates_are_known_after_a_restart(stage: Stage):
    await stage.topic("t")
    assert (await stage.produce("t", batch_of([b"a"], producer_id=9))).base_offset == 0
    assert (await stage.produce("t", batch_of([b"b"], producer_id=9, sequence=1))).base_offset == 1
    await stage.restart()
    answer = await stage.produce("t", batch_of([b"a"], producer_id=9))
    assert (answer.error_code, answer.base_offset) == (0, 0)
    assert stage.partition("t").log_end_offset == 2


# ---- what a topic asks for


@on_broker()
async def test_log_append_time_changes_header_and_crc_only(stage: Stage):
    await stage.topic("t", message_timestamp_type="LogAppendTime")
    for codec in Codec:
        sent = batch_of([b"a" * 50, b"b"], timestamps=[5, 7], codec=codec)
        began = time.time_ns() // 1_000_000
        answer = await stage.produce("t", bytearray(sent))
        assert began <= answer.log_append_time_ms <= time.time_ns() // 1_000_000
        stored = bytes_of(await stage.fetch("t", answer.base_offset))
        header = parse_header(stored)
        check_crc(stored, header)
        assert header.is_log_append_time
        assert header.max_timestamp == answer.log_append_time_ms
        assert header.base_timestamp == 5
        assert stored[61:] == sent[61:], "the records are as they came"
        assert {record.timestamp_ms for record in decode_records(stored)} == {answer.log_append_time_ms}


@on_broker()
async def test_a_duplicate_under_log_append_time(stage: Stage):
    await stage.topic("t", message_timestamp_type="LogAppendTime")
    first = await stage.produce("t", batch_of([b"a"], producer_id=9))
    again = await stage.produce("t", batch_of([b"a"], producer_id=9))
    assert again.error_code == 0
    assert again.base_offset == first.base_offset
    assert again.log_append_time_ms == first.log_append_time_ms


@on_broker()
async def test_timestamps_within_the_bounds(stage: Stage):
    await stage.topic("t", message_timestamp_before_max_ms="60000", message_timestamp_after_max_ms="60000")
    await stage.topic("full", message_timestamp_before_max_ms="60000", record_validation="full")
    now = time.time_ns() // 1_000_000
    for shift, code in ((0, 0), (-50_000, 0), (50_000, 0), (-70_000, 32), (70_000, 32)):
        answer = await stage.produce("t", batch_of([b"v"], timestamps=now + shift))
        assert answer.error_code == code, shift
    between = batch_of([b"a", b"b", b"c"], timestamps=[now, now - 70_000, now])
    assert (await stage.produce("t", bytearray(between))).error_code == 0, "the header can't prove it"
    answer = await stage.produce("full", between)
    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert [error.batch_index for error in answer.record_errors] == [1]


@on_broker()
async def test_full_validation_puts_the_max_timestamp_right(stage: Stage):
    await stage.topic("header")
    await stage.topic("full", record_validation="full")
    await stage.topic("compacted", cleanup_policy="compact")
    now = time.time_ns() // 1_000_000
    for codec in (Codec.NONE, Codec.GZIP):
        batch = batch_of([(b"k", b"a"), (b"k", b"b")], timestamps=[now - 5, now - 3], codec=codec)
        lie = changed(batch, 35, ">q", now + 1000)
        for topic, expected in (("header", now + 1000), ("full", now - 3), ("compacted", now - 3)):
            answer = await stage.produce(topic, bytearray(lie))
            assert answer.error_code == 0
            stored = bytes_of(await stage.fetch(topic, answer.base_offset))
            header = parse_header(stored)
            check_crc(stored, header)
            assert header.max_timestamp == expected
            assert stored[61:] == batch[61:]


@on_broker()
async def test_full_validation_finds_what_lies_inside(stage: Stage):
    await stage.topic("header")
    await stage.topic("full", record_validation="full")
    batch = batch_of([b"abc", b"def"])
    inside = changed(batch, 61, ">b", 127)  # the first record's length
    assert (await stage.produce("header", bytearray(inside))).error_code == 0, "harms only who decodes it"
    answer = await stage.produce("full", inside)
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert [error.batch_index for error in answer.record_errors] == [0]
    assert answer.error_message


CODECS = {
    "uncompressed": Codec.NONE,
    "gzip": Codec.GZIP,
    "snappy": Codec.SNAPPY,
    "lz4": Codec.LZ4,
    "zstd": Codec.ZSTD,
}


@pytest.mark.parametrize("name", CODECS)
@on_broker()
async def test_compression_type_of_the_topic(stage: Stage, name: str):
    await stage.topic("t", compression_type=name)
    offset = 0
    for codec in Codec:
        sent = batch_of([(b"k", b"v" * 300), (None, b"w")], codec=codec, producer_id=9, sequence=offset)
        answer = await stage.produce("t", bytearray(sent))
        assert (answer.error_code, answer.base_offset) == (0, offset)
        stored = bytes_of(await stage.fetch("t", offset))
        header = parse_header(stored)
        check_crc(stored, header)
        assert header.codec_id == CODECS[name]
        was = parse_header(sent)
        assert header[5:] == (was.attributes & ~7 | CODECS[name], *was[6:])
        if codec == CODECS[name]:
            assert stored[61:] == sent[61:], "not packed again"
        assert [(r.key, r.value) for r in decode_records(stored)] == [(b"k", b"v" * 300), (None, b"w")]
        offset += 2


@on_broker()
async def test_the_levels_of_the_topic(stage: Stage):
    words = b" ".join(b"%d" % (number * number % 9973) for number in range(20_000))
    for name, low, high in (("gzip", "1", "9"), ("lz4", "1", "12"), ("zstd", "-5", "15")):
        sizes = []
        for level in (low, high):
            topic = f"{name}{level.strip('-')}"
            await stage.topic(topic, compression_type=name, **{f"compression_{name}_level": level})
            assert (await stage.produce(topic, batch_of([words]))).error_code == 0
            sizes.append(stage.partition(topic).log.size_bytes)
        assert sizes[1] < sizes[0], name
    await stage.topic("default", compression_type="gzip", compression_gzip_level="-1")
    assert (await stage.produce("default", batch_of([words]))).error_code == 0


@on_broker()
async def test_recompression_walks_the_records(stage: Stage):
    await stage.topic("t", compression_type="zstd")
    inside = changed(batch_of([b"abc", b"def"]), 61, ">b", 127)
    answer = await stage.produce("t", inside)
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert [error.batch_index for error in answer.record_errors] == [0]


@on_broker()
async def test_the_size_is_looked_at_again_after_recompression(stage: Stage):
    await stage.topic("t", compression_type="uncompressed", max_message_bytes="1000")
    answer = await stage.produce("t", batch_of([b"x" * 2000], codec=Codec.GZIP))
    assert answer.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert "max.message.bytes" in answer.error_message
    assert (await stage.produce("t", batch_of([b"x" * 2000]))).error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert (await stage.produce("t", batch_of([b"x" * 500], codec=Codec.GZIP))).error_code == 0


@on_broker()
async def test_a_bomb_is_not_unpacked(stage: Stage):
    await stage.topic("t", compression_type="uncompressed", max_message_bytes="100000000")
    builder = BatchBuilder(codec=Codec.ZSTD)
    zeros = bytes(64 << 20)
    for _ in range(5):
        builder.append(1, None, zeros)
    answer = await stage.produce("t", builder.build())
    assert answer.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert stage.partition("t").log_end_offset == 0


@on_broker()
async def test_what_is_walked_holds_the_loop_up_for_a_bounded_time(stage: Stage):
    builder = BatchBuilder(codec=Codec.ZSTD)
    builder.append(1, None, bytes(WALKED_BYTES_MAX))
    large = builder.build()
    await stage.topic("walked", record_validation="full")
    answer = await stage.produce("walked", bytes(large))
    assert answer.error_code == ErrorCode.MESSAGE_TOO_LARGE
    await stage.topic("larger", record_validation="full", max_message_bytes=str(2 * WALKED_BYTES_MAX))
    assert (await stage.produce("larger", bytes(large))).error_code == ErrorCode.NONE
    await stage.topic("opaque")
    assert (await stage.produce("opaque", bytes(large))).error_code == ErrorCode.NONE


@on_broker()
async def test_max_message_bytes_counts_the_whole_batch(stage: Stage):
    batch = batch_of([b"x" * 100])
    await stage.topic("fits", max_message_bytes=str(len(batch)))
    await stage.topic("tight", max_message_bytes=str(len(batch) - 1))
    assert (await stage.produce("fits", bytearray(batch))).error_code == 0
    assert (await stage.produce("tight", bytearray(batch))).error_code == ErrorCode.MESSAGE_TOO_LARGE


@on_broker()
async def test_a_batch_fits_into_a_segment(stage: Stage):
    await stage.topic("t", segment_bytes="1048576", max_message_bytes="5000000")
    answer = await stage.produce("t", batch_of([b"x" * 1_048_576]))
    assert answer.error_code == ErrorCode.RECORD_LIST_TOO_LARGE
    assert "segment.bytes" in answer.error_message
    assert stage.partition("t").log_end_offset == 0
    assert (await stage.produce("t", batch_of([b"x" * 1_048_000]))).error_code == 0


@on_broker()
async def test_internal_topics_are_not_for_clients(stage: Stage):
    await stage.ask(CreateTopicsRequest())
    from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest

    await stage.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 4)
    await until(lambda: stage.broker.replicas.topic("__consumer_offsets"))
    partition = stage.partition("__consumer_offsets")
    answer = await stage.produce("__consumer_offsets", batch_of([(b"k", b"v")]))
    assert answer.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    request = produce_request("", batch_of([(b"k", b"v")]), topic_id=partition.topic_id)
    answer = (await stage.ask(request, 13)).responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


@on_broker()
async def test_min_insync_replicas_matters_to_acks_all_only(stage: Stage):
    partition = await stage.topic("t", min_insync_replicas="2")
    answer = await stage.produce("t", batch_of([b"v"]))
    assert answer.error_code == ErrorCode.NOT_ENOUGH_REPLICAS
    assert "min.insync.replicas" in answer.error_message
    assert partition.log_end_offset == 0
    assert (await stage.produce("t", batch_of([b"v"]), acks=1)).error_code == 0


@on_broker()
async def test_a_topic_that_is_deleted_while_a_produce_waits(stage: Stage):
    from logbroker.metadata.controller import TopicToDelete

    partition = await stage.topic("t")
    with stage.hold("journal"):
        answer = asyncio.ensure_future(stage.produce("t", batch_of([b"v"])))
        await until(lambda: partition.log_end_offset == 1)
        await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    code = (await answer).error_code
    assert code in {0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    answer = await stage.produce("t", batch_of([b"v"]))
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def decode_all(data):
    records = bytes_of(data)
    found = []
    for position, header in iter_batches(records, verify_crc=True):
        found += decode_records(records, position, header=header)
    return found


async def stage_fetch(stage: Stage, topic: str, offset: int):
    from support.broker_stage import fetch_request

    connection = await stage.connect()
    response = await connection.request(ApiKey.FETCH, fetch_request({(topic, 0): offset}), version=12)
    return response.responses[0].partitions[0]
