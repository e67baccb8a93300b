"""Resolving topic configs, and what DescribeConfigs says of them. What is refused: test_against_kafka.py."""

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.describe import BrokerConfigs, Synonym, describe_broker, describe_topic
from logbroker.config.loader import load
from logbroker.config.settings import SETTINGS, Settings
from logbroker.config.topic import TOPIC_CONFIGS, TopicConfig, validate, validate_change
from logbroker.config.values import ConfigSource, ConfigType


def test_without_anything_set_it_is_the_default():
    assert TopicConfig.resolve(Settings(), {}) == TopicConfig()


def test_defaults_come_from_the_broker():
    settings = Settings(
        log_segment_bytes=2_000_000,
        log_cleanup_policy=("compact",),
        log_flush_interval_messages=500,
        log_flush_interval_ms=250,
        storage_type="memory",
    )
    config = TopicConfig.resolve(settings, {})
    assert config.segment_bytes == 2_000_000
    assert config.cleanup_policy == {"compact"}
    assert config.compacted
    assert (config.flush_messages, config.flush_ms) == (500, 250)
    assert not config.durable


def test_every_config_with_a_source_follows_it():
    for setting in TOPIC_CONFIGS.values():
        for name, factor in setting.synonyms:
            broker = SETTINGS[name]
            other = {
                ConfigType.BOOLEAN: True,
                ConfigType.LIST: ("compact",),
                ConfigType.DOUBLE: 0.25,
                ConfigType.STRING: broker.choices[-2] if broker.choices else "",
            }.get(broker.type, 7)
            if other == broker.default:
                other = broker.choices[0]
            # The synonyms that go before it are unset by default.
            found = getattr(TopicConfig.resolve(Settings(**{broker.attribute: other}), {}), setting.attribute)
            expected = (
                frozenset(other) if isinstance(other, tuple) else other * factor if factor > 1 else other
            )
            assert found == expected, (setting.name, name)


def test_the_finer_unit_goes_first():
    def retention(**settings):
        return TopicConfig.resolve(Settings(**settings), {}).retention_ms

    assert retention(log_retention_hours=1) == 3_600_000
    assert retention(log_retention_hours=1, log_retention_minutes=1) == 60_000
    assert retention(log_retention_hours=1, log_retention_minutes=1, log_retention_ms=1) == 1
    assert retention(log_retention_hours=-1) == -1
    assert TopicConfig.resolve(Settings(log_retention_ms=1), {"retention.ms": "2"}).retention_ms == 2


def test_a_test_may_have_small_segments():
    assert TopicConfig.resolve(Settings(), {"internal.segment.bytes": "4096"}).segment_bytes == 4096


def test_any_negative_size_is_no_limit():
    assert TopicConfig.resolve(Settings(), {"retention.bytes": "-7"}).retention_bytes == -1
    assert TopicConfig.resolve(Settings(log_retention_bytes=-7), {}).retention_bytes == -1


def test_what_is_refused_here_and_not_in_kafka():
    for overrides, message in (
        ({"retention.ms": None}, "Null value not supported for topic configs: retention.ms"),
        ({"remote.storage.enable": "true"}, "Tiered Storage functionality is disabled in the broker"),
        (
            {"storage.type": "disk"},
            "Invalid value disk for configuration storage.type: String must be one of",
        ),
        ({"record.validation": "none"}, "String must be one of: header, full"),
        ({"segment.bytes": "1GiB"}, "write it as a plain number of bytes: 1073741824"),
        ({"leader.replication.throttled.replicas": "none"}, "must be the literal '*' or a list of replicas"),
    ):
        with pytest.raises(BrokerError, match=message.replace("*", r"\*")) as refused:
            validate(overrides)
        assert refused.value.code is ErrorCode.INVALID_CONFIG


def test_a_contradiction_with_the_brokers_default():
    validate({"max.compaction.lag.ms": "5"})
    with pytest.raises(BrokerError, match=r"min.compaction.lag.ms \(10\) > max.compaction.lag.ms \(5\)"):
        validate({"max.compaction.lag.ms": "5"}, Settings(log_cleaner_min_compaction_lag_ms=10))


def test_storage_is_for_life():
    on_disk, in_memory = TopicConfig(), TopicConfig(storage_type="memory")
    validate_change(on_disk, TopicConfig(retention_ms=1))
    with pytest.raises(BrokerError, match="can't be changed from log to memory"):
        validate_change(on_disk, in_memory)


def synonyms(described):
    return [(synonym.name, synonym.value, synonym.source.name) for synonym in described.synonyms]


def test_describe_a_topic():
    loaded = load(assignments=["log.retention.hours=2", "log.segment.bytes=2000000"])
    broker = BrokerConfigs(
        loaded.settings,
        loaded.sources,
        dynamic={"log.segment.bytes": "3000000"},
        dynamic_default={"log.segment.bytes": "4000000"},
    )
    described = {one.name: one for one in describe_topic(broker, {"retention.ms": "5"})}
    assert set(described) == {name for name, setting in TOPIC_CONFIGS.items() if not setting.hidden}

    retention = described["retention.ms"]
    assert (retention.value, retention.source.name, retention.is_default) == (
        "5",
        "DYNAMIC_TOPIC_CONFIG",
        False,
    )
    assert synonyms(retention) == [
        ("retention.ms", "5", "DYNAMIC_TOPIC_CONFIG"),
        ("log.retention.hours", "2", "STATIC_BROKER_CONFIG"),
        ("log.retention.hours", "168", "DEFAULT_CONFIG"),
    ]
    segment = described["segment.bytes"]
    assert (segment.value, segment.source.name) == ("3000000", "DYNAMIC_BROKER_CONFIG")
    assert synonyms(segment) == [
        ("log.segment.bytes", "3000000", "DYNAMIC_BROKER_CONFIG"),
        ("log.segment.bytes", "4000000", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
        ("log.segment.bytes", "2000000", "STATIC_BROKER_CONFIG"),
        ("log.segment.bytes", "1073741824", "DEFAULT_CONFIG"),
    ]
    untouched = described["cleanup.policy"]
    assert (untouched.value, untouched.source.name, untouched.is_default) == (
        "delete",
        "DEFAULT_CONFIG",
        True,
    )
    assert untouched.type is ConfigType.LIST
    assert not untouched.read_only
    assert untouched.documentation
    assert described["preallocate"].value == "false"
    assert described["min.cleanable.dirty.ratio"].value == "0.5"
    assert described["retention.bytes"].value == "-1"
    assert synonyms(described["remote.storage.enable"]) == []


def test_describe_only_what_is_asked_for():
    broker = BrokerConfigs(Settings())
    assert [one.name for one in describe_topic(broker, {}, ["segment.ms", "nonsense"])] == ["segment.ms"]
    assert describe_topic(broker, {}, ["segment.ms"])[0].value == "604800000"
    assert [one.name for one in describe_topic(broker, {"internal.segment.bytes": "5"}, None)].count(
        "internal.segment.bytes"
    ) == 1


def test_describe_a_broker():
    loaded = load(assignments=["log.retention.hours=2"])
    broker = BrokerConfigs(loaded.settings, loaded.sources, dynamic={"log.retention.ms": "9"})
    described = {one.name: one for one in describe_broker(broker)}
    assert set(described) == set(SETTINGS)
    retention = described["log.retention.ms"]
    assert (retention.value, retention.source, retention.read_only) == (
        "9",
        ConfigSource.DYNAMIC_BROKER_CONFIG,
        False,
    )
    assert retention.synonyms[1] == Synonym("log.retention.hours", "2", ConfigSource.STATIC_BROKER_CONFIG)
    assert described["node.id"].read_only
    assert described["listeners"].value == "PLAINTEXT://127.0.0.1:9092"
    assert described["log.flush.interval.ms"].value is None
    assert [one.name for one in describe_broker(broker, ["broker.id", "x"])] == ["node.id"]
    assert broker.effective().log_retention_ms == 9
