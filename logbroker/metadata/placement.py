"""Where new partitions go: which brokers hold them, and in which log directory of this broker they lie.

Alone, a broker is the only place there is; what remains to decide is the directory: the one with the fewest partitions
among those online, the first registered where several have equally few. Counting partitions (and not bytes) is Kafka's
choice: a new partition is empty, and who will be large isn't known.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, StorageOfflineError
from logbroker.metadata.image import DIRECTORY_UNASSIGNED, PartitionImage

FIRST_LEADER_EPOCH = 0


def check_replication_factor(replication_factor: int, broker_count: int) -> None:
    """Refuse more replicas than there are brokers.

    Raises:
        BrokerError: INVALID_REPLICATION_FACTOR, in the words of Kafka 4.3.
    """
    if replication_factor > broker_count:
        raise BrokerError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Unable to replicate the partition {replication_factor} time(s): The target replication factor of "
            f"{replication_factor} cannot be reached because only {broker_count} broker(s) are registered or some "
            "brokers have all their log directories cordoned.",
        )


def check_assignment(
    broker_ids: Sequence[int], brokers: Collection[int], replication_factor: int | None
) -> None:
    """Refuse a manual assignment of one partition that can't be.

    Args:
        broker_ids: the replicas asked for.
        brokers: the brokers there are.
        replication_factor: how many replicas the topic's other partitions have; None for the first.

    Raises:
        BrokerError: INVALID_REPLICA_ASSIGNMENT.
    """
    if not broker_ids:
        raise _bad_assignment("The manual partition assignment includes an empty replica list.")
    previous: int | None = None
    for broker_id in sorted(broker_ids):
        if broker_id not in brokers:
            raise _bad_assignment(
                f"The manual partition assignment includes broker {broker_id}, but no such broker is registered."
            )
        if broker_id == previous:
            raise _bad_assignment(
                f"The manual partition assignment includes the broker {broker_id} more than once."
            )
        previous = broker_id
    if replication_factor is not None and len(broker_ids) != replication_factor:
        raise _bad_assignment(
            f"The manual partition assignment includes a partition with {len(broker_ids)} replica(s), but this is not "
            f"consistent with previous partitions, which have {replication_factor} replica(s)."
        )


class DirectoryChooser:
    """Deals out log directories for one request's partitions, each to the emptiest."""

    __slots__ = ("_counts",)

    def __init__(self, online: Iterable[UUID], partition_counts: Mapping[UUID, int]) -> None:
        self._counts = {directory: partition_counts.get(directory, 0) for directory in online}

    def choose(self, count: int) -> list[UUID]:
        """A directory for each of `count` partitions.

        Raises:
            StorageOfflineError: none is online.
        """
        counts = self._counts
        if not counts:
            raise StorageOfflineError(
                "Every log directory of this broker is offline, so it can't hold another partition."
            )
        if len(counts) == 1:
            (only,) = counts
            counts[only] += count
            return [only] * count
        chosen = []
        for _ in range(count):
            directory = min(counts, key=counts.__getitem__)
            counts[directory] += 1
            chosen.append(directory)
        return chosen


def place(
    replicas: Sequence[tuple[int, ...]], chooser: DirectoryChooser | None
) -> tuple[PartitionImage, ...]:
    """New partitions with these replicas; the first of each leads. Partitions that are alike are one object.

    Args:
        replicas: broker ids of each new partition.
        chooser: None for a topic that lives in memory.

    Raises:
        StorageOfflineError: no directory is online.
    """
    directories = [DIRECTORY_UNASSIGNED] * len(replicas) if chooser is None else chooser.choose(len(replicas))
    alike: dict[tuple[tuple[int, ...], UUID], PartitionImage] = {}
    partitions = []
    for brokers, directory in zip(replicas, directories, strict=True):
        partition = alike.get((brokers, directory))
        if partition is None:
            partition = PartitionImage(
                leader=brokers[0],
                leader_epoch=FIRST_LEADER_EPOCH,
                isr=brokers,
                replicas=brokers,
                directory_id=directory,
            )
            alike[brokers, directory] = partition
        partitions.append(partition)
    return tuple(partitions)


def _bad_assignment(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
