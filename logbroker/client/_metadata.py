"""Wire metadata, as Metadata and DescribeTopicPartitions answer it, to the client's own values."""

from __future__ import annotations

from logbroker.client.errors import error_code_of
from logbroker.client.types import Broker, Partition, Topic
from logbroker.wire.messages.metadata import (
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)


def broker_from_wire(entry: MetadataResponseBroker) -> Broker:
    """Return a broker of a Metadata response."""
    return Broker(entry.node_id, entry.host, entry.port, entry.rack)


def topic_from_wire(entry: MetadataResponseTopic) -> Topic:
    """Return a topic of a Metadata response, its partitions in order."""
    partitions = tuple(
        _partition_from_wire(partition)
        for partition in sorted(entry.partitions, key=lambda partition: partition.partition_index)
    )
    available = tuple(partition.index for partition in partitions if partition.leader >= 0)
    return Topic(entry.name or "", entry.topic_id, entry.is_internal, partitions, available)


def _partition_from_wire(entry: MetadataResponsePartition) -> Partition:
    return Partition(
        entry.partition_index,
        entry.leader_id,
        entry.leader_epoch,
        tuple(entry.replica_nodes),
        tuple(entry.isr_nodes),
        tuple(entry.offline_replicas),
        error_code_of(entry.error_code),
    )
