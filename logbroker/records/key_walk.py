"""Where each record of a batch lies, its key and its times: what compaction needs to know, and nothing else is decoded.

Record format: `iterator.py`. Values and headers are skipped by the record's own length. Pure, any thread.
"""

from __future__ import annotations

from typing import NamedTuple

from logbroker.records.iterator import TIMESTAMP_LIMIT_MS, InvalidRecordError

_VARINT_BITS_MAX = 70


class RecordSpan(NamedTuple):
    """One record of an unpacked payload; positions are bytes of the payload."""

    start: int
    """Where its length stands."""
    time_at: int
    """Where its timestamp delta stands."""
    time_end: int
    end: int
    timestamp_delta: int
    offset_delta: int
    key: bytes | None
    has_value: bool


_new = tuple.__new__


def walk_keys(payload: bytes, count: int) -> list[RecordSpan]:
    """The spans of `count` records that fill `payload`, in order.

    Raises:
        InvalidRecordError: the bytes are no such records.

    """
    spans: list[RecordSpan] = []
    add = spans.append
    size = len(payload)
    at = 0
    try:
        for _ in range(count):
            start = at
            length = payload[at]
            if length < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                length += (byte << 7) - 0x80
                at += 2
            else:
                length, at = _read(payload, at)
            end = at + (length >> 1)
            if length & 1 or end > size:
                raise InvalidRecordError(len(spans), f"its length does not fit at byte {start}")
            at += 1
            time_at = at
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read(payload, at)
            time_end = at
            timestamp_delta = (number >> 1) ^ -(number & 1)
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read(payload, at)
            offset_delta = (number >> 1) ^ -(number & 1)
            number = payload[at]
            if number < 0x80:
                at += 1
            elif (byte := payload[at + 1]) < 0x80:
                number += (byte << 7) - 0x80
                at += 2
            else:
                number, at = _read(payload, at)
            if number & 1:
                key = None
            else:
                key_at = at
                at += number >> 1
                if at >= end:
                    raise InvalidRecordError(len(spans), f"its key does not fit at byte {key_at}")
                key = payload[key_at:at]
            if at >= end:
                raise InvalidRecordError(len(spans), f"its fields end at byte {at}, its length at byte {end}")
            number = payload[at]
            if number >= 0x80:
                number, _ = _read(payload, at)
            add(
                _new(
                    RecordSpan,
                    (start, time_at, time_end, end, timestamp_delta, offset_delta, key, not number & 1),
                )
            )
            at = end
    except IndexError:
        raise InvalidRecordError(len(spans), f"the payload ends at byte {size}, inside it") from None
    if at != size:
        raise InvalidRecordError(count, f"{size - at} bytes follow the last record")
    return spans


def _read(payload: bytes, at: int) -> tuple[int, int]:
    """A varint of any length (still zigzag) and the byte after it. Raises IndexError at the payload's end."""
    value = 0
    for shift in range(0, _VARINT_BITS_MAX, 7):
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= TIMESTAMP_LIMIT_MS * 2:
                break
            return value, at
    raise InvalidRecordError(0, f"the number before byte {at} is out of range")
