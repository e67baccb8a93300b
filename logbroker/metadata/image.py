"""The cluster as one broker knows it: brokers, topics, partitions, configs. A value that never changes.

A change makes a new image (`events.apply`) which shares all it can with the old one, so that whoever holds an image
may go on reading it, on any thread, while the next ones are made: a Metadata reply of 10,000 partitions, the change
that is being committed, a test. What a change copies is the index of topics (pointers), never the topics it doesn't
touch; a topic without config overrides shares one resolved `TopicConfig` with all others of its kind.

`version` rises with every change that a client could see, so that an encoded Metadata reply can be kept until it does.
Producer ids and memory offsets are in the image too, but are nobody's business outside and leave `version` as it is.

What isn't here: which log directories are online. That is no fact of the cluster but of this process since its start
(see `service.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from logbroker.config.group import GroupConfig
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.config.topic import TopicConfig

DIRECTORY_UNASSIGNED: Final = UUID(int=0)
"""The directory of a partition that has none: those of memory topics (Kafka's DirectoryId.UNASSIGNED)."""

NO_LEADER: Final = -1


@dataclass(frozen=True, slots=True)
class BrokerImage:
    """A broker. `endpoints` are the addresses that clients are told: (host, port) by listener name.

    Those of this broker itself are known only once it listens: `Broker.advertised` gives them.
    """

    broker_id: int
    rack: str | None = None
    endpoints: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionImage:
    """One partition: who leads it in which epoch, who has it, and in which log directory of this broker it lies.

    Attributes:
        leader_epoch: rises whenever the leader can't vouch that its log goes on where it ended (KIP-101).
        partition_epoch: rises with every change of this record (KIP-497).
        directory_id: `DIRECTORY_UNASSIGNED` where the topic lives in memory.
    """

    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    replicas: tuple[int, ...]
    directory_id: UUID
    partition_epoch: int = 0


@dataclass(frozen=True, slots=True)
class TopicImage:
    """One topic. `configs` are its overrides, as text; `config` is what it runs with."""

    topic_id: UUID
    name: str
    internal: bool
    configs: Mapping[str, str]
    config: TopicConfig
    partitions: tuple[PartitionImage, ...]

    @property
    def replication_factor(self) -> int:
        """Replicas of the first partition, which is what Kafka reports for the topic."""
        return len(self.partitions[0].replicas)


@dataclass(frozen=True, slots=True)
class DirectoryImage:
    """A log directory that was registered once.

    Partitions refer to `directory_id`, so they are found again wherever it is mounted; `path` is where it was last.
    """

    directory_id: UUID
    path: str


@dataclass(frozen=True, slots=True)
class GroupImage:
    """The configs that were set on a consumer group, as text, and what it runs with."""

    configs: Mapping[str, str]
    config: GroupConfig


@dataclass(frozen=True, slots=True)
class ClusterImage:
    """Everything; see the module's docstring.

    Attributes:
        node_id: the broker whose image this is (the only one, as long as there is no cluster).
        static_settings: from file, environment and command line; `static_sources` says which from where.
        settings: the same with the dynamic overrides of `broker_configs` on top: what is in force.
        broker_configs: dynamic overrides, by scope ("" is the whole cluster's default, else a broker id) and name.
        default_topic_config: what a topic without overrides runs with.
        default_group_config: what a consumer group without configs of its own runs with.
        client_metrics: subscriptions to client metrics, their configs as text.
        groups: groups that have configs of their own, whether they exist or not.
        topic_names: topic id to name.
        collisions: for names with a `.` or `_`, the key that colliding names share, to the name.
        partition_count: of all topics.
        directory_partitions: directory id to how many partitions lie there.
        next_producer_id: the first that was never reserved.
        deletions: (log directory, deleted topic) where it is not yet confirmed that the topic's folders are gone.
        memory_offsets: for partitions of memory topics, the offset below which all were reserved.
    """

    cluster_id: str
    node_id: int
    version: int
    static_settings: Settings
    settings: Settings
    default_topic_config: TopicConfig
    default_group_config: GroupConfig
    static_sources: ConfigSources = field(default_factory=ConfigSources)
    broker_configs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    client_metrics: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    groups: Mapping[str, GroupImage] = field(default_factory=dict)
    brokers: Mapping[int, BrokerImage] = field(default_factory=dict)
    topics: Mapping[str, TopicImage] = field(default_factory=dict)
    topic_names: Mapping[UUID, str] = field(default_factory=dict)
    collisions: Mapping[str, str] = field(default_factory=dict)
    directories: Mapping[UUID, DirectoryImage] = field(default_factory=dict)
    directory_partitions: Mapping[UUID, int] = field(default_factory=dict)
    partition_count: int = 0
    next_producer_id: int = 0
    memory_offsets: Mapping[tuple[UUID, int], int] = field(default_factory=dict)
    deletions: Mapping[tuple[UUID, UUID], None] = field(default_factory=dict)

    def deleted_in(self, directory_id: UUID | None) -> frozenset[UUID]:
        """Deleted topics of which that log directory may still hold a folder."""
        return frozenset(topic_id for directory, topic_id in self.deletions if directory == directory_id)

    @property
    def controller_id(self) -> int:
        """The broker that changes metadata: alone, this one."""
        return self.node_id

    def group_config(self, group_id: str) -> GroupConfig:
        """What a consumer group runs with."""
        group = self.groups.get(group_id)
        return self.default_group_config if group is None else group.config

    def topic(self, name: str) -> TopicImage | None:
        """The topic of that name."""
        return self.topics.get(name)

    def topic_by_id(self, topic_id: UUID) -> TopicImage | None:
        """The topic of that id."""
        name = self.topic_names.get(topic_id)
        return None if name is None else self.topics[name]

    def partition(self, name: str, index: int) -> PartitionImage | None:
        """One partition, if topic and partition exist."""
        topic = self.topics.get(name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        return topic.partitions[index]

    def partitions_in(self, directory_id: UUID) -> Iterator[tuple[TopicImage, int, PartitionImage]]:
        """Every partition that lies in this log directory, with its topic and index."""
        for topic in self.topics.values():
            for index, partition in enumerate(topic.partitions):
                if partition.directory_id == directory_id:
                    yield topic, index, partition


def make_image(cluster_id: str, settings: Settings, sources: ConfigSources | None = None) -> ClusterImage:
    """The image of a broker that is alone and has no topics yet."""
    return ClusterImage(
        cluster_id=cluster_id,
        node_id=settings.node_id,
        version=0,
        static_settings=settings,
        settings=settings,
        default_topic_config=TopicConfigResolver(settings).resolve({}),
        default_group_config=GroupConfig.resolve(settings, {}),
        static_sources=sources or ConfigSources(),
        brokers={settings.node_id: BrokerImage(settings.node_id, settings.broker_rack)},
    )


class TopicConfigResolver:
    """What *existing* topics run with under one `Settings`; each set of overrides is resolved once.

    `storage.type` is fixed when a topic is created (the controller writes it down as an override where it is not
    `log`); hence the broker's default for it, which may have changed since, doesn't count here.
    """

    __slots__ = ("_known", "settings")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[tuple[tuple[str, str], ...], TopicConfig] = {}

    def resolve(self, overrides: Mapping[str, str]) -> TopicConfig:
        """The config of a topic with these overrides; raises BrokerError INVALID_CONFIG."""
        key = tuple(overrides.items())
        config = self._known.get(key)
        if config is None:
            config = TopicConfig.resolve(self.settings, {"storage.type": "log", **overrides})
            self._known[key] = config
        return config
