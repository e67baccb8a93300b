"""When compaction runs: the dirtiest log of all directories first, `log.cleaner.threads` at a time, each in a process of its own.

A *round* looks at every compacted log and takes the dirtiest that is due (`cleaning_choice.py`); when its pass is over another
round follows at once, and one that finds nothing rests for `log.cleaner.backoff.ms`. The numbers of a pass are the settings of the
moment it begins; what `log.cleaner.threads` bounds together is divided among the threads. A process that nobody needs is ended. Logs
in memory aren't compacted. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable

from logbroker.base.clock import Clock
from logbroker.config.settings import Settings
from logbroker.replication.learn_times import learn_times
from logbroker.replication.partition import Partition
from logbroker.replication.turns import in_turns
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import ProcessRunner
from logbroker.storage.cleaning_choice import Dirtiness, assess, dirtiest, needs_times
from logbroker.storage.log_dir import LogDirectory


class Cleaning:
    """The rounds.

    Args:
        clock: Its wall time is what records are old by; what is due goes by monotonic time.
        partitions: All partitions there are now.
        spawn: Starts a round as a task.

    """

    def __init__(
        self,
        clock: Clock,
        partitions: Callable[[], Iterable[Partition]],
        spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._clock = clock
        self._partitions = partitions
        self._spawn = spawn
        self._free: list[ProcessRunner] = []
        self._running: dict[ProcessRunner, int] = {}
        """The number of each pass that is under way: its lane."""
        self._looking = False
        self._rest_until = 0.0
        self._closing = False
        self.settings = Settings()
        """Those of the last tick."""
        self.max_dirty_percent = 0.0
        """Of the dirtiest log, when a round last looked."""

    def tick(self, settings: Settings) -> None:
        """Begin a round if one is due; what the settings say counts for every round and pass from now on."""
        self.settings = settings
        if not settings.log_cleaner_enable:
            while self._free:
                self._free.pop().close()
        if (
            self._closing
            or self._looking
            or not settings.log_cleaner_enable
            or len(self._running) >= settings.log_cleaner_threads
            or self._clock.monotonic() < self._rest_until
        ):
            return
        self._looking = True
        self._spawn(self._round())

    async def _round(self) -> None:
        try:
            found = await self._look()
        finally:
            self._looking = False
        chosen = dirtiest(found)
        self.max_dirty_percent = max((one.ratio * 100 for one in found), default=0.0)
        if chosen is None or self._closing:
            self._rest_until = self._clock.monotonic() + self.settings.log_cleaner_backoff_ms / 1000
            while self._free:
                self._free.pop().close()
            return
        directory, now_ms = chosen.log.host, self._clock.wall_ms()
        if not isinstance(directory, LogDirectory) or not directory.cleaner.takes(chosen.log, now_ms):
            return
        chosen = assess(
            chosen.log, now_ms
        )  # others were looked at meanwhile, and retention may have been here
        if not chosen.due:
            return
        runner = self._free.pop() if self._free else ProcessRunner()
        number = next(n for n in range(len(self._running) + 1) if n not in self._running.values())
        self._running[runner] = number

        def over() -> None:
            del self._running[runner]
            if self._closing:
                runner.close()
            else:
                self._free.append(runner)
                self.tick(self.settings)

        directory.cleaner.clean(chosen, runner, f"cleaner-{number}", options_of(self.settings), over)
        self.tick(self.settings)

    async def _look(self) -> list[Dirtiness]:
        """Every log that may be compacted now, as it is."""
        now_ms = self._clock.wall_ms()
        found = []
        async for partition in in_turns(self._partitions()):
            log = partition.log
            directory = log.host
            if not log.config.compacted or not isinstance(directory, LogDirectory):
                continue
            if not directory.cleaner.takes(log, now_ms):
                continue
            if needs_times(log):
                for segment in log.segments[:-1]:
                    if not await learn_times(partition, segment):
                        break
            if log.refusal is None:
                found.append(assess(log, now_ms))
        return found

    def close(self) -> None:
        """No more rounds; passes that are under way are broken off, which leaves nothing but files that the next start removes."""
        self._closing = True
        for runner in (*self._free, *self._running):
            runner.interrupt()
        self._free.clear()


def options_of(settings: Settings) -> CleanerOptions:
    """What each pass gets of the settings."""
    threads = max(settings.log_cleaner_threads, 1)
    return CleanerOptions(
        map_bytes=settings.log_cleaner_dedupe_buffer_size // threads,
        load_factor=settings.log_cleaner_io_buffer_load_factor,
        read_bytes=settings.log_cleaner_io_buffer_size // threads,
        max_bytes_per_second=max(settings.log_cleaner_io_max_bytes_per_second, 1.0) / threads,
    )
