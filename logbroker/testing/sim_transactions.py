"""What a log says of its transactions, held against its batches: open ones, aborted ones, the last stable offset.

The batches are the truth; everything else is derived: the producers' state from a checkpoint, the index of aborted transactions from its
files, both from what was replayed behind it. Where the log's start has passed a transaction's first batch the two may differ about it.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from logbroker.records.batch import BatchHeader
from logbroker.records.control import parse_marker
from logbroker.storage.log import Log
from logbroker.storage.transactions import aborted_transactions, last_stable_offset


def check_transactions(log: Log, batches: Iterable[tuple[BatchHeader, bytes]]) -> str:
    """Why the log's idea of its transactions can't be that of its `batches`, all of them; "" if it is.

    Everything in the log must be durable.
    """
    start = log.start_offset
    opened: dict[int, int] = {}
    aborted: dict[int, tuple[int, int]] = {}
    for header, data in batches:
        if header.is_control:
            marker = parse_marker(data, header)
            first = opened.pop(header.producer_id, None)
            if marker is not None and not marker.commit and first is not None:
                aborted[header.base_offset] = (header.producer_id, first)
        elif header.is_transactional and (header.record_count or not log.compacted):
            opened.setdefault(header.producer_id, header.base_offset)
    known = {
        producer_id: entry.transaction_first_offset
        for producer_id, entry in log.producers.capture().items()
        if entry.transaction_first_offset >= start
    }
    began = {producer_id: first for producer_id, first in opened.items() if producer_id in known}
    for producer_id, first in opened.items():
        entry = log.producers.get(producer_id)
        if producer_id not in known and (entry is None or entry.transaction_first_offset < 0):
            return f"{log.name}: the transaction of {producer_id} that began at {first} is forgotten"
    if known != began:
        return f"{log.name}: transactions {known} are open, the batches say {began}"
    told = {
        each.last_offset: (each.producer_id, each.first_offset)
        for each in aborted_transactions(log, start, log.end_offset)
    }
    if log.compacted:  # the index may tell of more than is left, or of an earlier begin
        untold = [marker for marker, entry in aborted.items() if told.get(marker, (-1, 0))[0] != entry[0]]
        if untold:
            return f"{log.name}: {told} are known as aborted, the batches say {aborted}"
        told = {marker: entry for marker, entry in told.items() if marker in aborted}
        aborted = told
    certain = {marker: entry for marker, entry in told.items() if entry[1] >= start}
    expected = {marker: entry for marker, entry in aborted.items() if marker in certain or marker not in told}
    if certain != expected:
        return f"{log.name}: {certain} are known as aborted, the batches say {expected}"
    if any(marker >= log.end_offset for marker in told):
        return f"{log.name}: {told} are known as aborted, the log ends at {log.end_offset}"
    open_ones = [
        entry.transaction_first_offset
        for entry in log.producers.capture().values()
        if entry.transaction_first_offset >= 0
    ]
    stable = max(min(open_ones, default=log.end_offset), start)
    if last_stable_offset(log) != min(stable, log.durable_end):
        return f"{log.name}: the last stable offset is {last_stable_offset(log)} instead of {stable}"
    return ""
