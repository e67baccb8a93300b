"""All partitions of this broker: which exist, where they lie, and how requests find them.

    metadata events -> create / delete / configure -> LogDirectory or MemoryHost -> Partition

Opening: each log directory is locked, recognised by its `meta.properties` (or offline, if the metadata knows it but its file is
gone), recovered on its own threads, all at the same time. A directory that fails, now or later, takes only its own partitions
offline; with none left the broker stops (`on_all_offline`). Loop thread only.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ConfigError, LogbrokerError, StorageOfflineError
from logbroker.config.settings import Settings
from logbroker.config.topic import TopicConfig
from logbroker.metadata import events
from logbroker.metadata.image import ClusterImage, PartitionImage, TopicImage
from logbroker.replication.cleaning import Cleaning
from logbroker.replication.departures import Departures
from logbroker.replication.log_dirs import (
    LogDirInfo,
    LogDirState,
    describe,
    identify,
    options_of,
    refuse_copies,
    refuse_twice,
)
from logbroker.replication.partition import Partition
from logbroker.replication.upkeep import Upkeep
from logbroker.storage.descriptors import REMEDY, is_missing
from logbroker.storage.executor import ThreadExecutor
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.memory_host import MemoryHost, Reserve
from logbroker.storage.producer_limits import ProducerLimits
from logbroker.storage.recovery import KnownPartition, RecoveryReport
from logbroker.storage.scrubber import Scrubber
from logbroker.storage.vfs import OsVfs

_log = logs.get("replicas")

TICK_S: Final = 1.0
PARTITIONS_A_TURN: Final = 200
"""Partitions that are made, deleted or configured at a time, before others get the loop."""
RETAIN_RANGES_MAX = 64
"""File ranges (of a few KB) kept while retention learns the age of a segment."""


class ReplicaManager:
    """See the module."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        reserve_memory_offsets: Reserve,
        on_directory_offline: Callable[[UUID], None] = lambda _: None,
        on_all_offline: Callable[[str], None],
        on_deleted: Callable[[UUID, list[UUID]], Coroutine[object, object, None]] | None = None,
        spawn: Callable[[Coroutine[object, object, None]], object] | None = None,
    ) -> None:
        self._settings = settings
        self._producer_limits = ProducerLimits()
        self._limit_producers()
        self._clock = clock
        self._reserve_memory_offsets = reserve_memory_offsets
        self._on_directory_offline = on_directory_offline
        self._on_all_offline = on_all_offline
        self._on_deleted = on_deleted
        self._departures = Departures()
        self._spawn = spawn or asyncio.ensure_future
        self._vfs = OsVfs()
        self.states: list[LogDirState] = []
        self._partitions: dict[str, dict[int, Partition]] = {}
        self._by_id: dict[UUID, dict[int, Partition]] = {}
        self.by_name_bytes: dict[bytes, dict[int, Partition]] = {}
        """Partitions by their topic's name as it comes off the wire, for the hot path."""
        self.by_id_bytes: dict[bytes, dict[int, Partition]] = {}
        """Partitions by the bytes of their topic's id."""
        self._memory: MemoryHost | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self.upkeep = Upkeep(clock, lambda: self, self._spawn)
        self.cleaning = Cleaning(clock, lambda: self, self._spawn)
        self._closing = False

    # Opening

    def identify(self, image: ClusterImage) -> list[tuple[UUID, str]]:
        """Lock and recognise every configured directory; returns those that are new, to be registered.

        Raises ConfigError: a directory belongs to another broker or is in use.
        """
        known = {directory.path: directory.directory_id for directory in image.directories.values()}
        fresh: list[tuple[UUID, str]] = []
        refuse_twice(self._settings.log_dirs)
        for path in self._settings.log_dirs:
            state = LogDirState(os.path.abspath(path))
            self.states.append(state)
            try:
                identify(self._vfs, state, image, known)
            except OSError as error:
                if is_missing(error):
                    raise ConfigError(f"{state.path}: {REMEDY}") from error
                self._offline(state, f"{state.path}: {error.strerror or error}")
            except ConfigError:
                raise
            except LogbrokerError as error:
                self._offline(state, str(error))
            if state.is_new and state.directory_id is not None:
                fresh.append((state.directory_id, state.path))
        refuse_copies(self.states)
        return fresh

    def _offline(self, state: LogDirState, reason: str) -> None:
        state.error = reason
        _log.error("a log directory is offline", directory=state.path, reason=reason)

    async def open(self, image: ClusterImage) -> None:
        """Recover every directory and make a Partition of each replica. Raises ConfigError if none is left."""
        loop = asyncio.get_running_loop()
        self._memory = MemoryHost(
            self._clock, self._reserve_memory_offsets, call_soon=loop.call_soon, spawn=self._spawn
        )
        await asyncio.gather(
            *(self._open_directory(state, image) for state in self.states if state.error is None)
        )
        if not any(state.online for state in self.states):
            reasons = "; ".join(state.error or "offline" for state in self.states)
            raise ConfigError(f"no log directory can be used: {reasons}")
        for topic in image.topics.values():
            for index, partition in enumerate(topic.partitions):
                self._place(topic, index, partition, image, fresh=False)
        self._ticker = loop.call_later(TICK_S, self._tick)

    async def _open_directory(self, state: LogDirState, image: ClusterImage) -> None:
        loop = asyncio.get_running_loop()
        self._vfs.watch_filesystem(state.path)
        state.executor = ThreadExecutor(loop, os.path.basename(state.path) or "log")
        state.directory = LogDirectory(
            self._vfs,
            state.executor,
            state.path,
            self._clock,
            options_of(self._settings),
            call_soon=loop.call_soon,
            on_offline=lambda _: self._went_offline(state),
        )
        known = [
            KnownPartition(topic.name, index, topic.topic_id, _config_of(topic))
            for topic in image.topics.values()
            for index, partition in enumerate(topic.partitions)
            if partition.directory_id == state.directory_id
        ]
        done: asyncio.Future[tuple[RecoveryReport | None, BaseException | None]] = loop.create_future()

        def opened(report: RecoveryReport | None, error: BaseException | None) -> None:
            if not done.done():  # the start may have been given up meanwhile
                done.set_result((report, error))

        deleted = image.deleted_in(state.directory_id)
        state.directory.open(known, opened, deleted=deleted, hold_checkpoint=True)
        report, error = await done
        state.report = report
        if is_missing(error):  # the disk is well: better no start than one without its partitions
            raise ConfigError(f"{state.path}: {REMEDY}") from error
        if error is not None:
            self._offline(state, str(error))
        else:
            state.scrubber = Scrubber(state.directory)

    def recovered_partitions(self) -> list[tuple[UUID, int]]:
        """(topic id, index) of the partitions that an unclean stop touched: they begin a new leader epoch."""
        return [
            partition
            for state in self.states
            if state.report is not None and not state.report.clean
            for partition in state.report.changed
        ]

    def leader_epochs_durable(self) -> None:
        """The `recovered_partitions` have their new epochs: the directories may forget the ring that told of them."""
        for state in self.states:
            if state.online and state.directory is not None:
                state.directory.recovery_noted()

    def recovery_summary(self) -> dict[str, object]:
        """What recovery did, for the line at start."""
        reports = [state.report for state in self.states if state.report is not None]
        return {
            "partitions": sum(report.partitions for report in reports),
            "clean": all(report.clean for report in reports),
            "replayed_batches": sum(report.batches for report in reports),
            "cut_bytes": sum(report.cut_bytes for report in reports),
            "refused_partitions": sum(len(report.refused) for report in reports),
            "offline_directories": sum(not state.online for state in self.states),
        }

    # Finding

    def partition(self, topic: str, index: int) -> Partition:
        """The partition. Raises BrokerError UNKNOWN_TOPIC_OR_PARTITION."""
        try:
            return self._partitions[topic][index]
        except KeyError:
            raise BrokerError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"this broker has no partition {topic}-{index}"
            ) from None

    def partition_by_id(self, topic_id: UUID, index: int) -> Partition:
        """The partition. Raises BrokerError: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION."""
        partitions = self._by_id.get(topic_id)
        if partitions is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_ID, f"no topic has the id {topic_id}")
        partition = partitions.get(index)
        if partition is None:
            raise BrokerError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic {topic_id} has no partition {index}"
            )
        return partition

    def topic(self, name: str) -> dict[int, Partition] | None:
        """The topic's partitions by index, for hot paths."""
        return self._partitions.get(name)

    def topic_by_id(self, topic_id: UUID) -> dict[int, Partition] | None:
        """As `topic`, by id."""
        return self._by_id.get(topic_id)

    def __iter__(self) -> Iterator[Partition]:
        return (partition for partitions in self._partitions.values() for partition in partitions.values())

    # Changing

    def on_event(self, event: events.Event, image: ClusterImage) -> Awaitable[None] | None:
        """Follow a metadata change that is durable; what takes more than a turn of the loop is to be awaited."""
        work: Iterator[None]
        if isinstance(event, events.TopicCreated):
            work = self._place_all(image.topics[event.name], 0, event.partitions, image)
        elif isinstance(event, events.PartitionsAdded):
            work = self._place_all(image.topics[event.name], event.first_index, event.partitions, image)
        elif isinstance(event, events.TopicDeleted):
            self._by_id.pop(event.topic_id, None)
            self.by_id_bytes.pop(event.topic_id.bytes, None)
            self.by_name_bytes.pop(event.name.encode(), None)
            work = self._delete_all(self._partitions.pop(event.name, {}))
        elif isinstance(event, events.LeaderEpochBumped):
            for index, changed in event.partitions.items():
                self._partitions[event.name][index].leader_epoch = changed.leader_epoch
            return None
        elif isinstance(event, events.TopicConfigChanged):
            work = self._reconfigure(image, [event.name])
        elif isinstance(event, events.BrokerConfigChanged | events.SettingsReloaded):
            self._settings = image.settings
            self._limit_producers()
            self._keep_reserves()
            work = self._reconfigure(image, list(image.topics))
        else:
            return None
        for _ in itertools.islice(work, PARTITIONS_A_TURN):
            pass
        return _in_turns(work)

    def _place_all(
        self, topic: TopicImage, first: int, partitions: Sequence[PartitionImage], image: ClusterImage
    ) -> Iterator[None]:
        for index, partition in enumerate(partitions, first):
            self._place(topic, index, partition, image, fresh=True)
            yield

    def _delete_all(self, partitions: dict[int, Partition]) -> Iterator[None]:
        # One more for each directory until all are under way: the first may be gone before the last has begun to go.
        begun = [
            self._departures.expect(host, topic_id)
            for host, topic_id in {(doomed.log.host, doomed.topic_id) for doomed in partitions.values()}
            if isinstance(host, LogDirectory)
        ]
        for doomed in partitions.values():
            log = doomed.log
            host = log.host
            if isinstance(host, LogDirectory):
                host.delete_log(log, self._departures.expect(host, log.topic_id))
            elif isinstance(host, MemoryHost):
                host.delete_log(log)
            if log.on_advance is not None:
                log.on_advance(log)  # who waits for its records learns that it is gone
            yield
        for left in begun:
            left()

    def _limit_producers(self) -> None:
        """Every partition in service looks at this one object."""
        self._producer_limits.per_partition = self._settings.max_producer_ids_per_partition
        self._producer_limits.protected_idle_ms = self._settings.producer_id_protected_idle_ms

    def _keep_reserves(self) -> None:
        """From the next tick on, which looks up how much room there is."""
        for state in self.states:
            if state.directory is not None:
                state.directory.disk_reserve_bytes = self._settings.log_disk_reserve_bytes

    def _reconfigure(self, image: ClusterImage, names: Iterable[str]) -> Iterator[None]:
        """Topic configurations changed: hand the resolved ones on."""
        for name in names:
            topic = image.topics.get(name)
            if topic is None:
                continue
            config = _config_of(topic)
            for partition in list(self._partitions.get(name, {}).values()):
                if partition.config is not config:
                    self._configure(partition, config)
                    yield

    def _configure(self, partition: Partition, config: TopicConfig) -> None:
        host = partition.log.host
        if isinstance(host, LogDirectory | MemoryHost):
            host.configure(partition.log, config)
        partition.configure(config)

    def _place(
        self, topic: TopicImage, index: int, image: PartitionImage, cluster: ClusterImage, *, fresh: bool
    ) -> None:
        log = self._log_for(topic, index, image, cluster, fresh=fresh)
        log.producers.limits = self._producer_limits
        partition = Partition(log, image.leader_epoch, internal=topic.internal)
        partitions = self._partitions.get(topic.name)
        if partitions is None:
            partitions = self._partitions[topic.name] = {}
            self._by_id[topic.topic_id] = partitions
            self.by_name_bytes[topic.name.encode()] = partitions
            self.by_id_bytes[topic.topic_id.bytes] = partitions
        partitions[index] = partition

    def _log_for(
        self, topic: TopicImage, index: int, image: PartitionImage, cluster: ClusterImage, *, fresh: bool
    ) -> Log:
        if self._memory is None:
            raise RuntimeError("open() comes first")
        if topic.config.storage_type == "memory":
            start = cluster.memory_offsets.get((topic.topic_id, index), 0)
            return self._memory.create_log(
                topic.name, index, topic.topic_id, topic.config, start_offset=start
            )
        known = KnownPartition(topic.name, index, topic.topic_id, _config_of(topic))
        reason = "its log directory is not configured"
        for state in self.states:
            if state.directory_id != image.directory_id:
                continue
            if state.directory is None:
                reason = state.error or "its log directory is offline"
                continue
            log = state.directory.logs.get((topic.topic_id.bytes, index))
            if log is None or fresh:
                log = state.directory.create_log(known)
            return log
        log = Log(self._memory, "", *known)
        log.refuse(StorageOfflineError(f"{log.name}: {reason}"))
        return log

    # Time

    def _tick(self) -> None:
        now_ms = self._clock.wall_ms()
        for state in self.states:
            if state.directory is not None and state.online:
                state.directory.tick(now_ms)
                gone = self._departures.take(state.directory)
                if gone and self._on_deleted is not None and state.directory_id is not None:
                    self._spawn(self._on_deleted(state.directory_id, gone))
                if state.scrubber is not None:
                    state.scrubber.tick(
                        now_ms,
                        interval_ms=self._settings.log_scrub_interval_ms,
                        max_bytes_per_second=self._settings.log_scrub_max_bytes_per_second,
                    )
        self.upkeep.tick(self._settings)
        self.cleaning.tick(self._settings)
        if not self._closing:
            self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _went_offline(self, state: LogDirState) -> None:
        state.error = state.directory.offline_reason if state.directory is not None else "offline"
        if state.directory_id is not None:
            self._on_directory_offline(state.directory_id)
        if not self._closing and not any(other.online for other in self.states):
            self._on_all_offline(f"no log directory is left: {state.error}")

    def log_dirs(self) -> list[LogDirInfo]:
        """What DescribeLogDirs tells."""
        return [describe(state) for state in self.states]

    async def close(self) -> None:
        """Checkpoint and mark every directory clean, then let go of it. Appends must have ended."""
        self._closing = True
        self.cleaning.close()
        if self._ticker is not None:
            self._ticker.cancel()
        await asyncio.gather(*(self._close_directory(state) for state in self.states))

    async def _close_directory(self, state: LogDirState) -> None:
        if state.directory is not None and state.executor is not None:
            loop = asyncio.get_running_loop()
            if state.scrubber is not None:
                state.scrubber.close()
            closed: asyncio.Future[None] = loop.create_future()
            state.directory.close(lambda: closed.set_result(None))
            await closed
            await loop.run_in_executor(None, state.executor.close)
        if state.lock is not None:
            state.lock.release()
            state.lock = None


async def _in_turns(work: Iterator[None]) -> None:
    """Run what is left of `work`, with turns for everybody else in between."""
    for number, _ in enumerate(work, 1):
        if not number % PARTITIONS_A_TURN:
            await asyncio.sleep(0)


def _config_of(topic: TopicImage) -> TopicConfig:
    """What the topic runs with: internal topics are always journaled, and never in memory only."""
    if not topic.internal:
        return topic.config
    return msgspec.structs.replace(topic.config, flush_messages=1, storage_type="log")
