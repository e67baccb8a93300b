"""Batches in a part of a segment that was synced: what is wrong there is corruption. Runs on a lane."""

from __future__ import annotations

from collections.abc import Iterator

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.records.batch import HEADER_SIZE, LOG_OVERHEAD, BatchHeader, check_crc, parse_header
from logbroker.storage.vfs import File


def proven_batches(file: File, path: str, start: int, end: int) -> Iterator[tuple[int, BatchHeader, bytes]]:
    """(position, header, the batch whole) of every batch from byte `start` to byte `end`, CRC checked. Raises CorruptionError."""
    position = start
    while position < end:
        try:
            header = parse_header(file.pread(HEADER_SIZE, position))
            size = header.length + LOG_OVERHEAD
            if position + size > end:
                raise CorruptionError(
                    path, position, f"a batch of {size} bytes where {end - position} are left"
                )
            batch = file.pread(size, position)
            check_crc(batch, header)
        except InvalidBatchError as error:
            raise CorruptionError(path, position, str(error)) from error
        yield position, header, batch
        position += size
