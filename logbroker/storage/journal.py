"""The journal of one log directory: a ring of pre-written files that makes every waiting append durable at once.

    submit (loop)  ->  drain_steps (lane `journal`): take all that waits, one write that returns when it is durable  ->  committed (loop)

One commit is in flight at a time; a commit never crosses a file and never touches a block of an earlier one. Files
are filled with zeros when they are made, so that a commit overwrites allocated blocks and fdatasync has no file metadata to
write. A file is free again once a checkpoint has made everything in it durable elsewhere (`recycle`); until one is free,
appends wait, and `ring_waits` counts that. Control entries wait their turn among them: nothing that frees the ring waits for one.

Crash story: `recovery.py` reads the ring back; `journal_format.py` says what makes a commit believable. Each start
takes a new generation and salt, written durably to `journal/generations` before the first commit (`begin_generation`).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.storage.executor import Executor, Steps
from logbroker.storage.journal_contents import Contents, Generation, RingEntry, read_contents, write_contents
from logbroker.storage.journal_format import (
    BATCH,
    ENTRY_SIZE,
    FILE_BLOCK,
    HEADER_SIZE,
    START,
    commit_size,
    encode_commit,
    pack_entry,
)
from logbroker.storage.vfs import File, Vfs

if TYPE_CHECKING:
    from logbroker.storage.append import JournalItem

DIRECTORY = "journal"
FIRST_FILE_BYTES = 1 << 20
"""The file a first start waits for; the others are filled in the background."""
_FILL_BYTES = 1 << 20


class RingFile:
    """One file of the ring; `last_sequence` is -1 while nothing in it matters."""

    __slots__ = ("file", "keep", "last_sequence", "path", "size")

    def __init__(
        self, path: str, file: File, size: int, last_sequence: int = -1, *, keep: bool = False
    ) -> None:
        self.path = path
        self.file = file
        self.size = size
        self.last_sequence = last_sequence
        self.keep = keep
        """Set it aside instead of using it again: a damaged partition may be repaired from it."""

    @property
    def name(self) -> str:
        """Its name in the journal's folder."""
        return self.path.rpartition("/")[2]


class CommitReport(NamedTuple):
    """What one commit did, as the loop hears of it."""

    items: list[JournalItem]
    sequence: int
    size_bytes: int
    seconds: float


class Journal:
    """The ring and its one writer. `submit`, `recycle` and the counters belong to the loop; `*_steps` to the lane."""

    def __init__(
        self,
        vfs: Vfs,
        executor: Executor,
        directory: str,
        *,
        files: int,
        file_bytes: int,
        group_max_bytes: int,
        on_committed: Callable[[CommitReport], None],
        on_settled: Callable[[], None],
        on_failed: Callable[[BaseException], None],
        on_refused: Callable[[list[JournalItem]], None],
        on_file_full: Callable[[], None],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.vfs = vfs
        self.path = f"{directory}/{DIRECTORY}"
        self.executor = executor
        self.files_wanted = files
        self.file_bytes = file_bytes
        self.group_max_bytes = group_max_bytes
        self.generation = Generation(0, 0)
        self.sequence = 0
        """Number of the lane's next commit."""
        self.settled = 0
        """The loop has heard of every commit below this: what they say shows in the logs. Where a checkpoint may begin."""
        self.outstanding = 0
        """Items submitted of which the loop hasn't heard yet."""
        self.ring_waits = 0
        self.commits = 0
        self.blocked = False
        self._on_committed = on_committed
        self._on_settled = on_settled
        self._on_failed = on_failed
        self._on_refused = on_refused
        self._on_file_full = on_file_full
        self._random_bytes = random_bytes
        self._incoming: deque[list[JournalItem]] = deque()
        self._waiting: list[JournalItem] = []
        self._active: RingFile | None = None
        self._position = 0
        self._free: deque[RingFile] = deque()
        self._full: deque[RingFile] = deque()
        self._taken: list[JournalItem] = []
        self._filling = False
        self._failed = False
        self._awake = False
        """A drain is queued or at work. It clears this and looks once more before it ends: what came until then, it finds."""
        self._contents = Contents([], [])
        """What `generations` says; the lane `fill` alone changes it once the journal is open."""

    # Loop side

    def submit(self, items: list[JournalItem]) -> None:
        """Queue items for the next commit; `on_committed` hears of them when they are durable."""
        self.outstanding += len(items)
        self._incoming.append(items)
        self._drain()

    def _drain(self) -> None:
        """Have the lane look at what waits, unless it is going to: most submits find it at work."""
        if not self._awake:
            self._awake = True
            self.executor.submit("journal", self.drain_steps(), self._drained)

    def recycle(self, sequence: int) -> None:
        """Every commit below `sequence` is durable elsewhere: files that hold nothing else are free again."""
        while self._full and self._full[0].last_sequence < sequence:
            ring_file = self._full.popleft()
            if ring_file.keep:
                self.executor.submit("fill", self._keep_steps(ring_file), self._kept)
            else:
                self._free.append(ring_file)
        if self.blocked and self._free:
            self.blocked = False
            self._drain()

    @property
    def files_total(self) -> int:
        """Files in the ring now."""
        return len(self._free) + len(self._full) + (self._active is not None)

    @property
    def files_full(self) -> int:
        """Files that wait for a checkpoint."""
        return len(self._full)

    @property
    def pressure(self) -> bool:
        """Whether half of the ring waits for a checkpoint (or an append waits for the ring)."""
        return self.blocked or 2 * (len(self._full) + 1) >= self.files_total

    def grow(self) -> None:
        """Fill the next missing file of the ring in the background, if one is missing."""
        if self._filling or self._failed or self.files_total >= self.files_wanted:
            return
        self._filling = True
        self.executor.submit("fill", self._grow_steps(), self._filled)

    def _keep_steps(self, ring_file: RingFile) -> Steps[None]:
        self._contents.files[:] = [file for file in self._contents.files if file.name != ring_file.name]
        write_contents(self.vfs, self.path, self._contents)
        yield
        self.vfs.rename(ring_file.path, ring_file.path + ".kept")
        yield
        self.vfs.sync_dir(self.path)

    def _kept(self, _: None, error: BaseException | None) -> None:
        if error is not None:
            self._on_failed(error)
        else:
            self.grow()

    def _filled(self, made: RingFile | None, error: BaseException | None) -> None:
        self._filling = False
        if made is None:
            self._on_failed(error or OSError("the journal file was not made"))
            return
        self._free.append(made)
        if self.blocked:
            self.blocked = False
            self._drain()
        self.grow()

    def stop(self) -> None:
        """Commit nothing more; what waits comes back through `on_refused`."""
        self._failed = True
        self._drain()

    def in_flight(self) -> list[JournalItem]:
        """What the lane has in its hands, for a loop that can't wait for it; what it is giving back just now may be missing.

        While the lane moves an item from one place to the next it is in both, and so here twice.
        """
        return [*self._taken, *self._waiting, *(item for items in list(self._incoming) for item in items)]

    def _drained(self, wanted_bytes: int | None, error: BaseException | None) -> None:
        if error is not None:
            self._on_failed(error)
        elif wanted_bytes and not self._failed:
            if any(ring_file.size >= wanted_bytes for ring_file in list(self._free)):
                # a file was freed while the lane was giving up
                self._drain()
                return
            if not self.blocked:
                self.blocked = True
                self.ring_waits += 1
            self._on_file_full()

    def _settle(self, report: CommitReport) -> None:
        self._on_committed(report)  # a checkpoint that begins amid this doesn't know all of it yet
        self.settled = report.sequence + 1
        self.outstanding -= len(report.items)
        self._on_settled()

    def _refuse(self, items: list[JournalItem]) -> None:
        self._on_refused(items)
        self.outstanding -= len(items)

    def _break(self, broken: tuple[BaseException, list[JournalItem]]) -> None:
        error, items = broken
        self._on_failed(error)
        self._refuse(items)

    # Lane side. What is submitted belongs to the lane until it is posted back, whatever happens: each item once.

    def drain_steps(self) -> Steps[int]:
        """Commit until nothing waits; returns the bytes that what waits needs and the ring doesn't have, or 0."""
        try:
            return (yield from self._commit_steps())
        except Exception as error:  # the loop decides: the directory goes offline
            self._failed = True
            self._awake = False
            self.executor.post(self._break, (error, self._take_all()))
            return 0

    def _wanted_again(self) -> bool:
        """The lane's last look before it ends, after which the loop must wake it."""
        self._awake = False
        return bool(self._incoming) or self._failed

    def _take_all(self) -> list[JournalItem]:
        left = self._taken + self._waiting
        while self._incoming:
            left.extend(self._incoming.popleft())
        self._taken = []
        self._waiting = []
        return left

    def _commit_steps(self) -> Steps[int]:
        while True:
            if self._failed:
                self._awake = False
                left = self._take_all()
                if left:
                    self.executor.post(self._refuse, left)
                return 0
            while self._incoming:
                self._waiting.extend(self._incoming[0])  # never in neither place: see `in_flight`
                self._incoming.popleft()
            if not self._waiting:
                if self._wanted_again():
                    continue
                return 0
            started = time.perf_counter()
            taken, buffers, size = self._take()
            if not taken:
                if self._wanted_again():
                    continue
                return self._need_of(self._waiting[0])
            active = self._active
            if active is None:
                raise CorruptionError(self.path, 0, "the journal has no file to write to")
            if not active.file.write_durably(buffers, self._position):
                active.file.pwritev(buffers, self._position)
                yield
                active.file.datasync()
            self._position += size
            active.last_sequence = self.sequence
            self.commits += 1
            report = CommitReport(taken, self.sequence, size, time.perf_counter() - started)
            self.sequence += 1
            self._taken = []
            self.executor.post(self._settle, report)
            del taken, buffers, report
            yield

    def _take(self) -> tuple[list[JournalItem], list[Buffer], int]:
        """As many waiting items as fit in one commit, encoded; none if the ring is full."""
        waiting = self._waiting
        room = self._room_for(waiting[0])
        if not room:
            return [], [], 0
        limit = min(room, self.group_max_bytes)
        table: list[bytes] = []
        payloads: list[Buffer] = []
        payload_bytes = 0
        used = HEADER_SIZE
        count = 0
        for item in waiting:
            size = item.size
            kind = item.kind
            used += ENTRY_SIZE
            if kind == BATCH:
                used += size
            if used > limit and count:
                break
            count += 1
            if kind == BATCH:
                payloads.append(item.buffer)
                payload_bytes += size
            log = item.log
            table.append(
                pack_entry(
                    log.topic_id_bytes,
                    log.index,
                    kind,
                    item.leader_epoch,
                    item.segment_base,
                    item.position,
                    item.previous_end,
                    item.base_offset,
                    item.next_offset,
                    size,
                    item.crc,
                )
            )
        taken = waiting if count == len(waiting) else waiting[:count]
        self._taken = taken  # before they leave `_waiting`
        self._waiting = waiting[count:]
        number, salt = self.generation
        buffers = encode_commit(number, salt, self.sequence, table, payloads, payload_bytes)
        return taken, buffers, commit_size(count, payload_bytes)

    def _need_of(self, item: JournalItem) -> int:
        return commit_size(1, item.size if item.kind == BATCH else 0)

    def _room_for(self, item: JournalItem) -> int:
        """Bytes left in the active file if `item` fits there, else in the next free one; 0 if there is none."""
        need = self._need_of(item)
        active = self._active
        if active is not None:
            left = active.size - self._position
            if left >= need:
                return left
        chosen = self._next_free(need)
        if chosen is None:
            return 0
        if active is not None:
            self._full.append(active)
            self.executor.post(lambda _: self._on_file_full(), None)
        self._active = chosen
        self._position = 0
        return chosen.size

    def _next_free(self, need: int) -> RingFile | None:
        """The free file that waited longest and can hold `need` bytes (the first one made is small)."""
        for _ in range(len(self._free)):
            file = self._free.popleft()
            if file.size >= need:
                return file
            self._free.append(file)
        return None

    def _grow_steps(self) -> Steps[RingFile]:
        made = yield from self.fill_steps(self.file_bytes)
        # Before a commit goes there: a file that isn't listed is not missed.
        self._contents.files.append(RingEntry(made.name, made.size))
        write_contents(self.vfs, self.path, self._contents)
        return made

    def fill_steps(self, size: int) -> Steps[RingFile]:
        """Make one file of the ring: zeros, synced, its name durable before anybody relies on it.

        It has its name only when it is whole: after a failed sync the page cache may show a length that the disk doesn't have.
        """
        path = self._new_path()
        temporary = path + ".tmp"
        self.vfs.unlink(temporary)
        file = self.vfs.open(temporary, create=True)
        zeros = bytes(_FILL_BYTES)
        for position in range(0, size, _FILL_BYTES):
            file.pwritev([zeros[: min(_FILL_BYTES, size - position)]], position)
            yield
        file.datasync()
        yield
        self.vfs.rename(temporary, path)
        yield
        self.vfs.sync_dir(self.path)
        return RingFile(path, file, size)

    def open_steps(
        self,
        last_sequences: dict[str, int],
        next_sequence: int,
        *,
        oldest_generation: int = 0,
        keep: bool = False,
    ) -> Steps[None]:
        """Open the ring after recovery and begin a new generation in a file that recovery doesn't need.

        `last_sequences` says, by file name, the highest sequence still needed in each; `next_sequence` is the first one
        that the new generation may use, `oldest_generation` the checkpoint's: recovery asks for the salts from there on.
        With `keep` those files are set aside once they are not needed.
        """
        for name in self.vfs.listdir(self.path):
            if name.endswith(".ring.tmp"):
                self.vfs.unlink(f"{self.path}/{name}")
            if not name.endswith(".ring"):
                continue
            path = f"{self.path}/{name}"
            file = self.vfs.open(path)
            size = file.size() // FILE_BLOCK * FILE_BLOCK
            ring_file = RingFile(path, file, size, last_sequences.get(name, -1))
            ring_file.keep = keep and ring_file.last_sequence >= 0
            (self._free if ring_file.last_sequence < 0 else self._full).append(ring_file)
            yield
        self._full = deque(sorted(self._full, key=lambda ring_file: ring_file.last_sequence))
        if not self._free:
            first = min(FIRST_FILE_BYTES, self.file_bytes)
            made = yield from self.fill_steps(first)
            self._free.append(made)
        yield
        yield from self._begin_generation(next_sequence, oldest_generation)

    def _begin_generation(self, next_sequence: int, oldest_generation: int) -> Steps[None]:
        history = read_contents(self.vfs, self.path).generations
        number = (history[-1].number if history else 0) + 1
        self.generation = Generation(number, int.from_bytes(self._random_bytes(8), "big"))
        history = [generation for generation in history if generation.number >= oldest_generation]
        files = [RingEntry(file.name, file.size) for file in (*self._full, *self._free)]
        # Files that a crash overtook before they were listed have a name now that is sure; then it may be relied on.
        self.vfs.sync_dir(self.path)
        yield
        self._contents = Contents([*history, self.generation], files)
        write_contents(self.vfs, self.path, self._contents)
        yield
        self._active = self._free.popleft()
        self._position = 0
        self.sequence = next_sequence
        row = pack_entry(bytes(16), -1, START, -1, 0, 0, 0, next_sequence, next_sequence, 0, 0)
        buffers = encode_commit(number, self.generation.salt, self.sequence, [row], [], 0)
        self._active.file.pwritev(buffers, 0)
        yield
        self._active.file.datasync()
        self._position = commit_size(1, 0)
        self._active.last_sequence = self.sequence
        self.sequence += 1
        self.settled = self.sequence

    def _new_path(self) -> str:
        numbers = [int(name[:-5]) for name in self.vfs.listdir(self.path) if name.endswith(".ring")]
        return f"{self.path}/{max(numbers, default=-1) + 1:08d}.ring"
