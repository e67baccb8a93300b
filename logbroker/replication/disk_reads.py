"""Reads that would block the loop, done on a directory's read lane.

`Log.read` never touches the disk: what the page cache doesn't hold raises `WouldBlockError` with the range that is missing. Whoever
can wait fetches it here and reads again with a reader that knows the range.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory

FileRange: TypeAlias = tuple[str, int, int]
"""(path, size, position)"""

FetchedRanges: TypeAlias = dict[FileRange, bytes]


async def fetch_ranges(log: Log, ranges: list[FileRange]) -> FetchedRanges:
    """Read file ranges of one log off the loop.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR, and the directory is offline now; OFFSET_OUT_OF_RANGE where retention
            has just taken the file.

    """
    directory = log.host
    if not isinstance(directory, LogDirectory):
        raise TypeError("memory partitions never wait for a disk")
    done: asyncio.Future[FetchedRanges] = asyncio.get_running_loop().create_future()

    def arrived(found: FetchedRanges | None, error: BaseException | None) -> None:
        if found is None and not isinstance(error, FileNotFoundError):
            directory.fail(error or OSError("a read failed"))
        if done.done():
            return
        if found is not None:
            done.set_result(found)
        elif isinstance(error, FileNotFoundError):
            done.set_exception(BrokerError(ErrorCode.OFFSET_OUT_OF_RANGE, "the segment was just deleted"))
        else:
            done.set_exception(StorageOfflineError(str(error)))

    directory.executor.submit("read", directory.fetch_steps(ranges), arrived)
    return await done
