"""Which leader wrote which offsets: the epochs of a partition and where each began (KIP-101).

A follower, or a consumer that saw another leader, asks where an epoch ended; the answer is the start of the next larger one.
Kafka's `leader-epoch-checkpoint` text file shows the same list to people and tools; the durable truth is in the
directory's checkpoint and in the batches themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

EPOCH_FILE: Final = "leader-epoch-checkpoint"
NOT_SHOWN: Final = -2
"""Below every epoch, and below -1, which stands for none."""


class LeaderEpochs:
    """(epoch, start offset) pairs, both ascending."""

    __slots__ = ("entries", "latest", "shown")

    def __init__(self, entries: list[tuple[int, int]] | None = None) -> None:
        self.entries = entries or []
        self.latest = self.entries[-1][0] if self.entries else -1
        self.shown = self.latest
        """The latest epoch that Kafka's text file shows."""

    def assign(self, epoch: int, start_offset: int) -> None:
        """Batches from `start_offset` on carry `epoch`; an epoch that never wrote anything is forgotten."""
        if epoch <= self.latest:
            return
        while self.entries and self.entries[-1][1] >= start_offset:
            self.entries.pop()
        self.entries.append((epoch, start_offset))
        self.latest = epoch

    def end_offset(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(largest known epoch not above `epoch`, where it ends), (-1, -1) if there is none."""
        at = bisect_right(self.entries, epoch, key=lambda entry: entry[0]) - 1
        if at < 0:
            return -1, -1
        end = self.entries[at + 1][1] if at + 1 < len(self.entries) else log_end_offset
        return self.entries[at][0], end

    def epoch_of(self, offset: int) -> int:
        """The epoch that wrote `offset`, -1 if unknown."""
        at = bisect_right(self.entries, offset, key=lambda entry: entry[1]) - 1
        return self.entries[at][0] if at >= 0 else -1

    def truncate_end(self, end_offset: int) -> None:
        """The log now ends at `end_offset`."""
        while self.entries and self.entries[-1][1] >= end_offset:
            self.entries.pop()
        self.latest = self.entries[-1][0] if self.entries else -1

    def truncate_start(self, start_offset: int) -> None:
        """The log now starts at `start_offset`: the epoch it falls into begins there."""
        while len(self.entries) > 1 and self.entries[1][1] <= start_offset:
            del self.entries[0]
        if self.entries and self.entries[0][1] < start_offset:
            self.entries[0] = (self.entries[0][0], start_offset)

    def text(self) -> bytes:
        """Kafka's `leader-epoch-checkpoint`: version, count, then an epoch and its start a line."""
        lines = ["0", str(len(self.entries)), *(f"{epoch} {start}" for epoch, start in self.entries)]
        return ("\n".join(lines) + "\n").encode("ascii")
