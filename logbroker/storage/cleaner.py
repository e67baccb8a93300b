"""Compaction of one log: from the decision to the last swap, on the loop.

The work itself is in `compaction.py`, the choice in `cleaning_choice.py`, the change of files in `swap.py`; when, and how many at a
time, is the replica manager's business.

A pass may be given up between any two groups (the topic was deleted, truncated, is compacted no more, the broker stops): each group stands
for itself. Only a pass that came to its end moves the offset up to which the log counts as clean, and no group is passed over on the way
there: older values would outlive the tombstones that later groups hold.

What can go wrong: a partition whose batches can't be read is *uncleanable*: reported, counted, and left alone until the next start. An I/O
error of a file that nobody relies on yet, a full disk, a process that died: logged, and tried again after `RETRY_MS`. Whatever a
swap meets takes the directory offline, as everything else on the log path does. Loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logbroker.base import logs
from logbroker.base.errors import CorruptionError
from logbroker.storage import cleaner_offsets
from logbroker.storage.cleaner_process import CleanerError, Runner
from logbroker.storage.cleaning_choice import Dirtiness
from logbroker.storage.compaction import Cleaned, Indexed, Job, Source, entry_of
from logbroker.storage.executor import Steps
from logbroker.storage.segment_files import CLEANED_SUFFIX, SUFFIXES
from logbroker.storage.swap import Swaps

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory
    from logbroker.storage.segment import Segment

_log = logs.get("cleaner")

RETRY_MS = 900_000
"""How long a partition is left alone after a pass that failed."""
MAP_BYTES_MAX = (1 << 31) - 1
"""What one pass may take for its map (Kafka's bound)."""
_OTHER_CODE = "the cleaner's process answers something else than it was asked; was logbroker upgraded without a restart?"


@dataclass(frozen=True, slots=True)
class CleanerOptions:
    """The numbers of a pass: the `log.cleaner.*` settings."""

    map_bytes: int = 128 << 20
    load_factor: float = 0.9
    read_bytes: int = 512 << 10
    max_bytes_per_second: float = 1.7976931348623157e308


class Cleaner:
    """The passes over the logs of one directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._swaps = Swaps(directory)
        self._running: set[Log] = set()
        self._retry_ms: dict[Log, int] = {}

    def takes(self, log: Log, now_ms: int) -> bool:
        """Whether a pass over the log may begin now."""
        return (
            log.config.compacted
            and not log.uncleanable
            and log.refusal is None
            and not log.truncating
            and not any(
                log.path == other.path for other in self._running
            )  # a deleted topic's may write there yet
            and not self._directory.closing
            and self._directory.stats.checkpoints > 0  # until then the ring tells of an earlier life's swaps
            and self._retry_ms.get(log, 0) <= now_ms
        )

    def clean(
        self,
        found: Dirtiness,
        runner: Runner,
        lane: str,
        options: CleanerOptions,
        on_done: Callable[[], None],
    ) -> None:
        """Clean a log that `takes` allows, on a lane; then `on_done()`, whatever became of it."""
        self._running.add(found.log)
        _Pass(self, self._directory, self._swaps, found, runner, lane, options, on_done).begin()

    def ended(self, log: Log, *, retry: bool) -> None:
        """A pass is over."""
        self._running.discard(log)
        self._retry_ms = {
            other: due for other, due in self._retry_ms.items() if other is not log and not other.deleted
        }
        if retry:
            self._retry_ms[log] = self._directory.clock.wall_ms() + RETRY_MS

    @property
    def uncleanable(self) -> int:
        """How many partitions are left alone until the next start."""
        return sum(bool(log.uncleanable) for log in self._directory.logs.values())

    def save_offsets(self) -> None:
        """Write down up to where each log is clean."""
        directory = self._directory
        offsets = {key: log.first_dirty for key, log in directory.logs.items() if log.first_dirty}

        def steps() -> Steps[None]:
            cleaner_offsets.save(directory.vfs, directory.path, offsets)
            yield

        def saved(_: None, error: BaseException | None) -> None:
            if error is not None:
                _log.warning(
                    "the cleaner's offsets can't be saved", directory=directory.path, reason=str(error)
                )

        directory.executor.submit("writer", steps(), saved)


class _Pass:
    """One pass over one log."""

    def __init__(
        self,
        cleaner: Cleaner,
        directory: LogDirectory,
        swaps: Swaps,
        found: Dirtiness,
        runner: Runner,
        lane: str,
        options: CleanerOptions,
        on_done: Callable[[], None],
    ) -> None:
        self._cleaner = cleaner
        self._directory = directory
        self._swaps = swaps
        self._log = found.log
        self._segments = found.segments
        self._runner = runner
        self._lane = lane
        self._on_done = on_done
        self._groups: list[list[int]] = []
        self._end_offset = 0
        self._cuts = found.log.cuts
        self._before_bytes = sum(segment.size for segment in found.segments)
        self._after_bytes = 0
        self._began_ms = directory.clock.wall_ms()
        self._job = job_of(found, options, self._began_ms)

    def begin(self) -> None:
        """Fill the map."""
        self._directory.executor.submit(self._lane, self._runner.index_steps(self._job), self._indexed)

    def _indexed(self, indexed: Indexed | None, error: BaseException | None) -> None:
        stats = self._directory.stats
        if error is not None or indexed is None:
            self._failed(error or CleanerError("nothing was indexed"))
            return
        stats.cleaner_read_bytes += indexed.bytes_read
        numbers = [number for group in indexed.groups for number in group]
        if numbers != list(range(len(numbers))) or len(numbers) > len(self._segments):
            self._failed(CleanerError(_OTHER_CODE))
            return
        if indexed.end_offset <= self._job.first_dirty:
            self._give_up(
                f"the batch at offset {self._job.first_dirty} alone has more keys than log.cleaner.dedupe.buffer.size holds"
            )
            return
        self._end_offset = indexed.end_offset
        self._groups = indexed.groups
        self._next()

    def _next(self) -> None:
        """The next group, or the end."""
        log, directory = self._log, self._directory
        if not self._is_wanted():
            self._end(complete=False)
            return
        while self._groups:
            numbers = self._groups.pop(0)
            olds = [self._segments[number] for number in numbers]
            if all(old.dropped for old in olds):
                continue  # retention took it
            if any(old.dropped for old in olds):
                self._end(complete=False)
                return
            size_bytes = sum(old.size for old in olds)
            if not directory.has_room(size_bytes):
                _log.warning(
                    "compaction waits for room on the disk", partition=log.name, size_bytes=size_bytes
                )
                self._end(complete=False, retry=True)
                return
            directory.executor.submit(
                self._lane,
                self._runner.rewrite_steps(numbers),
                lambda cleaned, error, olds=olds: self._rewritten(olds, cleaned, error),  # type: ignore[misc]
            )
            return
        self._end(complete=True)

    def _is_wanted(self) -> bool:
        """Whether what the pass knows still holds: after a cut its map may name records that are gone."""
        log, directory = self._log, self._directory
        return (
            directory.offline_reason is None
            and not directory.closing
            and log.refusal is None
            and log.config.compacted
            and log.cuts == self._cuts
        )

    def _rewritten(self, olds: list[Segment], cleaned: Cleaned | None, error: BaseException | None) -> None:
        stats = self._directory.stats
        if error is not None or cleaned is None:
            self._remove_files(olds)
            self._failed(error or CleanerError("nothing was written"))
            return
        ends = {source.base_offset: source.next_base for source in self._job.sources}
        if (cleaned.base_offset, cleaned.next_base) != (olds[0].base_offset, ends[olds[-1].base_offset]):
            self._remove_files(olds)
            self._failed(CleanerError(_OTHER_CODE))
            return
        stats.cleaner_read_bytes += cleaned.bytes_read
        stats.cleaner_written_bytes += cleaned.size_bytes
        stats.cleaner_removed_records += cleaned.records_read - cleaned.records_kept
        self._after_bytes += cleaned.size_bytes
        if cleaned.unchanged:
            self._remove_files(olds)
            self._next()
            return

        def swapped(done: bool) -> None:
            if done:
                self._next()
            else:
                self._remove_files(olds)
                self._end(complete=False)

        self._swaps.swap(self._log, olds, cleaned, self._is_wanted, swapped)

    def _remove_files(self, olds: list[Segment]) -> None:
        """Nobody needs what was written; what a crash leaves of it the next start removes."""
        directory = self._directory
        paths = [olds[0].stem + suffix + CLEANED_SUFFIX for suffix in SUFFIXES]

        def steps() -> Steps[None]:
            for path in paths:
                directory.vfs.unlink(path)
                yield

        if (
            directory.offline_reason is None and not self._log.deleted
        ):  # the folder may be another topic's now
            directory.executor.submit(self._lane, steps(), lambda *_: None)

    def _failed(self, error: BaseException) -> None:
        log = self._log
        if not self._is_wanted():
            self._end(complete=False)
        elif isinstance(error, CorruptionError) and not any(segment.dropped for segment in self._segments):
            self._give_up(str(error))
        elif isinstance(error, FileNotFoundError) and any(segment.dropped for segment in self._segments):
            self._end(complete=False)
        else:
            self._directory.stats.cleaner_failures += 1
            _log.warning(
                "a pass of compaction failed; it is tried again", partition=log.name, reason=str(error)
            )
            self._end(complete=False, retry=True)

    def _give_up(self, reason: str) -> None:
        self._log.uncleanable = reason
        _log.error(
            "the partition can't be compacted and is left alone until the next start",
            partition=self._log.name,
            reason=reason,
        )
        self._end(complete=False)

    def _end(self, *, complete: bool, retry: bool = False) -> None:
        log, directory = self._log, self._directory
        self._cleaner.ended(log, retry=retry)
        if complete:
            log.first_dirty = max(log.first_dirty, self._end_offset)
            directory.stats.cleaner_passes += 1
            directory.stats.cleaner_last_pass_ms = directory.clock.wall_ms() - self._began_ms
            self._cleaner.save_offsets()
            if self._end_offset < self._job.sources[-1].next_base:
                directory.checkpointer.start()  # the map was full: what was swapped can be cleaned again once it is published
            _log.info(
                "compacted",
                partition=log.name,
                first_dirty_offset=log.first_dirty,
                before_bytes=self._before_bytes,
                after_bytes=self._after_bytes,
                took_ms=directory.clock.wall_ms() - self._began_ms,
            )
        self._on_done()


def job_of(found: Dirtiness, options: CleanerOptions, now_ms: int) -> Job:
    """All that a pass over this log has to know."""
    log = found.log
    config = log.config
    following = [segment.base_offset for segment in found.segments[1:]]
    at = log.segments.index(found.segments[-1]) + 1
    following.append(log.segments[at].base_offset)
    end = following[-1]
    return Job(
        log.path,
        [
            Source(segment.base_offset, segment.size, next_base)
            for segment, next_base in zip(found.segments, following, strict=True)
        ],
        found.first_dirty,
        now_ms,
        config.delete_retention_ms,
        config.index_interval_bytes,
        config.segment_size_bytes,
        config.segment_index_bytes,
        min(options.map_bytes, MAP_BYTES_MAX),
        options.load_factor,
        options.read_bytes,
        options.max_bytes_per_second,
        [
            (producer_id, entry.batches[-1].last_offset if entry.batches else -1, entry.epoch)
            for producer_id, entry in log.producers.capture().items()
        ],
        [
            entry_of(aborted)
            for segment in log.segments
            if segment.aborted is not None
            for aborted in segment.aborted
            if aborted.first_offset < end
        ],
    )
