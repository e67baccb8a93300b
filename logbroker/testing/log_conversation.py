"""A long talk with a broker about records, whose answers can be compared between brokers: Produce, Fetch, offsets, ids.

`converse` says everything in a fixed order over one connection and returns each answer under a label (`talk.py` says
what is masked). Records carry times of their own, so that answers don't depend on the clock.

Not in it, because the answers differ on purpose: transactional producers (there is no coordinator yet), errors' texts and the log's
start in refusals of Produce, null for records (Kafka never answers), bytes behind a batch and the timestamp type
LogAppendTime (Kafka takes them), unknown isolation levels and negative epochs (Kafka fails), and the order of a session's partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.types import Buffer
from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder
from logbroker.testing.talk import STRANGER, Answers, Talk, until
from logbroker.testing.wire_client import LATEST
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from logbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from logbroker.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
)
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from logbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

TIMEOUT_MS: Final = 30_000
T0_MS: Final = 1_700_000_000_000
"""When the first record was made."""
BY_ID_FROM: Final = 13
"""The version from which Produce and Fetch name topics by id."""


def converse(bootstrap: str) -> Answers:
    """Talk to the broker, whose id is 1 and which has no topics.

    Raises:
        RuntimeError: It isn't ready in time.
        ConnectionError: It closed a connection.
    """
    talk = Talk(bootstrap, masked=frozenset({"error_message", "batch_index_error_message", "session_id"}))
    try:
        _create(talk)
        _wait_for_ids(talk)
        for part in (
            _producing,
            _refused_batches,
            _idempotent,
            _fetching,
            _sessions,
            _offsets,
            _epochs,
            _deleting,
        ):
            part(talk)
        return talk.answers
    finally:
        talk.close()


# ---- requests


def _create(talk: Talk) -> None:
    def topic(name: str, partitions: int, **configs: str) -> CreatableTopic:
        given = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
        return CreatableTopic(name, partitions, 1, [], given)

    topics = [
        topic("t", 3),
        topic("timed", 2),
        topic("compacted", 1, cleanup_policy="compact"),
        topic("small", 1, max_message_bytes="500"),
        topic("strict", 1, message_timestamp_before_max_ms="1000", message_timestamp_after_max_ms="1000"),
        topic("gzipped", 1, compression_type="gzip"),
        topic("ids", 2),
        topic("deleted", 3),
    ]
    answer = talk.a.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics, TIMEOUT_MS), 5)
    if any(result.error_code for result in answer.topics):
        raise RuntimeError(f"topics were not created: {answer}")
    partitions = [(made.name, index) for made in topics for index in range(made.num_partitions)]
    until(lambda: not any(talk.a.offset(name, index, LATEST)[0] for name, index in partitions))
    for made in topics:
        asked = MetadataRequest([MetadataRequestTopic(name=made.name)], False)
        found = talk.a.call(ApiKey.METADATA, asked, 12).topics[0]
        talk.topic_ids[found.topic_id] = f"id of {made.name}"


def _wait_for_ids(talk: Talk) -> None:
    """Ask until there are producer ids: the first comes a moment later elsewhere."""
    until(lambda: not talk.a.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(None, 60_000), 4).error_code)


def _id_of(talk: Talk, name: str) -> Any:
    return next((key for key, known in talk.topic_ids.items() if known == f"id of {name}"), STRANGER)


def _batch(
    *values: bytes | None,
    key: bytes | None = b"k",
    at_ms: int = T0_MS,
    codec: Codec = Codec.NONE,
    **more: Any,
) -> bytearray:
    builder = BatchBuilder(codec=codec, **more)
    for number, value in enumerate(values):
        builder.append(at_ms + number, key, value)
    return builder.build()


def _produce(
    talk: Talk,
    label: str,
    topic: str,
    parts: Sequence[tuple[int, Buffer]],
    *,
    version: int = 12,
    acks: int = -1,
) -> None:
    data = [PartitionProduceData(index, records) for index, records in parts]
    if version >= BY_ID_FROM:
        told = TopicProduceData(topic_id=_id_of(talk, topic), partition_data=data)
    else:
        told = TopicProduceData(name=topic, partition_data=data)
    answer = talk.a.call(ApiKey.PRODUCE, ProduceRequest(None, acks, TIMEOUT_MS, [told]), version)
    for partition in answer.responses[0].partition_responses:
        if partition.error_code:
            partition.log_start_offset = -1  # Kafka names it with some errors
        if partition.error_code == ErrorCode.INVALID_TIMESTAMP:
            partition.record_errors = []  # Kafka knows which record it was: it looks at each
    talk.note(f"produce {label}", answer)


def _fetch(
    talk: Talk, label: str, topics: dict[str, list[FetchPartition]], version: int = 12, **changes: Any
) -> Any:
    def told(name: str, partitions: list[FetchPartition]) -> FetchTopic:
        if version >= BY_ID_FROM:
            return FetchTopic(topic_id=_id_of(talk, name), partitions=partitions)
        return FetchTopic(name, partitions=partitions)

    defaults = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20, "session_id": 0, "session_epoch": -1}
    request = FetchRequest(
        topics=[told(name, partitions) for name, partitions in topics.items()], **{**defaults, **changes}
    )
    response = talk.a.call(ApiKey.FETCH, request, version)
    merged: dict[Any, list[PartitionData]] = {}
    for (
        topic
    ) in response.responses:  # Kafka names a topic twice if another stands between two of its partitions
        merged.setdefault((topic.topic, topic.topic_id), []).extend(topic.partitions)
    for partition in (partition for found in merged.values() for partition in found):
        if partition.error_code:
            partition.aborted_transactions = None  # Kafka: an empty list, now and then
    response.responses = [
        FetchableTopicResponse(names[0], names[1], merged[names])
        for names in sorted(merged, key=lambda names: (names[0], talk.topic_ids[names[1]]))
    ]
    return talk.note(f"fetch {label}", response)


def _at(index: int, offset: int, max_bytes: int = 1 << 20, epoch: int = -1) -> FetchPartition:
    return FetchPartition(
        partition=index,
        current_leader_epoch=epoch,
        fetch_offset=offset,
        log_start_offset=-1,
        partition_max_bytes=max_bytes,
    )


# ---- the talk


def _producing(talk: Talk) -> None:
    for version in range(3, 14):
        _produce(talk, f"v{version}", "t", [(0, _batch(b"%d" % version, None))], version=version)
    for codec in Codec:
        version = 7 if codec is Codec.ZSTD else 3
        _produce(
            talk, f"with {codec.name}", "t", [(1, _batch(b"x" * 50, b"y", codec=codec))], version=version
        )
    _produce(talk, "zstd v6", "t", [(1, _batch(b"x", codec=Codec.ZSTD))], version=6)
    _produce(
        talk, "to several", "t", [(2, _batch(b"a")), (1, _batch(b"b")), (7, _batch(b"c")), (-1, _batch(b"d"))]
    )
    _produce(talk, "to an unknown topic", "nowhere", [(0, _batch(b"a"))])
    _produce(talk, "to an unknown id", "nowhere", [(0, _batch(b"a"))], version=13)
    _produce(talk, "to a topic that can't be", "no name", [(0, _batch(b"a"))])
    _produce(talk, "with acks 1", "t", [(2, _batch(b"a"))], acks=1)
    _produce(talk, "with acks 2", "t", [(2, _batch(b"a"))], acks=2)
    _produce(talk, "with acks -2", "t", [(2, _batch(b"a")), (9, _batch(b"a"))], acks=-2)
    _produce(talk, "to an internal topic", "__consumer_offsets", [(0, _batch(b"a"))])
    nothing = ProduceRequest(None, -1, TIMEOUT_MS, [])
    talk.ask("produce nothing", ApiKey.PRODUCE, nothing, 12)


def _refused_batches(talk: Talk) -> None:
    good = _batch(b"value", b"other")
    broken_crc = bytearray(good)
    broken_crc[-1] ^= 1
    old_magic = bytearray(good)
    old_magic[16] = 1
    new_magic = bytearray(good)
    new_magic[16] = 3
    batches: dict[str, Buffer] = {
        "with a wrong crc": broken_crc,
        "of magic 1": old_magic,
        "of magic 3": new_magic,
        "cut short": good[:-3],
        "two in one": good + good,
        "of zero bytes": b"",
        "with a base offset": _batch(b"a", base_offset=7),
        "of control records": _batch(b"a", control=True),
        "with an epoch": _batch(b"a", leader_epoch=5),
        "without times": _batch(b"a", at_ms=-1),
        "from the far future": _batch(b"a", at_ms=32_000_000_000_000),
    }
    for label, records in batches.items():
        _produce(talk, f"a batch {label}", "t", [(2, records)])
    _produce(talk, "without a key to a compacted topic", "compacted", [(0, _batch(b"a", key=None))])
    _produce(talk, "with a key to a compacted topic", "compacted", [(0, _batch(b"a"))])
    _produce(talk, "something too large", "small", [(0, _batch(b"x" * 500))])
    _produce(
        talk, "something too large that is compressed", "small", [(0, _batch(b"x" * 5000, codec=Codec.GZIP))]
    )
    _produce(talk, "something too old", "strict", [(0, _batch(b"a"))])
    _produce(talk, "something too old v3", "strict", [(0, _batch(b"a"))], version=3)
    _produce(talk, "to a topic of one codec", "gzipped", [(0, _batch(b"a" * 100, codec=Codec.LZ4))])


def _idempotent(talk: Talk) -> None:
    for version in range(6):
        given = talk.a.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(None, 60_000), version)
        talk.note(
            f"a producer id v{version}", [given.error_code, given.producer_id >= 0, given.producer_epoch]
        )
    mine = talk.a.producer_id()

    def send(
        label: str, sequence: int, *, count: int = 2, epoch: int = 0, pid: int = mine, index: int = 0
    ) -> None:
        values = [b"%d" % (sequence + number) for number in range(count)]
        batch = _batch(*values, producer_id=pid, producer_epoch=epoch, base_sequence=sequence)
        _produce(talk, f"in sequence: {label}", "ids", [(index, batch)])

    send("first", 0)
    send("second", 2)
    send("second again", 2)
    send("first again", 0)
    send("with a gap", 6)
    send("half of it again", 3)
    for number in range(5):
        send(f"more {number}", 4 + 2 * number)
    send("the sixth last again", 2)
    send("the fifth last again", 4)
    send("a newer epoch in the middle", 20, epoch=1)
    send("a newer epoch", 0, epoch=1)
    send("the older epoch", 14)
    send("an unknown id in the middle", 7, pid=mine + 1000, index=1)
    send("an unknown id from its start", 0, pid=mine + 1001, index=1)
    send("without a sequence", -1, pid=mine + 1002, index=1)
    renewed = InitProducerIdRequest(None, 60_000, mine, 0)
    given = talk.a.call(ApiKey.INIT_PRODUCER_ID, renewed, 4)
    talk.note(
        "a producer id for another", [given.error_code, given.producer_id != mine, given.producer_epoch]
    )
    for label, pid, epoch in (("no epoch", mine, -1), ("no id", -1, 0), ("negative", -5, -5)):
        request = InitProducerIdRequest(None, 60_000, pid, epoch)
        answer = talk.a.call(ApiKey.INIT_PRODUCER_ID, request, 4)
        talk.note(
            f"a producer id for {label}", [answer.error_code, answer.producer_id >= 0, answer.producer_epoch]
        )


def _fetching(talk: Talk) -> None:
    for version in range(4, 19):
        _fetch(talk, f"v{version}", {"t": [_at(0, 20)]}, version)
    _fetch(
        talk, "several", {"t": [_at(1, 2), _at(0, 21), _at(2, 0)], "nowhere": [_at(0, 0)], "ids": [_at(1, 0)]}
    )
    _fetch(talk, "unknown ids", {"t": [_at(0, 21), _at(9, 0)], "nowhere": [_at(0, 0)]}, 17)
    _fetch(talk, "at the end", {"t": [_at(0, 22)]})
    _fetch(talk, "behind the end", {"t": [_at(0, 23)]})
    _fetch(talk, "before the start", {"t": [_at(0, -1)]})
    _fetch(talk, "with its epoch", {"t": [_at(0, 21, epoch=0)]})
    _fetch(talk, "with a later epoch", {"t": [_at(0, 21, epoch=7)]})
    _fetch(talk, "in the middle of a batch", {"t": [_at(0, 1, 100)]})
    _fetch(talk, "one byte", {"t": [_at(0, 0, 1), _at(1, 0, 1)]})
    _fetch(talk, "one byte in all", {"t": [_at(0, 0), _at(1, 0)]}, max_bytes=1)
    _fetch(talk, "three batches", {"t": [_at(0, 0, 220)]})
    _fetch(talk, "no bytes", {"t": [_at(0, 0, 0)]})
    _fetch(talk, "committed", {"t": [_at(0, 20)]}, isolation_level=1)
    _fetch(talk, "twice the same", {"t": [_at(0, 20), _at(0, 21)]})
    _fetch(talk, "nothing", {})
    _fetch(talk, "zstd v9", {"t": [_at(1, 0)]}, 9)
    _fetch(talk, "zstd v10", {"t": [_at(1, 8)]}, 10)
    _fetch(talk, "from elsewhere", {"t": [_at(0, 21)]}, rack_id="elsewhere")
    _fetch(talk, "and wait for what doesn't come", {"t": [_at(0, 22)]}, max_wait_ms=50, min_bytes=1)
    _fetch(
        talk, "and wait though there is an error", {"t": [_at(0, 23)]}, max_wait_ms=600_000, min_bytes=1 << 20
    )


def _sessions(talk: Talk) -> None:
    for version in (7, 12, 13, 18):

        def fetch(
            label: str, topics: dict[str, list[FetchPartition]], *, version: int = version, **changes: Any
        ) -> Any:
            return _fetch(talk, f"session v{version} {label}", topics, version, **changes)

        opened = fetch("opened", {"t": [_at(0, 22), _at(1, 0)]}, session_epoch=0)
        session = opened.session_id
        talk.note(f"session v{version} has an id", session > 0)
        fetch("goes on", {}, session_id=session, session_epoch=1)
        fetch("and on with another", {"ids": [_at(1, 0)]}, session_id=session, session_epoch=2)
        fetch("and on moved", {"t": [_at(1, 2, 1)]}, session_id=session, session_epoch=3)
        fetch("at the end of one", {"ids": [_at(1, 1)]}, session_id=session, session_epoch=4)
        _produce(talk, f"for session v{version}", "t", [(0, _batch(b"new"))])
        fetch("with news", {}, session_id=session, session_epoch=5)
        _forget(talk, version, session)
        fetch(
            "with an unknown one",
            {"nowhere": [_at(0, 0)], "t": [_at(9, 0)]},
            session_id=session,
            session_epoch=7,
        )
        fetch("again with the unknown", {}, session_id=session, session_epoch=8)
        fetch("in a wrong epoch", {}, session_id=session, session_epoch=7)
        fetch("of another", {}, session_id=session ^ 5, session_epoch=1)
        fetch("replaced", {"t": [_at(0, 0, 1)]}, session_id=session, session_epoch=0)
        fetch("after it was replaced", {}, session_id=session, session_epoch=9)
        other = fetch("to close", {"t": [_at(0, 22)]}, session_epoch=0).session_id
        fetch("closed", {"t": [_at(0, 22, 1)]}, session_id=other, session_epoch=-1)
        fetch("after it was closed", {}, session_id=other, session_epoch=1)
        fetch("of nothing", {}, session_epoch=0)
        # What was new to one version is not to the next.
        talk.a.call(
            ApiKey.FETCH,
            FetchRequest(max_wait_ms=0, session_epoch=-1, topics=[FetchTopic("t", partitions=[_at(0, 22)])]),
            12,
        )


def _forget(talk: Talk, version: int, session: int) -> None:
    by_id = version >= BY_ID_FROM
    forgotten = ForgottenTopic("" if by_id else "t", _id_of(talk, "t"), [1])
    _fetch(
        talk,
        f"session v{version} without one",
        {},
        version,
        session_id=session,
        session_epoch=6,
        forgotten_topics_data=[forgotten],
    )


def _offsets(talk: Talk) -> None:
    for number in range(6):  # six batches of ten, a second apart; the third and fourth in the wrong order
        at_ms = T0_MS + 1000 * (0, 1, 3, 2, 4, 5)[number]
        values = [b"%d" % (10 * number + index) for index in range(10)]
        batch = _batch(*values, at_ms=at_ms, codec=Codec.GZIP if number % 2 else Codec.NONE)
        talk.a.produce("timed", 0, batch)

    def ask(
        label: str, timestamp: int, version: int, index: int = 0, topic: str = "timed", **more: Any
    ) -> None:
        isolation = more.pop("isolation", 0)
        wanted = [ListOffsetsPartition(index, more.pop("epoch", -1), timestamp)]
        request = ListOffsetsRequest(-1, isolation, [ListOffsetsTopic(topic, wanted)], TIMEOUT_MS)
        talk.ask(f"offset {label}", ApiKey.LIST_OFFSETS, request, version)

    for version in range(1, 12):
        for timestamp in (-1, -2, -3, -4, -5, -6, -7, T0_MS + 3005):
            for index in (0, 1):
                ask(f"{timestamp} of {index} v{version}", timestamp, version, index)
    for after_ms in (
        -1,
        0,
        5,
        9,
        10,
        999,
        1000,
        2000,
        2005,
        2010,
        3000,
        3009,
        3010,
        4000,
        5009,
        5010,
        10**12,
    ):
        ask(f"after {after_ms} ms", T0_MS + after_ms, 11)
    ask("at time 0", 0, 11)
    ask("committed", -1, 11, isolation=1)
    ask("in its epoch", -1, 11, epoch=0)
    ask("in a later epoch", -1, 11, epoch=7)
    ask("of an unknown partition", -1, 11, 9)
    ask("of an unknown topic", -1, 11, topic="nowhere")
    ask("of a topic that can't be", -1, 11, topic="no name")
    twice = ListOffsetsTopic("timed", [ListOffsetsPartition(0, -1, -1), ListOffsetsPartition(0, -1, -2)])
    talk.ask("offset twice", ApiKey.LIST_OFFSETS, ListOffsetsRequest(-1, 0, [twice], TIMEOUT_MS))


def _epochs(talk: Talk) -> None:
    for version in range(2, 5):
        for current, epoch in ((-1, 0), (0, 0), (7, 0), (-1, 7), (-1, -1)):
            parts = [OffsetForLeaderPartition(index, current, epoch) for index in (0, 1, 9)]
            topics = [OffsetForLeaderTopic("timed", parts), OffsetForLeaderTopic("nowhere", parts[:1])]
            request = OffsetForLeaderEpochRequest(-1, topics)
            label = f"end of epoch {epoch} in {current} v{version}"
            talk.ask(label, ApiKey.OFFSET_FOR_LEADER_EPOCH, request, version)


def _deleting(talk: Talk) -> None:
    for number in range(4):
        talk.a.produce("deleted", 0, _batch(b"a", b"b", b"c", at_ms=T0_MS + 1000 * number))

    def delete(label: str, *parts: tuple[int, int], topic: str = "deleted", version: int = 2) -> None:
        wanted = [DeleteRecordsPartition(index, offset) for index, offset in parts]
        request = DeleteRecordsRequest([DeleteRecordsTopic(topic, wanted)], TIMEOUT_MS)
        talk.ask(f"delete {label}", ApiKey.DELETE_RECORDS, request, version)

    for version in range(3):
        delete(f"v{version}", (0, 2 + version), (1, 0), version=version)
    delete("what is deleted", (0, 1))
    delete("nothing more", (0, 4))
    delete("behind the end", (0, 13))
    delete("at an offset that can't be", (0, -2))
    delete("of an unknown partition", (9, 0), (0, 5))
    delete("of an unknown topic", (0, 0), topic="nowhere")
    delete("of a compacted topic", (0, 0), topic="compacted")
    _fetch(talk, "what was deleted", {"deleted": [_at(0, 4), _at(0, 5)]})
    _fetch(talk, "what is left", {"deleted": [_at(0, 5)]})
    for timestamp in (-2, -3, -4, T0_MS, T0_MS + 1002):
        wanted = [ListOffsetsPartition(0, -1, timestamp)]
        request = ListOffsetsRequest(-1, 0, [ListOffsetsTopic("deleted", wanted)], TIMEOUT_MS)
        talk.ask(f"offset {timestamp} after deletion", ApiKey.LIST_OFFSETS, request)
    _produce(talk, "behind what was deleted", "deleted", [(0, _batch(b"d"))])
    delete("everything", (0, -1), (1, -1))
    _fetch(talk, "where everything was deleted", {"deleted": [_at(0, 13)]})
    for timestamp in (-1, -2, T0_MS):
        wanted = [ListOffsetsPartition(0, -1, timestamp)]
        request = ListOffsetsRequest(-1, 0, [ListOffsetsTopic("deleted", wanted)], TIMEOUT_MS)
        talk.ask(f"offset {timestamp} where everything was deleted", ApiKey.LIST_OFFSETS, request)
    end = OffsetForLeaderEpochRequest(
        -1, [OffsetForLeaderTopic("deleted", [OffsetForLeaderPartition(0, -1, 0)])]
    )
    talk.ask("end of an epoch where everything was deleted", ApiKey.OFFSET_FOR_LEADER_EPOCH, end)
    versions = {key: API[key].max_version for key in (ApiKey.PRODUCE, ApiKey.FETCH)}
    talk.note("newest versions spoken", [versions[ApiKey.PRODUCE], versions[ApiKey.FETCH]])
