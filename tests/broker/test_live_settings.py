"""Every broker config that says it can change while the broker runs does, without a restart and after one."""

from __future__ import annotations

import logging

import pytest
from support.broker_stage import batch_of, on_broker, until

from logbroker.base import logs
from logbroker.config.settings import DYNAMIC, SETTINGS
from logbroker.config.topic import TOPIC_CONFIGS
from logbroker.replication.cleaning import options_of
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)

BROKER, SET, DELETE = 4, 0, 1

OTHER_VALUES = {
    "cleanup.policy": "compact",
    "compression.type": "zstd",
    "message.timestamp.type": "LogAppendTime",
    "record.validation": "full",
    "memory.full.policy": "evict",
    "message.max.bytes": "999",
    "compression.gzip.level": "3",
    "compression.lz4.level": "4",
    "compression.zstd.level": "5",
    "log.cleaner.min.cleanable.ratio": "0.25",
    "log.flush.interval.messages": "7",
    "log.preallocate": "true",
    "unclean.leader.election.enable": "true",
    "log.cleanup.policy": "compact",
    "log.message.timestamp.type": "LogAppendTime",
    "log.segment.bytes": "2000000",
}


async def alter(stage, name, value, scope="1"):
    change = AlterableConfig(name, DELETE if value is None else SET, value)
    request = IncrementalAlterConfigsRequest([AlterConfigsResource(BROKER, scope, [change])])
    (result,) = (await stage.ask(request)).responses
    assert (result.error_code, result.error_message) == (0, None)


@pytest.fixture
def level_of_the_log():
    before = logs.level_of("")
    yield
    logs.set_level_of("", before)


FROM_TOPICS = {
    names[0][0]: setting
    for setting in TOPIC_CONFIGS.values()
    if (names := setting.synonyms) and setting.name != "storage.type"
}


def test_every_dynamic_setting_is_looked_at_here():
    seen = set(FROM_TOPICS) | {
        "connections.max.idle.ms",
        "group.consumer.assignment.interval.ms",
        "log.disk.reserve.bytes",
        "log.level",
        "max.connections",
        "max.connections.per.ip",
        "max.producer.ids.per.partition",
        "producer.id.protected.idle.ms",
    }
    elsewhere = {
        "storage.type",  # of topics that are created from then on: tests/broker/admin
        "producer.id.expiration.ms",  # read at each pass: tests/replication/test_upkeep.py
        "log.scrub.interval.ms",  # read at each tick, as is the next
        "log.scrub.max.bytes.per.second",
        *(
            name for name in DYNAMIC if name.startswith("log.cleaner.")
        ),  # read with each round and pass, see below
        "transaction.partition.verification.enable",  # read with each batch
    }
    assert DYNAMIC - seen <= elsewhere
    assert seen <= DYNAMIC


@pytest.mark.parametrize("name", sorted(FROM_TOPICS))
def test_partitions_follow_the_brokers_default(name, tmp_path):
    setting = SETTINGS[name]
    text = OTHER_VALUES.get(name) or str(int(setting.default or 0) // 2 + 1001)

    @on_broker()
    async def follows(stage):
        partition = await stage.topic("t")
        attribute = FROM_TOPICS[name].attribute
        before = getattr(partition.config, attribute)
        await alter(stage, name, text, scope="")
        assert getattr(partition.config, attribute) != before
        await stage.restart()
        assert getattr(stage.partition("t").config, attribute) != before
        await alter(stage, name, None, scope="")
        assert getattr(stage.partition("t").config, attribute) == before

    follows(tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("max.connections", "connections_max"),
        ("max.connections.per.ip", "connections_per_address_max"),
        ("connections.max.idle.ms", "idle_max_ms"),
        ("connections.max.idle.ms", "stuck_reader_timeout_ms"),
    ],
)
def test_limits_of_connections_follow(name, limit, tmp_path):
    @on_broker()
    async def follows(stage):
        before = getattr(stage.broker.server.limits, limit)
        await alter(stage, name, "17")
        assert getattr(stage.broker.server.limits, limit) == 17
        await alter(stage, name, None)
        assert getattr(stage.broker.server.limits, limit) == before
        await alter(stage, name, "18", scope="")
        await stage.restart()
        assert getattr(stage.broker.server.limits, limit) == 18

    follows(tmp_path=tmp_path)


@on_broker()
async def test_the_level_of_the_log_follows(stage, level_of_the_log):
    logs.set_level_of("", logging.INFO)
    await alter(stage, "log.level", "warning")
    assert logs.level_of("") == logging.WARNING
    logs.set_level_of("", logging.DEBUG)  # as somebody who altered the logger `root`
    await alter(stage, "log.retention.ms", "5000")
    assert logs.level_of("") == logging.DEBUG
    await stage.restart()
    assert logs.level_of("") == logging.WARNING
    await alter(stage, "log.level", None)
    assert logs.level_of("") == logging.INFO


@on_broker()
async def test_the_reserve_of_the_disk_follows(stage):
    await stage.topic("t")
    assert (await stage.produce("t", batch_of([b"a"]))).error_code == 0
    await alter(stage, "log.disk.reserve.bytes", str(2**62))
    directory = stage.broker.replicas.states[0].directory
    directory.tick(stage.broker.clock.wall_ms())
    assert (await stage.produce("t", batch_of([b"a"]))).error_code != 0
    await alter(stage, "log.disk.reserve.bytes", None)
    directory.tick(stage.broker.clock.wall_ms())
    assert (await stage.produce("t", batch_of([b"a"]))).error_code == 0


@on_broker()
async def test_the_cleaner_follows(stage):
    """Also while it goes from one pass to the next and never rests."""
    cleaning = stage.broker.replicas.cleaning
    for name, value, attribute in (
        ("log.cleaner.threads", "3", "log_cleaner_threads"),
        ("log.cleaner.backoff.ms", "17", "log_cleaner_backoff_ms"),
        ("log.cleaner.io.max.bytes.per.second", "12345.0", "log_cleaner_io_max_bytes_per_second"),
    ):
        await alter(stage, name, value)
        wanted = float(value)
        await until(
            lambda attribute=attribute, wanted=wanted: getattr(cleaning.settings, attribute) == wanted
        )
    assert options_of(cleaning.settings).max_bytes_per_second == 12345.0 / 3


@on_broker()
async def test_limits_of_producers_and_groups_follow(stage):
    partition = await stage.topic("t")
    await alter(stage, "max.producer.ids.per.partition", "7")
    await alter(stage, "producer.id.protected.idle.ms", "8")
    limits = partition.log.producers.limits
    assert (limits.per_partition, limits.protected_idle_ms) == (7, 8)
    await alter(stage, "group.consumer.assignment.interval.ms", "9")
    assert stage.broker.metadata.image.group_config("g").consumer_assignment_interval_ms == 9
    await until(lambda: stage.broker.settings.group_consumer_assignment_interval_ms == 9)
