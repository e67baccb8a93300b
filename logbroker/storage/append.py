"""What waits for the journal: one object per appended batch or announced change, from the loop to the disk and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from logbroker.base.error_codes import ErrorCode
from logbroker.base.types import Buffer
from logbroker.storage.journal_format import BATCH

if TYPE_CHECKING:
    from logbroker.storage.log import Log


class JournalItem:
    """A batch on its way to durability (`kind` BATCH), or a control entry.

    The loop makes it and hears of it again through `on_done(item)`, with `error` set if it never will be durable;
    lanes only read it. Offsets are Kafka offsets; `position` and `size` are bytes in the segment file. Only an item that
    repeats a batch, and so has no size, has `append_time_ms`: see `producer_state.DuplicateOf`.
    """

    __slots__ = (
        "append_time_ms",
        "base_offset",
        "buffer",
        "crc",
        "error",
        "kind",
        "leader_epoch",
        "log",
        "next_offset",
        "on_done",
        "position",
        "previous_end",
        "segment_base",
        "size",
        "waiter",
    )

    append_time_ms: int

    def __init__(
        self,
        kind: int,
        log: Log,
        leader_epoch: int,
        segment_base: int,
        position: int,
        previous_end: int,
        base_offset: int,
        next_offset: int,
        size: int,
        crc: int = 0,
        buffer: Buffer = b"",
        on_done: Callable[[JournalItem], None] | None = None,
        waiter: Any = None,
    ) -> None:
        self.kind = kind
        self.log = log
        self.leader_epoch = leader_epoch
        self.segment_base = segment_base
        self.position = position
        self.previous_end = previous_end
        self.base_offset = base_offset
        self.next_offset = next_offset
        self.size = size
        self.crc = crc
        self.buffer = buffer
        self.on_done = on_done
        self.waiter = waiter
        self.error = ErrorCode.NONE

    def __repr__(self) -> str:
        what = "batch" if self.kind == BATCH else f"control {self.kind}"
        return f"<{what} {self.log.name} {self.base_offset}..{self.next_offset} at {self.segment_base}+{self.position}>"
