"""One partition after a stop or a crash: from its files, its point and its plan to a `Log` that may be served.

In order, and each step is safe to do again if a crash interrupts it:

1. The files must be what the point says: a missing folder, a missing segment, one shorter than it was when it was synced is
   corruption; the partition is refused and nothing of it is touched.
2. Every journaled batch is written to its position, always: the page cache may hold what the disk does not, and an old
   batch with a good CRC may lie where a newer one belongs. Ranges that direct sync vouched for are walked and checked.
3. What lies behind the last durable byte was never acknowledged: later segments are removed, highest first, the last one
   is cut. A page-cache topic keeps every whole batch that follows instead.
4. Producers' state and epochs: from the point, then from the headers of everything behind it.

Runs on a lane, before the broker listens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.config.topic import TopicConfig
from logbroker.records.batch import HEADER_SIZE, LOG_OVERHEAD, BatchHeader, check_crc, parse_header
from logbroker.storage.checkpoint_file import Point
from logbroker.storage.executor import Steps
from logbroker.storage.journal_format import BATCH, FLUSHED, SYNCED, TRUNCATE, Entry
from logbroker.storage.leader_epochs import LeaderEpochs
from logbroker.storage.log import Log
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.replay import Plan
from logbroker.storage.segment import Segment, file_name, list_bases

if TYPE_CHECKING:
    from logbroker.storage.log_dir import LogDirectory

_RUN_BYTES = 4 << 20


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
        plan: Plan | None,
    ) -> None:
        self._directory = directory
        self._topic = topic
        self._index = index
        self._topic_id = topic_id
        self._config = config
        self._point = point
        self._plan = plan
        self.path = f"{directory.path}/{topic}-{index}"
        self._producers = (
            ProducerStates.decode(point.producers) if point and point.producers else ProducerStates()
        )
        self._epochs = LeaderEpochs(list(point.epochs) if point else [])
        self._segments: dict[int, Segment] = {}
        self._end = point.end_offset if point else 0
        self._covered = self._end
        """Below this the point's producer state already knows every batch."""
        self._run: list[Buffer] = []
        self._run_base = 0
        self._run_start = 0
        self._run_end = 0
        self.cut_bytes = 0
        self.replayed = 0

    def steps(self) -> Steps[Log]:
        """Rebuild. Raises CorruptionError, OSError."""
        directory = self._directory
        vfs = directory.vfs
        point, plan = self._point, self._plan
        refused = (point.refused if point else "") or (plan.corrupt if plan else None)
        if refused:
            raise CorruptionError(self.path, 0, refused)
        exists = vfs.exists(self.path)
        if not exists and point is not None and point.segments:
            raise CorruptionError(
                self.path, 0, "the partition's folder is missing; was a file system unmounted?"
            )
        files = list_bases(vfs, self.path) if exists else []
        start = max(plan.start if plan else 0, point.start_offset if point else 0)
        if plan is not None and plan.pieces and not exists:
            yield from directory.make_folder_steps(self.path, self._topic_id)
            exists = True
        yield from self._open_known(files, start)
        if plan is not None:
            for entry, payload in plan.pieces:
                if self._is_dead(entry, start, plan):
                    self._learn(entry, payload)
                    continue
                yield from self._apply(entry, payload)
            yield from self._flush_run()
        if self._config.flush_messages > 1 and exists:
            yield from self._walk_tail(files)
        if exists:
            yield from self._remove_rest(start)
        return self._finish(start, exists=exists)

    def _open_known(self, files: list[int], start: int) -> Steps[None]:
        """The segments that the point names, compared with the files."""
        known = self._point.segments if self._point else []
        vfs = self._directory.vfs
        present = set(files)
        for at, (base, size) in enumerate(known):
            following = known[at + 1][0] if at + 1 < len(known) else None
            if following is not None and following <= start:
                continue  # retention had begun to remove it
            segment = Segment(self.path, base, size=size, created_ms=self._directory.clock.wall_ms())
            if size and base not in present:
                raise CorruptionError(segment.path, 0, f"the segment is missing; it held {size} bytes")
            if base in present:
                actual = vfs.file_size(segment.path)
                if actual < size:
                    raise CorruptionError(segment.path, actual, f"the file ends {size - actual} bytes early")
                segment.created_ms = vfs.modified_ms(segment.path)
                segment.name_durable = True
            self._load_index_sizes(segment)
            if (
                following is None and segment.index.file_entries
            ):  # entries above the point were never vouched for
                segment.index.truncate(self._end - base, self._directory.maps, segment.index_path)
            segment.sealed = following is not None
            self._segments[base] = segment
            yield

    def _load_index_sizes(self, segment: Segment) -> None:
        vfs = self._directory.vfs
        for index, path, width in (
            (segment.index, segment.index_path, 8),
            (segment.time_index, segment.time_index_path, 12),
        ):
            index.file_entries = vfs.file_size(path) // width if segment.size and vfs.exists(path) else 0

    def _is_dead(self, entry: Entry, start: int, plan: Plan) -> bool:
        """Whether the entry's segment lies wholly below the log's start, so that it must not come back."""
        if entry.next_offset > start or plan.truncated:
            return False
        later = [base for base in self._segments if base > entry.segment_base]
        later += [
            piece.entry.segment_base for piece in plan.pieces if piece.entry.segment_base > entry.segment_base
        ]
        return any(base <= start for base in later)

    def _apply(self, entry: Entry, payload: memoryview | None) -> Steps[None]:
        if entry.kind == BATCH and payload is not None:
            contiguous = entry.segment_base == self._run_base and entry.position == self._run_end
            if self._run and (not contiguous or self._run_end - self._run_start > _RUN_BYTES):
                yield from self._flush_run()
            if not self._run:
                self._run_base = entry.segment_base
                self._run_start = entry.position
            self._run.append(payload)
            self._run_end = entry.position + entry.length
            self._note(entry, parse_header(payload), entry.segment_base, entry.position)
            self.replayed += 1
            return
        yield from self._flush_run()
        if entry.kind == SYNCED:
            yield from self._verify(entry)
        elif entry.kind == TRUNCATE:
            yield from self._cut(entry)
        elif entry.kind == FLUSHED:
            yield from self._verify_to(entry)

    def _learn(self, entry: Entry, payload: memoryview | None) -> None:
        """Producer state of a batch whose segment is gone already."""
        if entry.kind == BATCH and payload is not None:
            self._record(parse_header(payload))
        self._end = max(self._end, entry.next_offset)

    def _note(self, entry: Entry, header: BatchHeader, base: int, position: int) -> None:
        """Account for a batch at its place in the (possibly new) segment."""
        segment = self._segments.get(base)
        if segment is None:
            for earlier in self._segments.values():
                if not earlier.sealed and earlier.base_offset < base:
                    earlier.seal()
            segment = self._segments[base] = Segment(
                self.path, base, created_ms=self._directory.clock.wall_ms()
            )
        size = header.length + LOG_OVERHEAD
        if position >= segment.size:
            segment.note(header, header.base_offset, position, size, self._config.index_interval_bytes)
        segment.synced = min(segment.synced, position)
        segment.size = max(segment.size, position + size)
        segment.written = segment.size
        self._end = max(self._end, entry.next_offset)
        self._record(header)

    def _record(self, header: BatchHeader) -> None:
        if header.base_offset < self._covered:
            return
        if header.partition_leader_epoch > self._epochs.latest:
            self._epochs.assign(header.partition_leader_epoch, header.base_offset)
        if header.producer_id >= 0:
            self._producers.record(header, header.base_offset, header.last_offset)

    def _flush_run(self) -> Steps[None]:
        if not self._run:
            return
        path = f"{self.path}/{file_name(self._run_base)}"
        file = self._directory.pool.get(path, create=True, pin=True)
        yield
        file.pwritev(self._run, self._run_start)
        self._run = []
        yield

    def _verify(self, entry: Entry) -> Steps[None]:
        """A direct-synced range must be there, whole: it was acknowledged."""
        offset = entry.base_offset
        for position, header in self._batches(
            entry.segment_base, entry.position, entry.position + entry.length
        ):
            if header.base_offset < offset or header.next_offset > entry.next_offset:
                raise CorruptionError(
                    f"{self.path}/{file_name(entry.segment_base)}",
                    position,
                    f"batch {header.base_offset}..{header.next_offset} where offset {offset} was expected",
                )
            offset = header.next_offset
            self._note(entry, header, entry.segment_base, position)
            yield
        if offset != entry.next_offset:
            raise CorruptionError(
                f"{self.path}/{file_name(entry.segment_base)}", entry.position, f"offset {offset} is missing"
            )

    def _verify_to(self, entry: Entry) -> Steps[None]:
        """Everything up to `entry` was synced in the segments: walk from where the point ended."""
        while self._end < entry.next_offset:
            base = max((base for base in self._segments), default=0)
            segment = self._segments.get(base)
            position = segment.size if segment else 0
            before = self._end
            if segment is not None and base != entry.segment_base and self._file_bytes(base) == position:
                base = self._end  # the next segment begins where this one ends
                position = 0
            limit = entry.position if base == entry.segment_base else self._file_bytes(base)
            for at, header in self._batches(base, position, limit):
                if header.base_offset < self._end:
                    break
                self._note(entry._replace(next_offset=header.next_offset), header, base, at)
                yield
            if self._end == before:
                raise CorruptionError(
                    f"{self.path}/{file_name(base)}", position, f"offset {self._end} is missing"
                )

    def _file_bytes(self, base: int) -> int:
        path = f"{self.path}/{file_name(base)}"
        return self._directory.vfs.file_size(path) if self._directory.vfs.exists(path) else 0

    def _batches(self, base: int, start: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
        """Every batch in a byte range, CRC checked. Raises CorruptionError."""
        path = f"{self.path}/{file_name(base)}"
        if not self._directory.vfs.exists(path):
            raise CorruptionError(path, start, "the segment is missing")
        file = self._directory.pool.get(path)
        position = start
        while position < end:
            data = file.pread(HEADER_SIZE, position)
            try:
                header = parse_header(data)
                size = header.length + LOG_OVERHEAD
                if position + size > end:
                    raise CorruptionError(
                        path, position, f"a batch of {size} bytes where {end - position} are left"
                    )
                check_crc(file.pread(size, position), header)
            except InvalidBatchError as error:
                raise CorruptionError(path, position, str(error)) from error
            yield position, header
            position += size

    def _cut(self, entry: Entry) -> Steps[None]:
        """A truncation that was announced in the journal: do it (again)."""
        directory = self._directory
        for base in sorted((base for base in self._segments if base > entry.segment_base), reverse=True):
            yield from directory.remove_segment_steps(self._segments.pop(base))
        segment = self._segments.get(entry.segment_base)
        path = f"{self.path}/{file_name(entry.segment_base)}"
        if directory.vfs.exists(path) and directory.vfs.file_size(path) > entry.position:
            file = directory.pool.get(path)
            file.truncate(entry.position)
            yield
            file.datasync()
            yield
        if segment is not None:
            segment.cut(entry.position, entry.next_offset, directory.maps)
        self._end = entry.next_offset
        self._covered = min(self._covered, entry.next_offset)
        self._producers.truncate_to(entry.next_offset)
        self._epochs.truncate_end(entry.next_offset)

    def _walk_tail(self, files: list[int]) -> Steps[None]:
        """A page-cache topic keeps what survived: every whole batch behind the durable end, in order."""
        entry = Entry(self._topic_id.bytes, self._index, SYNCED, -1, 0, 0, 0, 0, 0, 0, 0)
        bases = sorted(set(files) | set(self._segments))
        first = max((base for base in bases if base <= self._end), default=None)
        for base in [base for base in bases if first is not None and base >= first]:
            segment = self._segments.get(base)
            position = segment.size if segment else 0
            if segment is None and base != self._end:
                return
            end = self._file_bytes(base)
            file = self._directory.pool.get(f"{self.path}/{file_name(base)}") if end else None
            while file is not None and position + HEADER_SIZE <= end:
                try:
                    header = parse_header(file.pread(HEADER_SIZE, position))
                    if header.base_offset < self._end or position + header.size_bytes > end:
                        return
                    check_crc(file.pread(header.size_bytes, position), header)
                except InvalidBatchError:
                    return
                self._note(entry._replace(next_offset=header.next_offset), header, base, position)
                position += header.size_bytes
                yield

    def _remove_rest(self, start: int) -> Steps[None]:
        """Remove what was never acknowledged, and what retention had given up."""
        directory = self._directory
        vfs = directory.vfs
        removed = False
        for base in reversed(list_bases(vfs, self.path)):
            if base not in self._segments:
                yield from directory.remove_segment_steps(Segment(self.path, base))
                removed = True
        for name in vfs.listdir(self.path):
            if name.endswith((".deleted", ".tmp")):
                vfs.unlink(f"{self.path}/{name}")
                removed = True
        if removed:
            vfs.sync_dir(self.path)
            yield
        for base in sorted(self._segments):
            segment = self._segments[base]
            actual = self._file_bytes(base)
            if actual > segment.size:
                self.cut_bytes += actual - segment.size
                file = directory.pool.get(segment.path)
                file.truncate(segment.size)
                yield
                file.datasync()
                yield

    def _finish(self, start: int, *, exists: bool) -> Log:
        segments = [self._segments[base] for base in sorted(self._segments)]
        if segments and start > self._end:
            raise CorruptionError(self.path, 0, f"the log starts at {start} and ends before, at {self._end}")
        while len(segments) > 1 and segments[1].base_offset <= start:
            del segments[0]
        for segment in segments[:-1]:
            segment.sealed = True
        log = Log(
            self._directory,
            self.path,
            self._topic,
            self._index,
            self._topic_id,
            self._config,
            start_offset=start,
            end_offset=max(self._end, start),
            segments=segments or None,
            producers=self._producers,
            epochs=self._epochs,
        )
        self._epochs.truncate_start(start)
        log.created = exists
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
