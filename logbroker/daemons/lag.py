"""How far behind a group is in seconds: the time since its committed offset was the newest one.

Each scrape notes the high watermark of the partitions that groups have committed offsets in. When the watermark stood at
a group's offset is then found by interpolation between notes; before the first note, by the speed between the first and the
last. This costs no read of the log, and it is what `kafka-lag-exporter` does, whose metric name is used. Until two notes
differ nothing can be said.

Pure; at most `NOTES_MAX` notes a partition, and none for partitions that were not in the last scrape.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

NOTES_MAX: Final = 60

Key: TypeAlias = tuple[str, int]


class OffsetHistory:
    """When each partition's high watermark was where, by (topic, partition)."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[Key, deque[tuple[float, int]]] = {}

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, key: Key, now_s: float, high_watermark: int) -> None:
        """Note where the watermark is now."""
        notes = self._notes.get(key)
        if notes is None:
            notes = self._notes[key] = deque(maxlen=NOTES_MAX)
        if notes and (high_watermark < notes[-1][1] or now_s < notes[-1][0]):
            # Another topic of that name, or a clock set back: what was noted says nothing any more.
            notes.clear()
        if len(notes) >= 2 and notes[-1][1] == notes[-2][1] == high_watermark:
            # While nothing is appended two notes, of the first and the last moment, say it all.
            notes[-1] = (now_s, high_watermark)
        else:
            notes.append((now_s, high_watermark))

    def lag_s(self, key: Key, committed: int) -> float | None:
        """Seconds since the watermark stood at `committed`; 0 for a group that has caught up, None if it can't be told."""
        notes = self._notes.get(key)
        if not notes:
            return None
        last_s, last = notes[-1]
        if committed >= last:
            return 0.0
        later_s, later = last_s, last
        for earlier_s, earlier in reversed(notes):
            if earlier <= committed:
                # The last moment at which the watermark was at most the committed offset lies from here on.
                return last_s - _between(earlier_s, earlier, later_s, later, committed)
            later_s, later = earlier_s, earlier
        first_s, first = notes[0]
        if last == first or last_s == first_s:
            return None
        return last_s - _between(first_s, first, last_s, last, committed)

    def keep_only(self, keys: set[Key]) -> None:
        """Forget the partitions that no group has offsets in any more."""
        for key in [key for key in self._notes if key not in keys]:
            del self._notes[key]


def _between(earlier_s: float, earlier: int, later_s: float, later: int, offset: int) -> float:
    if later == earlier:
        return earlier_s
    return earlier_s + (later_s - earlier_s) * (offset - earlier) / (later - earlier)
