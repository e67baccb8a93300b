"""DescribeConfigs, IncrementalAlterConfigs and AlterConfigs, in every version."""

from __future__ import annotations

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.config.settings import SETTINGS
from logbroker.config.sources import ConfigSources, Origin, Source
from logbroker.config.topic import TOPIC_CONFIGS
from logbroker.config.values import ResourceType
from logbroker.metadata.config_changes import Operation
from logbroker.wire.messages import alter_configs as alter
from logbroker.wire.messages import incremental_alter_configs as incremental
from logbroker.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from logbroker.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

TOPIC, BROKER, GROUP = ResourceType.TOPIC, ResourceType.BROKER, ResourceType.GROUP
SET, DELETE, APPEND, SUBTRACT = Operation
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC, DEFAULT = 1, 2, 3, 4, 5
GROUP_CONFIG = 8


async def create(admin, name, *configs):
    topic = CreatableTopic(name, 1, 1, configs=[CreatableTopicConfig(*config) for config in configs])
    assert (await admin.ask(CreateTopicsRequest([topic]))).topics[0].error_code == 0


async def describe(admin, kind, name, keys=None, version=None, synonyms=True, documentation=True):
    request = DescribeConfigsRequest([DescribeConfigsResource(kind, name, keys)], synonyms, documentation)
    (result,) = (await admin.ask(request, version)).results
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result


async def change(admin, kind, name, *triples, version=None, validate_only=False):
    configs = [incremental.AlterableConfig(n, o, v) for o, n, v in triples]
    resource = incremental.AlterConfigsResource(kind, name, configs)
    request = incremental.IncrementalAlterConfigsRequest([resource], validate_only)
    (result,) = (await admin.ask(request, version)).responses
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result.error_code, result.error_message


# ---- DescribeConfigs


def test_a_topics_configs_are_told_in_every_version(run):
    async def test(admin):
        await create(admin, "t", ("retention.ms", "1000"))
        for version in admin.versions(DescribeConfigsRequest):
            result = await describe(admin, TOPIC, "t", ["retention.ms", "nope", "segment.bytes"], version)
            assert (result.error_code, result.error_message) == (0, "")
            configs = {config.name: config for config in result.configs}
            assert set(configs) == {"retention.ms", "segment.bytes"}
            retention = configs["retention.ms"]
            assert (retention.value, retention.config_source) == ("1000", DYNAMIC_TOPIC)
            assert not retention.read_only
            assert not retention.is_sensitive
            assert [(s.name, s.value, s.source) for s in retention.synonyms] == [
                ("retention.ms", "1000", DYNAMIC_TOPIC),
                ("log.retention.hours", "168", DEFAULT),
            ]
            assert retention.config_type == (5 if version >= 3 else 0)
            assert (retention.documentation is not None) == (version >= 3)
            assert [(s.name, s.value, s.source) for s in configs["segment.bytes"].synonyms] == [
                ("log.segment.bytes", "1073741824", DEFAULT)
            ]

    run(test)


@pytest.mark.parametrize("keys", [None, []])
def test_no_names_ask_for_all(run, keys):
    async def test(admin):
        await create(admin, "t")
        result = await describe(admin, TOPIC, "t", keys)
        assert {config.name for config in result.configs} == {
            name for name, setting in TOPIC_CONFIGS.items() if not setting.hidden
        }
        result = await describe(admin, BROKER, "1", keys)
        assert {config.name for config in result.configs} == set(SETTINGS)

    run(test)


def test_synonyms_and_documentation_only_if_asked_for(run):
    async def test(admin):
        await create(admin, "t")
        result = await describe(admin, TOPIC, "t", None, synonyms=False, documentation=False)
        assert all(config.synonyms == [] and config.documentation is None for config in result.configs)

    run(test)


def test_a_brokers_configs_and_where_they_come_from(run):
    async def test(admin):
        assert await change(admin, BROKER, "", (SET, "log.retention.ms", "77")) == (0, None)
        assert await change(admin, BROKER, "1", (SET, "log.retention.ms", "5")) == (0, None)
        await create(admin, "t", ("retention.ms", "6"))
        result = await describe(admin, BROKER, "1", ["log.retention.ms", "num.partitions", "node.id"])
        configs = {config.name: config for config in result.configs}
        retention = configs["log.retention.ms"]
        assert (retention.value, retention.config_source, retention.read_only) == ("5", DYNAMIC_BROKER, False)
        assert [(s.name, s.value, s.source) for s in retention.synonyms] == [
            ("log.retention.ms", "5", DYNAMIC_BROKER),
            ("log.retention.ms", "77", DYNAMIC_DEFAULT),
            ("log.retention.hours", "168", DEFAULT),
        ]
        partitions = configs["num.partitions"]
        assert (partitions.value, partitions.config_source, partitions.read_only) == ("3", STATIC, True)
        assert [(s.value, s.source) for s in partitions.synonyms] == [("3", STATIC), ("1", DEFAULT)]
        result = await describe(admin, TOPIC, "t", ["retention.ms"])
        assert [(s.name, s.value, s.source) for s in result.configs[0].synonyms] == [
            ("retention.ms", "6", DYNAMIC_TOPIC),
            ("log.retention.ms", "5", DYNAMIC_BROKER),
            ("log.retention.ms", "77", DYNAMIC_DEFAULT),
            ("log.retention.hours", "168", DEFAULT),
        ]
        result = await describe(admin, BROKER, "", None)
        assert [(c.name, c.value, c.config_source, c.read_only) for c in result.configs] == [
            ("log.retention.ms", "77", DYNAMIC_DEFAULT, False)
        ]
        assert (await describe(admin, BROKER, "", ["num.partitions"])).configs == []

    given = ConfigSources({"num.partitions": Source(Origin.FILE, "broker.toml:3")})
    run(test, sources=given, num_partitions=3)


@pytest.mark.parametrize(
    ("kind", "name", "code", "message"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ""),
        (
            TOPIC,
            "",
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            "Topic name is invalid: the empty string is not allowed",
        ),
        (
            BROKER,
            "2",
            ErrorCode.INVALID_REQUEST,
            "Unexpected broker id, expected 1 or empty string, but received 2",
        ),
        (BROKER, "x", ErrorCode.INVALID_REQUEST, "Broker id must be an integer, but it is: x"),
    ],
)
def test_what_has_no_configs(run, kind, name, code, message):
    async def test(admin):
        result = await describe(admin, kind, name)
        assert (result.error_code, result.error_message, result.configs) == (code, message, [])

    run(test)


@pytest.mark.parametrize("kind", [0, 1, 3, 99])
def test_resources_that_arent_there(run, kind):
    async def test(admin):
        assert (await describe(admin, kind, "1")).error_code == ErrorCode.INVALID_REQUEST

    run(test)


def test_a_groups_configs_are_told_before_and_after_a_change(run):
    name, synonym = "consumer.session.timeout.ms", "group.consumer.session.timeout.ms"

    async def test(admin):
        (config,) = (await describe(admin, GROUP, "g", [name])).configs
        assert (config.value, config.config_source, config.read_only) == ("45000", DEFAULT, False)
        assert [(s.name, s.value, s.source) for s in config.synonyms] == [(synonym, "45000", DEFAULT)]
        assert await change(admin, GROUP, "g", (SET, name, " 50000 ")) == (0, None)
        assert len((await describe(admin, GROUP, "g")).configs) == 3

    async def after_a_restart(admin):
        (config,) = (await describe(admin, GROUP, "g", [name, "no.such"])).configs
        assert (config.value, config.config_source) == ("50000", GROUP_CONFIG)
        assert [(s.name, s.value, s.source) for s in config.synonyms] == [
            (name, "50000", GROUP_CONFIG),
            (synonym, "45000", DEFAULT),
        ]
        assert admin.metadata.image.group_config("g").consumer_session_timeout_ms == 50_000
        result = await describe(admin, GROUP, "")
        assert (result.error_code, result.error_message) == (
            ErrorCode.INVALID_REQUEST,
            "Group name must not be empty",
        )

    run(test)
    run(after_a_restart)


def test_a_topic_whose_home_differs_from_todays_default_says_so(run):
    async def test(admin):
        await create(admin, "disk")
        await change(admin, BROKER, "", (SET, "storage.type", "memory"))
        await create(admin, "memory")
        for name, value in (("disk", "log"), ("memory", "memory")):
            (config,) = (await describe(admin, TOPIC, name, ["storage.type"])).configs
            assert (config.value, config.config_source) == (value, DYNAMIC_TOPIC)

    run(test)


# ---- IncrementalAlterConfigs


def test_configs_are_changed_in_every_version(run):
    async def test(admin):
        await create(admin, "t", ("retention.ms", "1"))
        for version in admin.versions(incremental.IncrementalAlterConfigsRequest):
            result = await change(
                admin,
                TOPIC,
                "t",
                (SET, "retention.ms", f"100{version}"),
                (APPEND, "cleanup.policy", "compact"),
                (DELETE, "segment.ms", None),
                version=version,
            )
            assert result == (0, None)
            topic = admin.metadata.image.topics["t"]
            assert topic.configs == {"retention.ms": f"100{version}", "cleanup.policy": "delete,compact"}
            result = await change(admin, TOPIC, "t", (SUBTRACT, "cleanup.policy", "delete"), version=version)
            assert result == (0, None)
            assert admin.metadata.image.topics["t"].configs["cleanup.policy"] == "compact"
            await change(admin, TOPIC, "t", (DELETE, "cleanup.policy", None), version=version)

    run(test)


def test_validating_changes_nothing(run):
    async def test(admin):
        await create(admin, "t")
        before = admin.metadata.image
        assert await change(admin, TOPIC, "t", (SET, "retention.ms", "5"), validate_only=True) == (0, None)
        assert await change(admin, TOPIC, "t", (SET, "retention.ms", "x"), validate_only=True) == (
            ErrorCode.INVALID_CONFIG,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        )
        assert await change(admin, BROKER, "1", (SET, "log.retention.ms", "5"), validate_only=True) == (
            0,
            None,
        )
        assert admin.metadata.image is before

    run(test)


def test_changes_survive_a_restart(run):
    async def first(admin):
        await create(admin, "t")
        await change(admin, TOPIC, "t", (SET, "retention.ms", "5"))
        await change(admin, BROKER, "1", (SET, "log.segment.bytes", "2000000"))

    async def second(admin):
        config = admin.metadata.image.topics["t"].config
        assert (config.retention_ms, config.segment_bytes) == (5, 2_000_000)

    run(first)
    run(second)


def test_each_resource_stands_alone(run):
    async def test(admin):
        await create(admin, "t")
        request = incremental.IncrementalAlterConfigsRequest(
            [
                incremental.AlterConfigsResource(kind, name, [incremental.AlterableConfig(config, SET, "5")])
                for kind, name, config in [
                    (TOPIC, "nope", "retention.ms"),
                    (TOPIC, "t", "retention.ms"),
                    (BROKER, "1", "num.partitions"),
                    (ResourceType.BROKER_LOGGER, "1", "no.such.logger"),
                    (3, "1", "x"),
                ]
            ]
        )
        responses = (await admin.ask(request)).responses
        assert [(r.resource_name, ErrorCode(r.error_code).name) for r in responses] == [
            ("nope", "UNKNOWN_TOPIC_OR_PARTITION"),
            ("t", "NONE"),
            ("1", "INVALID_REQUEST"),
            ("1", "INVALID_CONFIG"),
            ("1", "INVALID_REQUEST"),
        ]
        assert responses[2].error_message == "Cannot update these configs dynamically: [num.partitions]"
        assert admin.metadata.image.topics["t"].configs == {"retention.ms": "5"}

    run(test)


# ---- AlterConfigs


def test_replacing_in_every_version(run):
    async def test(admin):
        await create(admin, "t", ("retention.ms", "1"), ("segment.ms", "2"))
        for version in admin.versions(alter.AlterConfigsRequest):
            resources = [
                alter.AlterConfigsResource(TOPIC, "t", [alter.AlterableConfig("segment.ms", f"10{version}")]),
                alter.AlterConfigsResource(BROKER, "1", []),
                alter.AlterConfigsResource(TOPIC, "nope", []),
            ]
            response = await admin.ask(alter.AlterConfigsRequest(resources), version)
            assert [(r.resource_name, ErrorCode(r.error_code).name) for r in response.responses] == [
                ("t", "NONE"),
                ("1", "NONE"),
                ("nope", "UNKNOWN_TOPIC_OR_PARTITION"),
            ]
            assert admin.metadata.image.topics["t"].configs == {"segment.ms": f"10{version}"}
        resources = [alter.AlterConfigsResource(TOPIC, "t", [])]
        await admin.ask(alter.AlterConfigsRequest(resources, validate_only=True))
        assert admin.metadata.image.topics["t"].configs != {}
        await admin.ask(alter.AlterConfigsRequest(resources))
        assert admin.metadata.image.topics["t"].configs == {}

    run(test)
