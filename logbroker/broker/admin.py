"""What the handlers of administrative APIs share.

What they need of the broker, waiting no longer than a client allows, and how a partition looks from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.metadata.image import NO_LEADER, PartitionImage
from logbroker.metadata.service import MetadataService

ITEMS_PER_TURN: Final = 256
"""Topics or resources that a handler puts into a response before it lets the loop do something else."""

OPERATIONS_NOT_ASKED: Final = -(2**31)
"""What Kafka sends where a client didn't ask which operations it may do (KIP-430)."""

# Bits by the numbers of org.apache.kafka.common.acl.AclOperation. Without an authorizer everything is allowed.
_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, _CLUSTER_ACTION = (1 << code for code in range(3, 10))
_DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE = (1 << code for code in range(10, 13))

TOPIC_OPERATIONS: Final = (
    _READ | _WRITE | _CREATE | _DELETE | _ALTER | _DESCRIBE | _DESCRIBE_CONFIGS | _ALTER_CONFIGS
)
CLUSTER_OPERATIONS: Final = (
    _CREATE | _ALTER | _DESCRIBE | _CLUSTER_ACTION | _DESCRIBE_CONFIGS | _ALTER_CONFIGS | _IDEMPOTENT_WRITE
)

T = TypeVar("T")


class LogDirView(Protocol):
    """A log directory as the replica manager tells of it; sizes are bytes."""

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def online(self) -> bool:
        """Whether it works; where it doesn't, nothing else is known."""
        ...

    @property
    def total_bytes(self) -> int:
        """The size of its file system."""
        ...

    @property
    def usable_bytes(self) -> int:
        """What this process can still write there."""
        ...

    @property
    def partitions(self) -> Sequence[tuple[str, int, int]]:
        """(topic, partition, size) of each partition in it."""
        ...


class ReplicasView(Protocol):
    """What administration asks of the replica manager."""

    def log_dirs(self) -> Sequence[LogDirView]:
        """Every configured log directory."""
        ...


class AdminBroker(Protocol):
    """What administration asks of the broker."""

    @property
    def metadata(self) -> MetadataService:
        """The cluster's metadata."""
        ...

    @property
    def replicas(self) -> ReplicasView:
        """The partitions of this broker."""
        ...

    @property
    def node_id(self) -> int:
        """This broker's number."""
        ...

    def advertised(self, listener_name: str) -> tuple[str, int]:
        """Host and port that clients of this listener are told."""
        ...


class BrokerAddress(NamedTuple):
    """A broker as a client is told of it."""

    broker_id: int
    host: str
    port: int
    rack: str | None


def broker_addresses(broker: AdminBroker, listener_name: str) -> list[BrokerAddress]:
    """The brokers that can be reached by a client that came through this listener."""
    addresses = []
    for broker_id, known in broker.metadata.image.brokers.items():
        if broker_id == broker.node_id:
            host, port = broker.advertised(listener_name)
        elif listener_name in known.endpoints:
            host, port = known.endpoints[listener_name]
        else:
            continue
        addresses.append(BrokerAddress(broker_id, host, port, known.rack))
    return addresses


class PartitionView(NamedTuple):
    """A partition as a client is told of it."""

    error: ErrorCode
    leader: int
    offline_replicas: list[int]


def partition_view(metadata: MetadataService, partition: PartitionImage) -> PartitionView:
    """Whether somebody leads the partition; nobody does while its log directory is offline."""
    if metadata.is_offline(partition):
        node_id = metadata.image.node_id
        if partition.leader == node_id:
            return PartitionView(ErrorCode.LEADER_NOT_AVAILABLE, NO_LEADER, [node_id])
        return PartitionView(ErrorCode.NONE, partition.leader, [node_id])
    error = ErrorCode.LEADER_NOT_AVAILABLE if partition.leader == NO_LEADER else ErrorCode.NONE
    return PartitionView(error, partition.leader, [])


async def within(timeout_ms: int, work: Callable[[], Awaitable[T]]) -> T:
    """The outcome of `work`, unless it takes longer than the client wants to wait: what it does is done all the same.

    With no time at all it isn't begun, as in Kafka.

    Raises:
        BrokerError: REQUEST_TIMED_OUT.
    """
    if timeout_ms <= 0:
        raise BrokerError(ErrorCode.REQUEST_TIMED_OUT)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await work()
    except TimeoutError:
        raise BrokerError(ErrorCode.REQUEST_TIMED_OUT) from None


async def give_way(done: int) -> None:
    """Let the loop do something else after every `ITEMS_PER_TURN` items."""
    if done % ITEMS_PER_TURN == 0:
        await asyncio.sleep(0)
