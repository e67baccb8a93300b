"""Lines of standard input or a file, as bytes, without blocking the event loop and without an unbounded line.

Pipes and terminals are read when they have something; a regular file is simply read, for it always has. What is
read is split at newlines and nothing else is done to it: a record may hold any byte but that one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from logbroker.base.errors import LogbrokerError

__all__ = ["read_lines", "stdin_descriptor"]

CHUNK_BYTES = 256 * 1024


async def read_lines(descriptor: int, max_line_bytes: int) -> AsyncIterator[list[bytes]]:
    """Yield lines as they come, without their newline, all that one read brought at a time.

    Args:
        descriptor: an open file descriptor; it stays open.
        max_line_bytes: bound on one line.

    Raises:
        LogbrokerError: a line is longer; says which.

    """
    rest = b""
    number = 0
    async for chunk in _read_chunks(descriptor):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > max_line_bytes or any(len(line) > max_line_bytes for line in lines):
            long = next((index for index, line in enumerate(lines) if len(line) > max_line_bytes), len(lines))
            raise LogbrokerError(
                f"line {number + long + 1} is longer than {max_line_bytes} bytes, the most a record may have; split it"
            )
        number += len(lines)
        if lines:
            yield lines
    if rest:
        yield [rest]


async def _read_chunks(descriptor: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    while True:
        readable.clear()
        try:
            loop.add_reader(descriptor, readable.set)
        except (OSError, NotImplementedError):
            await asyncio.sleep(0)  # a regular file can't be waited for, and needn't be
        else:
            # Watched only while we wait: a loop that watches what nobody reads spins.
            try:
                await readable.wait()
            finally:
                loop.remove_reader(descriptor)
        chunk = os.read(descriptor, CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def stdin_descriptor() -> int:
    """Return standard input's descriptor.

    Raises:
        LogbrokerError: there is none: the program was started without.

    """
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        raise LogbrokerError(
            "there is no standard input to read records from; use --value or --file"
        ) from None
