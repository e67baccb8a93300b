"""The storage engine without one of its waits or orders: a context manager each, for the proof that it is needed (`fences.py`).

Each replaces one function of the engine by a version that is wrong in one way only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from logbroker.storage import cleaning_choice, rebuild, recovery, replay
from logbroker.storage.append import JournalItem
from logbroker.storage.checkpointer import Checkpointer
from logbroker.storage.commit_path import CommitPath
from logbroker.storage.deletion import Deletions
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.flush_policy import FlushPolicy
from logbroker.storage.journal import Journal
from logbroker.storage.journal_contents import Generation, read_contents
from logbroker.storage.journal_format import COMPACTED, LOG_START, PAGE_CACHE, TRUNCATE
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.producer_state import DuplicateOf, ProducerEntry, ProducerStates
from logbroker.storage.rebuild import Rebuild
from logbroker.storage.replay import Piece
from logbroker.storage.segment import Segment
from logbroker.storage.swap import Swaps
from logbroker.storage.vfs import File

Patch = AbstractContextManager[object]


def no_holding() -> Patch:
    """Appends go on by any route while a direct write of the partition is under way."""
    start = CommitPath._start_direct

    def wrong(self: CommitPath, log: Log, group: list[JournalItem]) -> None:
        start(self, log, group)
        log.held = None

    return patch.object(CommitPath, "_start_direct", wrong)


def synced_before_sync() -> Patch:
    """The SYNCED entry doesn't wait for the sync."""
    start = CommitPath._start_direct

    def wrong(self: CommitPath, log: Log, group: list[JournalItem]) -> None:
        executor = self._directory.executor
        submit = executor.submit

        def early(lane: str, steps: Steps[Any], on_done: Callable[[Any, BaseException | None], None]) -> None:
            submit(lane, steps, lambda *_: None)
            executor.post(lambda _: on_done(None, None), None)

        with patch.object(executor, "submit", early):
            start(self, log, group)

    return patch.object(CommitPath, "_start_direct", wrong)


def duplicates_at_once() -> Patch:
    """A duplicate is answered without looking whether its first batch is durable."""
    duplicate = Log._duplicate

    def wrong(
        self: Log, first: DuplicateOf, on_done: Callable[[JournalItem], None] | None, waiter: Any
    ) -> JournalItem:
        item = duplicate(self, first, on_done, waiter)
        self._duplicates.remove(item)
        if on_done is not None:
            host: Any = self.host
            host.executor.post(on_done, item)
        return item

    return patch.object(Log, "_duplicate", wrong)


def publish_before_sync() -> Patch:
    """The checkpoint is published as soon as its segments are written."""
    sync = Checkpointer._sync

    def wrong_sync(self: Checkpointer, capture: Any, error: BaseException | None) -> None:
        if error is not None:
            sync(self, capture, error)
            return
        steps = self._publish_steps(capture)
        self._directory.executor.submit("writer", steps, lambda _, error: sync(self, capture, error))

    def wrong_publish(self: Checkpointer, capture: Any) -> None:
        self._directory.executor.post(lambda _: self._finish(capture, None), None)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Checkpointer, "_sync", wrong_sync))
    stack.enter_context(patch.object(Checkpointer, "_publish", wrong_publish))
    return stack


def recycle_before_publish() -> Patch:
    """Ring files are free when the checkpoint begins, not when it is published."""
    capture = Checkpointer._capture

    def wrong(self: Checkpointer, *, clean: bool) -> Any:
        captured = capture(self, clean=clean)
        self._directory.journal.recycle(captured.sequence)
        return captured

    return patch.object(Checkpointer, "_capture", wrong)


def unsettled_capture() -> Patch:
    """A checkpoint begins behind commits that the loop hasn't heard of."""
    capture = Checkpointer._capture

    def wrong(self: Checkpointer, *, clean: bool) -> Any:
        self._directory.journal.settled = self._directory.journal.sequence
        return capture(self, clean=clean)

    return patch.object(Checkpointer, "_capture", wrong)


def live_producers() -> Patch:
    """The checkpoint encodes the producers as they are when it is published."""

    def wrong(self: ProducerStates) -> dict[int, ProducerEntry]:
        return self._entries

    return patch.object(ProducerStates, "capture", wrong)


def old_ring_reused() -> Patch:
    """After a start every ring file is free at once."""
    open_steps = Journal.open_steps

    def wrong(self: Journal, last_sequences: dict[str, int], next_sequence: int, **named: Any) -> Steps[None]:
        return open_steps(self, {}, next_sequence, **named)

    return patch.object(Journal, "open_steps", wrong)


def same_generation() -> Patch:
    """A start goes on in the generation before, and with its sequences."""
    begin = Journal._begin_generation

    def wrong(self: Journal, next_sequence: int, oldest_generation: int) -> Steps[None]:
        history = read_contents(self.vfs, self.path).generations
        if not history:
            yield from begin(self, next_sequence, oldest_generation)
            return
        self.generation = Generation(*history[-1])
        yield
        self._active = self._free.popleft()
        self._position = 0
        self.sequence = self.settled = next_sequence

    return patch.object(Journal, "_begin_generation", wrong)


def make_sure_late() -> Patch:
    """Recovery acts on the last commit first, and makes it durable at its end."""
    make_sure = recovery._make_sure
    open_steps = Journal.open_steps
    waiting: list[tuple[Any, ...]] = []

    def wrong(*arguments: Any) -> Steps[None]:
        waiting.append(arguments)
        yield

    def wrong_open(self: Journal, *arguments: Any, **named: Any) -> Steps[None]:
        for job in [job for job in waiting if job[0].journal is self]:
            waiting.remove(job)
            yield from make_sure(*job)
        yield from open_steps(self, *arguments, **named)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(recovery, "_make_sure", wrong))
    stack.enter_context(patch.object(Journal, "open_steps", wrong_open))
    return stack


def no_second_commit() -> Patch:
    """Recovery believes the last commit as it reads it."""

    def wrong(*_: Any) -> Steps[None]:
        yield

    return patch.object(recovery, "_make_sure", wrong)


def write_where_different() -> Patch:
    """Recovery writes a batch only where the file seems not to hold it."""
    write = Rebuild._write

    def wrong(self: Rebuild, base: int, position: int, batch: Any) -> Steps[None]:
        if base in self._present:
            path = f"{self.path}/{base:020d}.log"
            if self._directory.pool.get(path).pread(len(batch), position) == bytes(batch):
                return
        yield from write(self, base, position, batch)

    return patch.object(Rebuild, "_write", wrong)


def walk_without_writing() -> Patch:
    """Recovery believes the batches of a page-cache topic as it reads them."""
    walk = Rebuild._walk_tail
    write = Rebuild._write
    walking: set[int] = set()

    def wrong(self: Rebuild) -> Steps[None]:
        walking.add(id(self))
        try:
            yield from walk(self)
        finally:
            walking.discard(id(self))

    def wrong_write(self: Rebuild, *arguments: Any) -> Steps[None]:
        if id(self) in walking:
            yield
        else:
            yield from write(self, *arguments)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Rebuild, "_walk_tail", wrong))
    stack.enter_context(patch.object(Rebuild, "_write", wrong_write))
    return stack


def void_entries_replayed() -> Patch:
    """Recovery writes what a later truncation made void, before what took its place."""

    def wrong(piece: Piece, base: int, position: int, end: int) -> Piece | None:
        return piece

    return patch.object(replay, "_piece_below", wrong)


def unannounced_truncation() -> Patch:
    """A truncation cuts the files without a word in the journal."""
    return _unannounced(TRUNCATE)


def unannounced_start() -> Patch:
    """The log's start moves, and files go, without a word in the journal."""
    return _unannounced(LOG_START)


def page_cache_unjournaled() -> Patch:
    """A topic goes to the page cache without a word in the journal."""
    return _unannounced(PAGE_CACHE)


def _unannounced(kind: int) -> Patch:
    enqueue = CommitPath.enqueue
    submit = Journal.submit

    def wrong(self: CommitPath, item: JournalItem) -> None:
        if item.kind == kind and item.on_done is not None:
            self._directory.executor.post(item.on_done, item)
        else:
            enqueue(self, item)

    def wrong_submit(self: Journal, items: list[JournalItem]) -> None:
        for item in items:
            if item.kind == kind and item.on_done is not None:
                self.executor.post(item.on_done, item)
        submit(self, [item for item in items if item.kind != kind])

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(CommitPath, "enqueue", wrong))
    stack.enter_context(patch.object(Journal, "submit", wrong_submit))
    return stack


def truncation_beside_checkpoint() -> Patch:
    """A truncation doesn't wait for checkpoints and write-backs, nor they for it."""

    def wrong(self: Checkpointer, work: Callable[[], None]) -> None:
        work()

    def release(self: Checkpointer) -> None:
        return

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Checkpointer, "exclusively", wrong))
    stack.enter_context(patch.object(Checkpointer, "release", release))
    return stack


def page_cache_unsaid() -> Patch:
    """After a start that finished a truncation the journal isn't told that the page cache counts again."""

    def wrong(self: FlushPolicy, log: Log) -> None:
        self.follow(log)

    return patch.object(FlushPolicy, "recovered", wrong)


def name_taken_at_once() -> Patch:
    """A new topic uses its folder while the one of the same name is on its way out."""

    def wrong(self: Deletions, log: Log) -> None:
        return

    return patch.object(Deletions, "created", wrong)


def no_holding_in_flush() -> Patch:
    """Appends go on while a topic's policy changes."""
    flush = FlushPolicy._flush

    def wrong(self: FlushPolicy, log: Log, then: Any) -> None:
        flush(self, log, then)
        log.held = None

    return patch.object(FlushPolicy, "_flush", wrong)


def held_journaled_again() -> Patch:
    """Appends that a flush covered are journaled all the same."""

    def wrong(self: FlushPolicy, log: Log, end: int) -> None:
        return

    return patch.object(FlushPolicy, "_acknowledge_held", wrong)


def unpinned_files() -> Patch:
    """A dirty file is closed like any other."""
    get = FilePool.get

    def wrong(self: FilePool, path: str, *, create: bool = False, pin: bool = False) -> File:
        return get(self, path, create=create)

    def keep(self: FilePool, path: str, file: File) -> None:
        return

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(FilePool, "get", wrong))
    stack.enter_context(patch.object(FilePool, "keep", keep))
    return stack


def evicted_unsynced() -> Patch:
    """Too many dirty files: the oldest is closed without a sync."""

    def wrong(self: FilePool, path: str) -> None:
        del self._pinned[path]

    return patch.object(FilePool, "_let_go", wrong)


def unguarded_lanes() -> Patch:
    """A lane's error is known when the loop hears of it, not before."""

    def wrong(self: LogDirectory, steps: Steps[Any]) -> Steps[Any]:
        return steps

    return patch.object(LogDirectory, "guarded", wrong)


def unannounced_swap() -> Patch:
    """A compacted segment takes its place, and the journal says nothing about it."""
    enqueue = CommitPath.enqueue

    def wrong(self: CommitPath, item: JournalItem) -> None:
        if item.kind == COMPACTED and item.on_done is not None:
            item.on_done(item)
        else:
            enqueue(self, item)

    init = LogDirectory.__init__

    def made(self: LogDirectory, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        self.enqueue = lambda item: wrong(self.commit_path, item)

    return patch.object(LogDirectory, "__init__", made)


def swap_beside_checkpoint() -> Patch:
    """Checkpoints and write-backs go on while the files of a swap change their names."""
    swap = Swaps._swap

    def wrong(self: Swaps, *arguments: Any) -> None:
        swap(self, *arguments)
        self._directory.checkpointer.release()
        self._directory.checkpointer.start()

    return patch.object(Swaps, "_swap", wrong)


def unpublished_segments() -> Patch:
    """Compaction takes segments that no published checkpoint knows as sealed."""

    def wrong(segment: Segment) -> bool:
        return segment.sealed and segment.placed and not segment.dropped and segment.size == segment.written

    return patch.object(cleaning_choice, "is_settled", wrong)


def unfinished_swap() -> Patch:
    """Recovery leaves the files of an announced swap where they are."""

    def wrong(*_arguments: Any, **_options: Any) -> Steps[None]:
        return
        yield

    return patch.object(rebuild, "finish_steps", wrong)
