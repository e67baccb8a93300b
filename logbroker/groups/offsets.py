"""Committed offsets of the groups of one shard, and when they may be forgotten.

Values are those of the records (`OffsetCommitValue`) and are never changed in place: a commit puts another. Memory is what
the live offsets take; nothing of what was overwritten stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar
from uuid import UUID

from logbroker.coordination.formats.consumer_offsets import NO_TIMESTAMP, OffsetCommitValue
from logbroker.groups.kind import Group, Kind
from logbroker.wire.schema import ZERO_UUID

G = TypeVar("G", bound=Group)


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
    kind: Kind[G], group: G, topic: str, value: OffsetCommitValue, now_ms: int, retention_ms: int
) -> bool:
    """Whether an offset may be forgotten, by Kafka's rules (KIP-211).

    The group's kind says from when on it ages, and none of a topic that members subscribe to does. An offset that came with
    its own retention time (OffsetCommit 2-4) ends with that.
    """
    base_ms = kind.offsets_age_from_ms(group, value.commit_timestamp)
    if base_ms is None or kind.is_subscribed_to(group, topic):
        return False
    if value.expire_timestamp != NO_TIMESTAMP:
        return now_ms >= value.expire_timestamp
    return now_ms - base_ms >= retention_ms
