"""Cleaned segments take the places of those they were made of, and a crash at any instant leaves the old ones or the new one.

    write      (`compaction.py`) `.cleaned` files, synced
    quiet      no direct write, truncation or other swap of the partition is under way; none of these begins before the end
    name       `.cleaned` becomes `.swap`, the index files first; the folder is synced
    announce   a COMPACTED entry in the journal: from when it is durable, segments base..next are one of so many bytes
    alone      no checkpoint or write-back runs, and none begins
    swap       in memory, at one instant: the new segment stands for the old ones, and `FilePool` gives out its files under the names that they
               will have; on lane `writer` the old files of later segments get the suffix `.deleted`, `.swap` files replace the first one's,
               and the folder is synced
    go on      the next checkpoint speaks of the new segment; the `.deleted` files go after `file.delete.delay.ms`

Crash story: before the entry is durable the `.cleaned` and `.swap` files are nobody's, and the next start removes them. From then on
recovery finishes the swap: a `.swap` file that is there takes its place before anything else is looked at (`finish_steps`); if it isn't
there, it is in its place, and the folder is synced all the same. The entry stays in the ring until a checkpoint that begins after the folder was synced has published the new
segment's size: a point never speaks of a file whose name isn't durable, and a missing or short file is corruption as ever.

The ring may hold batches of the replaced segments still. All of them are covered by the point that recovery begins with, because only
segments that a *published* checkpoint of this life knows as sealed are compacted; so recovery drops them (`replay.py`) and loses nothing.
For the same reason the ring never speaks of two swaps of one segment.

Whoever reads holds files, not names: what is under way ends on the old ones. What was read ahead on a lane for an old file is not
mixed with the new one (`FilePool.replacements`). Loop only, but for `*_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from logbroker.base.errors import CorruptionError
from logbroker.storage.append import JournalItem
from logbroker.storage.compaction import Cleaned
from logbroker.storage.executor import Steps
from logbroker.storage.journal_format import COMPACTED, Entry
from logbroker.storage.segment import Segment
from logbroker.storage.segment_files import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SUFFIXES,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    bases_of,
    file_name,
)
from logbroker.storage.transaction_index import ENTRY, VERSION, TransactionIndex
from logbroker.storage.vfs import File, Vfs

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.log_dir import LogDirectory

_REPLACED = (INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, LOG_SUFFIX)
"""Files of a segment that compaction writes anew; the log itself is the last to take its place."""

Done = Callable[[bool], None]


class Swaps:
    """The swaps of one directory."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory

    def swap(
        self,
        log: Log,
        olds: list[Segment],
        cleaned: Cleaned,
        is_wanted: Callable[[], bool],
        on_done: Done,
    ) -> None:
        """Put `cleaned` in the place of `olds`, which it was made of; then `on_done(whether that came about)`.

        `is_wanted` is asked when the partition is quiet: what is announced after that is done.
        """
        self._directory.commit_path.when_quiet(
            log, lambda: self._begin(log, olds, cleaned, is_wanted, on_done)
        )

    def _begin(
        self,
        log: Log,
        olds: list[Segment],
        cleaned: Cleaned,
        is_wanted: Callable[[], bool],
        on_done: Done,
    ) -> None:
        directory = self._directory
        if not is_wanted() or not _stand(log, olds):
            on_done(False)
            return
        log.swapping = True

        def named(files: dict[str, File] | None, error: BaseException | None) -> None:
            if error is not None or files is None:
                directory.fail(error or OSError("a cleaned segment got no name"))
                self._give_up(log, on_done)
                return
            directory.enqueue(
                JournalItem(
                    COMPACTED,
                    log,
                    log.epochs.latest,
                    cleaned.base_offset,
                    cleaned.size_bytes,
                    cleaned.base_offset,
                    cleaned.base_offset,
                    cleaned.next_base,
                    0,
                    on_done=lambda item: announced(item, files),
                )
            )

        def announced(item: JournalItem, files: dict[str, File]) -> None:
            if item.error:
                self._give_up(log, on_done)
            else:
                directory.checkpointer.exclusively(lambda: self._swap(log, olds, cleaned, files, on_done))

        stem = olds[0].stem
        directory.executor.submit("writer", directory.guarded(self._name_steps(stem, cleaned)), named)

    def _give_up(self, log: Log, on_done: Done) -> None:
        """The directory is offline: those who wait for the swap's end go on to hear of that."""
        log.swapping = False
        on_done(False)
        self._directory.commit_path.run_quiet(log)

    def _name_steps(self, stem: str, cleaned: Cleaned) -> Steps[dict[str, File]]:
        vfs = self._directory.vfs
        files: dict[str, File] = {}
        for suffix in _REPLACED:
            source = stem + suffix + CLEANED_SUFFIX
            vfs.rename(source, stem + suffix + SWAP_SUFFIX)
            yield
            files[stem + suffix] = vfs.open(stem + suffix + SWAP_SUFFIX)
        vfs.sync_dir(stem.rpartition("/")[0])
        yield
        return files

    def _swap(
        self, log: Log, olds: list[Segment], cleaned: Cleaned, files: dict[str, File], on_done: Done
    ) -> None:
        directory = self._directory
        if directory.offline_reason is not None:
            directory.checkpointer.release()
            self._give_up(log, on_done)
            return
        fresh = _segment_of(log, olds, cleaned)
        at = log.segments.index(olds[0])
        log.segments[at : at + len(olds)] = [fresh]
        log.compacted = True
        if any(
            log.durable_segment == old.base_offset for old in olds
        ):  # nothing was appended since it was sealed
            log.durable_segment, log.durable_position = fresh.base_offset, fresh.size
        for old in olds:
            old.dropped = True
            for path in old.file_paths():
                directory.maps.forget(path)
        directory.pool.replace(files)

        def placed(_: None, error: BaseException | None) -> None:
            if error is not None:
                directory.fail(error)
                directory.checkpointer.release()
                self._give_up(log, on_done)
                return
            directory.pool.replaced(files)
            for path in others if cleaned.aborted else [*others, fresh.transaction_index_path]:
                directory.pool.forget(path)
            fresh.placed = True
            log.swapping = False
            directory.trimming.condemn(log, others)
            directory.mark_dirty(log)
            directory.checkpointer.release()
            directory.commit_path.run_quiet(log)
            on_done(True)

        bases = [old.base_offset for old in olds[1:]]
        others = [path for old in olds[1:] for path in old.file_paths()]

        def steps() -> Steps[None]:
            yield from place_steps(directory.vfs, log.path, cleaned.base_offset, bases, remove=False)
            if not cleaned.aborted:
                directory.vfs.unlink(olds[0].stem + TXN_INDEX_SUFFIX)
                yield

        directory.executor.submit("writer", directory.guarded(steps()), placed)


def _stand(log: Log, olds: list[Segment]) -> bool:
    """Whether the segments are there still, one behind the other, and as they were."""
    if any(old.dropped or not old.sealed for old in olds) or log.deleted or olds[0] not in log.segments:
        return False
    at = log.segments.index(olds[0])
    return log.segments[at : at + len(olds)] == olds and at + len(olds) < len(log.segments)


def _segment_of(log: Log, olds: list[Segment], cleaned: Cleaned) -> Segment:
    fresh = Segment(log.path, cleaned.base_offset, size=cleaned.size_bytes, created_ms=olds[-1].created_ms)
    fresh.index.file_entries = cleaned.index_entries
    fresh.time_index.file_entries = cleaned.time_entries
    fresh.indexed_timestamp = cleaned.indexed_timestamp
    fresh.first_timestamp = cleaned.first_timestamp
    fresh.max_timestamp = cleaned.max_timestamp
    fresh.max_timestamp_offset = cleaned.max_timestamp_offset
    if cleaned.aborted:
        fresh.aborted = TransactionIndex(b"".join([ENTRY.pack(VERSION, *entry) for entry in cleaned.aborted]))
    fresh.times_known = True
    fresh.sealed = True
    fresh.name_durable = True
    fresh.placed = False
    return fresh


def place_steps(vfs: Vfs, folder: str, base: int, others: list[int], *, remove: bool) -> Steps[None]:
    """Lane: the `.swap` files of `base` take their places, the files of the segments `others` lose theirs; durable at the end."""
    for other in sorted(others, reverse=True):
        for suffix in SUFFIXES:
            path = f"{folder}/{file_name(other, suffix)}"
            if vfs.exists(path):
                if remove:
                    vfs.unlink(path)
                else:
                    vfs.rename(path, path + DELETED_SUFFIX)
                yield
    for suffix in _REPLACED:
        path = f"{folder}/{file_name(base, suffix)}"
        if vfs.exists(path + SWAP_SUFFIX):
            vfs.rename(path + SWAP_SUFFIX, path)
            yield
    vfs.sync_dir(folder)
    yield


def finish_steps(vfs: Vfs, folder: str, entry: Entry, *, cut: bool) -> Steps[None]:
    """Lane, in recovery: finish the swap that `entry` announced. `cut`: the log was truncated after it.

    Raises CorruptionError: neither the `.swap` file nor its segment is what was announced.
    """
    path = f"{folder}/{file_name(entry.segment_base)}"
    others: list[int] = []
    if vfs.exists(path + SWAP_SUFFIX):
        size = vfs.file_size(path + SWAP_SUFFIX)
        if size != entry.position:
            what = f"a compacted segment of {entry.position} bytes has {size}"
            raise CorruptionError(path + SWAP_SUFFIX, min(size, entry.position), what)
        others = [
            base for base in bases_of(vfs.listdir(folder)) if entry.segment_base < base < entry.next_offset
        ]
    elif not cut and vfs.exists(path) and vfs.file_size(path) > entry.position:
        what = f"its compacted successor of {entry.position} bytes is missing"
        raise CorruptionError(path, entry.position, what)
    # Where it is in its place already that may be in the page cache only: the process that renamed it was killed.
    yield from place_steps(vfs, folder, entry.segment_base, others, remove=True)
