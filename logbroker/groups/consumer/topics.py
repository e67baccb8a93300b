"""Which topics there are, as a consumer group needs to know it; and the metadata seen that way."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from logbroker.metadata.image import ClusterImage

_HASH = struct.Struct(">q")
_COUNT = struct.Struct(">i")


class Topics(Protocol):
    """The topics at one moment."""

    @property
    def version(self) -> int:
        """Rises with every change of the metadata."""
        ...

    def names(self) -> Iterable[str]:
        """All topics."""
        ...

    def id_of(self, name: str) -> UUID | None:
        """The topic's id, if there is such a topic."""
        ...

    def name_of(self, topic_id: UUID) -> str | None:
        """The topic's name, if there is such a topic."""
        ...

    def partition_count(self, topic_id: UUID) -> int:
        """How many partitions it has; 0 if there is no such topic."""
        ...

    def racks(self, topic_id: UUID) -> tuple[tuple[str, ...], ...]:
        """For each partition the racks of its replicas; empty where no rack is known."""
        ...


class ImageTopics:
    """The topics of a metadata image."""

    __slots__ = ("_image",)

    def __init__(self, image: ClusterImage) -> None:
        self._image = image

    @property
    def version(self) -> int:
        """The image's."""
        return self._image.version

    def names(self) -> Iterable[str]:
        """All topics, internal ones too."""
        return self._image.topics.keys()

    def id_of(self, name: str) -> UUID | None:
        """The topic's id."""
        topic = self._image.topic(name)
        return None if topic is None else topic.topic_id

    def name_of(self, topic_id: UUID) -> str | None:
        """The topic's name."""
        return self._image.topic_names.get(topic_id)

    def partition_count(self, topic_id: UUID) -> int:
        """How many partitions it has."""
        topic = self._image.topic_by_id(topic_id)
        return 0 if topic is None else len(topic.partitions)

    def racks(self, topic_id: UUID) -> tuple[tuple[str, ...], ...]:
        """Those of the brokers that hold its partitions."""
        brokers = self._image.brokers
        if not any(broker.rack for broker in brokers.values()):
            return ()
        topic = self._image.topic_by_id(topic_id)
        return tuple(
            tuple(
                sorted(
                    broker.rack
                    for node in partition.replicas
                    if (broker := brokers.get(node)) and broker.rack
                )
            )
            for partition in (() if topic is None else topic.partitions)
        )


def metadata_hash(names: Iterable[str], topics: Topics) -> int:
    """A number that changes whenever one of these topics comes, goes, grows or moves; 0 if none of them exists.

    It is stored with the group epoch. Kafka stores one of its own making (XXH3) there: a group that one takes over from the
    other gets one more epoch, and no other assignment.
    """
    digest = hashlib.blake2b(digest_size=_HASH.size)
    found = False
    for name in sorted(names):
        topic_id = topics.id_of(name)
        if topic_id is None:
            continue
        found = True
        digest.update(topic_id.bytes)
        digest.update(_COUNT.pack(topics.partition_count(topic_id)))
        digest.update(repr(topics.racks(topic_id)).encode())
    if not found:
        return 0
    value: int = _HASH.unpack(digest.digest())[0]
    return value
