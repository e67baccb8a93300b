"""Producers' state and aborted transactions built anew from a log's batches, where what was kept of them can't be used.

That is after a truncation that cut a producer's whole history or a marker, and where the index of aborted transactions isn't what the
checkpoint says. One read a batch header, another for a marker. Runs on a lane.
"""

from __future__ import annotations

from typing import NamedTuple

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.records.batch import CONTROL_MASK, HEADER_SIZE, parse_header
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.transaction_index import AbortedTransaction
from logbroker.storage.transactions import note_marker


class Scanned(NamedTuple):
    """What the batches say."""

    states: ProducerStates
    aborted: dict[int, list[AbortedTransaction]]
    """By base offset of the marker's segment; segments without any are left out."""


def scan_producers(pool: FilePool, segments: list[tuple[int, str, int]]) -> Steps[Scanned]:
    """Read every batch header in (base offset, path, size in bytes) segments. Raises CorruptionError."""
    states = ProducerStates()
    aborted: dict[int, list[AbortedTransaction]] = {}
    for base, path, size in segments:
        position = 0
        while position < size:
            try:
                file = pool.get(path)
                header = parse_header(file.pread(HEADER_SIZE, position))
                if header.producer_id < 0:
                    pass
                elif header.attributes & CONTROL_MASK:
                    batch = file.pread(header.size_bytes, position)
                    ended = note_marker(states, header, batch, header.base_offset)
                    if ended is not None:
                        aborted.setdefault(base, []).append(ended)
                else:
                    states.record(header, header.base_offset, header.last_offset)
            except InvalidBatchError as error:
                raise CorruptionError(path, position, str(error)) from error
            position += header.size_bytes
            yield
    return Scanned(states, aborted)
