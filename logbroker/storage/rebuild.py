"""One partition after a stop or a crash: from its files and its plan to a `Log` that may be served.

In order, and each step is safe to do again if a crash interrupts it:

1. The files must be what the plan says: a missing folder, a missing segment, one shorter than it was when it was synced is
   corruption; the partition is refused and nothing of it is touched. Segments that the log's start has left behind need not be there.
2. Every journaled batch is written to its position, always: the page cache may hold what the disk does not, and an old
   batch with a good CRC may lie where a newer one belongs. Ranges that direct sync vouched for are walked and checked.
3. What lies behind the last durable byte was never acknowledged: later segments are removed, highest first, the last one
   is cut. A page-cache topic keeps every whole batch that follows instead, and writes it again for the same reason as above.
4. Producers' state, aborted transactions and epochs: from the point and the `.txnindex` files that it counts, then from everything
   behind it. Where a truncation cut a producer's whole history, or such a file isn't what the point says, they are built
   anew from every header in the log.

Runs on a lane, before the broker listens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.config.topic import TopicConfig
from logbroker.records.batch import (
    CONTROL_MASK,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    BatchHeader,
    check_crc,
    parse_header,
)
from logbroker.storage.batch_walk import proven_batches
from logbroker.storage.checkpoint_file import Point
from logbroker.storage.executor import Steps
from logbroker.storage.folders import make_folders_steps, read_topic_id
from logbroker.storage.journal_format import BATCH, FLUSHED, SYNCED, Entry
from logbroker.storage.known_segments import KnownSegments
from logbroker.storage.leader_epochs import EPOCH_FILE, NOT_SHOWN, LeaderEpochs
from logbroker.storage.log import Log
from logbroker.storage.producer_scan import scan_producers
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.replay import Piece, Plan
from logbroker.storage.segment import Segment
from logbroker.storage.segment_files import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    SNAPSHOT_SUFFIX,
    SUFFIXES,
    SWAP_SUFFIX,
    TXN_INDEX_SUFFIX,
    bases_of,
    file_name,
)
from logbroker.storage.swap import finish_steps
from logbroker.storage.transaction_index import ENTRY as ABORTED_ENTRY
from logbroker.storage.transactions import note_marker

if TYPE_CHECKING:
    from logbroker.storage.log_dir import LogDirectory

_RUN_BYTES = 4 << 20
_LEFT_OVER = (DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX, ".tmp")
"""Files that were on their way out, or that nobody ever relied on."""
_new = tuple.__new__
_unpack_header = HEADER.unpack_from


class Rebuild:
    """The work on one partition; `steps` returns its log."""

    def __init__(
        self,
        directory: LogDirectory,
        topic: str,
        index: int,
        topic_id: UUID,
        config: TopicConfig,
        point: Point | None,
        plan: Plan,
        *,
        unclean: bool,
        owned: bool,
    ) -> None:
        self._owned = owned
        """Whether the folder is there and says that it is this partition's."""
        self._directory = directory
        self._topic = topic
        self._index = index
        self._topic_id = topic_id
        self._config = config
        self._point = point
        self._plan = plan
        self._unclean = unclean
        self.path = f"{directory.path}/{topic}-{index}"
        self._producers = (
            ProducerStates.decode(point.producers) if point and point.producers else ProducerStates()
        )
        self._epochs = LeaderEpochs(list(point.epochs) if point else [])
        self._segments: dict[int, Segment] = {}
        self._present: frozenset[int] = frozenset()
        self._aborted_counts = dict(point.aborted) if point else {}
        self._end = plan.covered
        self._covered = plan.covered
        """Below this the point's producer state already knows every batch."""
        self._scan_producers = False
        self._run: list[Buffer] = []
        self._run_base = 0
        self._run_start = 0
        self._run_end = 0
        self.cut_bytes = 0
        self.replayed = 0
        self.changed = plan.touched or point is None
        """Whether the partition is no longer what the point says."""

    def steps(self) -> Steps[Log]:
        """Rebuild. Raises CorruptionError, OSError."""
        directory = self._directory
        vfs = directory.vfs
        point, plan = self._point, self._plan
        refused = (point.refused if point else "") or plan.corrupt
        if refused:
            raise CorruptionError(self.path, 0, refused)
        exists = self._owned or vfs.exists(self.path)
        # An empty partition's point may have been published before the folder's name was durable.
        if not exists and point is not None and any(size for _, size in point.segments):
            what = "the partition's folder is missing; was a file system unmounted?"
            raise CorruptionError(self.path, 0, what)
        if (plan.pieces and not exists) or (
            exists and not self._owned and read_topic_id(vfs, self.path) != self._topic_id
        ):
            yield from make_folders_steps(directory, [(self.path, self._topic_id)])
            exists = True
        for swap in plan.swaps if exists else ():
            yield from finish_steps(vfs, self.path, swap, cut=plan.cut is not None)
            self._count_aborted(swap)
        names = vfs.listdir(self.path) if exists else []
        self._present = frozenset(bases_of(names))
        if plan.cut is not None:
            self._epochs.truncate_end(plan.cut)
            self._scan_producers = not self._producers.truncate_to(plan.cut)
        known = KnownSegments(directory, self.path, unclean=self._unclean)
        yield from known.open_steps(names, plan, self._aborted_counts)
        self._segments = known.segments
        self.changed = self.changed or known.changed
        pieces = iter(plan.pieces)
        piece = next(pieces, None)
        while piece is not None:
            yield from self._apply(*piece)
            piece = self._go_on(pieces)
        yield from self._flush_run()
        if plan.walk and exists:
            yield from self._walk_tail()
        self._leave_behind()
        if exists:
            yield from self._remove_rest(names, known.file_bytes)
        if self._scan_producers or known.scan_aborted:
            yield from self._scan()
        return self._finish(exists=exists)

    def _scan(self) -> Steps[None]:
        """Learn from the whole log what the point can't tell."""
        found = yield from scan_producers(
            self._directory.pool,
            [(base, self._segments[base].path, self._segments[base].size) for base in sorted(self._segments)],
        )
        if self._scan_producers:
            self._producers = found.states
        for base, segment in self._segments.items():
            segment.adopt_aborted(found.aborted.get(base, ()))
        self.changed = True

    def _count_aborted(self, swap: Entry) -> None:
        """A compacted segment's index of aborted transactions was synced before the journal spoke of it: all of it counts."""
        base = swap.segment_base
        for gone in [other for other in self._aborted_counts if base <= other < swap.next_offset]:
            del self._aborted_counts[gone]
        path = f"{self.path}/{file_name(base, TXN_INDEX_SUFFIX)}"
        if self._directory.vfs.exists(path):
            self._aborted_counts[base] = self._directory.vfs.file_size(path) // ABORTED_ENTRY.size

    def _apply(self, entry: Entry, payload: memoryview | None) -> Steps[None]:
        if entry.kind == FLUSHED:
            yield from self._flush_run()
            yield from self._verify_to(entry)
        elif self._plan.is_dead(entry.segment_base, present=entry.segment_base in self._present):
            if payload is not None:  # the bytes must not come back; who wrote them is still known
                self._record(parse_header(payload), payload, None)
            self._end = max(self._end, entry.next_offset)
        elif entry.kind == BATCH and payload is not None:
            yield from self._write(entry.segment_base, entry.position, payload)
            self._note(parse_header(payload), entry.segment_base, entry.position, payload)
            self.replayed += 1
        elif entry.kind == SYNCED:
            yield from self._flush_run()
            yield from self._verify(entry)

    def _go_on(self, pieces: Iterator[Piece]) -> Piece | None:
        """Take the batches that lie right behind the last one, as `_apply` would; the first piece that is something else.

        Nearly all of a ring is such batches, hundreds of thousands in a full one. Their bytes are proven, and what is true of
        their segment was asked for the batch before.
        """
        segment = self._segments.get(self._run_base) if self._run else None
        if segment is None or segment.size != self._run_end:
            return next(pieces, None)
        run, base, position = self._run, self._run_base, self._run_end
        limit, covered, latest = self._run_start + _RUN_BYTES, self._covered, self._epochs.latest
        interval_bytes = self._config.index_interval_bytes
        end, replayed = self._end, self.replayed
        piece = None
        for piece in pieces:
            entry, payload = piece
            _, _, kind, epoch, segment_base, at, _, base_offset, next_offset, length, _ = entry
            if (
                at != position
                or segment_base != base
                or kind != BATCH
                or payload is None
                or base_offset < covered
                or next_offset < end
                or position > limit
            ):
                break
            header = _new(BatchHeader, _unpack_header(payload))
            segment.note(header, base_offset, position, length, interval_bytes)
            if epoch > latest or header.producer_id >= 0:
                self._record(header, payload, segment)
                latest = self._epochs.latest
            run.append(payload)
            position += length
            end = next_offset
            replayed += 1
        else:
            piece = None
        self._run_end = segment.size = segment.written = position
        self._end, self.replayed = end, replayed
        return piece

    def _write(self, base: int, position: int, batch: Buffer) -> Steps[None]:
        """Write a batch to its place, together with those that lie before it."""
        contiguous = base == self._run_base and position == self._run_end
        if self._run and (not contiguous or self._run_end - self._run_start > _RUN_BYTES):
            yield from self._flush_run()
        if not self._run:
            self._run_base = base
            self._run_start = position
        self._run.append(batch)
        self._run_end = position + len(batch)

    def _flush_run(self) -> Steps[None]:
        if not self._run:
            return
        path = f"{self.path}/{file_name(self._run_base)}"
        file = self._directory.pool.get(path, create=True, pin=True)
        yield
        file.pwritev(self._run, self._run_start)
        self._directory.pool.keep(path, file)
        self._run = []
        yield

    def _note(self, header: BatchHeader, base: int, position: int, batch: Buffer) -> None:
        """Account for a batch at its place in the (possibly new) segment."""
        segment = self._segments.get(base)
        if segment is None:
            for earlier in self._segments.values():
                if not earlier.sealed and earlier.base_offset < base:
                    earlier.seal()
            segment = self._segments[base] = Segment(
                self.path, base, created_ms=self._directory.clock.wall_ms()
            )
            # An earlier life may have left index files here, longer than what will be written.
            segment.index.trim = segment.time_index.trim = True
        size = header.length + LOG_OVERHEAD
        if position >= segment.size:
            segment.note(header, header.base_offset, position, size, self._config.index_interval_bytes)
        segment.synced = min(segment.synced, position)
        segment.size = max(segment.size, position + size)
        segment.written = segment.size
        self._end = max(self._end, header.next_offset)
        self._record(header, batch, segment)

    def _record(self, header: BatchHeader, batch: Buffer, segment: Segment | None) -> None:
        if header.base_offset < self._covered:
            return
        if header.partition_leader_epoch > self._epochs.latest:
            self._epochs.assign(header.partition_leader_epoch, header.base_offset)
        if header.producer_id < 0:
            return
        if not header.attributes & CONTROL_MASK:
            self._producers.record(header, header.base_offset, header.last_offset)
            return
        try:
            aborted = note_marker(self._producers, header, batch, header.base_offset)
        except InvalidBatchError as error:
            raise CorruptionError(self.path, 0, str(error)) from error
        if segment is not None:
            segment.note_aborted(aborted)

    def _verify(self, entry: Entry) -> Steps[None]:
        """A direct-synced range must be there, whole: it was acknowledged."""
        offset = entry.base_offset
        path = f"{self.path}/{file_name(entry.segment_base)}"
        for position, header, batch in self._batches(
            entry.segment_base, entry.position, entry.position + entry.length
        ):
            if header.base_offset < offset or header.next_offset > entry.next_offset:
                what = f"batch {header.base_offset}..{header.next_offset} where offset {offset} was expected"
                raise CorruptionError(path, position, what)
            offset = header.next_offset
            self._note(header, entry.segment_base, position, batch)
            yield
        if offset != entry.next_offset:
            raise CorruptionError(path, entry.position, f"offset {offset} is missing")

    def _resume_at(self) -> tuple[int, int]:
        """(base, position) in the files behind what is known; in the segment the log starts in, if the known ends before that."""
        base = max((base for base in self._segments if base <= self._end), default=-1)
        start = self._plan.start
        if self._end < start:
            base = max((other for other in self._present if other <= start and other > base), default=base)
        if base < 0:
            base = self._end
        segment = self._segments.get(base)
        return base, segment.size if segment is not None else 0

    def _verify_to(self, entry: Entry) -> Steps[None]:
        """Everything up to `entry` was synced in the segments: walk there from where the point ended."""
        if entry.next_offset <= self._plan.start:  # nobody sees any of it, and some files may be gone already
            self._end = max(self._end, entry.next_offset)
            segment = self._segments.get(entry.segment_base)
            if segment is not None:  # what comes next lies behind it
                segment.size = segment.written = max(segment.size, entry.position)
            return
        base, position = self._resume_at()
        while self._end < entry.next_offset:
            last = base == entry.segment_base
            limit = entry.position if last else self._file_bytes(base)
            for at, header, batch in self._batches(base, position, limit):
                if header.base_offset < max(self._end, base):
                    raise CorruptionError(
                        f"{self.path}/{file_name(base)}", at, f"offset {self._end} is missing"
                    )
                self._note(header, base, at, batch)
                yield
            if self._end == base or (last and self._end < entry.next_offset):
                raise CorruptionError(
                    f"{self.path}/{file_name(base)}", position, f"offset {self._end} is missing"
                )
            base, position = self._end, 0

    def _file_bytes(self, base: int) -> int:
        try:
            return self._directory.vfs.file_size(f"{self.path}/{file_name(base)}")
        except FileNotFoundError:
            return 0

    def _batches(self, base: int, start: int, end: int) -> Iterator[tuple[int, BatchHeader, bytes]]:
        path = f"{self.path}/{file_name(base)}"
        if not self._directory.vfs.exists(path):
            raise CorruptionError(path, start, "the segment is missing")
        return proven_batches(self._directory.pool.get(path), path, start, end)

    def _walk_tail(self) -> Steps[None]:
        """A page-cache topic keeps what survived: every whole batch behind the durable end, in order, written again."""
        base, position = self._resume_at()
        while base in self._present:
            end = self._file_bytes(base)
            file = self._directory.pool.get(f"{self.path}/{file_name(base)}")
            while position + HEADER_SIZE <= end:
                try:
                    header = parse_header(file.pread(HEADER_SIZE, position))
                    data = file.pread(header.size_bytes, position)
                    check_crc(data, header)
                except InvalidBatchError:
                    break
                least = max(self._end, base)
                gap = header.base_offset > least and "compact" not in self._config.cleanup_policy
                if header.base_offset < least or gap:  # the CRC doesn't cover it
                    break
                if self._plan.walk_end is not None and header.next_offset > self._plan.walk_end:
                    break
                yield from self._write(base, position, data)
                self._note(header, base, position, data)
                self.changed = True
                position += header.size_bytes
                yield
            if position < end or self._end == base:
                break
            base, position = self._end, 0
        yield from self._flush_run()

    def _leave_behind(self) -> None:
        """Segments below the log's start; all of them, where a page-cache topic lost everything up to there."""
        start = self._plan.start
        if start > self._end:
            if not self._plan.walk:
                raise CorruptionError(
                    self.path, 0, f"the log starts at {start} and ends before, at {self._end}"
                )
            self._segments.clear()
            self._end = start
            self.changed = True
        for base in [base for base in self._segments if base > self._end]:
            del self._segments[base]  # where a truncation cut a page-cache topic that has lost more since
        bases = sorted(self._segments)
        for base, following in itertools.pairwise(bases):
            if following <= start:
                del self._segments[base]

    def _remove_rest(self, names: list[str], file_bytes: dict[int, int]) -> Steps[None]:
        """Remove what was never acknowledged, and what retention had given up.

        `names` are the folder's files before the replay and `file_bytes` lengths then: the replay adds segments that stay, and it
        writes as far as the segments' sizes say.

        A page-cache topic is walked again after the next crash, so what is gone must be gone for good, even if an earlier
        life removed it: whether the disk knows of that, nobody can tell.
        """
        directory = self._directory
        vfs = directory.vfs
        sure = self._plan.walk and self._unclean
        removed = sure
        for base in reversed(bases_of(names)):
            if base not in self._segments:
                yield from directory.remove_segment_steps(Segment(self.path, base))
                removed = True
        for name in names:
            stem, _, suffix = name.partition(".")
            orphan = f".{suffix}" in SUFFIXES and stem.isdecimal() and int(stem) not in self._segments
            if orphan or name.endswith(_LEFT_OVER) or self._is_empty_view(name):
                vfs.unlink(f"{self.path}/{name}")
                removed = True
        if removed:
            vfs.sync_dir(self.path)
            yield
        for base in sorted(self._segments):
            segment = self._segments[base]
            actual = file_bytes[base] if base in file_bytes else self._file_bytes(base)
            if actual > segment.size or (sure and not segment.sealed and base in self._present):
                self.cut_bytes += actual - segment.size
                file = directory.pool.get(segment.path)
                file.truncate(segment.size)
                yield
                file.datasync()
                yield

    def _is_empty_view(self, name: str) -> bool:
        """Whether it is a file for Kafka's tools, never synced, whose bytes a power cut took."""
        if not self._unclean or not (name == EPOCH_FILE or name.endswith(SNAPSHOT_SUFFIX)):
            return False
        empty = self._directory.vfs.file_size(f"{self.path}/{name}") == 0
        if empty and name == EPOCH_FILE:
            self._epochs.shown = NOT_SHOWN
            self.changed = True
        return empty

    def _finish(self, *, exists: bool) -> Log:
        segments = [self._segments[base] for base in sorted(self._segments)]
        for segment in segments[:-1]:
            segment.sealed = True
        start = self._plan.start
        self._epochs.truncate_start(start)
        log = Log(
            self._directory,
            self.path,
            self._topic,
            self._index,
            self._topic_id,
            self._config,
            start_offset=start,
            end_offset=self._end,
            segments=segments or None,
            producers=self._producers,
            epochs=self._epochs,
        )
        log.compacted = bool(self._plan.swaps) or (self._point is not None and self._point.compacted)
        log.page_cache = self._plan.walk
        log.page_cache_unsaid = self._plan.walk_end is not None
        log.created = exists and self._point is not None  # else its name may be in the page cache only
        active = log.segments[-1]
        if active.size and active.first_timestamp < 0:
            self._learn_age(active)
        return log

    def _learn_age(self, segment: Segment) -> None:
        """The active segment's age counts from its first record's timestamp."""
        data = self._directory.pool.get(segment.path).pread(HEADER_SIZE, 0)
        try:
            header = parse_header(data)
        except InvalidBatchError as error:
            raise CorruptionError(segment.path, 0, str(error)) from error
        segment.first_timestamp = header.max_timestamp
        segment.roll_after = header.max_timestamp if header.max_timestamp >= 0 else segment.created_ms
