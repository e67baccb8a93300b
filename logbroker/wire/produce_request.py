"""A produce of one batch to one partition, taken apart without building its objects.

The counterpart of `produce_reply.py`: most produces from clients that send as records come are this, and the general decoder
spends most of its time on the objects of a message that is looked at once. `single_produce_request` answers None for anything
else (a transactional id, several topics or partitions, null records, unknown tagged fields, a length that doesn't fit), and the caller
decodes in the general way, which also says what is wrong. A test holds the two together.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeAlias

FIRST_FLEXIBLE: Final = 9
FIRST_WITH_TOPIC_ID: Final = 13

_START: Final = Struct(">hhiih").unpack_from
"""Transactional id's length, acks, timeout, topic count, name's length."""
_MIDDLE: Final = Struct(">iii").unpack_from
"""Partition count, index, records' length."""
_FLEXIBLE_START: Final = Struct(">BhiBB").unpack_from
"""Transactional id's length + 1, acks, timeout, topic count + 1, name's length + 1."""
_FLEXIBLE_MIDDLE: Final = Struct(">BiB").unpack_from
"""Partition count + 1, index, first byte of the records' length + 1."""

Single: TypeAlias = tuple[int, int, bytes, int, memoryview]
"""(acks, timeout in ms, topic name or the 16 bytes of its id, partition index, records)"""


def single_produce_request(version: int, frame: memoryview, position: int) -> Single | None:
    """The only partition of a ProduceRequest at `position`; None if it isn't as simple as that."""
    size = len(frame)
    if version < FIRST_FLEXIBLE:
        if size < position + 26:
            return None
        transactional, acks, timeout_ms, topics, name_bytes = _START(frame, position)
        at = position + 14 + name_bytes
        if transactional != -1 or topics != 1 or name_bytes < 0 or size < at + 12:
            return None
        partitions, index, records_bytes = _MIDDLE(frame, at)
        if partitions != 1 or records_bytes < 0 or at + 12 + records_bytes != size:
            return None
        return acks, timeout_ms, bytes(frame[position + 14 : at]), index, frame[at + 12 :]
    if size < position + 20:
        return None
    transactional, acks, timeout_ms, topics, name_bytes = _FLEXIBLE_START(frame, position)
    if transactional or topics != 2:
        return None
    if version >= FIRST_WITH_TOPIC_ID:
        name_at = position + 8
        at = name_at + 16
    elif 0 < name_bytes < 0x80:
        name_at = position + 9
        at = name_at + name_bytes - 1
    else:
        return None
    if size < at + 9:
        return None
    partitions, index, length = _FLEXIBLE_MIDDLE(frame, at)
    start = at + 6
    if length > 0x7F:
        length &= 0x7F
        shift = 7
        while True:
            byte = frame[start]
            start += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28 or start >= size:
                return None
    end = start + length - 1
    if partitions != 2 or length < 1 or end + 3 != size or frame[end] or frame[end + 1] or frame[end + 2]:
        return None
    return acks, timeout_ms, bytes(frame[name_at:at]), index, frame[start:end]
