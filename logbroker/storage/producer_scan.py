"""Producers' state built anew from a log's batch headers: where a truncation cut a producer's whole history. Runs on a lane."""

from __future__ import annotations

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.records.batch import HEADER_SIZE, parse_header
from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.producer_state import ProducerStates


def scan_producers(pool: FilePool, segments: list[tuple[int, str, int]]) -> Steps[ProducerStates]:
    """Producer state from every batch header in (base offset, path, size in bytes) segments. Raises CorruptionError."""
    states = ProducerStates()
    for _, path, size in segments:
        position = 0
        while position < size:
            try:
                header = parse_header(pool.get(path).pread(HEADER_SIZE, position))
            except InvalidBatchError as error:
                raise CorruptionError(path, position, str(error)) from error
            if header.producer_id >= 0:
                states.record(header, header.base_offset, header.last_offset)
            position += header.size_bytes
            yield
    return states
