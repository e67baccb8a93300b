"""What a broker shows at a scrape that it doesn't count anyway: topics, offsets, groups and lag, directories, connections.

Names that begin with `kafka_` are those of `kafka_exporter` (and `kafka_consumergroup_group_lag_seconds` that of
`kafka-lag-exporter`), with their labels, so that dashboards and alerts which exist go on working. Ours begin with
`logbroker_`.

Everything is read from what the broker keeps for itself, at scrape time, on the loop, in pieces (`base.metrics`): so each
function walks copies or immutable images, since the loop goes on in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from logbroker.base.metrics import Histogram, Labels, Metric
from logbroker.daemons.lag import OffsetHistory

if TYPE_CHECKING:
    from logbroker.coordination.runtime import CoordinatorRuntime
    from logbroker.groups.machine import GroupMachine
    from logbroker.metadata.image import ClusterImage, PartitionImage
    from logbroker.net.server import Server
    from logbroker.replication.partition import Partition
    from logbroker.replication.replica_manager import LogDirState, ReplicaManager
    from logbroker.storage.log_dir import LogDirectory

OFFSETS_MAX: Final = 200_000
"""Committed offsets shown in one scrape, over all groups; beyond it groups are left out whole, and counted."""


class TopicExporter:
    """Brokers, topics, partitions and their offsets."""

    def __init__(self, image: Callable[[], ClusterImage], replicas: ReplicaManager) -> None:
        self._image = image
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        image = self._image()
        yield _gauge("kafka_brokers", "Brokers in the cluster.", [((), len(image.brokers))])
        yield _gauge(
            "kafka_topic_partitions",
            "Partitions of a topic.",
            ((_topic(topic.name), len(topic.partitions)) for topic in image.topics.values()),
        )
        yield self._of_log(
            "kafka_topic_partition_current_offset",
            "The offset behind the last record that consumers may read (high watermark).",
            lambda partition: partition.high_watermark,
        )
        yield self._of_log(
            "kafka_topic_partition_oldest_offset",
            "The offset of the oldest record (log start offset).",
            lambda partition: partition.log_start_offset,
        )
        yield self._of_log(
            "logbroker_log_end_offset",
            "The offset behind the last record appended, durable or not.",
            lambda partition: partition.log_end_offset,
        )
        yield self._of_log(
            "logbroker_log_size_bytes",
            "Bytes in the segments of a partition.",
            lambda partition: partition.log.size_bytes,
        )
        yield self._of_image(
            "kafka_topic_partition_leader",
            "The broker that leads a partition.",
            lambda partition: partition.leader,
        )
        yield self._of_image(
            "kafka_topic_partition_leader_is_preferred",
            "1 if a partition's leader is its first replica.",
            lambda partition: int(partition.leader == partition.replicas[0]),
        )
        yield self._of_image(
            "kafka_topic_partition_replicas",
            "Replicas of a partition.",
            lambda partition: len(partition.replicas),
        )
        yield self._of_image(
            "kafka_topic_partition_in_sync_replica",
            "Replicas of a partition that are in sync.",
            lambda partition: len(partition.isr),
        )
        yield self._of_image(
            "kafka_topic_partition_under_replicated_partition",
            "1 if a partition has fewer replicas in sync than it has replicas.",
            lambda partition: int(len(partition.isr) < len(partition.replicas)),
        )

    def _of_image(self, name: str, help_: str, value: Callable[[PartitionImage], int]) -> Metric:
        def samples() -> Iterator[tuple[Labels, float]]:
            for topic in self._image().topics.values():
                for index, partition in enumerate(topic.partitions):
                    yield _partition(topic.name, index), value(partition)

        return _gauge(name, help_, samples())

    def _of_log(self, name: str, help_: str, value: Callable[[Partition], int]) -> Metric:
        def samples() -> Iterator[tuple[Labels, float]]:
            for topic in self._image().topics.values():
                # A partition of a directory that is offline has no log to ask.
                for index, partition in list((self._replicas.topic(topic.name) or {}).items()):
                    yield _partition(topic.name, index), value(partition)

        return _gauge(name, help_, samples())


class GroupExporter:
    """Committed offsets of consumer groups, and how far behind they are."""

    def __init__(
        self,
        runtime: CoordinatorRuntime[GroupMachine],
        replicas: ReplicaManager,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        offsets_max: int = OFFSETS_MAX,
    ) -> None:
        self._runtime = runtime
        self._replicas = replicas
        self._monotonic = monotonic
        self._offsets_max = offsets_max
        self._history = OffsetHistory()

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        machines = list(self._runtime.machines())
        yield _gauge(
            "kafka_consumergroup_members",
            "Members of a group.",
            [
                ((("consumergroup", name),), len(group.members))
                for machine in machines
                for name, group in list(machine.groups.items())
            ],
        )
        offsets, left_out = self._read(machines)
        yield _gauge(
            "kafka_consumergroup_current_offset",
            "The committed offset of a group.",
            ((_group(group, topic, partition), offset) for group, topic, partition, offset, _ in offsets),
        )
        yield _gauge(
            "kafka_consumergroup_current_offset_sum",
            "The committed offsets of a group, added up over a topic.",
            _sums(((group, topic), offset) for group, topic, _, offset, _ in offsets),
        )
        yield _gauge(
            "kafka_consumergroup_lag",
            "Records between the committed offset of a group and the high watermark.",
            (
                (_group(group, topic, partition), max(0, end - offset))
                for group, topic, partition, offset, end in offsets
                if end is not None
            ),
        )
        yield _gauge(
            "kafka_consumergroup_lag_sum",
            "The lag of a group, added up over a topic.",
            _sums(
                ((group, topic), max(0, end - offset))
                for group, topic, _, offset, end in offsets
                if end is not None
            ),
        )
        yield _gauge(
            "kafka_consumergroup_group_lag_seconds",
            "How long ago the committed offset of a group was the newest.",
            self._lag_seconds(offsets),
        )
        yield _gauge(
            "logbroker_metrics_groups_left_out",
            "Groups whose offsets are not shown, as there are too many.",
            [((), left_out)],
        )

    def _read(self, machines: list[GroupMachine]) -> tuple[list[tuple[str, str, int, int, int | None]], int]:
        """(group, topic, partition, committed offset, high watermark) of what is shown, and groups that are not."""
        now_s = self._monotonic()
        found: list[tuple[str, str, int, int, int | None]] = []
        ends: dict[tuple[str, int], int | None] = {}
        left_out = 0
        for machine in machines:
            for group in list(machine.offsets.groups):
                if len(found) >= self._offsets_max:
                    left_out += 1
                    continue
                for topic, index, value in machine.offsets.of_group(group):
                    key = (topic, index)
                    if key not in ends:
                        partition = (self._replicas.topic(topic) or {}).get(index)
                        ends[key] = partition.high_watermark if partition is not None else None
                    found.append((group, topic, index, value.offset, ends[key]))
        known = {key: end for key, end in ends.items() if end is not None}
        for key, end in known.items():
            self._history.note(key, now_s, end)
        self._history.keep_only(set(known))
        return found, left_out

    def _lag_seconds(
        self, offsets: list[tuple[str, str, int, int, int | None]]
    ) -> Iterator[tuple[Labels, float]]:
        for group, topic, partition, offset, end in offsets:
            seconds = self._history.lag_s((topic, partition), offset) if end is not None else None
            if seconds is not None:
                yield (("group", group), ("topic", topic), ("partition", str(partition))), seconds


class DirectoryExporter:
    """Log directories: commits, syncs, the ring, checkpoints, open files, scrubbing."""

    def __init__(self, states: Callable[[], Iterable[LogDirState]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        states = list(self._states())
        opened = [(state.path, state.directory) for state in states if state.directory is not None]

        def each(
            name: str, help_: str, kind: str, value: Callable[[LogDirectory], float | Histogram]
        ) -> Metric:
            samples = [(_directory(path), value(directory)) for path, directory in opened]
            return Metric(name, help_, kind, samples)  # type: ignore[arg-type]

        yield _gauge(
            "logbroker_directory_online",
            "1 if a log directory can be used, 0 once it has failed or where it is missing.",
            [(_directory(state.path), int(state.online)) for state in states],
        )
        yield each(
            "logbroker_journal_commit_seconds",
            "How long a commit took: one write and one sync for all that waited.",
            "histogram",
            lambda directory: directory.stats.commit_us,
        )
        yield each(
            "logbroker_journal_commit_bytes",
            "How large commits were.",
            "histogram",
            lambda directory: directory.stats.commit_bytes,
        )
        yield each(
            "logbroker_journal_bytes_total",
            "Bytes written to the journal.",
            "counter",
            lambda directory: directory.stats.journal_bytes,
        )
        yield each(
            "logbroker_journal_ring_waits_total",
            "Times appends had to wait because the ring was full.",
            "counter",
            lambda directory: directory.journal.ring_waits,
        )
        yield each(
            "logbroker_direct_bytes_total",
            "Bytes synced in their segment directly, past the journal.",
            "counter",
            lambda directory: directory.stats.direct_bytes,
        )
        yield each(
            "logbroker_segment_syncs_total",
            "Syncs of segments, by checkpoints and directly.",
            "counter",
            lambda directory: directory.stats.segment_syncs,
        )
        yield each(
            "logbroker_checkpoint_seconds",
            "How long checkpoints took.",
            "histogram",
            lambda directory: directory.stats.checkpoint_us,
        )
        yield each(
            "logbroker_disk_errors_total",
            "Failed syncs, writes and reads of a log directory.",
            "counter",
            lambda directory: directory.stats.disk_errors,
        )
        yield each(
            "logbroker_log_open_files",
            "Segment and index files that are open.",
            "gauge",
            lambda directory: directory.pool.open_count,
        )


class NetworkExporter:
    """Connections and requests, as the listeners count them."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        server, counters = self._server, self._server.counters
        yield _gauge("logbroker_connections", "Connections that are open.", [((), len(server.connections))])
        for name, help_, value in (
            ("logbroker_connections_accepted_total", "Connections taken in.", counters.accepted),
            ("logbroker_requests_received_total", "Whole requests received.", counters.requests),
            ("logbroker_received_bytes_total", "Bytes received from clients.", counters.received_bytes),
            ("logbroker_sent_bytes_total", "Bytes sent to clients.", counters.sent_bytes),
        ):
            yield Metric(name, help_, "counter", [((), value)])
        yield Metric(
            "logbroker_connections_closed_total",
            "Connections that the broker closed, by reason.",
            "counter",
            [
                ((("reason", "too_many"),), counters.refused),
                ((("reason", "idle"),), counters.closed_idle),
                ((("reason", "stuck"),), counters.closed_stuck),
                ((("reason", "stalled"),), counters.closed_stalled),
                ((("reason", "invalid"),), counters.closed_invalid),
            ],
        )


def _gauge(name: str, help_: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    return Metric(name, help_, "gauge", samples)


def _topic(topic: str) -> Labels:
    return (("topic", topic),)


def _partition(topic: str, partition: int) -> Labels:
    return (("topic", topic), ("partition", str(partition)))


def _group(group: str, topic: str, partition: int) -> Labels:
    return (("consumergroup", group), ("topic", topic), ("partition", str(partition)))


def _directory(path: str) -> Labels:
    return (("directory", path),)


def _sums(values: Iterable[tuple[tuple[str, str], int]]) -> list[tuple[Labels, float]]:
    sums: dict[tuple[str, str], int] = {}
    for key, value in values:
        sums[key] = sums.get(key, 0) + value
    return [((("consumergroup", group), ("topic", topic)), total) for (group, topic), total in sums.items()]
