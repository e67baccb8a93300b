"""The values that the client takes and gives: plain, immutable, without behaviour that needs a broker.

Names are Kafka's. Offsets are record offsets, `*_ms` are milliseconds (since the epoch for timestamps), sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError
from logbroker.base.types import Buffer

__all__ = [
    "Broker",
    "ClusterDescription",
    "CommittedOffset",
    "ConfigEntry",
    "ConfigSource",
    "Group",
    "GroupListing",
    "GroupMember",
    "Header",
    "Headers",
    "IsolationLevel",
    "LogDir",
    "LogDirReplica",
    "OffsetAt",
    "OffsetSpec",
    "Partition",
    "PartitionProducer",
    "ResourceType",
    "Topic",
    "TopicPartition",
    "Transaction",
    "TransactionListing",
    "parse_bootstrap_servers",
]

Header: TypeAlias = tuple[str, Buffer | None]
"""Key and value of a record header."""

Headers: TypeAlias = Sequence[Header] | Mapping[str, Buffer | None]
"""Headers as `send` takes them; a key may occur more than once in a sequence."""

_DEFAULT_PORT = 9092


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class OffsetSpec(IntEnum):
    """What `list_offsets` can be asked for besides a timestamp; the numbers are the protocol's."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3


class IsolationLevel(IntEnum):
    """Which records of transactions a reader sees."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


class ConfigSource(IntEnum):
    """Where a config's value comes from; the numbers are the protocol's."""

    UNKNOWN = 0
    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5
    DYNAMIC_BROKER_LOGGER_CONFIG = 6
    CLIENT_METRICS_CONFIG = 7
    GROUP_CONFIG = 8


class ResourceType(IntEnum):
    """What has configs; the numbers are the protocol's."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker as it is advertised."""

    node_id: int
    host: str
    port: int
    rack: str | None = None
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as metadata describes it; `leader` is -1 while there is none."""

    index: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    offline: tuple[int, ...] = ()
    error: ErrorCode = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as metadata describes it; `partitions` are in the order of their index."""

    name: str
    topic_id: UUID
    internal: bool
    partitions: tuple[Partition, ...]
    available: tuple[int, ...]
    """Indexes of the partitions that have a leader."""


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The cluster and its brokers; `controller` is -1 while it isn't known."""

    cluster_id: str
    controller: int
    brokers: tuple[Broker, ...]


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One config of a topic or broker with its effective value; sensitive values are None."""

    name: str
    value: str | None
    source: ConfigSource
    read_only: bool
    sensitive: bool
    documentation: str | None = None

    @property
    def is_default(self) -> bool:
        """Whether nobody set it."""
        return self.source == ConfigSource.DEFAULT_CONFIG


class CommittedOffset(NamedTuple):
    """What a group has committed in a partition: the next offset it reads, and the note it left with it."""

    offset: int
    leader_epoch: int
    metadata: str


class GroupListing(NamedTuple):
    """A group in a list; `state` and `type` are empty where the broker is too old to tell."""

    group_id: str
    protocol_type: str
    state: str
    type: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a group; `epoch` is None in the classic protocol, `assignment` what it reads now."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: tuple[TopicPartition, ...]
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its coordinator describes it.

    Attributes:
        state: `Stable`, `Empty`, `Dead` (there is none), `PreparingRebalance`, `CompletingRebalance`, `Assigning`, `Reconciling`.
        type: `classic` or `consumer` (KIP-848); empty where there is no such group.
        assignor: who divides the partitions, as the group calls it.
        epoch: None in the classic protocol.
    """

    group_id: str
    state: str
    type: str
    protocol_type: str
    assignor: str
    coordinator: int
    members: tuple[GroupMember, ...]
    epoch: int | None = None


class TransactionListing(NamedTuple):
    """A transactional id in a list, and where its transaction stands."""

    transactional_id: str
    producer_id: int
    state: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transactional id as its coordinator describes it; `started_ms` is -1 where none is under way."""

    transactional_id: str
    state: str
    coordinator: int
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    started_ms: int
    partitions: tuple[TopicPartition, ...]


class PartitionProducer(NamedTuple):
    """A producer as a partition remembers it; `transaction_start` is the first offset of its open transaction, or -1."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp_ms: int
    coordinator_epoch: int
    transaction_start: int


class OffsetAt(NamedTuple):
    """An answer to `list_offsets`: offset and timestamp are -1 where no record matches."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


@dataclass(frozen=True, slots=True)
class LogDirReplica:
    """One replica in a log directory."""

    topic: str
    partition: int
    size_bytes: int
    offset_lag: int
    is_future: bool


@dataclass(frozen=True, slots=True)
class LogDir:
    """A log directory of a broker; sizes are -1 where the broker doesn't say."""

    node_id: int
    path: str
    error: ErrorCode
    total_bytes: int
    usable_bytes: int
    replicas: tuple[LogDirReplica, ...]


def parse_bootstrap_servers(servers: str | Sequence[str]) -> list[tuple[str, int]]:
    """Return (host, port) of each server in `host:port,host:port`, or in a sequence of such.

    An IPv6 address stands in brackets; a missing port is 9092.

    Raises:
        ConfigError: nothing is named, or a port is no port.

    """
    names = servers.split(",") if isinstance(servers, str) else list(servers)
    addresses: list[tuple[str, int]] = []
    for name in (name.strip() for name in names):
        if not name:
            continue
        if name.startswith("["):
            host, bracket, rest = name[1:].partition("]")
            port_text = rest.removeprefix(":") if bracket and (not rest or rest.startswith(":")) else "?"
        else:
            host, _, port_text = name.partition(":")
        port_text = port_text or str(_DEFAULT_PORT)
        if not host or not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text) < 65536:
            raise ConfigError(f"bootstrap server {name!r} is not HOST:PORT, for example 127.0.0.1:9092")
        addresses.append((host, int(port_text)))
    if not addresses:
        raise ConfigError("no bootstrap server is named; give HOST:PORT, for example 127.0.0.1:9092")
    return addresses
