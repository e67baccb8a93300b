"""Every rule about changing configs, with the replies of a real Kafka 4.3.1 as what is expected."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.config.settings import Settings
from logbroker.config.values import ResourceType
from logbroker.metadata import config_changes
from logbroker.metadata.config_changes import (
    ConfigChange,
    Operation,
    ResourceChanges,
    alter_configs,
)
from logbroker.metadata.controller import NewTopic, create_topics
from logbroker.metadata.events import BrokerConfigChanged, TopicConfigChanged, apply
from logbroker.metadata.image import make_image

SET, DELETE, APPEND, SUBTRACT = Operation
TOPIC, BROKER, GROUP = ResourceType.TOPIC, ResourceType.BROKER, ResourceType.GROUP
CLIENT_METRICS = ResourceType.CLIENT_METRICS


@pytest.fixture
def image(image, directories):
    _, events = create_topics(
        image,
        [
            NewTopic("t", 1, 1, configs=[("retention.ms", "1000")]),
            NewTopic("memory", 1, 1, configs=[("storage.type", "memory")]),
        ],
        online_directories=directories,
    )
    return apply(image, events)


def changes(kind, name, *triples, replace=False):
    return ResourceChanges(kind, name, [ConfigChange(n, v, o) for o, n, v in triples], replace)


def altered(image, kind, name, *triples, replace=False):
    """The image after a change that must work."""
    outcomes, events = alter_configs(image, [changes(kind, name, *triples, replace=replace)])
    assert [outcome.error for outcome in outcomes] == [None]
    return apply(image, events)


def refused(image, kind, name, *triples):
    outcomes, events = alter_configs(image, [changes(kind, name, *triples)])
    assert events == []
    (outcome,) = outcomes
    assert (outcome.resource_type, outcome.resource_name) == (kind, name)
    return outcome.error.code, outcome.error.message


def test_a_topics_config_is_set_and_taken_away(image):
    after = altered(image, TOPIC, "t", (SET, "segment.ms", "5"), (DELETE, "retention.ms", "whatever"))
    assert after.topics["t"].configs == {"segment.ms": "5"}
    assert after.topics["t"].config.segment_ms == 5
    assert after.topics["t"].config.retention_ms == 604_800_000
    assert after.version == image.version + 1


def test_lists_are_appended_to_and_subtracted_from(image):
    def policy(image):
        return image.topics["t"].configs["cleanup.policy"]

    image = altered(image, TOPIC, "t", (APPEND, "cleanup.policy", "compact"))
    assert policy(image) == "delete,compact"
    image = altered(image, TOPIC, "t", (APPEND, "cleanup.policy", "compact"))
    assert policy(image) == "delete,compact"
    image = altered(image, TOPIC, "t", (SUBTRACT, "cleanup.policy", "delete"))
    assert policy(image) == "compact"
    image = altered(image, TOPIC, "t", (SUBTRACT, "cleanup.policy", "delete"))
    assert policy(image) == "compact"
    image = altered(image, TOPIC, "t", (SUBTRACT, "cleanup.policy", "compact"))
    assert policy(image) == ""
    assert image.topics["t"].config.cleanup_policy == frozenset()


@given(
    st.lists(
        st.tuples(st.sampled_from([APPEND, SUBTRACT]), st.sets(st.sampled_from("abc"), min_size=1)),
        max_size=6,
    )
)
def test_appending_and_subtracting_is_what_it_is_for_sets(steps):
    config = "leader.replication.throttled.replicas"
    names = {"a": "0:1", "b": "1:1", "c": "2:1"}
    start = make_image("A" * 22, Settings())
    _, events = create_topics(start, [NewTopic("t", 1, 1)], online_directories=[UUID(int=0xD1)])
    image = apply(start, events)
    held: set[str] = set()
    for operation, items in steps:
        image = altered(image, TOPIC, "t", (operation, config, ",".join(names[i] for i in sorted(items))))
        held = held | items if operation == APPEND else held - items
        found = image.topics["t"].configs.get(config, "")
        assert set(filter(None, found.split(","))) == {names[item] for item in held}


@pytest.mark.parametrize(
    ("name", "triples", "code", "message"),
    [
        ("t", [(SET, "nope", "1")], ErrorCode.INVALID_CONFIG, "Unknown topic config name: nope"),
        ("t", [(SET, "", "")], ErrorCode.INVALID_CONFIG, "Unknown topic config name: "),
        (
            "t",
            [(SET, "retention.ms", "abc")],
            ErrorCode.INVALID_CONFIG,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "t",
            [(SET, "a", None), (SET, "b", None), (DELETE, "c", None)],
            ErrorCode.INVALID_REQUEST,
            "Null value not supported for : a, b",
        ),
        (
            "t",
            [(APPEND, "cleanup.policy", "foo")],
            ErrorCode.INVALID_CONFIG,
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "t",
            [(APPEND, "retention.ms", "5")],
            ErrorCode.INVALID_CONFIG,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            "t",
            [(SUBTRACT, "nope", "5")],
            ErrorCode.INVALID_CONFIG,
            "Can't SUBTRACT to key nope because its type is not LIST.",
        ),
        (
            "t",
            [(7, "retention.ms", "5")],
            ErrorCode.INVALID_REQUEST,
            "Unknown operation type 7 for config retention.ms",
        ),
        (
            "t",
            [(SET, "retention.ms", "5"), (DELETE, "retention.ms", "5")],
            ErrorCode.INVALID_REQUEST,
            "Error due to duplicate config keys",
        ),
        (
            "t",
            [(SET, "min.compaction.lag.ms", "10"), (SET, "max.compaction.lag.ms", "5")],
            ErrorCode.INVALID_CONFIG,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            "nope",
            [(SET, "retention.ms", "5")],
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            "The topic 'nope' does not exist.",
        ),
        (
            "",
            [(SET, "retention.ms", "5")],
            ErrorCode.INVALID_REQUEST,
            "Default topic resources are not allowed.",
        ),
        ("..", [], ErrorCode.INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '..' is not allowed"),
    ],
)
def test_a_topics_change_that_cant_be_is_refused_as_kafka_does_it(image, name, triples, code, message):
    assert refused(image, TOPIC, name, *triples) == (code, message)


@pytest.mark.parametrize(
    ("name", "triples", "code", "message"),
    [
        (
            "1",
            [(SET, "num.partitions", "1"), (SET, "log.dirs", "x")],
            ErrorCode.INVALID_REQUEST,
            "Cannot update these configs dynamically: [num.partitions, log.dirs]",
        ),
        (
            "1",
            [(SET, "log.retention.ms", "abc")],
            ErrorCode.INVALID_REQUEST,
            "Invalid value abc for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            "",
            [(SET, "message.max.bytes", "-1")],
            ErrorCode.INVALID_REQUEST,
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            "2",
            [(SET, "log.retention.ms", "5")],
            ErrorCode.INVALID_REQUEST,
            "Unexpected broker id, expected 1, but received 2",
        ),
        (
            "x",
            [(SET, "log.retention.ms", "5")],
            ErrorCode.INVALID_REQUEST,
            "Node id must be an integer, but it is: x",
        ),
    ],
)
def test_a_brokers_change_that_cant_be_is_refused_as_kafka_does_it(image, name, triples, code, message):
    assert refused(image, BROKER, name, *triples) == (code, message)


def test_an_unknown_broker_config_is_refused_with_a_hint(image):
    code, message = refused(image, BROKER, "1", (SET, "log.retention.mss", "5"))
    assert code == ErrorCode.INVALID_CONFIG
    assert message == "Unknown broker config name: log.retention.mss; did you mean log.retention.ms?"


def test_a_brokers_change_that_contradicts_another_setting_is_refused(image):
    code, message = refused(image, BROKER, "1", (SET, "message.max.bytes", "2000000000"))
    assert code == ErrorCode.INVALID_REQUEST
    assert "socket.request.max.bytes" in message


def test_a_brokers_change_that_a_topic_contradicts_is_refused(image):
    image = altered(image, TOPIC, "t", (SET, "max.compaction.lag.ms", "1000"))
    code, message = refused(image, BROKER, "", (SET, "log.cleaner.min.compaction.lag.ms", "2000"))
    assert code == ErrorCode.INVALID_REQUEST
    assert message.startswith(
        "the topic t can't keep its config under these settings: conflict topic config setting"
    )


def test_a_topic_and_a_broker_that_contradict_each_other_in_one_request(image):
    outcomes, events = alter_configs(
        image,
        [
            changes(TOPIC, "t", (SET, "max.compaction.lag.ms", "1000")),
            changes(BROKER, "", (SET, "log.cleaner.min.compaction.lag.ms", "2000")),
        ],
    )
    assert [outcome.error is None for outcome in outcomes] == [True, False]
    apply(image, events)
    outcomes, events = alter_configs(
        image,
        [
            changes(BROKER, "", (SET, "log.cleaner.min.compaction.lag.ms", "2000")),
            changes(TOPIC, "t", (SET, "max.compaction.lag.ms", "1000")),
        ],
    )
    assert [outcome.error is None for outcome in outcomes] == [True, False]
    apply(image, events)


def test_a_brokers_config_reaches_topics_that_dont_say_otherwise(image, directories):
    _, events = create_topics(image, [NewTopic("plain", 1, 1)], online_directories=directories)
    image = apply(image, events)
    image = altered(image, BROKER, "", (SET, "log.retention.ms", "77"))
    assert image.topics["plain"].config.retention_ms == 77
    assert image.topics["t"].config.retention_ms == 1000
    image = altered(image, BROKER, "1", (SET, "log.retention.ms", "55"))
    assert image.settings.log_retention_ms == 55
    assert image.topics["plain"].config.retention_ms == 55
    image = altered(image, BROKER, "1", (DELETE, "log.retention.ms", None))
    assert image.topics["plain"].config.retention_ms == 77
    image = altered(image, BROKER, "", (DELETE, "log.retention.ms", None))
    assert image.topics["plain"].config.retention_ms == 604_800_000
    assert image.broker_configs == {}
    assert image.topics["plain"].config is image.default_topic_config


def test_a_memory_default_leaves_existing_topics_where_they_are(image):
    after = altered(image, BROKER, "", (SET, "storage.type", "memory"))
    assert after.topics["t"].config.storage_type == "log"
    assert after.topics["memory"].config.storage_type == "memory"
    assert after.default_topic_config.storage_type == "log"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t", (SET, "storage.type", "memory")),
        ("memory", (SET, "storage.type", "log")),
        ("memory", (DELETE, "storage.type", None)),
    ],
)
def test_where_a_topic_lives_cant_be_changed(image, name, change):
    code, message = refused(image, TOPIC, name, change)
    assert code == ErrorCode.INVALID_CONFIG
    assert message.startswith("storage.type can't be changed")


def test_a_topic_in_memory_cant_become_a_compacted_one(image):
    code, message = refused(image, TOPIC, "memory", (SET, "cleanup.policy", "compact"))
    assert code == ErrorCode.INVALID_CONFIG
    assert "storage.type=log" in message
    assert altered(image, TOPIC, "t", (SET, "cleanup.policy", "compact")).topics["t"].config.compacted


def test_replacing_takes_away_what_isnt_named(image):
    after = altered(image, TOPIC, "t", (SET, "segment.ms", "9"), replace=True)
    assert after.topics["t"].configs == {"segment.ms": "9"}
    after = altered(after, TOPIC, "t", replace=True)
    assert after.topics["t"].configs == {}


def test_replacing_a_brokers_configs_takes_away_what_isnt_named(image):
    image = altered(image, BROKER, "1", (SET, "log.retention.ms", "5"), (SET, "log.level", "debug"))
    image = altered(image, BROKER, "01", (SET, "log.level", "error"), replace=True)
    assert image.broker_configs == {"1": {"log.level": "error"}}


def test_what_changes_nothing_costs_no_commit(image):
    for triples in (
        [],
        [(SET, "retention.ms", "1000")],
        [(DELETE, "segment.ms", None)],
        [(DELETE, "nope", None)],
        [(SUBTRACT, "cleanup.policy", "compact"), (DELETE, "cleanup.policy.x", None)],
    ):
        outcomes, events = alter_configs(image, [changes(TOPIC, "t", *triples)])
        assert [outcome.error for outcome in outcomes] == [None]
        assert [
            e
            for e in events
            if not (isinstance(e, TopicConfigChanged) and set(e.changes) == {"cleanup.policy"})
        ] == []
    for triples in (
        [(DELETE, "num.partitions", None)],
        [(DELETE, "nope", None)],
        [(DELETE, "log.retention.ms", None)],
    ):
        outcomes, events = alter_configs(image, [changes(BROKER, "1", *triples)])
        assert [outcome.error for outcome in outcomes] == [None]
        assert events == []


def test_aliases_are_stored_under_the_settings_own_name(image):
    outcomes, events = alter_configs(image, [changes(BROKER, "1", (SET, "log.dir", "/x"))])
    assert events == []
    assert outcomes[0].error.message == "Cannot update these configs dynamically: [log.dirs]"


def test_each_resource_stands_alone(image):
    outcomes, events = alter_configs(
        image,
        [
            changes(TOPIC, "nope", (SET, "retention.ms", "5")),
            changes(TOPIC, "t", (SET, "retention.ms", "6")),
            changes(BROKER, "1", (SET, "log.retention.ms", "7")),
            changes(3, "1", (SET, "a", "b")),
            changes(ResourceType.BROKER_LOGGER, "1", (SET, "root", "INFO")),
            changes(ResourceType.BROKER_LOGGER, "2", (SET, "root", "INFO"), replace=True),
        ],
    )
    assert [outcome.error and outcome.error.code for outcome in outcomes] == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        None,
        None,
        ErrorCode.INVALID_REQUEST,
        None,
        ErrorCode.INVALID_REQUEST,
    ]
    assert outcomes[3].error.message == "Unknown resource type 3"
    assert outcomes[5].error.message == "Unknown resource type 8"
    assert [type(event) for event in events] == [TopicConfigChanged, BrokerConfigChanged]


def test_a_resource_given_twice_is_refused_both_times(image):
    outcomes, events = alter_configs(
        image,
        [changes(TOPIC, "t", (SET, "retention.ms", "5")), changes(TOPIC, "t", (SET, "segment.ms", "6"))],
    )
    assert events == []
    assert [outcome.error.message for outcome in outcomes] == ["Each resource must appear at most once."] * 2


# ---- groups


def test_a_groups_configs_are_set_and_taken_away(image):
    assert image.group_config("g") == image.default_group_config
    after = altered(image, GROUP, "g", (SET, "consumer.session.timeout.ms", "50000"))
    assert after.groups["g"].configs == {"consumer.session.timeout.ms": "50000"}
    assert after.group_config("g").consumer_session_timeout_ms == 50_000
    assert after.group_config("other") == image.default_group_config
    assert after.version == image.version
    after = altered(
        after, GROUP, "g", (DELETE, "consumer.session.timeout.ms", None), (DELETE, "no.such", None)
    )
    assert after.groups == {}


def test_a_groups_configs_follow_the_brokers_bounds_and_defaults(image):
    after = altered(image, GROUP, "g", (SET, "consumer.session.timeout.ms", "50000"))
    after = altered(after, BROKER, "", (SET, "group.consumer.assignment.interval.ms", "77"))
    assert after.default_group_config.consumer_assignment_interval_ms == 77
    assert after.group_config("g").consumer_assignment_interval_ms == 77
    assert after.group_config("g").consumer_session_timeout_ms == 50_000


@pytest.mark.parametrize(
    ("name", "triples", "code", "message"),
    [
        ("", [(SET, "x", "1")], ErrorCode.INVALID_REQUEST, "Default group resources are not allowed."),
        ("g", [(SET, "no.such", "1")], ErrorCode.INVALID_CONFIG, "Unknown group config name: no.such"),
        (
            "g",
            [(APPEND, "consumer.session.timeout.ms", "1")],
            ErrorCode.INVALID_CONFIG,
            "Can't APPEND to key consumer.session.timeout.ms because its type is not LIST.",
        ),
        (
            "g",
            [(SET, "consumer.session.timeout.ms", "5")],
            ErrorCode.INVALID_CONFIG,
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
    ],
)
def test_what_cannot_be_done_to_a_groups_configs(image, name, triples, code, message):
    assert refused(image, GROUP, name, *triples) == (code, message)


def test_groups_with_configs_are_bounded(image, monkeypatch):
    monkeypatch.setattr(config_changes, "GROUPS_WITH_CONFIGS_MAX", 1)
    image = altered(image, GROUP, "g", (SET, "consumer.session.timeout.ms", "50000"))
    image = altered(image, GROUP, "g", (SET, "consumer.session.timeout.ms", "51000"))
    code, message = refused(image, GROUP, "h", (SET, "consumer.session.timeout.ms", "50000"))
    assert code == ErrorCode.POLICY_VIOLATION
    assert "1 groups have configs" in message


# ---- client metrics


def test_client_metrics_are_set_and_taken_away(image):
    after = altered(image, CLIENT_METRICS, "m", (SET, "metrics", "a,b"), (SET, "interval.ms", " 500 "))
    assert after.client_metrics == {"m": {"metrics": "a,b", "interval.ms": " 500 "}}
    after = altered(after, CLIENT_METRICS, "m", (DELETE, "metrics", None), (DELETE, "interval.ms", None))
    assert after.client_metrics == {}


@pytest.mark.parametrize(
    "pattern", ["client_id", "client_id=", "=x", "who=x", "client_id=a=b", "client_id=("]
)
def test_patterns_that_match_no_client(image, pattern):
    assert refused(image, CLIENT_METRICS, "m", (SET, "match", pattern)) == (
        ErrorCode.INVALID_CONFIG,
        f"Illegal client matching pattern: {pattern}",
    )


def test_client_metrics_are_bounded(image, monkeypatch):
    monkeypatch.setattr(config_changes, "CLIENT_METRICS_MAX", 1)
    image = altered(image, CLIENT_METRICS, "m", (SET, "metrics", "a"))
    image = altered(image, CLIENT_METRICS, "m", (SET, "metrics", "b"))
    code, message = refused(image, CLIENT_METRICS, "n", (SET, "metrics", "a"))
    assert code == ErrorCode.POLICY_VIOLATION
    assert "1 subscriptions" in message
