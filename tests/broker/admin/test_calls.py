"""What an administrator asks besides topics and configs; what Kafka answers too is in tests/like_kafka."""

from __future__ import annotations

import logging
from uuid import UUID

import pytest

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import update_features
from logbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from logbroker.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from logbroker.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from logbroker.wire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsRequest
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from logbroker.wire.messages.list_config_resources import ListConfigResourcesRequest
from logbroker.wire.messages.unregister_broker import UnregisterBrokerRequest
from logbroker.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

BROKER_LOGGER, CLIENT_METRICS = 8, 16
SET, DELETE = 0, 1


async def create(admin, name, partitions=1, **configs):
    topic = CreatableTopic(
        name, partitions, 1, configs=[CreatableTopicConfig(*pair) for pair in configs.items()]
    )
    assert (await admin.ask(CreateTopicsRequest([topic]))).topics[0].error_code == 0


async def change(admin, kind, name, *changes, only=False):
    resource = AlterConfigsResource(kind, name, [AlterableConfig(*triple) for triple in changes])
    (result,) = (await admin.ask(IncrementalAlterConfigsRequest([resource], only))).responses
    return result.error_code


# ---- elections and directories


@pytest.mark.parametrize(
    ("kind", "code"),
    [(0, ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE), (1, ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE)],
)
def test_nobody_can_be_elected_where_the_directory_is_offline(run, kind, code):
    async def test(admin):
        await create(admin, "t", partitions=2)
        image = admin.metadata.image
        places = [partition.directory_id for partition in image.topics["t"].partitions]
        assert len(set(places)) == 2
        admin.broker.replicas.fail(
            [d.directory_id for d in admin.broker.replicas.directories].index(places[0])
        )
        answer = await admin.ask(ElectLeadersRequest(kind, [TopicPartitions("t", [0, 1])]))
        (result,) = answer.replica_election_results
        assert [partition.error_code for partition in result.partition_result] == [
            code,
            ErrorCode.ELECTION_NOT_NEEDED,
        ]
        answer = await admin.ask(ElectLeadersRequest(kind, None))
        (result,) = answer.replica_election_results
        assert [(p.partition_id, p.error_code) for p in result.partition_result] == [(0, code)]

    run(test)


def test_a_replica_stays_in_its_directory(run):
    async def test(admin):
        await create(admin, "t", partitions=2)
        await create(admin, "memory", **{"storage.type": "memory"})
        directories = admin.broker.replicas.log_dirs()
        (here, (_, index, _)) = next((d.path, d.partitions[0]) for d in directories if d.partitions)
        elsewhere = next(directory.path for directory in directories if directory.path != here)

        async def move(path, topic, index):
            asked = AlterReplicaLogDir(path, [AlterReplicaLogDirTopic(topic, [index])])
            answer = await admin.ask(AlterReplicaLogDirsRequest([asked]))
            return answer.results[0].partitions[0].error_code

        assert await move(here, "t", index) == ErrorCode.NONE
        assert await move(elsewhere, "t", index) == ErrorCode.INVALID_REQUEST
        assert await move(here, "memory", 0) == ErrorCode.INVALID_REQUEST
        admin.broker.replicas.fail([directory.path for directory in directories].index(here))
        assert await move(here, "t", index) == ErrorCode.KAFKA_STORAGE_ERROR
        assert await move(elsewhere, "t", index) == ErrorCode.KAFKA_STORAGE_ERROR

    run(test)


# ---- loggers and client metrics


@pytest.fixture
def levels():
    """Puts the levels of our loggers back."""
    before = logs.level_of("")
    yield
    for name in ("", "admin"):
        logs.set_level_of(name, before if not name else None)


def test_levels_of_loggers_are_those_of_the_process(run, levels):
    async def level(admin, name):
        asked = DescribeConfigsRequest([DescribeConfigsResource(BROKER_LOGGER, "1", [name])])
        return (await admin.ask(asked)).results[0].configs[0].value

    async def test(admin):
        logger = logging.getLogger("logbroker.admin")
        assert await change(admin, BROKER_LOGGER, "1", ("root", SET, "WARN"), ("admin", SET, "DEBUG")) == 0
        assert (await level(admin, "root"), await level(admin, "admin")) == ("WARN", "DEBUG")
        assert (logger.isEnabledFor(logging.DEBUG), logging.getLogger("logbroker").level) == (
            True,
            logging.WARNING,
        )
        assert await change(admin, BROKER_LOGGER, "1", ("admin", SET, "FATAL"), only=True) == 0
        assert await level(admin, "admin") == "DEBUG"
        assert await change(admin, BROKER_LOGGER, "1", ("admin", DELETE, None)) == 0
        assert await level(admin, "admin") == "WARN"
        assert not logger.isEnabledFor(logging.INFO)

    run(test)


def test_nothing_of_a_refused_change_of_levels_is_done(run, levels):
    async def test(admin):
        before = logs.level_of("")
        refused = await change(admin, BROKER_LOGGER, "1", ("root", SET, "FATAL"), ("no.such", SET, "INFO"))
        assert refused == ErrorCode.INVALID_CONFIG
        assert logs.level_of("") == before

    run(test)


def test_client_metrics_survive_a_restart_and_are_listed(run):
    async def first(admin):
        assert await change(admin, CLIENT_METRICS, "m", ("metrics", SET, "a,b")) == 0

    async def second(admin):
        (found,) = (await admin.ask(ListConfigResourcesRequest(), 0)).config_resources
        assert found.resource_name == "m"
        asked = DescribeConfigsRequest([DescribeConfigsResource(CLIENT_METRICS, "m", ["metrics"])])
        assert (await admin.ask(asked)).results[0].configs[0].value == "a,b"

    run(first)
    run(second)


def test_a_client_is_asked_for_no_metrics_and_keeps_its_name(run):
    async def test(admin):
        fresh = await admin.ask(GetTelemetrySubscriptionsRequest())
        assert fresh.requested_metrics == []
        assert fresh.client_instance_id.int != 0
        named = await admin.ask(GetTelemetrySubscriptionsRequest(UUID(int=77)))
        assert named.client_instance_id == UUID(int=77)

    run(test)


# ---- features and brokers


def test_a_features_level_is_the_releases(run, monkeypatch):
    monkeypatch.setattr(update_features, "FEATURES", (("group.version", 0, 1),))
    monkeypatch.setattr(update_features, "FINALIZED_FEATURES", (("group.version", 1),))

    async def update(admin, level, version=1, **more):
        request = UpdateFeaturesRequest(1000, [FeatureUpdateKey("group.version", level, **more)])
        return await admin.ask(request, version)

    async def test(admin):
        answer = await update(admin, 1)
        assert (answer.error_code, [result.feature for result in answer.results]) == (0, ["group.version"])
        for level, words in ((0, "belongs to this release"), (2, "only supports versions 0-1")):
            answer = await update(admin, level, upgrade_type=2)
            assert answer.error_code == ErrorCode.INVALID_UPDATE_VERSION
            assert words in answer.error_message

    run(test)


def test_the_only_broker_is_not_unregistered(run):
    async def test(admin):
        answer = await admin.ask(UnregisterBrokerRequest(1))
        assert answer.error_code == ErrorCode.INVALID_REQUEST
        assert "only broker" in answer.error_message

    run(test)
