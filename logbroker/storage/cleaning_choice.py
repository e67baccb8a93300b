"""Which log compaction takes next, and how much of it: Kafka's rules, as pure functions of what logs look like.

A log is split in three: what an earlier pass has cleaned, the *dirty* part behind it, and what can't be cleaned yet: the active segment,
everything from the first open transaction on, whatever is younger than `min.compaction.lag.ms`; and here also segments that no published
checkpoint knows as sealed, as the journal may still hold batches for them.

    ratio = dirty bytes / (cleaned + dirty bytes)

The log with the highest ratio above its `min.cleanable.dirty.ratio` is next, or one whose oldest dirty record is older than
`max.compaction.lag.ms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from logbroker.config.values import LONG_MAX
from logbroker.storage.log import Log
from logbroker.storage.segment import Segment
from logbroker.storage.transactions import last_stable_offset


class Dirtiness(NamedTuple):
    """What a pass over a log would do."""

    log: Log
    segments: list[Segment]
    """Those that it may read, from the log's first on."""
    first_dirty: int
    cleaned_bytes: int
    dirty_bytes: int
    overdue: bool
    """A dirty record is older than `max.compaction.lag.ms`."""

    @property
    def ratio(self) -> float:
        """The share of the log that was never cleaned."""
        total = self.cleaned_bytes + self.dirty_bytes
        return self.dirty_bytes / total if total else 0.0

    @property
    def due(self) -> bool:
        """Whether a pass is worth its while."""
        return self.dirty_bytes > 0 and (
            self.overdue or self.ratio > self.log.config.min_cleanable_dirty_ratio
        )


def needs_times(log: Log) -> bool:
    """Whether the age of records matters for this log: then its segments' times must be known before `assess`."""
    return log.config.min_compaction_lag_ms > 0 or log.config.max_compaction_lag_ms < LONG_MAX


def assess(log: Log, now_ms: int) -> Dirtiness:
    """Look at a log. Segments whose times count, and aren't known, count as too young and as not overdue."""
    config = log.config
    first_dirty = (
        log.first_dirty if log.start_offset <= log.first_dirty <= log.end_offset else log.start_offset
    )
    limit = last_stable_offset(log)
    segments: list[Segment] = []
    cleaned = dirty = 0
    overdue = False
    min_lag, max_lag = config.min_compaction_lag_ms, config.max_compaction_lag_ms
    for at, segment in enumerate(log.segments[:-1]):
        following = log.segments[at + 1].base_offset
        if following > limit or not is_settled(segment):
            break
        if following <= first_dirty:
            cleaned += segment.size
        else:
            if min_lag > 0 and (not segment.times_known or segment.max_timestamp > now_ms - min_lag):
                break
            dirty += segment.size
            if max_lag < LONG_MAX and segment.first_timestamp > 0:
                overdue = overdue or now_ms - max_lag > segment.first_timestamp
        segments.append(segment)
    return Dirtiness(log, segments, first_dirty, cleaned, dirty, overdue)


def is_settled(segment: Segment) -> bool:
    """Whether the segment is sealed, whole in its file, and a published checkpoint says so."""
    return (
        segment.sealed
        and segment.indexes_durable
        and segment.placed
        and not segment.dropped
        and not segment.tail
        and not segment.damage
        and segment.size == segment.written == segment.synced
    )


def dirtiest(candidates: Iterable[Dirtiness]) -> Dirtiness | None:
    """The one to clean next, None if none is due."""
    return max((one for one in candidates if one.due), key=lambda one: one.ratio, default=None)
