"""What can happen to the cluster's metadata, and what each change makes of an image.

An event is a fact that was decided (by `controller.py`), is made durable (by `sqlite_store.py`) and then applied to the
image; subscribers get it after that. An event carries everything that store and image need: applying it decides
nothing and can't fail on a state it was decided for. `apply` is pure: it gives a new image and leaves the old one as
it is, so the image before a change, and the images in which changes wait to be durable, exist side by side.

Events that belong together (one request's) are applied together, which copies each index once and not once per event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from uuid import UUID

from logbroker.base.errors import BrokerError, ConfigError
from logbroker.config.group import GroupConfig
from logbroker.config.settings import Settings, amend
from logbroker.config.sources import ConfigSources
from logbroker.config.topic import TopicConfig
from logbroker.metadata.image import (
    DIRECTORY_UNASSIGNED,
    ClusterImage,
    DirectoryImage,
    GroupImage,
    PartitionImage,
    TopicConfigResolver,
    TopicImage,
)
from logbroker.metadata.topic_names import collision_key, is_internal, may_collide

CLUSTER_SCOPE = ""
"""The scope of dynamic broker configs that hold for every broker; the other scopes are broker ids, in decimal."""


@dataclass(frozen=True, slots=True)
class TopicCreated:
    """A topic with all its partitions; `configs` are its overrides."""

    topic_id: UUID
    name: str
    partitions: tuple[PartitionImage, ...]
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionsAdded:
    """Partitions `first_index` and up were added to a topic."""

    topic_id: UUID
    name: str
    first_index: int
    partitions: tuple[PartitionImage, ...]


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """The topic is gone, with everything in it; its id is never used again.

    `directories` are the log directories that it had partitions in: until each has confirmed that their folders are gone, the
    metadata remembers the id, so that a start knows them for ours.
    """

    topic_id: UUID
    name: str
    directories: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletionsConfirmed:
    """No folder of these deleted topics is left in the log directory, and none can come back."""

    directory_id: UUID
    topic_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class TopicConfigChanged:
    """Overrides of a topic were set (text) or taken away (None)."""

    topic_id: UUID
    name: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class BrokerConfigChanged:
    """Dynamic broker configs were set (text) or taken away (None), for one broker or, scope "", for all."""

    scope: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class GroupConfigChanged:
    """Configs of a consumer group were set (text) or taken away (None)."""

    group_id: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class ClientMetricsChanged:
    """Configs of a subscription to client metrics were set (text) or taken away (None)."""

    name: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class LeaderEpochBumped:
    """Partitions of a topic got a new leader epoch, as after an unclean stop.

    `partitions` has each of them as it is now, by index; one object where several are alike.
    """

    topic_id: UUID
    name: str
    partitions: Mapping[int, PartitionImage]


@dataclass(frozen=True, slots=True)
class ProducerIdsReserved:
    """Every producer id below `next_id` counts as given out."""

    next_id: int


@dataclass(frozen=True, slots=True)
class DirectoryRegistered:
    """The log directory with this id is at `path` from now on."""

    directory_id: UUID
    path: str


@dataclass(frozen=True, slots=True)
class MemoryOffsetsReserved:
    """Offsets below `up_to` of a memory partition count as given out: after a restart it starts there."""

    topic_id: UUID
    partition: int
    up_to: int


@dataclass(frozen=True, slots=True)
class SettingsReloaded:
    """The settings file was read again; nothing of it is stored, as the file says it all."""

    settings: Settings
    sources: ConfigSources


Event: TypeAlias = (
    TopicCreated
    | PartitionsAdded
    | TopicDeleted
    | DeletionsConfirmed
    | TopicConfigChanged
    | BrokerConfigChanged
    | GroupConfigChanged
    | ClientMetricsChanged
    | LeaderEpochBumped
    | ProducerIdsReserved
    | DirectoryRegistered
    | MemoryOffsetsReserved
    | SettingsReloaded
)


def apply(image: ClusterImage, events: Iterable[Event]) -> ClusterImage:
    """The image after `events`, in their order; `image` itself where there are none.

    Raises:
        BrokerError, ConfigError: a config that an event sets can't be used; the controller lets none such pass.
        KeyError: an event names a topic that isn't there.
    """
    draft = _Draft(image)
    for event in events:
        _APPLY[type(event)](draft, event)
    return draft.finish()


def effective_settings(static: Settings, configs: Mapping[str, Mapping[str, str]], node_id: int) -> Settings:
    """Static settings with the cluster's dynamic defaults and then this broker's own on top.

    Raises:
        ConfigError: an override can't be used.
    """
    merged: dict[str, object] = {**configs.get(CLUSTER_SCOPE, {}), **configs.get(str(node_id), {})}
    return amend(static, merged) if merged else static


class _Draft:
    """An image under construction: only what changes is copied, and only once."""

    __slots__ = ("_image", "_resolver", "changed", "visible")

    def __init__(self, image: ClusterImage) -> None:
        self._image = image
        self._resolver: TopicConfigResolver | None = None
        self.changed: dict[str, Any] = {}
        self.visible = False

    def get(self, name: str) -> Any:
        """The field as it is now, to be read."""
        return self.changed[name] if name in self.changed else getattr(self._image, name)

    def edit(self, name: str) -> Any:
        """The mapping of that name as a dictionary that may be changed."""
        if name not in self.changed:
            self.changed[name] = dict(getattr(self._image, name))
        return self.changed[name]

    def count_partitions(self, partitions: Iterable[PartitionImage], sign: int) -> None:
        """Add to (or take from) the counts in all and by directory."""
        by_directory = self.edit("directory_partitions")
        total = 0
        for partition in partitions:
            total += 1
            directory = partition.directory_id
            if directory != DIRECTORY_UNASSIGNED:
                by_directory[directory] = by_directory.get(directory, 0) + sign
        self.changed["partition_count"] = self.get("partition_count") + sign * total

    def topic_config(self, overrides: Mapping[str, str]) -> TopicConfig:
        """What a topic with these overrides runs with."""
        if not overrides:
            default: TopicConfig = self.get("default_topic_config")
            return default
        if self._resolver is None:
            self._resolver = TopicConfigResolver(self.get("settings"))
        return self._resolver.resolve(overrides)

    def use_settings(self, settings: Settings) -> None:
        """Take these as the settings in force, and what topics take from them."""
        self.visible = True
        self.changed["settings"] = settings
        self._resolver = TopicConfigResolver(settings)
        self.changed["default_topic_config"] = self._resolver.resolve({})
        topics = self.edit("topics")
        for name, topic in topics.items():
            # Names are only replaced while we iterate, never added or removed.
            try:
                config = self.topic_config(topic.configs)
            except BrokerError as error:
                raise ConfigError(
                    f"the topic {name} can't keep its config under these settings: {error}"
                ) from error
            topics[name] = replace(topic, config=config)
        self.changed["default_group_config"] = GroupConfig.resolve(settings, {})
        if self.get("groups"):
            groups = self.edit("groups")
            for name, group in groups.items():
                groups[name] = GroupImage(group.configs, GroupConfig.resolve(settings, group.configs))

    def finish(self) -> ClusterImage:
        """The new image."""
        if not self.changed:
            return self._image
        if self.visible:
            self.changed["version"] = self._image.version + 1
        return replace(self._image, **self.changed)


def _topic_created(draft: _Draft, event: TopicCreated) -> None:
    draft.visible = True
    draft.edit("topics")[event.name] = TopicImage(
        topic_id=event.topic_id,
        name=event.name,
        internal=is_internal(event.name),
        configs=event.configs,
        config=draft.topic_config(event.configs),
        partitions=event.partitions,
    )
    draft.edit("topic_names")[event.topic_id] = event.name
    if may_collide(event.name):
        draft.edit("collisions")[collision_key(event.name)] = event.name
    draft.count_partitions(event.partitions, 1)


def _partitions_added(draft: _Draft, event: PartitionsAdded) -> None:
    draft.visible = True
    topics = draft.edit("topics")
    topic: TopicImage = topics[event.name]
    topics[event.name] = replace(topic, partitions=topic.partitions + event.partitions)
    draft.count_partitions(event.partitions, 1)


def _topic_deleted(draft: _Draft, event: TopicDeleted) -> None:
    draft.visible = True
    topic: TopicImage = draft.edit("topics").pop(event.name)
    del draft.edit("topic_names")[event.topic_id]
    if may_collide(event.name):
        draft.edit("collisions").pop(collision_key(event.name), None)
    draft.count_partitions(topic.partitions, -1)
    for directory in event.directories:
        draft.edit("deletions")[directory, event.topic_id] = None
    reserved = draft.get("memory_offsets")
    gone = [
        (topic.topic_id, index)
        for index in range(len(topic.partitions))
        if (topic.topic_id, index) in reserved
    ]
    for key in gone:
        del draft.edit("memory_offsets")[key]


def _deletions_confirmed(draft: _Draft, event: DeletionsConfirmed) -> None:
    deletions = draft.edit("deletions")
    for topic_id in event.topic_ids:
        deletions.pop((event.directory_id, topic_id), None)


def _topic_config_changed(draft: _Draft, event: TopicConfigChanged) -> None:
    draft.visible = True
    topics = draft.edit("topics")
    topic: TopicImage = topics[event.name]
    configs = merge_changes(topic.configs, event.changes)
    topics[event.name] = replace(topic, configs=configs, config=draft.topic_config(configs))


def _broker_config_changed(draft: _Draft, event: BrokerConfigChanged) -> None:
    configs = draft.edit("broker_configs")
    merged = merge_changes(configs.get(event.scope, {}), event.changes)
    if merged:
        configs[event.scope] = merged
    else:
        configs.pop(event.scope, None)
    draft.use_settings(effective_settings(draft.get("static_settings"), configs, draft.get("node_id")))


def _group_config_changed(draft: _Draft, event: GroupConfigChanged) -> None:
    groups = draft.edit("groups")
    group: GroupImage | None = groups.get(event.group_id)
    merged = merge_changes({} if group is None else group.configs, event.changes)
    if merged:
        groups[event.group_id] = GroupImage(merged, GroupConfig.resolve(draft.get("settings"), merged))
    else:
        groups.pop(event.group_id, None)


def _client_metrics_changed(draft: _Draft, event: ClientMetricsChanged) -> None:
    subscriptions = draft.edit("client_metrics")
    merged = merge_changes(subscriptions.get(event.name, {}), event.changes)
    if merged:
        subscriptions[event.name] = merged
    else:
        subscriptions.pop(event.name, None)


def _leader_epoch_bumped(draft: _Draft, event: LeaderEpochBumped) -> None:
    draft.visible = True
    topics = draft.edit("topics")
    topic: TopicImage = topics[event.name]
    partitions = list(topic.partitions)
    for index, partition in event.partitions.items():
        partitions[index] = partition
    topics[event.name] = replace(topic, partitions=tuple(partitions))


def _producer_ids_reserved(draft: _Draft, event: ProducerIdsReserved) -> None:
    draft.changed["next_producer_id"] = event.next_id


def _directory_registered(draft: _Draft, event: DirectoryRegistered) -> None:
    draft.edit("directories")[event.directory_id] = DirectoryImage(event.directory_id, event.path)
    draft.edit("directory_partitions").setdefault(event.directory_id, 0)


def _memory_offsets_reserved(draft: _Draft, event: MemoryOffsetsReserved) -> None:
    draft.edit("memory_offsets")[event.topic_id, event.partition] = event.up_to


def _settings_reloaded(draft: _Draft, event: SettingsReloaded) -> None:
    draft.changed["static_settings"] = event.settings
    draft.changed["static_sources"] = event.sources
    draft.use_settings(effective_settings(event.settings, draft.get("broker_configs"), draft.get("node_id")))


_APPLY: dict[type, Any] = {
    TopicCreated: _topic_created,
    PartitionsAdded: _partitions_added,
    TopicDeleted: _topic_deleted,
    DeletionsConfirmed: _deletions_confirmed,
    TopicConfigChanged: _topic_config_changed,
    BrokerConfigChanged: _broker_config_changed,
    GroupConfigChanged: _group_config_changed,
    ClientMetricsChanged: _client_metrics_changed,
    LeaderEpochBumped: _leader_epoch_bumped,
    ProducerIdsReserved: _producer_ids_reserved,
    DirectoryRegistered: _directory_registered,
    MemoryOffsetsReserved: _memory_offsets_reserved,
    SettingsReloaded: _settings_reloaded,
}


def merge_changes(values: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`values` after `changes`, where None takes a name away."""
    merged = dict(values)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged
