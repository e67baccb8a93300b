"""Configs as DescribeConfigs and CreateTopics show them: from the image to `config.describe` and on to the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from logbroker.config.describe import (
    BrokerConfigs,
    Described,
    Synonym,
    describe_broker,
    describe_group,
    describe_topic,
)
from logbroker.config.settings import SETTINGS
from logbroker.config.values import ConfigSource
from logbroker.metadata.events import CLUSTER_SCOPE
from logbroker.metadata.image import ClusterImage


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
