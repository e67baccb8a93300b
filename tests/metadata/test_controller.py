"""Every rule about topics, with the replies of a real Kafka 4.3.1 as what is expected."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.config.settings import Settings
from logbroker.metadata import controller
from logbroker.metadata.controller import (
    MorePartitions,
    NewTopic,
    TopicToDelete,
    create_partitions,
    create_topics,
    delete_topics,
    new_topic_id,
)
from logbroker.metadata.events import DirectoryRegistered, TopicCreated, apply
from logbroker.metadata.image import DIRECTORY_UNASSIGNED, make_image

DIRECTORIES = [UUID(int=0xD1), UUID(int=0xD2)]


def with_settings(image, **values):
    settings = Settings(**values)
    made = make_image("AAAAAAAAAAAAAAAAAAAAAA", settings)
    return apply(made, [DirectoryRegistered(d.directory_id, d.path) for d in image.directories.values()])


def create(image, *topics, online=None):
    return create_topics(image, topics, online_directories=DIRECTORIES if online is None else online)


def refused(image, topic, **kwargs):
    outcomes, events = create(image, topic, **kwargs)
    assert events == []
    (outcome,) = outcomes
    assert outcome.name == topic.name
    assert outcome.created is None
    return outcome.error.code, outcome.error.message


def grown(image, *topics):
    return apply(image, create(image, *topics)[1])


# ---- CreateTopics


def test_a_topic_is_created_with_what_was_asked_for(image):
    outcomes, events = create(image, NewTopic("orders", 3, 1, configs=[("retention.ms", "1000")]))
    (outcome,) = outcomes
    (event,) = events
    assert outcome.error is None
    assert outcome.created is event
    assert event.name == "orders"
    assert event.topic_id == outcome.topic_id != UUID(int=0)
    assert event.configs == {"retention.ms": "1000"}
    assert [p.replicas for p in event.partitions] == [(1,)] * 3
    assert all(p.leader == 1 and p.isr == (1,) and p.leader_epoch == 0 for p in event.partitions)


def test_what_is_left_to_the_broker_comes_from_its_settings(image):
    image = with_settings(image, num_partitions=7)
    _, (event,) = create(image, NewTopic("orders"))
    assert len(event.partitions) == 7


def test_a_default_replication_factor_that_one_broker_cant_hold_is_refused(image):
    image = with_settings(image, default_replication_factor=3)
    code, message = refused(image, NewTopic("orders"))
    assert code == ErrorCode.INVALID_REPLICATION_FACTOR
    assert message.startswith(
        "Unable to replicate the partition 3 time(s): The target replication factor of 3"
    )


@pytest.mark.parametrize(
    ("topic", "code", "message"),
    [
        (
            NewTopic("a b", 1, 1),
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            (
                "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and "
                "'-'"
            ),
        ),
        (
            NewTopic("__cluster_metadata", 1, 1),
            ErrorCode.INVALID_REQUEST,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (
            NewTopic("t", 0, 1),
            ErrorCode.INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            NewTopic("t", -2, 1),
            ErrorCode.INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            NewTopic("t", 1, 0),
            ErrorCode.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            NewTopic("t", 0, -2),
            ErrorCode.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            NewTopic("t", 1, 2),
            ErrorCode.INVALID_REPLICATION_FACTOR,
            (
                "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because "
                "only 1 broker(s) are registered or some brokers have all their log directories cordoned."
            ),
        ),
        (
            NewTopic("t", 10_001, 1),
            ErrorCode.POLICY_VIOLATION,
            "Excessively large number of partitions per request.",
        ),
        (
            NewTopic("t", 2**31 - 1, 1),
            ErrorCode.POLICY_VIOLATION,
            "Excessively large number of partitions per request.",
        ),
        (
            NewTopic("t", 1, -1, assignments=[(0, [1])]),
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            NewTopic("t", -1, 1, assignments=[(0, [1])]),
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            NewTopic("t", assignments=[(1, [1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            NewTopic("t", assignments=[(0, [1]), (2, [1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            NewTopic("t", assignments=[(0, [1]), (0, [1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            NewTopic("t", assignments=[(0, [2])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (
            NewTopic("t", assignments=[(0, [1]), (1, [])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            NewTopic("t", assignments=[(0, [1, 1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            NewTopic("t", 0, 0, configs=[("zz", "1")]),
            ErrorCode.INVALID_CONFIG,
            "Unknown topic config name: zz",
        ),
        (
            NewTopic("t", 1, 1, configs=[("bb", None), ("aa", None), ("zz", "1")]),
            ErrorCode.INVALID_CONFIG,
            "Null value not supported for topic configs: bb,aa",
        ),
        (
            NewTopic("t", 1, 1, configs=[("retention.ms", "abc")]),
            ErrorCode.INVALID_CONFIG,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            NewTopic("t", 1, 1, configs=[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")]),
            ErrorCode.INVALID_CONFIG,
            "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)",
        ),
        (
            NewTopic("t", 1, 1, configs=[("cleanup.policy", "x" * 32_768)]),
            ErrorCode.INVALID_CONFIG,
            "The value of cleanup.policy has 32768 characters; at most 32767 are kept.",
        ),
    ],
)
def test_what_cant_be_is_refused_as_kafka_does_it(image, topic, code, message):
    assert refused(image, topic) == (code, message)


def test_an_existing_name_is_refused_whatever_else_is_wrong(image):
    image = grown(image, NewTopic("orders", 1, 1))
    assert refused(image, NewTopic("orders", 0, 9, configs=[("zz", None)])) == (
        ErrorCode.TOPIC_ALREADY_EXISTS,
        "Topic 'orders' already exists.",
    )


@pytest.mark.parametrize(("there", "asked"), [("xk.x", "xk_x"), ("xk_x", "xk.x"), ("a.b_c", "a_b.c")])
def test_a_name_that_collides_with_an_existing_one_is_refused(image, there, asked):
    image = grown(image, NewTopic(there, 1, 1))
    assert refused(image, NewTopic(asked, 1, 1)) == (
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        f"Topic '{asked}' collides with existing topic: {there}",
    )


def test_the_second_of_two_colliding_names_in_one_request_is_refused(image):
    outcomes, events = create(image, NewTopic("a.b", 1, 1), NewTopic("a_b", 1, 1), NewTopic("a.b.c", 1, 1))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert [event.name for event in events] == ["a.b", "a.b.c"]
    assert outcomes[1].error.message == "Topic 'a_b' collides with existing topic: a.b"


def test_a_name_given_twice_gets_one_refusal_and_the_others_are_created(image):
    outcomes, events = create(
        image, NewTopic("twice", 1, 1), NewTopic("once", 1, 1), NewTopic("twice", 20_000, 1)
    )
    assert [(outcome.name, outcome.error and outcome.error.message) for outcome in outcomes] == [
        ("once", None),
        ("twice", "Duplicate topic name."),
    ]
    assert [event.name for event in events] == ["once"]


def test_the_partitions_of_a_request_are_bounded_together(image):
    outcomes, events = create(image, NewTopic("a", 6000, 1), NewTopic("b", 4001, 1))
    assert events == []
    assert {outcome.error.code for outcome in outcomes} == {ErrorCode.POLICY_VIOLATION}
    _, events = create(image, NewTopic("a", 6000, 1), NewTopic("b", 4000, 1))
    assert sum(len(event.partitions) for event in events) == 10_000


def test_the_partitions_of_a_broker_are_bounded(image, monkeypatch):
    monkeypatch.setattr(controller, "PARTITIONS_PER_BROKER_MAX", 10)
    image = grown(image, NewTopic("a", 6, 1))
    outcomes, events = create(image, NewTopic("b", 3, 1), NewTopic("c", 2, 1), NewTopic("d", 1, 1))
    assert [event.name for event in events] == ["b", "d"]
    assert outcomes[1].error.code == ErrorCode.POLICY_VIOLATION
    assert "at most 10" in outcomes[1].error.message


def test_manual_assignments_are_followed(image):
    _, (event,) = create(image, NewTopic("t", assignments=[(1, [1]), (0, [1])]))
    assert [p.replicas for p in event.partitions] == [(1,), (1,)]


def test_the_last_value_of_a_config_counts(image):
    _, (event,) = create(image, NewTopic("t", 1, 1, configs=[("retention.ms", "1"), ("retention.ms", "2")]))
    assert event.configs == {"retention.ms": "2"}


def test_a_topic_on_a_broker_without_a_directory_is_refused(image):
    code, message = refused(image, NewTopic("t", 1, 1), online=[])
    assert code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "offline" in message


def test_a_memory_topic_needs_no_directory(image):
    _, (event,) = create(image, NewTopic("t", 2, 1, configs=[("storage.type", "memory")]), online=[])
    assert {p.directory_id for p in event.partitions} == {DIRECTORY_UNASSIGNED}


def test_where_a_topic_lives_is_written_down_when_the_default_is_memory(image):
    image = with_settings(image, storage_type="memory")
    _, events = create(
        image,
        NewTopic("plain", 1, 1),
        NewTopic("disk", 1, 1, configs=[("storage.type", "log")]),
        NewTopic("__consumer_offsets", 1, 1),
    )
    assert [event.configs for event in events] == [{"storage.type": "memory"}, {"storage.type": "log"}, {}]
    assert [event.partitions[0].directory_id == DIRECTORY_UNASSIGNED for event in events] == [
        True,
        False,
        False,
    ]
    assert apply(image, events).topics["__consumer_offsets"].config.storage_type == "log"


def test_a_compacted_topic_is_not_kept_in_memory(image):
    """Nothing there would compact it: whoever asks for both is told, and the broker's default yields."""
    compacted = ("cleanup.policy", "compact,delete")
    code, message = refused(image, NewTopic("t", 1, 1, configs=[("storage.type", "memory"), compacted]))
    assert code == ErrorCode.INVALID_CONFIG
    assert "storage.type=log" in message
    image = with_settings(image, storage_type="memory")
    _, (event,) = create(image, NewTopic("t", 1, 1, configs=[compacted]))
    assert event.configs["storage.type"] == "log"
    assert event.partitions[0].directory_id != DIRECTORY_UNASSIGNED


def test_offsets_are_never_kept_in_memory(image):
    code, message = refused(image, NewTopic("__consumer_offsets", 1, 1, configs=[("storage.type", "memory")]))
    assert code == ErrorCode.INVALID_CONFIG
    assert "must survive a restart" in message


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    before=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)),
)
def test_partitions_go_to_the_emptiest_directory(counts, before):
    ids = [UUID(int=0xE0 + n) for n in range(3)]
    image = replace(
        make_image("A" * 22, Settings()), directory_partitions=dict(zip(ids, before, strict=True))
    )
    _, events = create(image, *[NewTopic(f"t{n}", count, 1) for n, count in enumerate(counts)], online=ids)
    held = dict(zip(ids, before, strict=True))
    for event in events:
        for partition in event.partitions:
            assert held[partition.directory_id] == min(held.values())
            held[partition.directory_id] += 1


def test_new_ids_are_random_and_none_of_kafkas_reserved_ones():
    ids = {new_topic_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(topic_id.int > 100 and topic_id.bytes[0] >> 2 != 62 for topic_id in ids)


# ---- CreatePartitions


def more(image, *topics, online=None):
    return create_partitions(image, topics, online_directories=DIRECTORIES if online is None else online)


def test_a_partition_whose_folder_could_have_no_name_is_refused(image, monkeypatch):
    monkeypatch.setattr(controller, "PARTITIONS_PER_REQUEST_MAX", 200_000)
    long, short = "n" * 249, "n" * 248
    image = grown(image, NewTopic(long, 1, 1), NewTopic(short, 1, 1))
    outcomes, events = more(image, MorePartitions(long, 100_001), MorePartitions(short, 100_001))
    assert [event.name for event in events] == [short]
    assert outcomes[0].error.code == ErrorCode.INVALID_PARTITIONS
    assert "249 characters can have 100000 partitions at most" in outcomes[0].error.message
    _, events = more(image, MorePartitions(long, 100_000))
    assert len(f"{long}-{len(events[0].partitions)}") == 255


def test_partitions_are_added_behind_the_others(image):
    image = grown(image, NewTopic("t", 2, 1))
    (outcome,), (event,) = more(image, MorePartitions("t", 5))
    assert outcome.error is None
    assert (event.name, event.first_index, len(event.partitions)) == ("t", 2, 3)
    after = apply(image, [event])
    assert len(after.topics["t"].partitions) == 5
    assert after.topics["t"].partitions[:2] == image.topics["t"].partitions


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (MorePartitions("nope", 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None),
        (MorePartitions("a b", 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None),
        (MorePartitions("t", 2), ErrorCode.INVALID_PARTITIONS, "Topic already has 2 partition(s)."),
        (
            MorePartitions("t", 1),
            ErrorCode.INVALID_PARTITIONS,
            "The topic t currently has 2 partition(s); 1 would not be an increase.",
        ),
        (
            MorePartitions("t", -1),
            ErrorCode.INVALID_PARTITIONS,
            "The topic t currently has 2 partition(s); -1 would not be an increase.",
        ),
        (
            MorePartitions("t", 3, [[1], [1]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.",
        ),
        (
            MorePartitions("t", 3, []),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.",
        ),
        (
            MorePartitions("t", 3, [[1, 2]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (
            MorePartitions("t", 3, [[]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            MorePartitions("t", 3, [[1, 1]]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            MorePartitions("t", 10_003),
            ErrorCode.POLICY_VIOLATION,
            "Excessively large number of partitions per request.",
        ),
        (
            MorePartitions("t", 2**31 - 1),
            ErrorCode.POLICY_VIOLATION,
            "Excessively large number of partitions per request.",
        ),
    ],
)
def test_partitions_that_cant_be_are_refused_as_kafka_does_it(image, request_, code, message):
    image = grown(image, NewTopic("t", 2, 1))
    (outcome,), events = more(image, request_)
    assert events == []
    assert (outcome.error.code, outcome.error.message) == (code, message)


def test_a_topic_extended_twice_in_one_request_stays_as_it_is(image):
    image = grown(image, NewTopic("t", 2, 1), NewTopic("u", 1, 1))
    outcomes, events = more(image, MorePartitions("t", 3), MorePartitions("u", 2), MorePartitions("t", 4))
    assert [(o.name, o.error and o.error.message) for o in outcomes] == [
        ("u", None),
        ("t", "Duplicate topic name."),
    ]
    assert [event.name for event in events] == ["u"]


def test_one_topic_too_large_does_not_keep_the_others_from_growing(image):
    image = grown(image, NewTopic("t", 1, 1), NewTopic("u", 1, 1))
    outcomes, events = more(image, MorePartitions("t", 10_002), MorePartitions("u", 2))
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    assert [event.name for event in events] == ["u"]


def test_the_new_partitions_of_a_memory_topic_are_in_memory_too(image):
    image = grown(image, NewTopic("t", 1, 1, configs=[("storage.type", "memory")]))
    _, (event,) = more(image, MorePartitions("t", 2), online=[])
    assert event.partitions[0].directory_id == DIRECTORY_UNASSIGNED


# ---- DeleteTopics


@pytest.fixture
def two_topics(image):
    return grown(image, NewTopic("t", 1, 1), NewTopic("u", 1, 1))


def test_topics_go_by_name_and_by_id(two_topics):
    u = two_topics.topics["u"].topic_id
    outcomes, events = delete_topics(two_topics, [TopicToDelete("t"), TopicToDelete(topic_id=u)])
    assert [(o.name, o.topic_id, o.error) for o in outcomes] == [
        ("t", two_topics.topics["t"].topic_id, None),
        ("u", u, None),
    ]
    after = apply(two_topics, events)
    assert after.topics == {}
    assert after.topic_names == {}


def test_what_isnt_there_cant_be_deleted(two_topics):
    outcomes, events = delete_topics(
        two_topics, [TopicToDelete("nope"), TopicToDelete("a b"), TopicToDelete(topic_id=UUID(int=77))]
    )
    assert events == []
    assert [(o.error.code, o.error.message) for o in outcomes] == [
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."),
        (ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID."),
    ]


def test_an_ambiguous_deletion_deletes_nothing(two_topics):
    t = two_topics.topics["t"].topic_id
    for topics, message in [
        ([TopicToDelete()], "Neither topic name nor id were specified."),
        ([TopicToDelete("t", t)], "You may not specify both topic name and topic id."),
        ([TopicToDelete("t"), TopicToDelete("t")], "Duplicate topic name."),
        ([TopicToDelete(topic_id=t), TopicToDelete(topic_id=t)], "Duplicate topic id."),
        (
            [TopicToDelete("t"), TopicToDelete(topic_id=t)],
            "The provided topic name maps to an ID that was already supplied.",
        ),
        (
            [TopicToDelete(topic_id=t), TopicToDelete("t")],
            "The provided topic name maps to an ID that was already supplied.",
        ),
    ]:
        outcomes, events = delete_topics(two_topics, topics)
        assert events == []
        (outcome,) = outcomes
        assert (outcome.error.code, outcome.error.message) == (ErrorCode.INVALID_REQUEST, message)


def test_a_deleted_name_can_be_used_again_with_another_id(two_topics):
    after = apply(two_topics, delete_topics(two_topics, [TopicToDelete("t")])[1])
    again = grown(after, NewTopic("t", 1, 1))
    assert again.topics["t"].topic_id != two_topics.topics["t"].topic_id


def test_a_name_that_collided_is_free_once_the_other_is_gone(image):
    image = grown(image, NewTopic("a.b", 1, 1))
    image = apply(image, delete_topics(image, [TopicToDelete("a.b")])[1])
    _, events = create(image, NewTopic("a_b", 1, 1))
    assert isinstance(events[0], TopicCreated)
