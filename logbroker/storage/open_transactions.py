"""The transactions of one partition that hold its last stable offset down.

A transaction begins with its producer's first batch and is *open* until a marker ends it. It stays *unstable* until that marker is
durable: before that, what a crash leaves of it may be open again, so nobody may have read it as committed. The first unstable
offset is where the earliest of both kinds begins; readers of committed records see what lies below.

Batches of other producers don't come here, nor do a transaction's later ones. All is O(1) a transaction. Loop thread, or a
recovery's lane.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

from logbroker.storage.producer_entry import NO_OFFSET


class OpenTransactions:
    """See the module.

    Args:
        opened: (first offset, producer id) of those that are open to begin with.

    """

    __slots__ = ("_ended", "_open", "_unstable")

    def __init__(self, opened: Iterable[tuple[int, int]] = ()) -> None:
        self._open: OrderedDict[int, int] = OrderedDict(sorted(opened))
        """Producer id of every open one, by first offset; the earliest first."""
        self._unstable: OrderedDict[int, None] = OrderedDict.fromkeys(self._open)
        """First offset of every one that is open or has ended, in order."""
        self._ended: deque[tuple[int, int]] = deque()
        """(offset of the marker, first offset) of those that have ended, in order of the markers."""

    def __len__(self) -> int:
        return len(self._unstable)

    def begin(self, first_offset: int, producer_id: int) -> None:
        """A transaction begins at the log's end."""
        self._open[first_offset] = producer_id
        self._unstable[first_offset] = None

    def end(self, first_offset: int, marker_offset: int) -> None:
        """The transaction that began at `first_offset` is ended by a marker at the log's end."""
        if self._open.pop(first_offset, None) is not None:
            self._ended.append((marker_offset, first_offset))

    @property
    def first_open_offset(self) -> int:
        """Where the earliest open one begins; `NO_OFFSET`: none is open."""
        return next(iter(self._open), NO_OFFSET)

    def first_unstable_offset(self, durable_end: int) -> int:
        """Where the earliest unstable one begins, all below `durable_end` being durable; `NO_OFFSET`: there is none."""
        ended = self._ended
        while ended and ended[0][0] < durable_end:
            self._unstable.pop(ended.popleft()[1], None)
        return next(iter(self._unstable), NO_OFFSET)
