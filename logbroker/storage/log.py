"""The log of one partition: offsets, segments, and what may be seen of them.

    start_offset <= durable_end <= end_offset

Batches between `durable_end` and `end_offset` are appended but may not be acknowledged or served yet. The log belongs to
the event loop and does no I/O of its own: it assigns offsets and positions and hands each append to its host
(`CommitPath` of a log directory, or memory), which makes it durable and moves `durable_end`.

What is read of it is in `log_reading.py`. No await, and no other append, can come between assigning an offset and queueing the bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any
from uuid import UUID
from zlib import crc32

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.config.topic import TopicConfig
from logbroker.records.batch import CONTROL_MASK, LOG_OVERHEAD, BatchHeader, stamp
from logbroker.storage.append import JournalItem
from logbroker.storage.index import MapCache
from logbroker.storage.journal_format import BATCH
from logbroker.storage.leader_epochs import LeaderEpochs
from logbroker.storage.log_host import LogHost
from logbroker.storage.log_reading import ReadableLog, segment_base
from logbroker.storage.producer_state import DuplicateOf, ProducerStates
from logbroker.storage.segment import MAX_RELATIVE_OFFSET, Segment
from logbroker.storage.transactions import note_marker

_DUPLICATE = 100
"""Kind of an item that waits for a batch which is already on its way; it is never written."""


class Log(ReadableLog):
    """One partition's log; every method on the loop."""

    __slots__ = (
        "_duplicates",
        "announced_start",
        "compacted",
        "config",
        "created",
        "cuts",
        "deleted",
        "dirty",
        "epochs",
        "first_dirty",
        "fresh",
        "held",
        "host",
        "index",
        "last_flush_ms",
        "on_advance",
        "on_quiet",
        "page_cache",
        "page_cache_unsaid",
        "path",
        "producers",
        "queued_bytes",
        "read_ms",
        "reads_noted",
        "refused",
        "roll_ms",
        "segment_bytes_max",
        "swapping",
        "topic",
        "topic_bytes",
        "topic_id",
        "topic_id_bytes",
        "truncating",
        "uncleanable",
        "unflushed_records",
    )

    def __init__(
        self,
        host: LogHost,
        path: str,
        topic: str,
        index: int,
        topic_id: UUID,
        config: TopicConfig,
        *,
        start_offset: int = 0,
        end_offset: int = 0,
        segments: list[Segment] | None = None,
        producers: ProducerStates | None = None,
        epochs: LeaderEpochs | None = None,
    ) -> None:
        self.host = host
        self.path = path
        self.topic = topic
        self.topic_bytes = topic.encode()
        self.index = index
        self.name = f"{topic}-{index}"
        self.topic_id = topic_id
        self.topic_id_bytes = topic_id.bytes
        self.start_offset = start_offset
        self.announced_start = start_offset
        """Where the log will start when the journal entries that say so are durable."""
        self.end_offset = end_offset
        self.durable_end = end_offset
        self.segments = segments or [Segment(path, end_offset, created_ms=host.clock.wall_ms())]
        active = self.segments[-1]
        self.durable_segment = active.base_offset
        self.durable_position = active.size
        self.producers = producers or ProducerStates()
        self.epochs = epochs or LeaderEpochs()
        self.held: list[JournalItem] | None = None
        """Appends that wait for a direct sync of this partition, in order; None while there is none."""
        self.queued_bytes = 0
        self.reads = 0
        self.reads_noted = 0
        self.read_ms = 0
        """When the count of reads was last seen to have moved: see `Checkpointer.keeps_cached`."""
        self.dirty = False
        self.page_cache = False
        """Appends are acknowledged from the page cache (the state; `config` says what it should become)."""
        self.page_cache_unsaid = False
        """The journal must say so again before anything is acknowledged: its last word is a truncation."""
        self.truncating = False
        """The end is being cut off: nothing may be appended."""
        self.swapping = False
        """Compaction is putting a segment in the place of others."""
        self.cuts = 0
        """How often the end was cut off."""
        self.compacted = False
        """Compaction has been here: offsets may be missing anywhere."""
        self.first_dirty = 0
        """Compaction has cleaned everything below at least once."""
        self.uncleanable = ""
        """Why compaction leaves the partition alone until the next start."""
        self.deleted = False
        self.fresh = False
        """Made in this life: nothing that an earlier one left can lie in its files."""
        self.created = False
        """Whether the partition's directory exists (its name may not be durable yet)."""
        self.refused = ""
        """Why recovery refused the partition; kept in every checkpoint until somebody repairs it."""
        self.on_advance: Callable[[Log], None] | None = None
        self.on_quiet: list[Callable[[], None]] = []
        """Called once when no direct sync of the partition is under way any more."""
        self.unflushed_records = 0
        self.last_flush_ms = 0
        self.segment_bytes_max = 1 << 31
        """The host's own bound on a segment, beside `segment.bytes`."""
        self._refusal = None
        self._duplicates: list[JournalItem] = []
        self.configure(config)

    def configure(self, config: TopicConfig) -> None:
        """Follow a changed topic configuration; the flush policy's change is the host's business."""
        self.config = config
        # Kafka draws the jitter anew for each segment. Drawn from the name, it spreads partitions as well, and can be repeated.
        segment_ms = config.segment_ms
        if config.compacted:  # a record can't be compacted before its segment is closed
            segment_ms = min(segment_ms, config.max_compaction_lag_ms)
        jitter_ms = min(config.segment_jitter_ms, segment_ms)
        self.roll_ms = segment_ms - (crc32(self.name.encode()) % (jitter_ms + 1) if jitter_ms else 0)
        self._limit(self.segments[-1])

    def _limit(self, segment: Segment) -> None:
        config = self.config
        segment.limit(
            min(config.segment_size_bytes, self.segment_bytes_max), config.segment_index_bytes // 12
        )

    # Appending

    def append(
        self,
        buffer: bytearray | memoryview,
        header: BatchHeader,
        leader_epoch: int,
        on_done: Callable[[JournalItem], None] | None = None,
        waiter: Any = None,
    ) -> JournalItem:
        """Give a proven batch the next offsets and queue it; `on_done(item)` when it is durable, or never will be.

        `buffer` is stamped in place and belongs to the log from here on. A batch that the partition already has (the
        same producer, epoch and sequence) isn't appended again: the item carries the first one's offsets, and waits
        for that one's durability.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR, or what the producer's sequence asks for.

        """
        if self._refusal is not None:
            raise self._refusal
        refusal = self.host.refuse_append(self)
        if refusal is not None:
            raise refusal
        now_ms = 0
        if header.producer_id >= 0:
            now_ms = self.host.clock.wall_ms()
            if not header.attributes & CONTROL_MASK:
                duplicate = self.producers.check(header, now_ms)
                if duplicate is not None:
                    return self._duplicate(duplicate, on_done, waiter)
        base_offset = self.end_offset
        next_offset = base_offset + header.last_offset_delta + 1
        stamp(buffer, base_offset, leader_epoch)
        size = header.length + LOG_OVERHEAD
        segment = self.segments[-1]
        if (
            segment.size + size > segment.roll_at
            or header.max_timestamp - segment.roll_after > self.roll_ms
            or next_offset - segment.base_offset > MAX_RELATIVE_OFFSET
        ):
            segment = self._maybe_roll(segment, size, next_offset, header.max_timestamp)
        position = segment.size
        item = JournalItem(
            BATCH,
            self,
            leader_epoch,
            segment.base_offset,
            position,
            base_offset,
            base_offset,
            next_offset,
            size,
            header.crc,
            buffer,
            on_done,
            waiter,
        )
        segment.note(header, base_offset, position, size, self.config.index_interval_bytes)
        segment.tail.append(item)
        segment.size = position + size
        self.end_offset = next_offset
        if leader_epoch > self.epochs.latest:
            self.epochs.assign(leader_epoch, base_offset)
        if header.producer_id >= 0:
            if header.attributes & CONTROL_MASK:
                segment.note_aborted(note_marker(self.producers, header, buffer, base_offset, now_ms))
            else:
                self.producers.record(header, base_offset, next_offset - 1, now_ms)
        self.queued_bytes += size
        self.host.enqueue(item)
        return item

    def _duplicate(
        self, first: DuplicateOf, on_done: Callable[[JournalItem], None] | None, waiter: Any
    ) -> JournalItem:
        next_offset = first.last_offset + 1
        item = JournalItem(
            _DUPLICATE, self, -1, 0, 0, 0, first.base_offset, next_offset, 0, on_done=on_done, waiter=waiter
        )
        item.append_time_ms = first.append_time_ms
        self._duplicates.append(item)
        if next_offset <= self.durable_end:
            self.host.enqueue(item)  # answered in its turn, like any other
        return item

    def _maybe_roll(self, segment: Segment, size: int, next_offset: int, timestamp: int) -> Segment:
        """Begin a new segment if the active one is full, old by its records' own time, or out of offsets for its indexes."""
        if segment.size == 0:
            return segment
        full = segment.size + size > segment.roll_at
        full = full or next_offset - segment.base_offset > MAX_RELATIVE_OFFSET
        old = timestamp - segment.roll_after > self.roll_ms
        return self.roll() if full or old else segment

    def roll(self) -> Segment:
        """Seal the active segment and begin the next at the log's end."""
        active = self.segments[-1]
        active.seal()
        segment = Segment(self.path, self.end_offset, created_ms=self.host.clock.wall_ms())
        self._limit(segment)
        self.segments.append(segment)
        self.host.rolled(self)
        return segment

    def roll_if_due(self, now_ms: int) -> bool:
        """Roll an active segment whose records are older than `segment.ms` by the wall clock."""
        active = self.segments[-1]
        if active.size == 0 or now_ms - active.roll_after <= self.roll_ms:
            return False
        self.roll()
        return True

    # Durability

    def made_durable(self, next_offset: int, segment_base: int, position: int) -> None:
        """Everything below `next_offset` may be acknowledged; it ends at `position` of that segment."""
        if next_offset <= self.durable_end:
            return
        self.durable_end = next_offset
        self.durable_segment = segment_base
        self.durable_position = position
        if self._duplicates:
            self.settle_duplicates()

    def settle_duplicates(self) -> None:
        """Answer the duplicates whose first batch is durable now."""
        waiting, self._duplicates = self._duplicates, []
        for item in waiting:
            if item.next_offset > self.durable_end:
                self._duplicates.append(item)
            elif item.on_done is not None:
                item.on_done(item)

    def refuse(self, error: BrokerError) -> None:
        """From now on every append and read gets `error`; waiting duplicates too."""
        self._refusal = error
        waiting, self._duplicates = self._duplicates, []
        for item in waiting:
            item.error = error.code
            if item.on_done is not None:
                item.on_done(item)

    # Trimming

    def delete_records(self, offset: int, on_done: Callable[[ErrorCode], None]) -> None:
        """Move the log's start to `offset` (never back), durably; then `on_done(code)`.

        Raises BrokerError: OFFSET_OUT_OF_RANGE above what is durable, KAFKA_STORAGE_ERROR.
        """
        if self._refusal is not None:
            raise self._refusal
        if offset > self.durable_end or offset < 0:
            raise BrokerError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"offset {offset} is above the high watermark {self.durable_end}",
            )
        if offset <= self.start_offset:
            on_done(ErrorCode.NONE)
            return
        self.host.advance_start(self, offset, on_done)

    def drop_below(self, offset: int) -> list[Segment]:
        """The start is `offset` now: forget the segments that lie wholly below, and return them."""
        self.start_offset = max(self.start_offset, offset)
        segments = self.segments
        count = 0
        while count + 1 < len(segments) and segments[count + 1].base_offset <= self.start_offset:
            count += 1
        dropped = segments[:count]
        del segments[:count]
        self.epochs.truncate_start(self.start_offset)
        return dropped

    def cut_to(
        self, base: int, position: int, end_offset: int, maps: MapCache
    ) -> tuple[Segment, list[Segment], int, bool]:
        """The log ends at `end_offset` now, `position` bytes into the segment at `base`; the journal says so already.

        Returns:
            The active segment, the segments whose files are to be removed, the bytes that left memory, and
            whether the producers' state is still whole.

        """
        segments = self.segments
        at = bisect_right(segments, base, key=segment_base) - 1
        segment = segments[at]
        removed = segments[at + 1 :]
        tails = sum(item.size for part in segments[at:] for item in part.tail)
        del segments[at + 1 :]
        for gone in removed:
            gone.tail = []
            gone.dropped = True
        segment.cut(position, end_offset, maps)
        self._limit(segment)
        self.cuts += 1
        self.end_offset = end_offset
        self.durable_end = min(self.durable_end, end_offset)
        self.durable_segment = segment.base_offset
        self.durable_position = position
        self.epochs.truncate_end(end_offset)
        self.first_dirty = min(self.first_dirty, end_offset)
        waiting, self._duplicates = self._duplicates, []
        for item in waiting:
            if item.next_offset <= end_offset:
                self._duplicates.append(item)
            elif item.on_done is not None:
                item.error = ErrorCode.NOT_LEADER_OR_FOLLOWER
                item.on_done(item)
        return (
            segment,
            removed,
            tails - sum(item.size for item in segment.tail),
            self.producers.truncate_to(end_offset),
        )

    @property
    def size_bytes(self) -> int:
        """Bytes in all segments."""
        return sum(segment.size for segment in self.segments)

    def __repr__(self) -> str:
        return f"<log {self.name} {self.start_offset}..{self.durable_end}..{self.end_offset}>"


def storage_error(log: Log, reason: str) -> StorageOfflineError:
    """The error of every request to a log whose directory failed."""
    return StorageOfflineError(f"{log.name}: {reason}")
