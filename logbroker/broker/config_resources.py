"""Configs as DescribeConfigs and CreateTopics show them: from the image to `config.describe` and on to the wire.

Loggers are configs too (KIP-412), of the process alone: what is changed of them is gone with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from logbroker.base import logs
from logbroker.config.client_metrics import CLIENT_METRICS_CONFIGS
from logbroker.config.describe import (
    BrokerConfigs,
    Described,
    Synonym,
    describe_broker,
    describe_group,
    describe_topic,
)
from logbroker.config.settings import SETTINGS
from logbroker.config.values import ConfigSource, ConfigType, format_value
from logbroker.metadata.config_changes import LOGGER_LEVELS, ROOT_LOGGER, ConfigChange, Operation
from logbroker.metadata.events import CLUSTER_SCOPE
from logbroker.metadata.image import ClusterImage

_log = logs.get("admin")


def broker_configs(image: ClusterImage) -> BrokerConfigs:
    """What this broker is configured with, and from where."""
    return BrokerConfigs(
        static=image.static_settings,
        sources=image.static_sources,
        dynamic=image.broker_configs.get(str(image.node_id), {}),
        dynamic_default=image.broker_configs.get(CLUSTER_SCOPE, {}),
    )


def described_topic(
    image: ClusterImage, overrides: Mapping[str, str], names: Iterable[str] | None = None
) -> list[Described]:
    """The configs of an existing topic (or of one that is being created) with these overrides; `names` or all."""
    default = image.settings.storage_type
    if "storage.type" not in overrides and default != "log":
        # Fixed at creation: the broker's default came later, and says nothing about this topic.
        overrides = {**overrides, "storage.type": "log"}
    return describe_topic(broker_configs(image), overrides, names)


def described_group(
    image: ClusterImage, group_id: str, names: Iterable[str] | None = None
) -> list[Described]:
    """The configs of a consumer group, whether it exists or not; `names` or all."""
    group = image.groups.get(group_id)
    return describe_group(broker_configs(image), {} if group is None else group.configs, names)


def described_broker(image: ClusterImage, names: Iterable[str] | None = None) -> list[Described]:
    """The configs of this broker; `names` or all."""
    return describe_broker(broker_configs(image), names)


def described_client_metrics(
    image: ClusterImage, name: str, names: Iterable[str] | None = None
) -> list[Described]:
    """The configs of a subscription to client metrics, whether it exists or not; `names` or all."""
    given = image.client_metrics.get(name, {})
    wanted = None if names is None else set(names)
    described = []
    for config, setting in CLIENT_METRICS_CONFIGS.items():
        if wanted is not None and config not in wanted:
            continue
        source = ConfigSource.CLIENT_METRICS_CONFIG if config in given else ConfigSource.DEFAULT_CONFIG
        value = format_value(setting.parse(given[config])) if config in given else setting.default_text
        described.append(
            Described(
                name=config,
                value=value,
                source=source,
                type=setting.type,
                read_only=False,
                documentation=setting.doc,
                synonyms=(Synonym(config, value, source),) if config in given else (),
                is_default=config not in given,
            )
        )
    return described


def described_loggers(names: Iterable[str] | None = None) -> list[Described]:
    """The level of each of this process's loggers; `names` or all."""
    wanted = None if names is None else set(names)
    return [
        Described(
            name=name,
            value=_level_name(logs.level_of("" if name == ROOT_LOGGER else name)),
            source=ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG,
            type=ConfigType.UNKNOWN,
            read_only=False,
            documentation="",
            synonyms=(),
            is_default=False,
        )
        for name in (ROOT_LOGGER, *logs.names())
        if wanted is None or name in wanted
    ]


def change_loggers(changes: Iterable[ConfigChange]) -> None:
    """Make changes that `check_loggers` has let pass."""
    for change in changes:
        level = LOGGER_LEVELS[change.value or ""] if change.operation == Operation.SET else None
        logs.set_level_of("" if change.name == ROOT_LOGGER else change.name, level)
        _log.info("log level changed", of=change.name, level=change.value)


def _level_name(number: int) -> str:
    """The least of Kafka's levels that lets through what `number` does."""
    return next((name for name, level in LOGGER_LEVELS.items() if level >= number), "OFF")


def described_cluster_default(image: ClusterImage, names: Iterable[str] | None = None) -> list[Described]:
    """The dynamic configs that hold for every broker: only those that are set."""
    wanted = None if names is None else set(names)
    source = ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
    return [
        Described(
            name=name,
            value=value,
            source=source,
            type=SETTINGS[name].type,
            read_only=False,
            documentation=SETTINGS[name].doc,
            synonyms=(Synonym(name, value, source),),
            is_default=False,
        )
        for name, value in image.broker_configs.get(CLUSTER_SCOPE, {}).items()
        if wanted is None or name in wanted
    ]
