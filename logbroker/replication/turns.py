"""A walk over all partitions that gives the event loop a turn every so often, so that ten thousand of them hold up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from logbroker.replication.partition import Partition

LOGS_A_TURN: Final = 200


async def in_turns(partitions: Iterable[Partition]) -> AsyncIterator[Partition]:
    """All partitions whose logs can be used, with turns for the loop in between."""
    for number, partition in enumerate(list(partitions), 1):
        if partition.log.refusal is None:
            yield partition
        if not number % LOGS_A_TURN:
            await asyncio.sleep(0)
