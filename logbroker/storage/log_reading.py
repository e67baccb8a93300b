"""What a log's segments say, up to what may be seen: batches by offset and by time.

    start_offset <= what is read < durable_end, or a reader's own bound below it

An offset that compaction has taken leads to the batch behind it, if need be in a later segment. Reads don't wait for the disk where
the `Reader` says so (`WouldBlockError`). Loop thread only.
"""

from __future__ import annotations

from bisect import bisect_right

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.records.batch import LOG_OVERHEAD, BatchHeader
from logbroker.storage.segment import Reader, Segment


class ReadableLog:
    """One partition's log as its readers see it; `Log` says what the fields mean, and fills them."""

    __slots__ = (
        "_refusal",
        "durable_end",
        "durable_position",
        "durable_segment",
        "end_offset",
        "name",
        "reads",
        "segments",
        "start_offset",
    )

    _refusal: BrokerError | None
    durable_end: int
    durable_position: int
    durable_segment: int
    end_offset: int
    name: str
    reads: int
    segments: list[Segment]
    start_offset: int

    @property
    def refusal(self) -> BrokerError | None:
        """Why the log can't be used, or None."""
        return self._refusal

    def segments_from(self, offset: int) -> list[Segment]:
        """Those that may hold offsets from this one on."""
        return self.segments[max(bisect_right(self.segments, offset, key=segment_base) - 1, 0) :]

    def read(
        self,
        offset: int,
        max_bytes: int,
        reader: Reader,
        *,
        to_end: bool = False,
        below: int | None = None,
        min_one: bool = True,
    ) -> list[Buffer]:
        """Batches from the one that holds `offset` on, at most `max_bytes` (the last may be cut short, as in Kafka).

        Serves up to `durable_end` or, if that is lower, to the batch that begins at `below`; with `to_end` up to the log's
        end. With `min_one` the first batch comes whole, however large. An empty list at the end of what may be served.

        Raises:
            BrokerError: OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
            WouldBlockError: see `Reader`.

        """
        if self._refusal is not None:
            raise self._refusal
        end = self.end_offset if to_end else self.durable_end
        if below is not None and below < end:
            end = below
        else:
            below = None
        if offset < self.start_offset or offset > end:
            if not self.start_offset <= offset <= self.end_offset:
                raise BrokerError(
                    ErrorCode.OFFSET_OUT_OF_RANGE,
                    f"offset {offset} of {self.name} is outside [{self.start_offset}, {end}]",
                )
            return []
        if offset == end:
            return []
        self.reads += 1
        segments = self.segments
        at = len(segments) - 1
        if offset < segments[at].base_offset:
            at = bisect_right(segments, offset, key=segment_base) - 1
        while at < len(segments):
            segment = segments[at]
            located = segment.locate(offset, reader)
            if located is not None:
                position, header = located
                limit = self._limit_of(segment, to_end=to_end)
                if below is not None and (at + 1 == len(segments) or segments[at + 1].base_offset > below):
                    cut = segment.locate(below, reader)
                    if cut is not None:
                        limit = min(limit, cut[0])
                if header.next_offset > end and position >= limit:
                    return []
                size = limit - position
                if size > max_bytes:
                    first = header.length + LOG_OVERHEAD
                    size = max(max_bytes, first) if min_one else max_bytes
                    if not min_one and first > max_bytes:
                        return []
                return segment.read(position, size, reader)
            at += 1
            if at < len(segments):
                offset = segments[at].base_offset
                if offset >= end:
                    return []
        return []

    def _limit_of(self, segment: Segment, *, to_end: bool) -> int:
        if to_end or segment.base_offset < self.durable_segment:
            return segment.size
        return self.durable_position if segment.base_offset == self.durable_segment else 0

    def find_timestamp(
        self, timestamp_ms: int, reader: Reader, from_offset: int = 0
    ) -> tuple[BatchHeader, list[Buffer]] | None:
        """The first durable batch with a record at or after `timestamp_ms`, whole; None if there is none.

        Batches that end before `from_offset`, or before the log's start, are passed over.
        """
        if self._refusal is not None:
            raise self._refusal
        from_offset = max(from_offset, self.start_offset)
        for segment in self.segments_from(from_offset):
            segment.load_times(reader)
            if segment.max_timestamp < timestamp_ms:
                continue
            found = segment.find_timestamp(timestamp_ms, reader, from_offset)
            if found is not None:
                position, header = found
                if position >= self._limit_of(segment, to_end=False):
                    return None
                return header, segment.read(position, header.length + LOG_OVERHEAD, reader)
        return None

    def max_timestamp_batch(self, reader: Reader) -> tuple[BatchHeader, list[Buffer]] | None:
        """The batch that holds the largest timestamp, whole; None in an empty log.

        It may not be durable yet: nobody may be told of it before. A segment whose largest timestamp was deleted (`delete_records`) doesn't compete.
        """
        if self._refusal is not None:
            raise self._refusal
        standing: list[Segment] = []
        for segment in self.segments:
            segment.load_times(reader)
            if segment.max_timestamp >= 0 and segment.max_timestamp_offset >= self.start_offset:
                standing.append(segment)
        if not standing:
            return None
        best = max(standing, key=lambda segment: segment.max_timestamp)
        located = best.locate(best.max_timestamp_offset, reader)
        if located is None:
            return None
        return located[1], best.read(located[0], located[1].length + LOG_OVERHEAD, reader)

    def locate_cut(self, offset: int, reader: Reader) -> tuple[int, int, int]:
        """(segment base, byte position, log end) of a cut at `offset`; at the base of the batch that holds it.

        Raises WouldBlockError, OSError, CorruptionError.
        """
        segment = self.segments[max(bisect_right(self.segments, offset, key=segment_base) - 1, 0)]
        located = segment.locate(offset, reader)
        if located is None:  # the segment's batches end before it: a gap that compaction left
            return segment.base_offset, segment.size, offset
        position, header = located
        return segment.base_offset, position, min(offset, header.base_offset)


def segment_base(segment: Segment) -> int:
    """Its base offset, as a key to search by."""
    return segment.base_offset
