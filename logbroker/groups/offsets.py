"""Committed offsets of the groups of one shard, and when they may be forgotten.

Values are those of the records (`OffsetCommitValue`) and are never changed in place: a commit puts another. Memory is what
the live offsets take; nothing of what was overwritten stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from logbroker.coordination.formats.consumer_offsets import NO_TIMESTAMP, OffsetCommitValue
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.subscriptions import CONSUMER_PROTOCOL_TYPE
from logbroker.wire.schema import ZERO_UUID


class OffsetStore:
    """Offsets by group, topic and partition."""

    __slots__ = ("count", "groups")

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, dict[int, OffsetCommitValue]]] = {}
        self.count = 0
        """How many offsets there are."""

    def get(self, group: str, topic: str, partition: int) -> OffsetCommitValue | None:
        """The committed offset, if there is one."""
        topics = self.groups.get(group)
        if topics is None:
            return None
        partitions = topics.get(topic)
        return None if partitions is None else partitions.get(partition)

    def put(
        self, group: str, topic: str, partition: int, value: OffsetCommitValue
    ) -> OffsetCommitValue | None:
        """Commit an offset; returns the one it takes the place of."""
        topics = self.groups.get(group)
        if topics is None:
            topics = self.groups[group] = {}
        partitions = topics.get(topic)
        if partitions is None:
            partitions = topics[topic] = {}
        previous = partitions.get(partition)
        if previous is None:
            self.count += 1
        partitions[partition] = value
        return previous

    def remove(self, group: str, topic: str, partition: int) -> OffsetCommitValue | None:
        """Forget an offset; returns it."""
        topics = self.groups.get(group)
        if topics is None:
            return None
        partitions = topics.get(topic)
        if partitions is None:
            return None
        previous = partitions.pop(partition, None)
        if previous is not None:
            self.count -= 1
            if not partitions:
                del topics[topic]
                if not topics:
                    del self.groups[group]
        return previous

    def of_group(self, group: str) -> Iterator[tuple[str, int, OffsetCommitValue]]:
        """All offsets of a group; a copy, so that the store may change meanwhile."""
        found = [
            (topic, partition, value)
            for topic, partitions in self.groups.get(group, {}).items()
            for partition, value in partitions.items()
        ]
        return iter(found)

    def of_topic(self, topic: str) -> Iterator[tuple[str, int, OffsetCommitValue]]:
        """All (group, partition, offset) of a topic; a copy, so that the store may change meanwhile."""
        found = [
            (group, partition, value)
            for group, topics in self.groups.items()
            for partition, value in topics.get(topic, {}).items()
        ]
        return iter(found)


def belongs_to(value: OffsetCommitValue, topic_id: UUID) -> bool:
    """Whether the offset was committed for this topic, and not for one of the same name before it."""
    return value.topic_id in (ZERO_UUID, topic_id) or topic_id == ZERO_UUID


def is_expired(
    group: ClassicGroup, topic: str, value: OffsetCommitValue, now_ms: int, retention_ms: int
) -> bool:
    """Whether an offset may be forgotten, by Kafka's rules (KIP-211).

    A group without a protocol type only stores offsets: its offsets age from their commit. In an empty group they age from
    when it became empty (from the commit, if that isn't known). In a stable consumer group those of topics that nobody
    subscribes to age from their commit. Nothing else ages. An offset that came with its own retention time (OffsetCommit
    2-4) ends with that.
    """
    if group.protocol_type is None:
        base_ms = value.commit_timestamp
    elif group.state is State.EMPTY:
        base_ms = value.commit_timestamp if group.state_since_ms is None else group.state_since_ms
    elif (
        group.state is State.STABLE
        and group.protocol_type == CONSUMER_PROTOCOL_TYPE
        and group.topics is not None
    ):
        base_ms = value.commit_timestamp
    else:
        return False
    if group.is_subscribed_to(topic):
        return False
    if value.expire_timestamp != NO_TIMESTAMP:
        return now_ms >= value.expire_timestamp
    return now_ms - base_ms >= retention_ms
