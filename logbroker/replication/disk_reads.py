"""Reads that would block the loop, done on a directory's read lane.

`Log.read` never touches the disk: what the page cache doesn't hold raises `WouldBlockError` with the range that is missing. Whoever
can wait fetches it here and reads again with a reader that knows the range.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias, TypeVar

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.storage.descriptors import is_missing
from logbroker.storage.executor import Steps
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.reader import Fetched, FileRange, WouldBlockError, walk_steps

__all__ = ["Fetched", "FetchedRanges", "FileRange", "fetch_missing", "fetch_ranges"]

FetchedRanges: TypeAlias = dict[FileRange, bytes]

T = TypeVar("T")


async def fetch_ranges(log: Log, ranges: list[FileRange]) -> FetchedRanges:
    """Read file ranges of one log off the loop.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR, and the directory is offline now; OFFSET_OUT_OF_RANGE where retention
            has just taken the file.

    """
    directory = _directory(log)
    return await _run(directory, "read", directory.fetch_steps(ranges)) or {}


async def fetch_missing(log: Log, missing: list[WouldBlockError], fetched: Fetched) -> None:
    """Bring what reads of one log lacked, walks to their goals included. Raises as `fetch_ranges`."""
    directory = _directory(log)
    ranges = [error.key for error in missing if error.walk is None]
    if ranges:
        fetched.add(await fetch_ranges(log, ranges))
    for error in missing:
        if error.walk is not None:  # on a lane of its own: it may have a whole segment to go
            walked = await _run(directory, "walk", walk_steps(directory.pool, error.walk))
            if walked is not None:
                fetched.add(walked[1])
                fetched.add_walk(walked[0])


def _directory(log: Log) -> LogDirectory:
    directory = log.host
    if not isinstance(directory, LogDirectory):
        raise TypeError("memory partitions never wait for a disk")
    return directory


async def _run(directory: LogDirectory, lane: str, steps: Steps[T]) -> T | None:
    """What the steps give; None where compaction has just taken the file's place: look again where the offset lies now."""
    done: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
    replacements = directory.pool.replacements

    def arrived(found: T | None, error: BaseException | None) -> None:
        if found is None and not isinstance(error, FileNotFoundError) and not is_missing(error):
            directory.fail(error or OSError("a read failed"))
        if done.done():
            return
        if found is not None:
            done.set_result(found)
        elif isinstance(error, FileNotFoundError) and directory.pool.replacements != replacements:
            done.set_result(None)
        elif isinstance(error, FileNotFoundError):
            done.set_exception(BrokerError(ErrorCode.OFFSET_OUT_OF_RANGE, "the segment was just deleted"))
        else:
            done.set_exception(StorageOfflineError(str(error)))

    directory.executor.submit(lane, steps, arrived)
    return await done
