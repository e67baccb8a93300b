"""The memory that all requests share, half-received ones included (`queued.max.request.bytes`).

Requests that a handler has get done, so what they hold comes back by itself. What half-received frames hold doesn't: their
peers may be stuck, or mean it. Five rules keep anybody from waiting for them who need not:

1. Frames go in three *lanes*, by their length: small, ordinary (a producer's full batch), large. Each lane has a share of
   the limit that the others can't take, so large frames that are stuck harm large frames only. Of the small lane's
   share, frames that aren't whole get a part; the rest is left to requests that came whole.
2. A frame that is cut asks once, for all of its length, when its first bytes are there. Nobody holds some and waits for
   more, so they can't wait for each other. (The memory itself is taken later, as the bytes come.)
3. Who finds no room waits in its lane: first come, first served.
4. Small requests may use what the other lanes leave, as long as nobody waits there; they give it back soon.
5. A frame that has its room and makes no progress while its lane has others waiting is given up (see `Server.sweep`).

A frame longer than its lane's share gets through when it is alone there; so the sum stays below the limit plus one frame
(plus one a lane, where the limit is so small that other lanes' frames don't fit their shares either).

Loop thread only; no clock, no I/O.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from logbroker.net.limits import ORDINARY_FRAME_BYTES, RECEIVE_BYTES, SMALL_FRAME_BYTES

SHARE_DIVISOR: Final = 16
"""Shares are whole sixteenths of the limit."""
SHARES: Final = {"small": 6, "ordinary": 6, "large": 4}
"""What each lane has for itself, in sixteenths of the limit."""
SMALL_CUT_SHARE: Final = 2
"""What small frames that aren't whole may take of their lane's share, in sixteenths of the limit."""


class BudgetWaiter(Protocol):
    """Who waits for memory."""

    def budget_granted(self) -> None:
        """Go on: the frame has its room, or reading does."""
        ...


class Lane:
    """Frames of one kind.

    Attributes:
        name: For people.
        share_bytes: What no other lane can take.
        cut_max_bytes: What frames that aren't whole may hold of it.
        used_bytes: What frames of this lane hold, whole ones and cut ones.
        cut_bytes: What cut ones hold of that.
        queue: Cut frames without room, and the length of each.
    """

    __slots__ = ("cut_bytes", "cut_max_bytes", "name", "queue", "share_bytes", "used_bytes")

    def __init__(self, name: str, share_bytes: int, cut_max_bytes: int) -> None:
        self.name = name
        self.share_bytes = share_bytes
        self.cut_max_bytes = cut_max_bytes
        self.used_bytes = 0
        self.cut_bytes = 0
        self.queue: OrderedDict[BudgetWaiter, int] = OrderedDict()

    @property
    def counted_bytes(self) -> int:
        """What the lane takes of the limit: a frame that is longer than its share counts as long as the share."""
        return min(self.used_bytes, self.share_bytes)


class RequestBudget:
    """The lanes, and who waits for them.

    Args:
        limit_bytes: None for no limit.
        wake: Called when memory came back and someone waits; arranges for `hand_out` to run soon, once.

    Attributes:
        small, ordinary, large: The lanes.
        waiting: How many wait; while there are any, reads are short ones, as what they bring can't be refused any more.
        buffers_bytes: Memory really taken by frames that aren't dispatched yet. Not part of the arithmetic.
    """

    __slots__ = (
        "_readers",
        "_wake",
        "buffers_bytes",
        "large",
        "limit_bytes",
        "ordinary",
        "small",
        "waiting",
    )

    def __init__(self, limit_bytes: int | None, wake: Callable[[], None]) -> None:
        self.limit_bytes = sys.maxsize if limit_bytes is None else limit_bytes
        shares = {name: self.limit_bytes * parts // SHARE_DIVISOR for name, parts in SHARES.items()}
        self.small = Lane("small", shares["small"], self.limit_bytes * SMALL_CUT_SHARE // SHARE_DIVISOR)
        self.ordinary = Lane("ordinary", shares["ordinary"], shares["ordinary"])
        self.large = Lane("large", shares["large"], shares["large"])
        self.buffers_bytes = 0
        self.waiting = 0
        self._wake = wake
        self._readers: OrderedDict[BudgetWaiter, int] = OrderedDict()

    @property
    def lanes(self) -> tuple[Lane, Lane, Lane]:
        """All of them."""
        return self.small, self.ordinary, self.large

    def lane_of(self, frame_bytes: int) -> Lane:
        """Where a frame of that length goes."""
        if frame_bytes <= SMALL_FRAME_BYTES:
            return self.small
        return self.ordinary if frame_bytes <= ORDINARY_FRAME_BYTES else self.large

    @property
    def used_bytes(self) -> int:
        """What is promised now to requests in flight, to held ones and to those half received."""
        return self.small.used_bytes + self.ordinary.used_bytes + self.large.used_bytes

    @property
    def exhausted(self) -> bool:
        """Whether whoever wants to read another request must queue; asked before every read."""
        small = self.small
        return bool(self._readers) or (small.used_bytes >= small.share_bytes and not self._may_borrow(0))

    def waiting_in(self, lane: Lane) -> int:
        """How many wait for room in `lane`."""
        return len(lane.queue) + (len(self._readers) if lane is self.small else 0)

    def wanted_bytes(self, lane: Lane) -> int:
        """What those who wait for room in `lane` would take."""
        wanted_bytes = sum(lane.queue.values())
        return wanted_bytes + sum(self._readers.values()) if lane is self.small else wanted_bytes

    # ---- asking ----

    def ask(self, waiter: BudgetWaiter, frame_bytes: int) -> bool:
        """Want room for a frame that isn't whole.

        Returns:
            Whether there is; if not, `waiter.budget_granted()` follows.
        """
        self._stop_waiting(waiter, self._readers)
        lane = self.lane_of(frame_bytes)
        if not lane.queue and self._has_room(lane, frame_bytes):
            self._take(lane, frame_bytes)
            return True
        lane.queue[waiter] = frame_bytes
        self.waiting += 1
        self._wake()
        return False

    def wait_to_read(self, waiter: BudgetWaiter) -> None:
        """Queue a connection that may read again when there is room for small requests."""
        if waiter not in self._readers:
            self._readers[waiter] = RECEIVE_BYTES
            self.waiting += 1

    def is_queued(self, waiter: BudgetWaiter) -> bool:
        """Whether it is the budget that `waiter` waits for."""
        return waiter in self._readers or any(waiter in lane.queue for lane in self.lanes)

    def forget(self, waiter: BudgetWaiter) -> None:
        """`waiter` wants nothing any more."""
        self._stop_waiting(waiter, self._readers)
        for lane in self.lanes:
            self._stop_waiting(waiter, lane.queue)
        if self.waiting:
            self._wake()

    def _stop_waiting(self, waiter: BudgetWaiter, queue: OrderedDict[BudgetWaiter, int]) -> None:
        if queue.pop(waiter, None) is not None:
            self.waiting -= 1

    # ---- taking and giving back ----

    def charge(self, size_bytes: int) -> None:
        """Count whole frames: of a request that is dispatched, or held back."""
        lane = self.small if size_bytes <= SMALL_FRAME_BYTES else self.lane_of(size_bytes)
        lane.used_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give back what whole frames held: the request is answered, or not held back any longer."""
        lane = self.small if size_bytes <= SMALL_FRAME_BYTES else self.lane_of(size_bytes)
        lane.used_bytes -= size_bytes
        if self.waiting:
            self._wake()

    def give_back_cut(self, frame_bytes: int) -> None:
        """Give back the room that a cut frame had: it is whole, or given up."""
        lane = self.lane_of(frame_bytes)
        lane.cut_bytes -= frame_bytes
        lane.used_bytes -= frame_bytes
        if self.waiting:
            self._wake()

    def hand_out(self) -> bool:
        """Let those go on for whom there is room.

        Readers are taken to use a whole read each, though nothing is counted before it came.

        Returns:
            Whether to call again shortly: readers still wait, and there may be room once it is known what those that
            went on have read.
        """
        while self._grant_one(self.large) or self._grant_one(self.ordinary):
            pass
        presumed_bytes = 0
        moved = True
        while moved:  # in turns: neither cut small frames nor whole ones starve the others
            moved = self._grant_one(self.small)
            if self._readers and self._may_read(presumed_bytes):
                reader, _ = self._readers.popitem(last=False)
                self.waiting -= 1
                presumed_bytes += RECEIVE_BYTES
                reader.budget_granted()
                moved = True
        return bool(self._readers) and presumed_bytes > 0

    # ---- the rules ----

    def _grant_one(self, lane: Lane) -> bool:
        if not lane.queue:
            return False
        waiter, frame_bytes = next(iter(lane.queue.items()))
        if not self._has_room(lane, frame_bytes):
            return False
        del lane.queue[waiter]
        self.waiting -= 1
        self._take(lane, frame_bytes)
        waiter.budget_granted()
        return True

    @staticmethod
    def _take(lane: Lane, frame_bytes: int) -> None:
        lane.cut_bytes += frame_bytes
        lane.used_bytes += frame_bytes

    def _has_room(self, lane: Lane, frame_bytes: int) -> bool:
        if lane.cut_bytes and lane.cut_bytes + frame_bytes > lane.cut_max_bytes:
            return False
        if lane is self.small:
            return self._may_read(0)
        if lane.used_bytes and lane.used_bytes + frame_bytes > lane.share_bytes:
            return False
        # Small requests may have borrowed what is this lane's; with somebody waiting here they give it back.
        counted_bytes = min(lane.used_bytes + frame_bytes, lane.share_bytes) - lane.counted_bytes
        return self._counted_bytes() + counted_bytes <= self.limit_bytes

    def _may_read(self, presumed_bytes: int) -> bool:
        small = self.small
        return small.used_bytes + presumed_bytes < small.share_bytes or self._may_borrow(presumed_bytes)

    def _may_borrow(self, presumed_bytes: int) -> bool:
        """Whether small requests may go over their share."""
        if self.ordinary.queue or self.large.queue:
            return False
        return self._counted_bytes() + presumed_bytes < self.limit_bytes

    def _counted_bytes(self) -> int:
        return self.small.used_bytes + self.ordinary.counted_bytes + self.large.counted_bytes
