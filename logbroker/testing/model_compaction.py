"""What compaction may have made of a log: a check of what is served against everything that was ever appended.

- A batch that is served was appended, with these offsets and this producer, and every record in it is one of its records.
- A record that isn't served any more has a later one of its key in the log, or no key, or is a tombstone, or was aborted. What was
  aborted, or isn't committed yet, makes nothing superfluous.
- A marker that isn't served any more has no record of its transaction left.
- Order and offsets hold; nothing appears that nobody sent.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from logbroker.records.batch import parse_header
from logbroker.records.iterator import iter_records

if TYPE_CHECKING:
    from logbroker.testing.model import Batch


class Kept(NamedTuple):
    """One record as it must be found again."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@functools.lru_cache(maxsize=50_000)
def records_of(payload: bytes) -> tuple[Kept, ...]:
    """The records of a whole batch."""
    return tuple(
        Kept(
            record.offset,
            record.timestamp_ms,
            None if record.key is None else bytes(record.key),
            None if record.value is None else bytes(record.value),
        )
        for record in iter_records(payload)
    )


def is_left_of(found: Batch, appended: Batch) -> bool:
    """Whether `found` may be what compaction left of `appended`."""
    if found[:2] != appended[:2] or found.producer != appended.producer:
        return False
    if found.payload == appended.payload:
        return True
    header, original = parse_header(found.payload), parse_header(appended.payload)
    if (header.base_sequence, header.partition_leader_epoch) != (
        original.base_sequence,
        original.partition_leader_epoch,
    ):
        return False
    return set(records_of(found.payload)) <= set(records_of(appended.payload))


def check_compacted(found: Sequence[Batch], history: Sequence[Batch], start: int, end: int) -> str:
    """Why `found` isn't a compacted `history`, of which the log holds what lies between `start` and `end`; "" if it is."""
    appended = {batch.base_offset: batch for batch in history}
    for batch in found:
        expected = appended.get(batch.base_offset)
        if expected is None:
            return f"batch {batch.base_offset}..{batch.end_offset - 1} is served but was never appended in this state of the log"
        if not is_left_of(batch, expected):
            return f"batch {batch.base_offset}..{batch.end_offset - 1} is nothing that compaction leaves of the one appended there"
    served = {record.offset for batch in found for record in records_of(batch.payload)}
    later: set[bytes] = set()
    committed: dict[int, bool] = {}
    left: set[int] = set()
    for batch in reversed([batch for batch in history if batch.end_offset <= end]):
        header = parse_header(batch.payload)
        records = records_of(batch.payload)
        if header.is_control:
            # What comes before it, so after it on this way, is of the transaction that it ends.
            if records and records[0].offset >= start and records[0].offset not in served:
                left.add(header.producer_id)  # nothing may be left
            else:
                left.discard(header.producer_id)
            key = records[0].key if records else None
            committed[header.producer_id] = key is not None and key[3] == 1
            continue
        if header.is_transactional:
            ended = committed.get(header.producer_id)
            if header.producer_id in left and any(record.offset in served for record in records):
                return f"the marker of the transaction of batch {batch.base_offset}..{batch.end_offset - 1} is gone before it"
            if not ended:  # aborted, or open: then nobody may have touched it
                lost = [
                    record for record in records if record.offset >= start and record.offset not in served
                ]
                if ended is None and lost:
                    return f"lost the record at offset {lost[0].offset} of an open transaction"
                continue
        for record in reversed(records_of(batch.payload)):
            if record.offset >= start and record.offset not in served:
                missed = record.key is not None and record.value is not None and record.key not in later
                if missed:
                    return f"lost the record at offset {record.offset}, the latest of key {record.key!r}"
            if record.key is not None:
                later.add(record.key)
    return ""
