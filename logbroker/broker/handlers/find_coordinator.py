"""FindCoordinator (API key 10), versions 0 to 6: which broker coordinates a group or a transactional id.

- Key type 0 is a group, 1 a transactional id (KIP-98). The first such question creates `__consumer_offsets` or `__transaction_state`;
  the answer waits for that, where Kafka answers COORDINATOR_NOT_AVAILABLE and lets the client come again.
- From version 4 several keys are asked for at once, each with its own answer and error (KIP-699).
- A key whose shard can't be served now (its log directory is offline) is COORDINATOR_NOT_AVAILABLE; clients ask again.
- Key type 2, from version 6, is a share partition (KIP-932). There is no such coordinator here yet. COORDINATOR_NOT_AVAILABLE would keep
  clients asking until they give up without a reason, so they get INVALID_REQUEST, with a message that says why.
- Any other key type is INVALID_REQUEST too, as in Kafka.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final, Protocol

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.context import RequestContext
from logbroker.groups.service import GroupService
from logbroker.transactions.service import TransactionService
from logbroker.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

GROUP: Final = 0
TRANSACTION: Final = 1
SHARE: Final = 2
"""Key types."""

SEVERAL_KEYS_FROM: Final = 4

NOBODY: Final = -1
"""Node id and port of a coordinator that wasn't found."""

_REFUSED: Final = {SHARE: "This broker has no share coordinator yet."}


class _Broker(Protocol):
    """What this handler needs of the broker."""

    @property
    def groups(self) -> GroupService: ...

    @property
    def transactions(self) -> TransactionService: ...

    @property
    def node_id(self) -> int: ...

    def advertised(self, listener_name: str) -> tuple[str, int]:
        """Host and port that clients of this listener are told."""
        ...


def handle(
    broker: _Broker, context: RequestContext, request: FindCoordinatorRequest
) -> FindCoordinatorResponse | Awaitable[FindCoordinatorResponse]:
    """Answer for every key; as a coroutine if the topic has to be created first."""
    coordinator = _coordinator(broker, request.key_type)
    if coordinator is not None and not coordinator.runtime.partition_count:
        return _create_first(broker, coordinator, context, request)
    return _answer(broker, context, request)


def _coordinator(broker: _Broker, key_type: int) -> GroupService | TransactionService | None:
    if key_type == GROUP:
        return broker.groups
    return broker.transactions if key_type == TRANSACTION else None


async def _create_first(
    broker: _Broker,
    coordinator: GroupService | TransactionService,
    context: RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse:
    try:
        await coordinator.ensure_topic()
    except BrokerError as error:
        keys = _keys(context, request)
        return _response(context, [_failed(key, error.code, error.message) for key in keys])
    return _answer(broker, context, request)


def _answer(
    broker: _Broker, context: RequestContext, request: FindCoordinatorRequest
) -> FindCoordinatorResponse:
    return _response(
        context, [_find(broker, context, request.key_type, key) for key in _keys(context, request)]
    )


def _find(broker: _Broker, context: RequestContext, key_type: int, key: str) -> Coordinator:
    coordinator = _coordinator(broker, key_type)
    if coordinator is None:
        message = _REFUSED.get(key_type, f"Key type {key_type} is not known.")
        return _failed(key, ErrorCode.INVALID_REQUEST, message)
    error = coordinator.check_coordinator(key)
    if error is not ErrorCode.NONE:
        return _failed(key, error, "")
    host, port = broker.advertised(context.listener_name)
    return Coordinator(key, broker.node_id, host, port, error_message="")


def _failed(key: str, error: ErrorCode, message: str | None) -> Coordinator:
    return Coordinator(key, NOBODY, "", NOBODY, error, message)


def _keys(context: RequestContext, request: FindCoordinatorRequest) -> Iterable[str]:
    return request.coordinator_keys if context.api_version >= SEVERAL_KEYS_FROM else (request.key,)


def _response(context: RequestContext, coordinators: list[Coordinator]) -> FindCoordinatorResponse:
    if context.api_version >= SEVERAL_KEYS_FROM:
        return FindCoordinatorResponse(coordinators=coordinators)
    only = coordinators[0]
    return FindCoordinatorResponse(
        error_code=only.error_code,
        error_message=only.error_message,
        node_id=only.node_id,
        host=only.host,
        port=only.port,
    )
