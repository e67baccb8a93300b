"""Events to rows, and rows to an image: what each table of `sqlite_schema.py` holds, both ways.

`write_event` runs in the store's thread, inside a transaction that someone else opens and commits. `read_image` reads
everything once, at start, and proves every row on the way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from logbroker.base import logs
from logbroker.base.errors import BrokerError, ConfigError, CorruptionError
from logbroker.config.group import GroupConfig
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.config.values import ResourceType
from logbroker.metadata.events import (
    BrokerConfigChanged,
    ClientMetricsChanged,
    DeletionsConfirmed,
    DirectoryRegistered,
    Event,
    GroupConfigChanged,
    LeaderEpochBumped,
    MemoryOffsetsReserved,
    PartitionsAdded,
    ProducerIdsReserved,
    SettingsReloaded,
    TopicConfigChanged,
    TopicCreated,
    TopicDeleted,
    effective_settings,
)
from logbroker.metadata.image import (
    DIRECTORY_UNASSIGNED,
    ClusterImage,
    DirectoryImage,
    GroupImage,
    PartitionImage,
    TopicConfigResolver,
    TopicImage,
    make_image,
)
from logbroker.metadata.sqlite_schema import Column, checksum, sealed
from logbroker.metadata.topic_names import collision_key, is_internal, may_collide

_log = logs.get("metadata")

CLUSTER_ID = "cluster.id"
NODE_ID = "node.id"
NEXT_PRODUCER_ID = "next.producer.id"
COMMIT_SEQUENCE = "commit.sequence"


def write_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Set one value of the `meta` table."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", sealed("meta", name, value))


def read_meta(connection: sqlite3.Connection, path: str) -> dict[str, str]:
    """The `meta` table, with all that must be in it. Raises CorruptionError."""
    meta = dict(_rows(connection, path, "meta", "name, value"))
    for name in (CLUSTER_ID, NODE_ID, NEXT_PRODUCER_ID, COMMIT_SEQUENCE):
        if name not in meta:
            raise CorruptionError(path, 0, f"the row {name} of the table meta is missing")
    return meta


def write_event(connection: sqlite3.Connection, event: Event) -> None:
    """Write what `event` changes."""
    if type(event) is not SettingsReloaded:
        _WRITE[type(event)](connection, event)


def _write_topic_created(connection: sqlite3.Connection, event: TopicCreated) -> None:
    topic_id = event.topic_id.bytes
    connection.execute(
        "INSERT INTO topic VALUES (?, ?, ?, ?)", sealed("topic", topic_id, event.name, len(event.partitions))
    )
    _insert_partitions(connection, topic_id, enumerate(event.partitions))
    _set_topic_configs(connection, topic_id, event.configs.items())


def _write_partitions_added(connection: sqlite3.Connection, event: PartitionsAdded) -> None:
    topic_id = event.topic_id.bytes
    count = event.first_index + len(event.partitions)
    connection.execute(
        "UPDATE topic SET partition_count = ?, checksum = ? WHERE topic_id = ?",
        (count, checksum("topic", topic_id, event.name, count), topic_id),
    )
    _insert_partitions(connection, topic_id, enumerate(event.partitions, event.first_index))


def _write_topic_deleted(connection: sqlite3.Connection, event: TopicDeleted) -> None:
    for table in ("topic", "topic_config", "partition", "memory_offset"):
        connection.execute(f"DELETE FROM {table} WHERE topic_id = ?", (event.topic_id.bytes,))  # noqa: S608  # ours
    connection.executemany(
        "REPLACE INTO deleted_topic VALUES (?, ?, ?)",
        [sealed("deleted_topic", directory.bytes, event.topic_id.bytes) for directory in event.directories],
    )


def _write_deletions_confirmed(connection: sqlite3.Connection, event: DeletionsConfirmed) -> None:
    connection.executemany(
        "DELETE FROM deleted_topic WHERE directory_id = ? AND topic_id = ?",
        [(event.directory_id.bytes, topic_id.bytes) for topic_id in event.topic_ids],
    )


def _write_topic_config_changed(connection: sqlite3.Connection, event: TopicConfigChanged) -> None:
    topic_id = event.topic_id.bytes
    connection.executemany(
        "DELETE FROM topic_config WHERE topic_id = ? AND name = ?",
        [(topic_id, name) for name, value in event.changes.items() if value is None],
    )
    _set_topic_configs(connection, topic_id, event.changes.items())


def _write_broker_config_changed(connection: sqlite3.Connection, event: BrokerConfigChanged) -> None:
    connection.executemany(
        "DELETE FROM broker_config WHERE scope = ? AND name = ?",
        [(event.scope, name) for name, value in event.changes.items() if value is None],
    )
    connection.executemany(
        "REPLACE INTO broker_config VALUES (?, ?, ?, ?)",
        [
            sealed("broker_config", event.scope, name, value)
            for name, value in event.changes.items()
            if value is not None
        ],
    )


def _write_group_config_changed(connection: sqlite3.Connection, event: GroupConfigChanged) -> None:
    _set_resource_configs(connection, ResourceType.GROUP, event.group_id, event.changes)


def _write_client_metrics_changed(connection: sqlite3.Connection, event: ClientMetricsChanged) -> None:
    _set_resource_configs(connection, ResourceType.CLIENT_METRICS, event.name, event.changes)


def _write_leader_epoch_bumped(connection: sqlite3.Connection, event: LeaderEpochBumped) -> None:
    _insert_partitions(connection, event.topic_id.bytes, event.partitions.items())


def _write_producer_ids_reserved(connection: sqlite3.Connection, event: ProducerIdsReserved) -> None:
    write_meta(connection, NEXT_PRODUCER_ID, str(event.next_id))


def _write_directory_registered(connection: sqlite3.Connection, event: DirectoryRegistered) -> None:
    connection.execute(
        "REPLACE INTO directory VALUES (?, ?, ?)", sealed("directory", event.directory_id.bytes, event.path)
    )


def _write_memory_offsets_reserved(connection: sqlite3.Connection, event: MemoryOffsetsReserved) -> None:
    connection.execute(
        "REPLACE INTO memory_offset VALUES (?, ?, ?, ?)",
        sealed("memory_offset", event.topic_id.bytes, event.partition, event.up_to),
    )


_WRITE: dict[type, Any] = {
    TopicCreated: _write_topic_created,
    PartitionsAdded: _write_partitions_added,
    TopicDeleted: _write_topic_deleted,
    DeletionsConfirmed: _write_deletions_confirmed,
    TopicConfigChanged: _write_topic_config_changed,
    BrokerConfigChanged: _write_broker_config_changed,
    GroupConfigChanged: _write_group_config_changed,
    ClientMetricsChanged: _write_client_metrics_changed,
    LeaderEpochBumped: _write_leader_epoch_bumped,
    ProducerIdsReserved: _write_producer_ids_reserved,
    DirectoryRegistered: _write_directory_registered,
    MemoryOffsetsReserved: _write_memory_offsets_reserved,
}


def _insert_partitions(
    connection: sqlite3.Connection, topic_id: bytes, partitions: Iterable[tuple[int, PartitionImage]]
) -> None:
    connection.executemany(
        "REPLACE INTO partition VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sealed(
                "partition",
                topic_id,
                index,
                partition.leader,
                partition.leader_epoch,
                partition.partition_epoch,
                _join(partition.isr),
                _join(partition.replicas),
                partition.directory_id.bytes,
            )
            for index, partition in partitions
        ),
    )


def _set_topic_configs(
    connection: sqlite3.Connection, topic_id: bytes, configs: Iterable[tuple[str, str | None]]
) -> None:
    connection.executemany(
        "REPLACE INTO topic_config VALUES (?, ?, ?, ?)",
        [sealed("topic_config", topic_id, name, value) for name, value in configs if value is not None],
    )


def _set_resource_configs(
    connection: sqlite3.Connection, kind: ResourceType, resource: str, changes: Mapping[str, str | None]
) -> None:
    connection.executemany(
        "DELETE FROM resource_config WHERE resource_type = ? AND resource_name = ? AND name = ?",
        [(int(kind), resource, name) for name, value in changes.items() if value is None],
    )
    connection.executemany(
        "REPLACE INTO resource_config VALUES (?, ?, ?, ?, ?)",
        [
            sealed("resource_config", int(kind), resource, name, value)
            for name, value in changes.items()
            if value is not None
        ],
    )


def _join(broker_ids: tuple[int, ...]) -> str:
    return ",".join(map(str, broker_ids))


def read_image(
    connection: sqlite3.Connection, path: str, settings: Settings, sources: ConfigSources
) -> ClusterImage:
    """All that the file holds, under these static settings.

    Dynamic broker configs that contradict the settings file (which may have been edited since) are passed over with an
    error in the log, as in Kafka: a broker that doesn't start couldn't be told to drop them.

    Args:
        connection: of an up-to-date file.
        path: for messages.
        settings: from file, environment and command line.
        sources: where they came from.

    Raises:
        CorruptionError: a row isn't what was written, or one is missing.
        ConfigError: a topic's overrides can't be used under these settings.
    """
    meta = read_meta(connection, path)
    image = make_image(meta[CLUSTER_ID], settings, sources)
    broker_configs: dict[str, dict[str, str]] = {}
    for scope, name, value in _rows(connection, path, "broker_config", "scope, name, value"):
        broker_configs.setdefault(scope, {})[name] = value
    usable = _usable_broker_configs(settings, broker_configs)
    effective = effective_settings(settings, usable, image.node_id)
    resolver = TopicConfigResolver(effective)
    topics = _read_topics(connection, path, resolver)
    directories = {}
    for key, directory_path in _rows(connection, path, "directory", "directory_id, path"):
        directory_id = UUID(bytes=key)
        directories[directory_id] = DirectoryImage(directory_id, directory_path)
    counts = dict.fromkeys(directories, 0)
    for topic in topics.values():
        for partition in topic.partitions:
            directory_id = partition.directory_id
            if directory_id != DIRECTORY_UNASSIGNED:
                if directory_id not in counts:
                    raise CorruptionError(
                        path,
                        0,
                        f"the topic {topic.name} lies in directory {directory_id}, which was never registered",
                    )
                counts[directory_id] += 1
    deleted = _rows(connection, path, "deleted_topic", "directory_id, topic_id")
    deletions = dict.fromkeys((UUID(bytes=directory), UUID(bytes=topic)) for directory, topic in deleted)
    configs: dict[int, dict[str, dict[str, str]]] = {}
    for kind, resource, name, value in _rows(
        connection, path, "resource_config", "resource_type, resource_name, name, value"
    ):
        configs.setdefault(kind, {}).setdefault(resource, {})[name] = value
    reserved = _rows(connection, path, "memory_offset", "topic_id, partition_index, up_to")
    return replace(
        image,
        settings=effective,
        default_topic_config=resolver.resolve({}),
        default_group_config=GroupConfig.resolve(effective, {}),
        broker_configs=usable,
        client_metrics=configs.get(ResourceType.CLIENT_METRICS, {}),
        groups={
            group_id: GroupImage(given, GroupConfig.resolve(effective, given))
            for group_id, given in configs.get(ResourceType.GROUP, {}).items()
        },
        topics=topics,
        topic_names={topic.topic_id: topic.name for topic in topics.values()},
        collisions={collision_key(name): name for name in topics if may_collide(name)},
        directories=directories,
        directory_partitions=counts,
        partition_count=sum(len(topic.partitions) for topic in topics.values()),
        next_producer_id=int(meta[NEXT_PRODUCER_ID]),
        deletions=deletions,
        memory_offsets={(UUID(bytes=key), index): up_to for key, index, up_to in reserved},
    )


def _usable_broker_configs(
    settings: Settings, configs: dict[str, dict[str, str]]
) -> dict[str, dict[str, str]]:
    usable: dict[str, dict[str, str]] = {}
    for scope in sorted(configs):  # The cluster's defaults, "", before the broker's own.
        for name, value in configs[scope].items():
            tried = {**usable, scope: {**usable.get(scope, {}), name: value}}
            try:
                effective_settings(settings, tried, settings.node_id)
            except ConfigError as error:
                _log.error(
                    "a dynamic broker config can't be used with the settings of this start, and is passed over",
                    config=name,
                    value=value,
                    reason=str(error),
                )
            else:
                usable = tried
    return usable


def _read_topics(
    connection: sqlite3.Connection, path: str, resolver: TopicConfigResolver
) -> dict[str, TopicImage]:
    configs: dict[bytes, dict[str, str]] = {}
    for key, name, value in _rows(connection, path, "topic_config", "topic_id, name, value"):
        configs.setdefault(key, {})[name] = value
    partitions = _read_partitions(connection, path)
    topics: dict[str, TopicImage] = {}
    for key, name, count in _rows(connection, path, "topic", "topic_id, name, partition_count"):
        found = partitions.pop(key, [])
        if [index for index, _ in found] != list(range(count)) or not count:
            raise CorruptionError(
                path, 0, f"the topic {name} has {count} partitions, and {len(found)} are there"
            )
        overrides = configs.get(key, {})
        try:
            config = resolver.resolve(overrides)
        except BrokerError as error:
            raise ConfigError(
                f"the topic {name} can't have its config under these settings: {error}"
            ) from error
        topics[name] = TopicImage(
            topic_id=UUID(bytes=key),
            name=name,
            internal=is_internal(name),
            configs=overrides,
            config=config,
            partitions=tuple(partition for _, partition in found),
        )
    if partitions:
        raise CorruptionError(path, 0, f"{len(partitions)} topics are missing whose partitions are there")
    return topics


def _read_partitions(
    connection: sqlite3.Connection, path: str
) -> dict[bytes, list[tuple[int, PartitionImage]]]:
    columns = "topic_id, partition_index, leader, leader_epoch, partition_epoch, isr, replicas, directory_id"
    alike: dict[tuple[Column, ...], PartitionImage] = {}
    partitions: dict[bytes, list[tuple[int, PartitionImage]]] = {}
    for key, index, *rest in _rows(connection, path, "partition", columns):
        values = tuple(rest)
        partition = alike.get(values)
        if partition is None:
            leader, leader_epoch, partition_epoch, isr, replicas, directory = rest
            partition = alike[values] = PartitionImage(
                leader=leader,
                leader_epoch=leader_epoch,
                partition_epoch=partition_epoch,
                isr=_split(isr),
                replicas=_split(replicas),
                directory_id=UUID(bytes=directory),
            )
        partitions.setdefault(key, []).append((index, partition))
    return partitions


def _split(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _rows(connection: sqlite3.Connection, path: str, table: str, columns: str) -> list[Any]:
    """Every row of `table`, in the order of its key, without the checksum, which is proved."""
    rows = []
    query = f"SELECT {columns}, checksum FROM {table} ORDER BY 1, 2"  # noqa: S608  # the names are in this file
    for *row, found in connection.execute(query):
        if found != checksum(table, *row):
            raise CorruptionError(path, 0, f"a row of the table {table} isn't what was written: {row!r:.200}")
        rows.append(row)
    return rows
