"""The client: producer, consumer and admin for any broker that speaks the Kafka protocol.

    from logbroker.client import Admin, Consumer, Producer

Everything is asynchronous, bounded and typed; each name's module says more. Names are imported when they are first
used, so that a program which only produces doesn't pay for the rest.

It stands on the protocol alone: it imports `net`, `wire`, `records` and `base`, nothing of the broker.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logbroker.client.admin import Admin as Admin
    from logbroker.client.cluster import Cluster as Cluster
    from logbroker.client.consumer import Consumer as Consumer
    from logbroker.client.delivery import Delivery as Delivery
    from logbroker.client.delivery import RecordMetadata as RecordMetadata
    from logbroker.client.errors import BufferFullError as BufferFullError
    from logbroker.client.errors import ClientError as ClientError
    from logbroker.client.errors import ClosedError as ClosedError
    from logbroker.client.errors import ConnectionLostError as ConnectionLostError
    from logbroker.client.errors import DamagedBatchError as DamagedBatchError
    from logbroker.client.errors import DeliveryTimeoutError as DeliveryTimeoutError
    from logbroker.client.errors import RecordTooLargeError as RecordTooLargeError
    from logbroker.client.errors import RefusedError as RefusedError
    from logbroker.client.errors import UnreachableError as UnreachableError
    from logbroker.client.errors import UnsupportedByBrokerError as UnsupportedByBrokerError
    from logbroker.client.fetched import ConsumerRecord as ConsumerRecord
    from logbroker.client.partitioner import murmur2 as murmur2
    from logbroker.client.partitioner import partition_for_key as partition_for_key
    from logbroker.client.producer import Producer as Producer
    from logbroker.client.types import Broker as Broker
    from logbroker.client.types import ClusterDescription as ClusterDescription
    from logbroker.client.types import CommittedOffset as CommittedOffset
    from logbroker.client.types import ConfigEntry as ConfigEntry
    from logbroker.client.types import ConfigSource as ConfigSource
    from logbroker.client.types import Group as Group
    from logbroker.client.types import GroupListing as GroupListing
    from logbroker.client.types import GroupMember as GroupMember
    from logbroker.client.types import IsolationLevel as IsolationLevel
    from logbroker.client.types import LogDir as LogDir
    from logbroker.client.types import LogDirReplica as LogDirReplica
    from logbroker.client.types import OffsetAt as OffsetAt
    from logbroker.client.types import OffsetSpec as OffsetSpec
    from logbroker.client.types import Partition as Partition
    from logbroker.client.types import PartitionProducer as PartitionProducer
    from logbroker.client.types import ResourceType as ResourceType
    from logbroker.client.types import Topic as Topic
    from logbroker.client.types import TopicPartition as TopicPartition
    from logbroker.client.types import Transaction as Transaction
    from logbroker.client.types import TransactionListing as TransactionListing

_MODULE_OF = {
    "Admin": "admin",
    "Broker": "types",
    "BufferFullError": "errors",
    "ClientError": "errors",
    "ClosedError": "errors",
    "Cluster": "cluster",
    "ClusterDescription": "types",
    "CommittedOffset": "types",
    "ConfigEntry": "types",
    "ConfigSource": "types",
    "ConnectionLostError": "errors",
    "Consumer": "consumer",
    "ConsumerRecord": "fetched",
    "DamagedBatchError": "errors",
    "Delivery": "delivery",
    "DeliveryTimeoutError": "errors",
    "Group": "types",
    "GroupListing": "types",
    "GroupMember": "types",
    "IsolationLevel": "types",
    "LogDir": "types",
    "LogDirReplica": "types",
    "OffsetAt": "types",
    "OffsetSpec": "types",
    "Partition": "types",
    "PartitionProducer": "types",
    "Producer": "producer",
    "RecordMetadata": "delivery",
    "RecordTooLargeError": "errors",
    "RefusedError": "errors",
    "ResourceType": "types",
    "Topic": "types",
    "TopicPartition": "types",
    "Transaction": "types",
    "TransactionListing": "types",
    "UnreachableError": "errors",
    "UnsupportedByBrokerError": "errors",
    "murmur2": "partitioner",
    "partition_for_key": "partitioner",
}

__all__ = [  # noqa: PLE0604 - a test holds this list against the imports above
    *_MODULE_OF,
]


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
