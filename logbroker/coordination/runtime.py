"""All shards of one internal topic: which one has a key, loading them, giving up on them, loading them again.

The runtime is told which partitions this broker leads (`lead`, `resign`); alone, a broker leads all of them. Loads run as
tasks, a few at a time; an empty partition is served at once, without one. A shard that failed is loaded again after a
pause that doubles: a directory that is offline stays so until a restart, but in a cluster a partition can come
back. What a reload can't cure (a record that can't be understood) is logged once and left to the operator.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, Generic, TypeVar

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.tasks import TaskScope
from logbroker.coordination.keys import partition_for_key
from logbroker.coordination.log import CoordinatorLog
from logbroker.coordination.machine import StateMachine
from logbroker.coordination.replay import ReplayError, replay
from logbroker.coordination.shard import Shard, ShardServices, ShardState
from logbroker.coordination.timers import TimerHandle

M = TypeVar("M", bound=StateMachine)

LOADS_AT_ONCE: Final = 4
"""Partitions that are read at the same time; each holds one read buffer and its live records."""

RELOAD_PAUSE_S: Final = 1.0
RELOAD_PAUSE_MAX_S: Final = 60.0
"""How long a failed shard is left alone before its log is read again: the first time, and at most."""

_log = logs.get("coordination")


class CoordinatorRuntime(Generic[M]):
    """Shards by partition.

    Args:
        topic: The internal topic.
        open_log: Gives the partition to read and write; raises BrokerError while there is none.
        new_machine: Makes an empty state machine for a shard, once per load.
        services: What shards need.
        tasks: Where loads run.

    """

    def __init__(
        self,
        topic: str,
        open_log: Callable[[int], CoordinatorLog],
        new_machine: Callable[[Shard[M]], M],
        services: ShardServices,
        tasks: TaskScope,
    ) -> None:
        self.topic = topic
        self.partition_count = 0
        self._open_log = open_log
        self._new_machine = new_machine
        self._services = services
        self._tasks = tasks
        self._shards: dict[int, Shard[M]] = {}
        self._loads: dict[int, asyncio.Task[None]] = {}
        self._reloads: dict[int, TimerHandle] = {}
        self._pauses_s: dict[int, float] = {}
        self._slots = asyncio.Semaphore(LOADS_AT_ONCE)

    def set_partition_count(self, count: int) -> None:
        """Say how many partitions the topic has; 0 while it does not exist. It decides who owns a key."""
        self.partition_count = count

    def partition_of(self, key: str) -> int:
        """The partition that owns `key`.

        Raises:
            BrokerError: COORDINATOR_NOT_AVAILABLE: the topic does not exist yet.

        """
        if self.partition_count == 0:
            raise BrokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{self.topic} does not exist yet")
        return partition_for_key(key, self.partition_count)

    def machine_for(self, key: str) -> M:
        """The state machine that owns `key`.

        Raises:
            BrokerError: NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS.

        """
        if self.partition_count:
            shard = self._shards.get(partition_for_key(key, self.partition_count))
            if shard is not None:
                return shard.machine()
        raise BrokerError(ErrorCode.NOT_COORDINATOR, f"this broker does not coordinate {key!r}")

    def shard(self, index: int) -> Shard[M] | None:
        """The shard of a partition that this broker leads, whatever its state."""
        return self._shards.get(index)

    def machines(self) -> Iterator[M]:
        """The state machines of all shards that serve."""
        for shard in self._shards.values():
            if shard.state is ShardState.ACTIVE:
                yield shard.machine()

    @property
    def is_loading(self) -> bool:
        """Whether a shard is being read, so that answers about all keys would be incomplete."""
        return any(shard.state is ShardState.LOADING for shard in self._shards.values())

    def lead(self, indexes: Iterable[int]) -> None:
        """This broker leads these partitions now: load them. Partitions that are served or loading stay as they are.

        Raises:
            RuntimeError: The task scope is closed.

        """
        for index in indexes:
            shard = self._shards.get(index)
            if shard is None:
                shard = self._shards[index] = Shard(self.topic, index, self._services)
                shard.on_failure = partial(self._reload_later, index)
            if shard.state in (ShardState.ABSENT, ShardState.FAILED):
                self._load(index, shard)

    def resign(self, indexes: Iterable[int]) -> None:
        """This broker leads these partitions no longer: answer everybody, forget everything."""
        for index in indexes:
            self._cancel_reload(index)
            self._pauses_s.pop(index, None)
            load = self._loads.pop(index, None)
            if load is not None:
                load.cancel()
            shard = self._shards.pop(index, None)
            if shard is not None:
                shard.unload()

    def resign_all(self) -> None:
        """Resign from every partition."""
        self.resign(list(self._shards))

    async def wait_loaded(self) -> None:
        """Wait until no load is under way; shards that failed count as done."""
        while self._loads:
            await asyncio.wait(list(self._loads.values()))

    async def stop(self) -> None:
        """Resign from everything and wait for the loads to end."""
        loads = list(self._loads.values())
        self.resign_all()
        if loads:
            await asyncio.wait(loads)

    def _load(self, index: int, shard: Shard[M]) -> None:
        self._cancel_reload(index)
        shard.begin_loading()
        try:
            log = self._open_log(index)
            if log.log_end_offset == log.log_start_offset:
                shard.activate(log, self._new_machine(shard))
                return
        except BrokerError as error:
            shard.fail(str(error))
            return
        task = self._tasks.start(self._read(index, shard, log), f"load {self.topic}-{index}")
        self._loads[index] = task
        task.add_done_callback(partial(self._load_ended, index))

    def _load_ended(self, index: int, task: asyncio.Task[None]) -> None:
        if self._loads.get(index) is task:
            del self._loads[index]

    async def _read(self, index: int, shard: Shard[M], log: CoordinatorLog) -> None:
        clock = self._services.clock
        started = clock.monotonic()
        try:
            async with self._slots:
                replayed = await replay(log, self.topic, index)
            machine = self._new_machine(shard)
            for _ in replayed.hand_over(machine):
                await asyncio.sleep(0)
        except BrokerError as error:
            shard.fail(str(error))
            return
        except ReplayError as error:
            # Reading it again would find the same.
            shard.on_failure = None
            shard.fail(str(error))
            return
        except Exception as error:
            _log.error("loading failed", topic=self.topic, partition=index, error=error)
            shard.fail(f"loading failed: {error!r}")
            return
        shard.activate(log, machine)
        self._pauses_s.pop(index, None)
        _log.debug(
            "coordinator loaded",
            topic=self.topic,
            partition=index,
            records=replayed.records_read,
            live=replayed.live,
            size_bytes=replayed.bytes_read,
            seconds=round(clock.monotonic() - started, 3),
        )

    def _reload_later(self, index: int) -> None:
        if index in self._reloads:
            return
        pause = self._pauses_s.get(index, RELOAD_PAUSE_S)
        self._pauses_s[index] = min(pause * 2, RELOAD_PAUSE_MAX_S)
        when = self._services.clock.monotonic() + pause
        self._reloads[index] = self._services.timers.call_at(when, partial(self._reload, index))

    def _reload(self, index: int) -> None:
        self._reloads.pop(index, None)
        shard = self._shards.get(index)
        if shard is not None and shard.state is ShardState.FAILED:
            self._load(index, shard)

    def _cancel_reload(self, index: int) -> None:
        timer = self._reloads.pop(index, None)
        if timer is not None:
            timer.cancel()
