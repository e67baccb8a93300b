"""A long talk with a broker about topics and the cluster, whose answers can be compared between brokers.

`converse` says everything in a fixed order over one connection and returns each answer, error messages included, under a label
(`talk.py` says what is masked).

Not in it, because the answers differ on purpose: topics that come to be by being asked for (Kafka answers before it creates
them), several topics of one request that collide, and too many partitions in one CreatePartitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from logbroker.testing.talk import STRANGER, Answers, Talk, until
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from logbroker.wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from logbroker.wire.messages.describe_cluster import DescribeClusterRequest
from logbroker.wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from logbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    TopicRequest,
)
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

TIMEOUT_MS: Final = 30_000
NEVER_COMPARED: Final = frozenset({"cluster_id", "log_dir", "total_bytes", "usable_bytes", "configs"})
"""Names and sizes of the machine's; configs have a conversation of their own."""

Assignments = Sequence[tuple[int, list[int]]]


def converse(bootstrap: str) -> Answers:
    """Talk to the broker, whose id is 1 and which has no topics.

    Raises:
        RuntimeError: It isn't ready in time.
        ConnectionError: It closed a connection.
    """
    talk = Talk(bootstrap, masked=NEVER_COMPARED)
    try:
        for part in (
            _creating,
            _metadata,
            _more_partitions,
            _portions,
            _cluster,
            _deleting,
        ):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _topic(
    name: str,
    partitions: int = -1,
    factor: int = -1,
    assignments: Assignments = (),
    **configs: str | None,
) -> CreatableTopic:
    return CreatableTopic(
        name,
        partitions,
        factor,
        [CreatableReplicaAssignment(index, brokers) for index, brokers in assignments],
        [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()],
    )


def _create(*topics: CreatableTopic, validate_only: bool = False) -> CreateTopicsRequest:
    return CreateTopicsRequest(list(topics), TIMEOUT_MS, validate_only)


def _names(talk: Talk) -> set[str]:
    answer = talk.a.call(ApiKey.METADATA, MetadataRequest(None, False), 12)
    return {topic.name for topic in answer.topics}


def _creating(talk: Talk) -> None:
    ask = talk.ask
    for version in range(2, 8):
        ask(f"create v{version}", ApiKey.CREATE_TOPICS, _create(_topic(f"t{version}", 3, 1)), version)
        ask(f"create again v{version}", ApiKey.CREATE_TOPICS, _create(_topic(f"t{version}", 3, 1)), version)
    until(lambda: {f"t{version}" for version in range(2, 8)} <= _names(talk))
    for name in ("t2", "t7"):
        metadata = talk.a.call(ApiKey.METADATA, MetadataRequest([MetadataRequestTopic(name=name)], False), 12)
        talk.topic_ids[metadata.topics[0].topic_id] = f"id of {name}"
    wanted = {
        "by default": _topic("d1"),
        "placed by hand": _topic("d2", assignments=[(1, [1]), (0, [1])]),
        "with configs": _topic("d3", 1, 1, retention_ms="9000", cleanup_policy="compact,delete"),
        "dots": _topic("d.4", 1, 1),
        "that collides": _topic("d_4", 1, 1),
        "of no name": _topic("", 1, 1),
        "of a dot": _topic(".", 1, 1),
        "of two dots": _topic("..", 1, 1),
        "of a blank": _topic("a b", 1, 1),
        "of a foreign letter": _topic("tür", 1, 1),
        "of a long name": _topic("n" * 250, 1, 1),
        "of the longest name": _topic("n" * 249, 1, 1),
        "of the metadata": _topic("__cluster_metadata", 1, 1),
        "without partitions": _topic("e1", 0, 1),
        "with negative partitions": _topic("e1", -2, 1),
        "with very many partitions": _topic("e1", 10_001, 1),
        "without replicas": _topic("e1", 1, 0),
        "with negative replicas": _topic("e1", 1, -2),
        "with too many replicas": _topic("e1", 1, 3),
        "placed and counted": _topic("e1", 2, -1, [(0, [1])]),
        "placed and replicated": _topic("e1", -1, 1, [(0, [1])]),
        "placed on nobody": _topic("e1", assignments=[(0, [])]),
        "placed on a stranger": _topic("e1", assignments=[(0, [7])]),
        "placed on a negative broker": _topic("e1", assignments=[(0, [-1])]),
        "placed twice on a broker": _topic("e1", assignments=[(0, [1, 1])]),
        "placed with a gap": _topic("e1", assignments=[(0, [1]), (2, [1])]),
        "placed without a first": _topic("e1", assignments=[(1, [1])]),
        "placed twice": _topic("e1", assignments=[(0, [1]), (0, [1])]),
        "placed unevenly": _topic("e1", assignments=[(0, [1]), (1, [1, 2])]),
        "with an unknown config": _topic("e1", 1, 1, no_such="1"),
        "with a null config": _topic("e1", 1, 1, retention_ms=None),
        "with a word for a number": _topic("e1", 1, 1, retention_ms="soon"),
        "with a number too small": _topic("e1", 1, 1, segment_bytes="-3"),
        "with an unknown word": _topic("e1", 1, 1, cleanup_policy="shred"),
        "with no cleanup": _topic("e1", 1, 1, cleanup_policy=""),
        "with a word for a boolean": _topic("e1", 1, 1, preallocate="maybe"),
        "with a number too large": _topic("e1", 1, 1, segment_bytes="99999999999"),
        "with an unknown codec": _topic("e1", 1, 1, compression_type="rar"),
        "with a ratio too large": _topic("e1", 1, 1, min_cleanable_dirty_ratio="1.5"),
        "with an unknown timestamp type": _topic("e1", 1, 1, message_timestamp_type="Now"),
        "with a config spelled oddly": _topic(
            "d5",
            1,
            1,
            preallocate=" TRUE ",
            delete_retention_ms=" +9000 ",
            min_cleanable_dirty_ratio="0.50",
            compression_type=" gzip ",
        ),
        "with a compaction lag that can't be": _topic(
            "e1", 1, 1, min_compaction_lag_ms="10", max_compaction_lag_ms="5"
        ),
    }
    for label, topic in wanted.items():
        for only in (True, False):
            what = "validate a topic" if only else "create a topic"
            ask(f"{what} {label}", ApiKey.CREATE_TOPICS, _create(topic, validate_only=only))
    ask("create nothing", ApiKey.CREATE_TOPICS, _create())
    ask(
        "create twice", ApiKey.CREATE_TOPICS, _create(_topic("f", 1, 1), _topic("f", 2, 1), _topic("g", 1, 1))
    )
    ask(
        "create good and bad",
        ApiKey.CREATE_TOPICS,
        _create(_topic("h", 1, 1), _topic("h h", 1, 1), _topic("t2")),
    )
    ask("create without time", ApiKey.CREATE_TOPICS, CreateTopicsRequest([_topic("late", 1, 1)], 0))
    until(lambda: {"d1", "d2", "d3", "d.4", "g", "h"} <= _names(talk))
    talk.note("topics that were created", sorted(_names(talk)))


def _metadata(talk: Talk) -> None:
    ask = talk.ask
    id_of = {name: topic_id for topic_id, name in talk.topic_ids.items()}["id of t2"]
    for version in range(14):
        topics = [
            MetadataRequestTopic(name=name) for name in ("t2", "nowhere", "no name", "", "__consumer_offsets")
        ]
        request = MetadataRequest(topics, version < 4, True, True)
        if version >= 4:
            ask(f"metadata v{version}", ApiKey.METADATA, request, version)
        some = [MetadataRequestTopic(name="t2"), MetadataRequestTopic(name="t2")]
        ask(f"metadata of one, twice v{version}", ApiKey.METADATA, MetadataRequest(some), version)
        if version >= 1:
            ask(f"metadata of none v{version}", ApiKey.METADATA, MetadataRequest([]), version)
    by_id = [MetadataRequestTopic(id_of, None), MetadataRequestTopic(STRANGER, None)]
    ask("metadata by id v12", ApiKey.METADATA, MetadataRequest(by_id, False), 12)
    ask("metadata by id v13", ApiKey.METADATA, MetadataRequest(by_id, False), 13)
    ask("metadata by id v10", ApiKey.METADATA, MetadataRequest(by_id, False), 10)
    mixed = [MetadataRequestTopic(id_of, None), MetadataRequestTopic(name="t3")]
    ask("metadata by id and by name", ApiKey.METADATA, MetadataRequest(mixed, False))
    both = [MetadataRequestTopic(id_of, "t3")]
    ask("metadata by both", ApiKey.METADATA, MetadataRequest(both, False))
    neither = [MetadataRequestTopic(name=None)]
    ask("metadata by neither v11", ApiKey.METADATA, MetadataRequest(neither, False), 11)


def _more_partitions(talk: Talk) -> None:
    def more(
        label: str, topic: str, count: int, assignments: list[list[int]] | None = None, **changes: Any
    ) -> None:
        placed = None if assignments is None else [CreatePartitionsAssignment(ids) for ids in assignments]
        version = changes.pop("version", 3)
        request = CreatePartitionsRequest(
            [CreatePartitionsTopic(topic, count, placed)], TIMEOUT_MS, **changes
        )
        talk.ask(f"partitions {label}", ApiKey.CREATE_PARTITIONS, request, version)

    more("of an unknown topic", "nowhere", 4)
    more("of a topic that can't be", "no name", 4)
    more("as many as there are", "t2", 3)
    more("fewer", "t2", 2)
    more("none", "t2", 0)
    more("a negative number", "t2", -1)
    more("validated only", "t2", 4, validate_only=True)
    for version in range(4):
        more(f"v{version}", "t2", 4 + version, version=version)
    more("placed", "t2", 8, [[1]])
    more("placed too few", "t2", 10, [[1]])
    more("placed too many", "t2", 9, [[1], [1]])
    more("placed on a stranger", "t2", 9, [[7]])
    more("placed on nobody", "t2", 9, [[]])
    more("placed on two", "t2", 9, [[1, 7]])
    more("placed twice", "t2", 9, [[1, 1]])
    more("placed on none of none", "t2", 9, [])
    twice = [
        CreatePartitionsTopic("t2", 9, None),
        CreatePartitionsTopic("t2", 9, None),
        CreatePartitionsTopic("t3", 4, None),
    ]
    talk.ask("partitions twice", ApiKey.CREATE_PARTITIONS, CreatePartitionsRequest(twice, TIMEOUT_MS))
    in_no_time = CreatePartitionsRequest([CreatePartitionsTopic("t4", 9, None)], 0)
    talk.ask("partitions without time", ApiKey.CREATE_PARTITIONS, in_no_time)


def _portions(talk: Talk) -> None:
    def describe(
        label: str, names: Sequence[str], limit: int = 2000, cursor: tuple[str, int] | None = None
    ) -> None:
        at = None if cursor is None else DescribeTopicPartitionsRequestCursor(*cursor)
        request = DescribeTopicPartitionsRequest([TopicRequest(name) for name in names], limit, at)
        talk.ask(f"portion {label}", ApiKey.DESCRIBE_TOPIC_PARTITIONS, request)

    describe("of two", ["t3", "t2"])
    describe("of one, twice", ["t3", "t3"])
    describe("of an unknown one", ["nowhere"])
    describe("of an unknown and a known one", ["nowhere", "t3"])
    describe("of one that can't be", ["no name"])
    describe("of one that can't be and a known one", ["no name", "t3"])
    describe("of everything", [])
    describe("of everything, bounded", [], 5)
    describe("of everything, from a topic", [], 5, ("t2", 6))
    describe("of everything, from between topics", [], 2, ("t2x", 1))
    describe("of everything, from behind them", [], 2, ("zzz", 0))
    describe("bounded", ["t2", "t3"], 2)
    describe("exactly one topic", ["t2", "t3"], 8)
    describe("from a cursor", ["t2", "t3"], 2, ("t2", 7))
    describe("from the next topic", ["t2", "t3"], 9, ("t3", 0))
    describe("from behind a topic", ["t2", "t3"], 2, ("t2", 8))
    describe("from far behind a topic", ["t2", "t3"], 2, ("t2", 99))
    describe("from another topic", ["t2", "t3"], 2, ("t9", 0))
    describe("from a topic before", ["t2", "t3"], 2, ("a", 0))
    describe("from a negative partition", ["t2", "t3"], 2, ("t2", -1))
    describe("of nothing", ["t2"], 0)
    describe("of less than nothing", ["t2"], -5)
    describe("of unknown ones, bounded", ["nowhere", "nowhere2", "t2"], 1)
    describe("from an unknown one", ["nowhere", "t2"], 1, ("nowhere", 3))


def _cluster(talk: Talk) -> None:
    for version in range(3):
        ask = DescribeClusterRequest(True, 1, version == 2)
        talk.ask(f"cluster v{version}", ApiKey.DESCRIBE_CLUSTER, ask, version)
    talk.ask("cluster without operations", ApiKey.DESCRIBE_CLUSTER, DescribeClusterRequest())
    for kind in (0, 2, 3):
        talk.ask(
            f"cluster of endpoint type {kind}", ApiKey.DESCRIBE_CLUSTER, DescribeClusterRequest(True, kind)
        )
    for version in range(1, 6):
        topics = [DescribableLogDirTopic("t7", [0, 2, 9]), DescribableLogDirTopic("nowhere", [0])]
        talk.ask(f"directories v{version}", ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(topics), version)
    talk.ask("directories of nothing", ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest([]))


def _deleting(talk: Talk) -> None:
    ask = talk.ask
    ids = {name: topic_id for topic_id, name in talk.topic_ids.items()}

    def by(name: str | None = None, topic_id: UUID = ids[""]) -> DeleteTopicState:
        return DeleteTopicState(name, topic_id)

    for version in range(1, 6):
        names = DeleteTopicsRequest([f"t{version + 1}", "nowhere", "no name"], timeout_ms=TIMEOUT_MS)
        ask(f"delete v{version}", ApiKey.DELETE_TOPICS, names, version)
    for label, topics in {
        "by an id": [by(topic_id=ids["id of t7"]), by(topic_id=STRANGER)],
        "again": [by(topic_id=ids["id of t7"])],
        "by both": [by("d1", STRANGER)],
        "by neither": [by()],
        "a name twice": [by("d1"), by("d1"), by("d2")],
        "an unknown name twice": [by("nowhere"), by("nowhere")],
        "an unknown id twice": [by(topic_id=STRANGER), by(topic_id=STRANGER)],
        "nothing": [],
    }.items():
        ask(
            f"delete {label}", ApiKey.DELETE_TOPICS, DeleteTopicsRequest(topics=topics, timeout_ms=TIMEOUT_MS)
        )
    ask("delete without time", ApiKey.DELETE_TOPICS, DeleteTopicsRequest(topics=[by("d1")], timeout_ms=0))
