"""The SQLite store: what it writes it reads back, what isn't right it refuses, and it says which."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logbroker.base import failpoints
from logbroker.base.errors import ConfigError, CorruptionError, LogbrokerError
from logbroker.config.settings import Settings
from logbroker.config.values import ResourceType
from logbroker.metadata import sqlite_schema, sqlite_store
from logbroker.metadata.commit_mark import CommitMark
from logbroker.metadata.config_changes import ConfigChange, ResourceChanges, alter_configs
from logbroker.metadata.controller import (
    MorePartitions,
    NewTopic,
    TopicToDelete,
    create_partitions,
    create_topics,
    delete_topics,
)
from logbroker.metadata.events import (
    BrokerConfigChanged,
    ClientMetricsChanged,
    DeletionsConfirmed,
    DirectoryRegistered,
    GroupConfigChanged,
    LeaderEpochBumped,
    MemoryOffsetsReserved,
    ProducerIdsReserved,
    apply,
)
from logbroker.metadata.sqlite_store import FILE_NAME, MARK_NAME, SqliteStore
from logbroker.metadata.store import MetadataFailedError

SETTINGS = Settings()
DIRECTORIES = [UUID(int=0xD1), UUID(int=0xD2)]


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "deep" / "metadata")


def opened(directory, **kwargs):
    return SqliteStore.open(directory, node_id=1, **kwargs)


def load(directory, static=SETTINGS):
    store = opened(directory)
    try:
        return store.load(static)
    finally:
        store.release()


LATER_VERSION = sqlite_schema.SCHEMA_VERSION + 1


def filled(directory):
    """A directory with a bit of everything, and the image it holds."""
    store = opened(directory)

    async def run():
        image = store.load(SETTINGS)
        events = [DirectoryRegistered(d, f"/disk{n}") for n, d in enumerate(DIRECTORIES)]
        events.append(BrokerConfigChanged("", {"log.retention.ms": "5000"}))
        events.append(ProducerIdsReserved(3000))
        events.append(GroupConfigChanged("g", {"consumer.session.timeout.ms": "50000"}))
        events.append(ClientMetricsChanged("m", {"metrics": "a,b"}))
        image = apply(image, events)
        _, created = create_topics(
            image,
            [
                NewTopic("a.b", 3, 1, configs=[("retention.ms", "1000"), ("segment.ms", "77")]),
                NewTopic("memory", 2, 1, configs=[("storage.type", "memory")]),
                NewTopic("__consumer_offsets", 5, 1),
            ],
            online_directories=DIRECTORIES,
        )
        image = apply(image, created)
        memory = image.topics["memory"].topic_id
        events += [*created, MemoryOffsetsReserved(memory, 1, 500)]
        await store.commit(events)
        image = apply(image, [MemoryOffsetsReserved(memory, 1, 500)])
        await store.close()
        return image

    return asyncio.run(run())


def same(one, other):
    return replace(one, version=0) == replace(other, version=0)


# ---- what it writes it reads back


def test_a_new_directory_gets_a_cluster_of_its_own(directory, tmp_path):
    first, again = load(directory), load(directory)
    assert len(first.cluster_id) == 22
    assert first.cluster_id == again.cluster_id
    assert first.topics == {}
    assert load(str(tmp_path / "other")).cluster_id != first.cluster_id


def test_everything_is_there_again(directory):
    image = filled(directory)
    assert same(load(directory), image)


class Changes:
    """Random changes, decided by the controller."""

    def __init__(self, image, choose):
        self.image = image
        self.choose = choose

    def next(self):
        name = self.choose(["a", "b.c", "b_c", "__consumer_offsets"])
        number = self.choose(range(1, 9))
        kind = self.choose(
            ["create", "memory", "extend", "delete", "alter", "reset", "broker", "bump", "ids", "offsets"]
        )
        image = self.image
        topic = image.topics.get(name)
        if kind in {"create", "memory"}:
            configs = [("storage.type", "memory")] if kind == "memory" else [("retention.ms", str(number))]
            events = create_topics(
                image, [NewTopic(name, number, 1, configs=configs)], online_directories=DIRECTORIES
            )[1]
        elif kind == "extend":
            events = create_partitions(image, [MorePartitions(name, number)], online_directories=DIRECTORIES)[
                1
            ]
        elif kind == "delete":
            events = delete_topics(image, [TopicToDelete(name)])[1]
        elif kind in {"alter", "reset", "broker"}:
            change = ConfigChange(
                "log.retention.ms" if kind == "broker" else "retention.ms", str(number), int(kind == "reset")
            )
            resource = (ResourceType.BROKER, "1") if kind == "broker" else (ResourceType.TOPIC, name)
            events = alter_configs(image, [ResourceChanges(*resource, [change])])[1]
        elif kind == "bump" and topic is not None:
            index = number % len(topic.partitions)
            old = topic.partitions[index]
            new = replace(old, leader_epoch=old.leader_epoch + 1, partition_epoch=old.partition_epoch + 1)
            events = [LeaderEpochBumped(topic.topic_id, name, {index: new})]
        elif kind == "offsets" and topic is not None and topic.config.storage_type == "memory":
            events = [MemoryOffsetsReserved(topic.topic_id, 0, number)]
        else:
            events = [ProducerIdsReserved(image.next_producer_id + 1000)]
        self.image = apply(image, events)
        return events


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), commits=st.integers(1, 25))
def test_whatever_was_committed_is_there_again(tmp_path, seed, commits):
    directory = tempfile.mkdtemp(dir=tmp_path)
    store = opened(directory)
    changes = Changes(store.load(SETTINGS), random.Random(seed).choice)

    async def run():
        registered = [DirectoryRegistered(d, f"/disk{n}") for n, d in enumerate(DIRECTORIES)]
        changes.image = apply(changes.image, registered)
        await store.commit(registered)
        waiting = [store.commit(changes.next()) for _ in range(commits)]
        await asyncio.gather(*waiting)
        await store.close()

    asyncio.run(run())
    assert same(load(directory), changes.image)
    shutil.rmtree(directory)


def test_ten_thousand_partitions_are_read_again(directory):
    store = opened(directory)

    async def run():
        image = store.load(SETTINGS)
        registered = [DirectoryRegistered(DIRECTORIES[0], "/disk")]
        image = apply(image, registered)
        _, events = create_topics(image, [NewTopic("t", 10_000, 1)], online_directories=DIRECTORIES[:1])
        await store.commit([*registered, *events])
        await store.close()

    asyncio.run(run())
    topic = load(directory).topics["t"]
    assert len(topic.partitions) == 10_000
    assert len({id(partition) for partition in topic.partitions}) == 1


def test_dynamic_broker_configs_that_no_longer_fit_are_passed_over(directory):
    filled(directory)

    async def run():
        store = opened(directory)
        store.load(SETTINGS)
        await store.commit(
            [BrokerConfigChanged("1", {"message.max.bytes": "50000000", "log.level": "debug"})]
        )
        await store.close()

    asyncio.run(run())
    image = load(directory, Settings(socket_request_max_bytes=1_000_000, message_max_bytes=900_000))
    assert image.settings.message_max_bytes == 900_000
    assert image.broker_configs == {"": {"log.retention.ms": "5000"}, "1": {"log.level": "debug"}}


def test_a_topic_that_contradicts_the_settings_keeps_the_broker_from_starting(directory):
    filled(directory)

    async def run():
        store = opened(directory)
        image = store.load(SETTINGS)
        topic = ResourceChanges(ResourceType.TOPIC, "a.b", [ConfigChange("max.compaction.lag.ms", "10")])
        await store.commit(alter_configs(image, [topic])[1])
        await store.close()

    asyncio.run(run())
    with pytest.raises(ConfigError, match=r"the topic a\.b can't have its config under these settings"):
        load(directory, Settings(log_cleaner_min_compaction_lag_ms=20))


# ---- what isn't right is refused


def test_a_second_broker_is_kept_out(directory):
    store = opened(directory)
    with pytest.raises(ConfigError, match=r"in use by another process.* --data-dir"):
        opened(directory)
    store.release()
    opened(directory).release()


def test_another_brokers_metadata_is_refused(directory):
    filled(directory)
    with pytest.raises(
        ConfigError, match=r"belongs to the broker with node\.id=1, and this one has node\.id=2"
    ):
        SqliteStore.open(directory, node_id=2)


def test_metadata_that_should_be_there_is_not_made_anew(directory):
    with pytest.raises(ConfigError, match="isn't mounted"):
        opened(directory, create=False)
    assert not os.path.exists(directory)


def test_deleted_topics_are_remembered_until_every_directory_has_confirmed(directory):
    image = filled(directory)
    topic = image.topics["__consumer_offsets"]
    homes = {partition.directory_id for partition in topic.partitions}
    assert len(homes) == len(DIRECTORIES) > 1
    _, deleted = delete_topics(image, [TopicToDelete("__consumer_offsets"), TopicToDelete("memory")])
    confirmed = DeletionsConfirmed(DIRECTORIES[0], (topic.topic_id,))
    left = {(directory_id, topic.topic_id): None for directory_id in DIRECTORIES}
    for events in (deleted, [confirmed], [DeletionsConfirmed(d, (topic.topic_id,)) for d in DIRECTORIES]):
        store = opened(directory)

        async def commit(store=store, events=events):
            await store.commit(events)
            await store.close()

        asyncio.run(commit())
        for event in events:
            if isinstance(event, DeletionsConfirmed):
                left.pop((event.directory_id, topic.topic_id), None)
        image = apply(image, events)
        assert image.deletions == load(directory).deletions == left
    assert left == {}


def test_metadata_of_a_later_version_is_refused(directory, monkeypatch):
    filled(directory)
    path = os.path.join(directory, FILE_NAME)
    monkeypatch.setattr(
        sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, ("CREATE TABLE more (a INTEGER) STRICT",))
    )
    monkeypatch.setattr(sqlite_schema, "SCHEMA_VERSION", LATER_VERSION)
    monkeypatch.setattr(sqlite_store, "SCHEMA_VERSION", LATER_VERSION)
    image = load(directory)
    assert sorted(image.topics) == ["__consumer_offsets", "a.b", "memory"]
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="written by a later version of logbroker"):
        opened(directory)
    assert os.path.exists(path)


def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(directory, monkeypatch):
    image = filled(directory)
    broken = ("CREATE TABLE more (a INTEGER) STRICT", "CREATE TABLE more (a INTEGER) STRICT")
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, broken))
    monkeypatch.setattr(sqlite_schema, "SCHEMA_VERSION", LATER_VERSION)
    with pytest.raises(MetadataFailedError, match="more already exists"):
        opened(directory)
    monkeypatch.undo()
    assert same(load(directory), image)


def test_a_file_of_another_program_is_left_alone(directory):
    os.makedirs(directory)
    path = os.path.join(directory, FILE_NAME)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()
    before = Path(path).read_bytes()
    with pytest.raises(ConfigError, match="some other program"):
        opened(directory)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"these are notes, not metadata\n" * 200, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_file_that_is_no_database_is_refused(directory, content):
    os.makedirs(directory)
    path = os.path.join(directory, FILE_NAME)
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(CorruptionError, match=FILE_NAME):
        opened(directory)
    assert Path(path).read_bytes() == content


def test_an_empty_file_is_what_a_crash_left_at_the_very_start(directory):
    os.makedirs(directory)
    open(os.path.join(directory, FILE_NAME), "wb").close()
    assert load(directory).topics == {}


def edit(directory, statement):
    connection = sqlite3.connect(os.path.join(directory, FILE_NAME), isolation_level=None)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE partition SET leader_epoch = 7 WHERE partition_index = 1", "a row of the table partition"),
        ("UPDATE topic SET name = 'other' WHERE name = 'memory'", "a row of the table topic"),
        (
            "UPDATE topic_config SET value = '1' WHERE name = 'retention.ms'",
            "a row of the table topic_config",
        ),
        ("UPDATE meta SET value = '0' WHERE name = 'next.producer.id'", "a row of the table meta"),
        ("UPDATE broker_config SET value = '9'", "a row of the table broker_config"),
        ("UPDATE directory SET path = '/x' WHERE path = '/disk0'", "a row of the table directory"),
        ("UPDATE memory_offset SET up_to = 1", "a row of the table memory_offset"),
        ("DELETE FROM meta WHERE name = 'cluster.id'", r"the row cluster\.id of the table meta is missing"),
        ("DELETE FROM partition WHERE partition_index = 4", "has 5 partitions, and 4 are there"),
        ("DELETE FROM topic WHERE name = 'memory'", "1 topics are missing whose partitions are there"),
        ("DELETE FROM directory WHERE path = '/disk1'", "which was never registered"),
    ],
)
def test_a_row_that_isnt_what_was_written_is_noticed(directory, statement, message):
    filled(directory)
    edit(directory, statement)
    with pytest.raises(CorruptionError, match=message):
        load(directory)


def test_commits_that_vanished_from_the_end_are_noticed(directory):
    filled(directory)
    backup = directory + ".backup"
    shutil.copytree(directory, backup)

    async def run():
        store = opened(directory)
        await store.commit([ProducerIdsReserved(9000)])
        await store.close()

    asyncio.run(run())
    shutil.copy(os.path.join(backup, FILE_NAME), directory)
    with pytest.raises(CorruptionError, match="acknowledged changes are missing"):
        opened(directory)
    os.unlink(os.path.join(directory, MARK_NAME))
    assert load(directory).next_producer_id == 3000


def test_a_deleted_database_is_noticed_by_its_mark(directory):
    filled(directory)
    os.unlink(os.path.join(directory, FILE_NAME))
    with pytest.raises(CorruptionError, match="ends at commit 0"):
        opened(directory)


@pytest.mark.parametrize("content", [b"", b"LBMK", b"\0" * 16, b"LBMK" + b"\xff" * 12])
def test_a_mark_that_proves_nothing_is_written_anew(directory, content):
    filled(directory)
    path = os.path.join(directory, MARK_NAME)
    with open(path, "wb") as file:
        file.write(content)
    load(directory)
    mark = CommitMark(path)
    assert mark.read() > 1
    mark.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_an_error_with_a_name_or_does_no_harm(tmp_path, data):
    original = tmp_path / "original"
    if not original.exists():
        filled(str(original))
    image = load(str(original))
    content = bytearray((original / FILE_NAME).read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.sampled_from([1, 2, 16, 512, 4096]))
    if data.draw(st.booleans()):
        del content[start:]
    else:
        content[start : start + length] = bytes(
            byte ^ data.draw(st.integers(1, 255)) for byte in content[start : start + min(length, 16)]
        ) + bytes(content[start + 16 : start + length])
    damaged = Path(tempfile.mkdtemp(dir=tmp_path))
    (damaged / FILE_NAME).write_bytes(content)
    try:
        found = load(str(damaged))
    except LogbrokerError:
        pass
    else:
        # Whatever is read is what was written: the damage was in a page that nothing uses, or nothing is left.
        assert same(found, image) or not content
    shutil.rmtree(damaged)


# ---- failure


def test_a_failed_commit_is_told_to_everyone_and_final(directory):
    filled(directory)

    async def run():
        store = opened(directory)
        with failpoints.arm("metadata.before_commit", "error(EIO)"):
            waiting = [store.commit([ProducerIdsReserved(n)]) for n in (5000, 6000, 7000)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, MetadataFailedError) for result in results)
        assert "Input/output error" in str(results[0])
        with pytest.raises(MetadataFailedError):
            await store.commit([])
        await store.close()
        with pytest.raises(MetadataFailedError):
            await store.commit([])
        store._connection.close()

    asyncio.run(run())
    assert load(directory).next_producer_id == 3000


def test_the_names_that_are_made_are_synced(directory, monkeypatch):
    synced = []
    real = sqlite_store._sync_directory
    monkeypatch.setattr(sqlite_store, "_sync_directory", lambda path: (synced.append(path), real(path)))
    store = opened(directory)
    # The new folders' parents, the folder before the first transaction, and again once SQLite's own files are there.
    above = os.path.dirname(directory)
    assert set(synced) == {directory, above, os.path.dirname(above)}
    assert synced[-1] == directory
    store.release()
