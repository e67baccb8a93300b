"""What the simulated broker is told from outside: topics with their ids and configurations, and batches to append.

The metadata store has its own crash story, so here it is simply right: a change is durable the moment it is made, and `as_of` gives what
a broker would find in it that starts after a crash at that moment.
"""

from __future__ import annotations

import random
import struct
import uuid
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from crc32c import crc32c

from logbroker.config.topic import TopicConfig
from logbroker.records.batch import TRANSACTIONAL_MASK, Codec
from logbroker.records.builder import BatchBuilder
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.storage.recovery import KnownPartition

PAGE_CACHE_MESSAGES = 12
"""`flush.messages` of a topic that is acknowledged from the page cache."""

_AFTER_CRC = struct.Struct(">hiqqqhii")
_PREFIX = struct.Struct(">qiibI")


class Topic(NamedTuple):
    """A topic as the metadata has it."""

    name: str
    topic_id: uuid.UUID
    partitions: int
    config: TopicConfig

    @property
    def page_cache(self) -> bool:
        """Whether it is to be acknowledged from the page cache."""
        return self.config.flush_messages > 1


class World:
    """The metadata, and everything it ever was. `now` gives the number of disk operations so far."""

    def __init__(
        self, now: Callable[[], int], topics: dict[str, Topic] | None = None, serial: int = 0
    ) -> None:
        self.now = now
        self._history: list[tuple[int, dict[str, Topic], int]] = [(0, topics or {}, serial)]
        self.deleted: list[tuple[int, tuple[uuid.UUID, int]]] = []
        """Partitions that were deleted, and when."""
        self.gone: list[tuple[int, tuple[uuid.UUID, int]]] = []
        """Partitions that were deleted to the end, folder and all, and since when."""

    @property
    def topics(self) -> dict[str, Topic]:
        """The topics now, by name; not to be changed."""
        return self._history[-1][1]

    def create(self, name: str, partitions: int, config: TopicConfig) -> Topic:
        """Add a topic; its id is new."""
        serial = self._history[-1][2] + 1
        topic = Topic(name, uuid.UUID(int=(serial << 64) + 0x5EED), partitions, config)
        self._history.append((self.now(), {**self.topics, name: topic}, serial))
        return topic

    def delete(self, name: str) -> None:
        """Remove a topic."""
        topic = self.topics[name]
        self.deleted += [(self.now(), (topic.topic_id, index)) for index in range(topic.partitions)]
        left = {other: topic for other, topic in self.topics.items() if other != name}
        self._history.append((self.now(), left, self._history[-1][2]))

    def configure(self, name: str, config: TopicConfig) -> Topic:
        """Change a topic's configuration."""
        topic = self.topics[name]._replace(config=config)
        self._history.append((self.now(), {**self.topics, name: topic}, self._history[-1][2]))
        return topic

    def as_of(self, at: int, now: Callable[[], int]) -> World:
        """The metadata as a start after a crash at `at` finds it."""
        topics, serial = next(
            (topics, serial) for made, topics, serial in reversed(self._history) if made <= at
        )
        # Ids given out after `at` were seen by nobody, but the model of the run knows them: never use one twice.
        other = World(now, topics, max(serial, self._history[-1][2]) + 1000)
        other.deleted = [(0, key) for made, key in self.deleted if made <= at]
        other.gone = [(0, key) for made, key in self.gone if made <= at]
        return other

    def remembered(self) -> frozenset[uuid.UUID]:
        """Deleted topics of which a partition isn't known to be gone to the end."""
        gone = {key for _, key in self.gone}
        return frozenset(key[0] for _, key in self.deleted if key not in gone)

    def known(self, directory: int, directories: int) -> list[KnownPartition]:
        """The partitions that lie in one of so many directories."""
        return [
            KnownPartition(topic.name, index, topic.topic_id, topic.config)
            for topic in self.topics.values()
            for index in range(topic.partitions)
            if directory_of(topic.topic_id, index, directories) == directory
        ]


def directory_of(topic_id: uuid.UUID, index: int, directories: int) -> int:
    """Which directory a partition lies in."""
    return ((topic_id.int >> 64) + index) % directories


def topic_config(rng: random.Random, *, page_cache: bool, compacted: bool = False) -> TopicConfig:
    """A configuration of tiny segments."""
    if compacted:
        return msgspec.structs.replace(
            topic_config(rng, page_cache=page_cache),
            cleanup_policy=frozenset(rng.choice((("compact",), ("compact", "delete")))),
            internal_segment_bytes=rng.choice((700, 1500, 3000)),
            delete_retention_ms=rng.choice((0, 50_000)),
        )
    return TopicConfig(
        internal_segment_bytes=rng.choice((3000, 6000, 12_000, 40_000)),
        segment_ms=rng.choice((60_000, 3_600_000)),
        segment_index_bytes=rng.choice((24, 96, 960)),
        index_interval_bytes=rng.choice((1, 700, 2000)),
        file_delete_delay_ms=rng.choice((0, 30_000)),
        flush_messages=PAGE_CACHE_MESSAGES if page_cache else 1,
        flush_ms=rng.choice((1000, 1 << 62)),
    )


def with_policy(config: TopicConfig, *, page_cache: bool) -> TopicConfig:
    """The same configuration under another flush policy."""
    return msgspec.structs.replace(config, flush_messages=PAGE_CACHE_MESSAGES if page_cache else 1)


def directory_options(rng: random.Random) -> LogDirectoryOptions:
    """A log directory in which everything happens soon. The same seed gives the same salts."""
    seeds = random.Random(rng.getrandbits(64))
    file_bytes = rng.choice((16, 24, 32, 64)) * 1024
    return LogDirectoryOptions(
        journal_files=rng.choice((2, 3, 4)),
        journal_file_bytes=file_bytes,
        journal_group_max_bytes=rng.choice((8, 16, 64)) * 1024,
        direct_sync_bytes=rng.choice((2500, 5000, 1 << 20)),
        writeback_bytes=rng.choice((3000, 12_000, 1 << 20)),
        checkpoint_interval_ms=rng.choice((500, 30_000)),
        checkpoint_bytes=rng.choice((20_000, 60_000, 1 << 20)),
        sync_filesystem_files=rng.choice((1, 3, 64)),
        open_files_max=rng.choice((2, 6, 4096)),
        parallel_direct=rng.random() < 0.8,
        random_bytes=seeds.randbytes,
    )


def make_keyed_batch(
    rng: random.Random,
    records: int,
    size_bytes: int,
    timestamp_ms: int,
    producer: tuple[int, int, int] = (-1, -1, -1),
    *,
    transactional: bool = False,
) -> bytes:
    """As `make_batch`, of records that can be read: few keys, some tombstones, now and then no key or another codec."""
    producer_id, epoch, sequence = producer
    builder = BatchBuilder(
        codec=rng.choice((Codec.NONE, Codec.NONE, Codec.LZ4)),
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        transactional=transactional,
    )
    for number in range(records):
        key = None if rng.random() < 0.02 else b"key-%d" % rng.randrange(12)
        value = None if rng.random() < 0.1 else rng.randbytes(max(size_bytes // records - 20, 8))
        builder.append(timestamp_ms + number, key, value)
    return bytes(builder.build())


def make_batch(
    rng: random.Random,
    records: int,
    size_bytes: int,
    timestamp_ms: int,
    producer: tuple[int, int, int] = (-1, -1, -1),
    *,
    transactional: bool = False,
) -> bytes:
    """A batch of so many records whose bytes are unlike any other's; `producer` is (id, epoch, first sequence)."""
    producer_id, epoch, sequence = producer
    attributes = TRANSACTIONAL_MASK if transactional else 0
    body = _AFTER_CRC.pack(
        attributes, records - 1, timestamp_ms, timestamp_ms, producer_id, epoch, sequence, records
    )
    body += rng.randbytes(max(size_bytes - 61, 8 * records))
    return _PREFIX.pack(0, len(body) + 9, -1, 2, crc32c(body)) + body
