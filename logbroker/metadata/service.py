"""The metadata of a running broker: who asks for a change comes here, and who must follow one subscribes here.

A change goes through four steps. The *controller* decides it, at once, on the image that has everything decided so
far, durable or not: so two requests for one topic name can't both win. It *waits* for the commit under way, together
with whatever else waits: all of it is one transaction. It is *committed* by the store. Then, change by change, the new
image is *published* as `image`, subscribers hear each event in order, and the caller gets its answer.

What `image` shows, and what a caller is told, is therefore durable; that goes for errors too ("this topic exists"
waits until it really does). If a commit fails nothing after it is ever published, everyone who waits gets
MetadataFailedError, and `on_failure` is told once: the broker must stop.

Which log directories are online is kept here beside the image. It is true of this process only, it must be seen at
once and not after a commit, and a failed directory stays offline until the next start anyway.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.metadata import controller
from logbroker.metadata.config_changes import ResourceChanges, ResourceOutcome, alter_configs
from logbroker.metadata.controller import MorePartitions, NewTopic, TopicOutcome, TopicToDelete
from logbroker.metadata.events import (
    DeletionsConfirmed,
    DirectoryRegistered,
    Event,
    LeaderEpochBumped,
    MemoryOffsetsReserved,
    ProducerIdsReserved,
    SettingsReloaded,
    apply,
)
from logbroker.metadata.image import ClusterImage, PartitionImage
from logbroker.metadata.sqlite_store import CLOSE_TIMEOUT_S, SqliteStore
from logbroker.metadata.store import MetadataFailedError, MetadataStore

PRODUCER_ID_BLOCK: Final = 1000
"""Producer ids that are made durable as given out at a time, as in Kafka; a restart skips what is left of a block."""

PENDING_CHANGES_MAX: Final = 10_000
"""Changes that may wait for the store; one more gets REQUEST_TIMED_OUT."""

T = TypeVar("T")

_Decision: TypeAlias = Callable[[ClusterImage], tuple[T, list[Event]]]

_log = logs.get("metadata")


class MetadataSubscriber(Protocol):
    """Someone who must follow the metadata, like the replica manager."""

    def on_event(self, event: Event, image: ClusterImage) -> Awaitable[None] | None:
        """Something happened, durably; `image` is what it led to.

        Called in the order of events, on the loop. What takes long is returned as an awaitable: it is waited for
        before the next event, and before whoever asked for the change is told that it is done; it must not wait for
        another change itself. Must not raise: that is a failure of the metadata, and stops the broker.
        """
        ...


@dataclass(slots=True)
class _Change:
    """A change that was decided and is not yet published."""

    events: list[Event]
    image: ClusterImage
    future: asyncio.Future[Any]
    result: Any


class MetadataService:
    """See the module's docstring.

    Attributes:
        image: the metadata as of the last durable change.
        failure: why nothing can be changed any more; None while all is well.
    """

    def __init__(
        self,
        store: MetadataStore,
        image: ClusterImage,
        on_failure: Callable[[MetadataFailedError], None] | None = None,
    ) -> None:
        self.image = image
        self.failure: MetadataFailedError | None = None
        self._store = store
        self._on_failure = on_failure
        self._decided = image
        self._waiting: list[_Change] = []
        self._task: asyncio.Task[None] | None = None
        self._subscribers: list[MetadataSubscriber] = []
        self._online: tuple[UUID, ...] = ()
        self._directories_version = 0
        self._next_producer_id = 0
        self._producer_ids_end = 0
        self._reservation: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        settings: Settings,
        sources: ConfigSources | None = None,
        *,
        create: bool = True,
        on_failure: Callable[[MetadataFailedError], None] | None = None,
    ) -> MetadataService:
        """Open what is stored in the settings' metadata directory.

        Args:
            settings: from file, environment and command line.
            sources: where they came from.
            create: see `SqliteStore.open`.
            on_failure: told once when the store fails.

        Raises:
            ConfigError, CorruptionError, MetadataFailedError: as `SqliteStore.open` and `load`.
        """

        def read() -> tuple[SqliteStore, ClusterImage]:
            store = SqliteStore.open(settings.metadata_directory, node_id=settings.node_id, create=create)
            return store, store.load(settings, sources)

        store, image = await asyncio.to_thread(read)
        return cls(store, image, on_failure)

    async def close(self) -> None:
        """Let changes under way end, and close the store. Raises MetadataFailedError if the disk doesn't answer."""
        task = self._task
        if task is not None:
            await asyncio.wait([task], timeout=CLOSE_TIMEOUT_S)
        await self._store.close()

    def subscribe(self, subscriber: MetadataSubscriber) -> None:
        """Tell `subscriber` of every event from now on, after those who subscribed before."""
        self._subscribers.append(subscriber)

    # ---- log directories

    @property
    def version(self) -> int:
        """Rises whenever a Metadata reply would change: with the image, and with a directory's state."""
        return self.image.version + self._directories_version

    @property
    def online_directories(self) -> tuple[UUID, ...]:
        """Ids of the log directories that work, in the order in which they were opened."""
        return self._online

    def is_offline(self, partition: PartitionImage) -> bool:
        """Whether this broker can't get at the partition, as its log directory failed or isn't there."""
        directory = partition.directory_id
        return directory.int != 0 and directory not in self._online

    async def register_directory(self, directory_id: UUID, path: str) -> None:
        """A log directory is open at `path` and works; from now on partitions may be created there.

        Raises:
            MetadataFailedError: the registration couldn't be stored.
        """

        def decide(image: ClusterImage) -> tuple[None, list[Event]]:
            known = image.directories.get(directory_id)
            if known is not None and known.path == path:
                return None, []
            return None, [DirectoryRegistered(directory_id, path)]

        await self._change(decide)
        self.directory_online(directory_id)

    def directory_online(self, directory_id: UUID) -> None:
        """A log directory that is registered is open, and works."""
        if directory_id not in self._online:
            self._online = (*self._online, directory_id)
            self._directories_version += 1

    def directory_failed(self, directory_id: UUID) -> None:
        """A log directory doesn't work any more: its partitions have no leader from now on."""
        if directory_id in self._online:
            self._online = tuple(other for other in self._online if other != directory_id)
            self._directories_version += 1

    # ---- topics and configs

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False
    ) -> list[TopicOutcome]:
        """Create topics; see `controller.create_topics`. Raises MetadataFailedError."""

        def decide(image: ClusterImage) -> tuple[list[TopicOutcome], list[Event]]:
            return controller.create_topics(image, topics, online_directories=self._online)

        return await self._change(decide, validate_only=validate_only)

    async def create_partitions(
        self, topics: Sequence[MorePartitions], *, validate_only: bool = False
    ) -> list[TopicOutcome]:
        """Add partitions; see `controller.create_partitions`. Raises MetadataFailedError."""

        def decide(image: ClusterImage) -> tuple[list[TopicOutcome], list[Event]]:
            return controller.create_partitions(image, topics, online_directories=self._online)

        return await self._change(decide, validate_only=validate_only)

    async def delete_topics(self, topics: Sequence[TopicToDelete]) -> list[TopicOutcome]:
        """Delete topics; see `controller.delete_topics`. Raises MetadataFailedError."""
        return await self._change(lambda image: controller.delete_topics(image, topics))

    async def alter_configs(
        self, resources: Sequence[ResourceChanges], *, validate_only: bool = False
    ) -> list[ResourceOutcome]:
        """Change configs; see `config_changes.alter_configs`. Raises MetadataFailedError."""
        return await self._change(lambda image: alter_configs(image, resources), validate_only=validate_only)

    async def reload_settings(self, settings: Settings, sources: ConfigSources) -> None:
        """The settings file was read again; what is dynamic takes effect, subscribers hear `SettingsReloaded`.

        Raises:
            ConfigError: the new settings contradict a dynamic config or a topic's; nothing has changed.
            MetadataFailedError: the store has failed.
        """
        await self._change(lambda _: (None, [SettingsReloaded(settings, sources)]))

    # ---- what the log and its producers need

    async def bump_leader_epochs(self, partitions: Iterable[tuple[UUID, int]]) -> None:
        """Give partitions, by (topic id, index), their next leader epoch; those that are gone are passed over.

        Raises:
            MetadataFailedError: it couldn't be stored.
        """
        wanted: dict[UUID, list[int]] = {}
        for topic_id, index in partitions:
            wanted.setdefault(topic_id, []).append(index)
        await self._change(lambda image: (None, list(_bumps(image, wanted))))

    async def confirm_deletions(self, directory_id: UUID, topic_ids: Iterable[UUID]) -> None:
        """A log directory has no folder of these deleted topics any more, durably.

        Raises:
            MetadataFailedError: it couldn't be stored.
        """
        gone = tuple(topic_ids)

        def decide(image: ClusterImage) -> tuple[None, list[Event]]:
            confirmed = tuple(topic_id for topic_id in gone if (directory_id, topic_id) in image.deletions)
            return None, [DeletionsConfirmed(directory_id, confirmed)] if confirmed else []

        await self._change(decide)

    async def next_producer_id(self) -> int:
        """A producer id that was never given out and never will be again, whatever happens to this process.

        Raises:
            MetadataFailedError: no further block could be reserved.
        """
        while self._next_producer_id >= self._producer_ids_end:
            if self._reservation is None:
                self._reservation = asyncio.create_task(self._reserve_producer_ids())
            await asyncio.shield(self._reservation)
        producer_id = self._next_producer_id
        self._next_producer_id += 1
        return producer_id

    async def reserve_memory_offsets(self, topic_id: UUID, partition: int, up_to: int) -> None:
        """Make durable that offsets below `up_to` of a memory partition may have been given out.

        Raises:
            BrokerError: UNKNOWN_TOPIC_ID, the topic is gone.
            MetadataFailedError: it couldn't be stored.
        """

        def decide(image: ClusterImage) -> tuple[None, list[Event]]:
            topic = image.topic_by_id(topic_id)
            if topic is None or not 0 <= partition < len(topic.partitions):
                raise BrokerError(ErrorCode.UNKNOWN_TOPIC_ID)
            if image.memory_offsets.get((topic_id, partition), 0) >= up_to:
                return None, []
            return None, [MemoryOffsetsReserved(topic_id, partition, up_to)]

        await self._change(decide)

    async def _reserve_producer_ids(self) -> None:
        def decide(image: ClusterImage) -> tuple[int, list[Event]]:
            first = image.next_producer_id
            return first, [ProducerIdsReserved(first + PRODUCER_ID_BLOCK)]

        try:
            first = await self._change(decide)
            self._next_producer_id, self._producer_ids_end = first, first + PRODUCER_ID_BLOCK
        finally:
            self._reservation = None

    # ---- the way of a change

    async def _change(self, decide: _Decision[T], *, validate_only: bool = False) -> T:
        if self.failure is not None:
            raise self.failure
        if len(self._waiting) >= PENDING_CHANGES_MAX:
            raise BrokerError(
                ErrorCode.REQUEST_TIMED_OUT,
                f"{PENDING_CHANGES_MAX} changes wait for the metadata's disk already; try again later.",
            )
        result, events = decide(self._decided)
        if validate_only:
            events = []
        if not events and self._task is None:
            return result
        image = apply(self._decided, events)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._decided = image
        self._waiting.append(_Change(events, image, future, result))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="metadata changes")
        # Shielded: a caller that gives up waiting doesn't take the change back.
        return await asyncio.shield(future)

    async def _work(self) -> None:
        changes: deque[_Change] = deque()
        try:
            while self._waiting:
                changes, self._waiting = deque(self._waiting), []
                events = [event for change in changes for event in change.events]
                if events:
                    await self._store.commit(events)
                while changes:
                    change = changes[0]
                    await self._publish(change)
                    changes.popleft()
                    if not change.future.done():
                        change.future.set_result(change.result)
        except asyncio.CancelledError:
            # Only the end of the loop does this; whoever still waits learns that nothing is known.
            self._fail(MetadataFailedError("the broker stopped while the change was under way"), changes)
            raise
        except Exception as error:
            self._fail(error, changes)
        finally:
            self._task = None

    async def _publish(self, change: _Change) -> None:
        self.image = change.image
        for event in change.events:
            for subscriber in self._subscribers:
                pending = subscriber.on_event(event, change.image)
                if pending is not None:
                    await pending

    def _fail(self, error: Exception, changes: Iterable[_Change]) -> None:
        if not isinstance(error, MetadataFailedError):
            _log.error("a subscriber of the metadata failed", error=error)
            error = MetadataFailedError(f"a change of the metadata could not be followed: {error!r}")
        self.failure = error
        for change in (*changes, *self._waiting):
            if not change.future.done():
                change.future.set_exception(error)
                change.future.exception()  # Seen: a caller that went away must not make asyncio complain.
        self._waiting = []
        if self._on_failure is not None:
            self._on_failure(error)


def _bumps(image: ClusterImage, wanted: dict[UUID, list[int]]) -> Iterable[LeaderEpochBumped]:
    for topic_id, indexes in wanted.items():
        topic = image.topic_by_id(topic_id)
        if topic is None:
            continue
        # Partitions that were one object stay one: ten thousand of them that change alike are a handful.
        alike: dict[int, PartitionImage] = {}
        bumped: dict[int, PartitionImage] = {}
        for index in indexes:
            if not 0 <= index < len(topic.partitions):
                continue
            old = topic.partitions[index]
            new = alike.get(id(old))
            if new is None:
                new = alike[id(old)] = replace(
                    old, leader_epoch=old.leader_epoch + 1, partition_epoch=old.partition_epoch + 1
                )
            bumped[index] = new
        if bumped:
            yield LeaderEpochBumped(topic_id, topic.name, bumped)
