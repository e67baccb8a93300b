"""Asking the coordinator of a group or of a transactional id.

It is found first, and found again when it has moved or isn't ready, until the cluster's `api_timeout_ms` is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from logbroker.base.error_codes import ErrorCode
from logbroker.client.cluster import Cluster
from logbroker.client.errors import RefusedError, error_code_of
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse

__all__ = ["GROUP", "TRANSACTION", "check", "until_found", "with_coordinator"]

GROUP: Final = 0
TRANSACTION: Final = 1

_NOUNS: Final = {GROUP: "group", TRANSACTION: "transactional id"}
_FIRST_VERSION_WITH_KEYS: Final = 4

_MOVED: Final = frozenset(
    {
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.NOT_COORDINATOR,
    }
)

T = TypeVar("T")


async def with_coordinator(
    cluster: Cluster, key: str, attempt: Callable[[int], Awaitable[T]], *, kind: int = GROUP
) -> T:
    """Return what `attempt` finds out from the coordinator of a group or transactional id, looked up before each attempt.

    Raises:
        RefusedError: the coordinator refused, or there was none until the time was over.

    """

    async def find_and_ask() -> T:
        return await attempt(await _coordinator(cluster, key, kind))

    return await until_found(cluster, find_and_ask)


async def until_found(cluster: Cluster, attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the outcome of `attempt`, which is made again while it says that a coordinator is elsewhere, or not ready."""
    deadline = asyncio.get_running_loop().time() + cluster.api_timeout_ms / 1000
    failures = 0
    while True:
        try:
            return await attempt()
        except RefusedError as error:
            if error.code not in _MOVED or asyncio.get_running_loop().time() >= deadline:
                raise
        await cluster.backoff(failures)
        failures += 1


async def _coordinator(cluster: Cluster, key: str, kind: int) -> int:
    request = FindCoordinatorRequest(key=key, key_type=kind, coordinator_keys=[key])
    connection = await cluster.any_connection()
    version = connection.version(ApiKey.FIND_COORDINATOR)
    answer: FindCoordinatorResponse = await cluster.ask(ApiKey.FIND_COORDINATOR, request)
    found = answer.coordinators[0] if version >= _FIRST_VERSION_WITH_KEYS and answer.coordinators else answer
    check(found.error_code, f"the coordinator of {_NOUNS[kind]} {key!r}", found.error_message)
    if found.node_id not in cluster.brokers:
        await cluster.refresh()
    return found.node_id


def check(error_code: int, what: str, message: str | None = None) -> None:
    """Raise what the broker refused."""
    if error_code:
        raise RefusedError(error_code_of(error_code), what, message)
