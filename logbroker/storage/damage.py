"""Byte ranges of a segment that the scrubber found damaged: nobody is served from them.

A consumer that reads towards such a range gets what lies before it, and then CORRUPT_MESSAGE, which clients show as what it
is; by seeking past the range it goes on. (librdkafka doesn't check CRCs unless told to: it would hand on what the disk made up.)
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError

DamagedRanges = tuple[tuple[int, int], ...]
"""(first byte, byte behind the last) of each, ascending."""


def intact_bytes(path: str, damage: DamagedRanges, position: int, size: int) -> int:
    """How many of the `size` bytes at `position` can be served. Raises BrokerError CORRUPT_MESSAGE if none can."""
    for start, end in damage:
        if end <= position:
            continue
        if start <= position:
            raise BrokerError(
                ErrorCode.CORRUPT_MESSAGE,
                f"{path} is damaged from byte {start} to {end}; seek past it, or restore the segment from a copy",
            )
        return min(size, start - position)
    return size
