"""How far a log's start may move: retention by time and by size, as a pure function of what the log looks like.

Kafka's rules: whole segments only, oldest first, never past what is durable; by time, a segment goes when its *newest* record
is older than `retention.ms`; by size, while the rest still holds `retention.bytes`. The active segment goes too when it is
that old, or nothing need be held (the log then begins a new one at its end).
"""

from __future__ import annotations

from logbroker.storage.log import Log


def retained_start(log: Log, now_ms: int) -> int:
    """The offset that the log may start at now; its present start if nothing is due.

    Every segment's `max_timestamp` must be known (`Segment.load_times`); one that isn't stays.
    """
    config = log.config
    if "delete" not in config.cleanup_policy:
        return log.start_offset
    start = log.start_offset
    size_bytes = log.size_bytes
    segments = log.segments
    for at, segment in enumerate(segments):
        last = at + 1 == len(segments)
        following = log.end_offset if last else segments[at + 1].base_offset
        if following > log.durable_end or (last and not segment.size):
            break
        newest = segment.max_timestamp if segment.max_timestamp >= 0 else segment.created_ms
        old = config.retention_ms >= 0 and segment.times_known and now_ms - newest > config.retention_ms
        excess = config.retention_bytes >= 0 and size_bytes - segment.size >= config.retention_bytes
        if not old and not excess:
            break
        size_bytes -= segment.size
        start = max(start, following)
    return start
