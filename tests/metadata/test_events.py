"""Images and events: applying is pure, and an image's many views of the same facts agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logbroker.base.errors import ConfigError
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.config.values import ResourceType
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
    DirectoryRegistered,
    LeaderEpochBumped,
    MemoryOffsetsReserved,
    ProducerIdsReserved,
    SettingsReloaded,
    TopicCreated,
    TopicDeleted,
    apply,
)
from logbroker.metadata.image import DIRECTORY_UNASSIGNED, PartitionImage, make_image
from logbroker.metadata.topic_names import collision_key, may_collide

DIRECTORIES = [UUID(int=0xD1), UUID(int=0xD2)]
NAMES = ["a", "b.c", "b_c", "d-1", "__consumer_offsets"]


def test_nothing_gives_the_same_image(image):
    assert apply(image, []) is image


def test_the_old_image_stays_as_it_was(image, directories):
    before = replace(image)
    _, events = create_topics(image, [NewTopic("t", 3, 1)], online_directories=directories)
    after = apply(image, events)
    assert image == before
    assert image.topics == {}
    assert list(after.topics) == ["t"]


def test_an_events_sequence_means_the_same_at_once_and_one_by_one(image, directories):
    _, events = create_topics(
        image, [NewTopic("t", 3, 1), NewTopic("u", 2, 1)], online_directories=directories
    )
    events.append(TopicDeleted(events[0].topic_id, "t"))
    one_by_one = image
    for event in events:
        one_by_one = apply(one_by_one, [event])
    assert replace(apply(image, events), version=0) == replace(one_by_one, version=0)


def test_what_clients_cant_see_leaves_the_version_as_it_is(image):
    after = apply(image, [ProducerIdsReserved(1000), MemoryOffsetsReserved(UUID(int=9), 0, 5)])
    assert after.version == image.version
    assert after.next_producer_id == 1000


def test_ten_thousand_partitions_are_a_handful_of_objects(image, directories):
    _, events = create_topics(image, [NewTopic("t", 10_000, 1)], online_directories=directories)
    topic = apply(image, events).topics["t"]
    assert len({id(partition) for partition in topic.partitions}) == 2


def test_a_new_leader_epoch_leaves_other_partitions_alone(image, directories):
    _, events = create_topics(image, [NewTopic("t", 4, 1)], online_directories=directories)
    image = apply(image, events)
    old = image.topics["t"].partitions
    new = replace(old[2], leader_epoch=5, partition_epoch=1)
    after = apply(image, [LeaderEpochBumped(image.topics["t"].topic_id, "t", {2: new})])
    assert after.topics["t"].partitions == (old[0], old[1], new, old[3])


def test_the_reserved_offsets_of_a_deleted_topic_go_with_it(image):
    partition = PartitionImage(1, 0, (1,), (1,), DIRECTORY_UNASSIGNED)
    t, u = UUID(int=1001), UUID(int=1002)
    image = apply(
        image,
        [
            TopicCreated(t, "t", (partition, partition), {"storage.type": "memory"}),
            TopicCreated(u, "u", (partition,), {"storage.type": "memory"}),
            MemoryOffsetsReserved(t, 0, 10),
            MemoryOffsetsReserved(t, 1, 20),
            MemoryOffsetsReserved(u, 0, 30),
            TopicDeleted(t, "t"),
        ],
    )
    assert image.memory_offsets == {(u, 0): 30}


def test_a_directory_that_moved_has_its_new_path(image, directories):
    after = apply(image, [DirectoryRegistered(directories[0], "/elsewhere")])
    assert after.directories[directories[0]].path == "/elsewhere"
    assert len(after.directories) == 2


def test_settings_that_are_read_again_keep_dynamic_configs_on_top(image, directories):
    _, events = create_topics(image, [NewTopic("t", 1, 1)], online_directories=directories)
    image = apply(image, events)
    change = ResourceChanges(ResourceType.BROKER, "1", [ConfigChange("log.retention.ms", "5")])
    image = apply(image, alter_configs(image, [change])[1])
    image = apply(
        image, [SettingsReloaded(Settings(log_retention_ms=9, log_segment_bytes=2_000_000), ConfigSources())]
    )
    assert image.settings.log_retention_ms == 5
    assert image.topics["t"].config.retention_ms == 5
    assert image.topics["t"].config.segment_bytes == 2_000_000


def test_settings_that_contradict_a_topic_are_refused(image, directories):
    topic = NewTopic("t", 1, 1, configs=[("max.compaction.lag.ms", "10")])
    _, events = create_topics(image, [topic], online_directories=directories)
    image = apply(image, events)
    with pytest.raises(ConfigError, match="the topic t can't keep its config"):
        apply(image, [SettingsReloaded(Settings(log_cleaner_min_compaction_lag_ms=20), ConfigSources())])


class ImageMachine(RuleBasedStateMachine):
    """Random changes, decided by the controller and applied: what the image says twice must be said alike."""

    @initialize()
    def start(self):
        image = make_image("A" * 22, Settings())
        self.image = apply(image, [DirectoryRegistered(d, f"/{n}") for n, d in enumerate(DIRECTORIES)])
        self.old = []

    def change(self, events):
        self.old.append((self.image, self.image.version, dict(self.image.topics)))
        self.old = self.old[-4:]
        self.image = apply(self.image, events)

    @rule(
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        count=st.integers(-1, 4),
        memory=st.booleans(),
    )
    def create(self, names, count, memory):
        configs = [("storage.type", "memory")] if memory else [("retention.ms", str(count + 5))]
        topics = [NewTopic(name, count, -1, configs=configs) for name in names]
        self.change(create_topics(self.image, topics, online_directories=DIRECTORIES)[1])

    @rule(name=st.sampled_from(NAMES), count=st.integers(0, 8))
    def extend(self, name, count):
        self.change(
            create_partitions(self.image, [MorePartitions(name, count)], online_directories=DIRECTORIES)[1]
        )

    @rule(names=st.sets(st.sampled_from(NAMES), max_size=3))
    def delete(self, names):
        self.change(delete_topics(self.image, [TopicToDelete(name) for name in sorted(names)])[1])

    @rule(
        name=st.sampled_from(NAMES),
        config=st.sampled_from(["retention.ms", "segment.ms"]),
        value=st.one_of(st.none(), st.integers(1, 9).map(str)),
    )
    def alter(self, name, config, value):
        operation = 1 if value is None else 0
        changes = [ResourceChanges(ResourceType.TOPIC, name, [ConfigChange(config, value, operation)])]
        self.change(alter_configs(self.image, changes)[1])

    @rule(value=st.one_of(st.none(), st.integers(1, 9).map(str)), scope=st.sampled_from(["", "1"]))
    def alter_broker(self, value, scope):
        operation = 1 if value is None else 0
        change = ConfigChange("log.retention.ms", value, operation)
        self.change(alter_configs(self.image, [ResourceChanges(ResourceType.BROKER, scope, [change])])[1])

    @invariant()
    def views_agree(self):
        if not hasattr(self, "image"):
            return
        image = self.image
        assert image.topic_names == {topic.topic_id: name for name, topic in image.topics.items()}
        assert image.collisions == {collision_key(name): name for name in image.topics if may_collide(name)}
        assert len(set(map(collision_key, image.topics))) == len(image.topics)
        counts = Counter(
            partition.directory_id for topic in image.topics.values() for partition in topic.partitions
        )
        assert image.partition_count == counts.total()
        counts.pop(DIRECTORY_UNASSIGNED, None)
        assert image.directory_partitions == {directory: counts[directory] for directory in DIRECTORIES}
        retention = image.broker_configs.get("1", image.broker_configs.get("", {})).get("log.retention.ms")
        assert image.settings.log_retention_ms == (None if retention is None else int(retention))
        for name, topic in image.topics.items():
            assert topic.name == name
            in_memory = topic.config.storage_type == "memory"
            assert all((p.directory_id == DIRECTORY_UNASSIGNED) == in_memory for p in topic.partitions)
            wanted = topic.configs.get("retention.ms", retention)
            assert topic.config.retention_ms == (604_800_000 if wanted is None else int(wanted))

    @invariant()
    def old_images_stand_still(self):
        for image, version, topics in getattr(self, "old", []):
            assert image.version == version
            assert dict(image.topics) == topics


TestImages = ImageMachine.TestCase
TestImages.settings = hypothesis_settings(max_examples=150, stateful_step_count=25, deadline=None)
