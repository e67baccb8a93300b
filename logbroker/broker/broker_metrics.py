"""What `/metrics` shows of a broker: Kafka-exporter names that people already chart, and our own.

Nothing is counted here: every number is read, at scrape time, from whoever has it. Names: `kafka_*` as kafka_exporter gives
them; `logbroker_*` are ours, described beside each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from logbroker.base.metrics import Labels, Metric
from logbroker.replication.partition import Partition

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker
    from logbroker.replication.log_dirs import LogDirState


class BrokerMetrics:
    """The collectors of one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def register(self) -> None:
        """Add everything to the broker's registry."""
        registry = self._broker.metrics
        registry.register(self._cluster)
        registry.register(self._network)
        registry.register(self._storage)

    def _cluster(self) -> Iterable[Metric]:
        replicas = list(self._broker.replicas)
        topics = self._broker.metadata.image.topics
        node = self._broker.node_id

        def each(value: Callable[[Partition], float]) -> Iterator[tuple[Labels, float]]:
            return ((_labels(partition), value(partition)) for partition in replicas)

        yield Metric("kafka_brokers", "Brokers in the cluster.", "gauge", [((), 1)])
        yield Metric(
            "kafka_topic_partitions",
            "Partitions of a topic.",
            "gauge",
            [((("topic", name),), len(topic.partitions)) for name, topic in list(topics.items())],
        )
        for name, help_, value in (
            (
                "current_offset",
                "Offset of the next record that consumers will see.",
                lambda p: p.high_watermark,
            ),
            ("oldest_offset", "First offset that can be read.", lambda p: p.log_start_offset),
            (
                "leader",
                "The broker that leads the partition.",
                lambda p: node if p.log.refusal is None else -1,
            ),
            ("replicas", "Replicas of the partition.", lambda _: 1),
            ("in_sync_replica", "Replicas in sync.", lambda p: p.isr_size if p.log.refusal is None else 0),
            (
                "under_replicated_partition",
                "1 if a replica is missing.",
                lambda p: int(p.log.refusal is not None),
            ),
        ):
            yield Metric(f"kafka_topic_partition_{name}", help_, "gauge", each(value))
        yield Metric(
            "logbroker_log_size_bytes",
            "Bytes in a partition's segments.",
            "gauge",
            each(lambda p: p.log.size_bytes),
        )
        yield Metric(
            "logbroker_log_end_offset",
            "Offset of the next append.",
            "gauge",
            each(lambda p: p.log_end_offset),
        )

    def _network(self) -> Iterable[Metric]:
        server = self._broker.server
        counters = server.counters
        yield Metric(
            "logbroker_connections", "Connections open now.", "gauge", [((), len(server.connections))]
        )
        for name, help_, number in (
            ("connections_accepted", "Connections taken in.", counters.accepted),
            ("connections_refused", "Connections closed at once: there were too many.", counters.refused),
            ("connections_closed_idle", "Connections closed for silence.", counters.closed_idle),
            (
                "connections_closed_stuck",
                "Connections closed: the peer took no replies.",
                counters.closed_stuck,
            ),
            (
                "connections_closed_stalled",
                "Connections closed: they held request memory that others waited for, and didn't get on.",
                counters.closed_stalled,
            ),
            ("connections_closed_invalid", "Connections closed for what was sent.", counters.closed_invalid),
            ("requests", "Requests taken in.", counters.requests),
            ("received_bytes", "Bytes received from clients.", counters.received_bytes),
            ("sent_bytes", "Bytes sent to clients.", counters.sent_bytes),
        ):
            yield Metric(f"logbroker_{name}_total", help_, "counter", [((), number)])
        budget = server.budget
        yield Metric(
            "logbroker_request_memory_bytes",
            "Of queued.max.request.bytes, what requests hold, half received ones included, by their size.",
            "gauge",
            [((("lane", lane.name),), lane.used_bytes) for lane in budget.lanes],
        )
        yield Metric(
            "logbroker_request_memory_waiting",
            "Connections that wait for request memory, by the size of what they send.",
            "gauge",
            [((("lane", lane.name),), budget.waiting_in(lane)) for lane in budget.lanes],
        )
        yield Metric(
            "logbroker_reply_memory_bytes",
            "Of queued.max.reply.bytes, what slow readers haven't taken.",
            "gauge",
            [((), server.unsent_bytes())],
        )
        for name, help_, number in (
            ("fetch_sessions", "Incremental fetch sessions kept.", len(self._broker.fetch_sessions)),
            ("fetches_waiting", "Fetches parked for more records.", len(self._broker.fetch_waits)),
            (
                "produces_waiting",
                "Produces not yet durable, or just become so.",
                len(self._broker.produce_waits),
            ),
        ):
            yield Metric(f"logbroker_{name}", help_, "gauge", [((), number)])
        yield Metric(
            "logbroker_cleaner_max_dirty_percent",
            "Of the log that has most to compact, how much was never compacted.",
            "gauge",
            [((), self._broker.replicas.cleaning.max_dirty_percent)],
        )

    def _storage(self) -> Iterable[Metric]:
        states = self._broker.replicas.states

        def each(value: Callable[[LogDirState], float]) -> Iterator[tuple[Labels, float]]:
            return ((_dir_labels(state), value(state)) for state in states if state.directory is not None)

        yield Metric(
            "logbroker_log_directory_online",
            "1 while the directory can be used.",
            "gauge",
            [(_dir_labels(state), int(state.online)) for state in states],
        )
        for name, kind, help_, attribute in _DIRECTORY_NUMBERS:
            yield Metric(
                f"logbroker_{name}",
                help_,
                "counter" if kind == "counter" else "gauge",
                each(lambda state, attribute=attribute: _number(state, attribute)),  # type: ignore[misc]
            )
        for name, help_, attribute in (
            ("commit_seconds", "How long a journal commit (one write, one fdatasync) takes.", "commit_us"),
            ("commit_bytes", "How large a journal commit is.", "commit_bytes"),
            ("checkpoint_seconds", "How long a checkpoint takes.", "checkpoint_us"),
        ):
            yield Metric(
                f"logbroker_{name}",
                help_,
                "histogram",
                [
                    (_dir_labels(state), getattr(state.directory.stats, attribute))
                    for state in states
                    if state.directory is not None
                ],
            )


_DIRECTORY_NUMBERS = (
    ("journal_commits_total", "counter", "Journal commits.", "journal.commits"),
    ("journal_bytes_total", "counter", "Bytes written to the journal.", "stats.journal_bytes"),
    (
        "journal_ring_waits_total",
        "counter",
        "Times that appends waited for a free ring file.",
        "journal.ring_waits",
    ),
    ("journal_files", "gauge", "Files in the journal's ring.", "journal.files_total"),
    ("journal_files_full", "gauge", "Ring files that wait for a checkpoint.", "journal.files_full"),
    ("segment_syncs_total", "counter", "fdatasync calls on segments and indexes.", "stats.segment_syncs"),
    (
        "direct_sync_bytes_total",
        "counter",
        "Bytes that were synced in their segment directly.",
        "stats.direct_bytes",
    ),
    ("checkpoints_total", "counter", "Checkpoints published.", "stats.checkpoints"),
    ("writebacks_total", "counter", "Write-backs of in-memory tails.", "stats.writebacks"),
    ("disk_errors_total", "counter", "Disk errors; each takes its directory offline.", "stats.disk_errors"),
    (
        "damaged_reads_total",
        "counter",
        "Reads for clients that met bytes which are not what was written; the log names them.",
        "stats.damaged_reads",
    ),
    (
        "tail_bytes",
        "gauge",
        "Appended bytes that are not in their segment file yet.",
        "checkpointer.tail_bytes",
    ),
    ("open_files", "gauge", "Segment and index files open.", "pool.open_count"),
    ("scrubbed_bytes_total", "counter", "Bytes of sealed segments read and checked.", "stats.scrubbed_bytes"),
    (
        "scrubbed_segments_total",
        "counter",
        "Sealed segments read to their end and checked.",
        "stats.scrubbed_segments",
    ),
    (
        "scrub_findings_total",
        "counter",
        "Damaged places found in sealed segments, each time one was found; the log names them.",
        "stats.scrub_findings",
    ),
    (
        "scrub_pass_bytes",
        "gauge",
        "Bytes that the scrubber's present pass has to read.",
        "stats.scrub_pass_bytes",
    ),
    ("scrub_pass_done_bytes", "gauge", "Bytes that it has read of them.", "stats.scrub_pass_done_bytes"),
    (
        "scrub_last_pass_ms",
        "gauge",
        "When every sealed segment had last been read, ms since the epoch; 0: never yet.",
        "stats.scrub_last_pass_ms",
    ),
    ("cleaner_passes_total", "counter", "Logs compacted.", "stats.cleaner_passes"),
    (
        "cleaner_failures_total",
        "counter",
        "Passes of compaction that failed and are tried again; the log says why.",
        "stats.cleaner_failures",
    ),
    ("cleaner_read_bytes_total", "counter", "Bytes that compaction read.", "stats.cleaner_read_bytes"),
    ("cleaner_written_bytes_total", "counter", "Bytes that it wrote.", "stats.cleaner_written_bytes"),
    (
        "cleaner_removed_records_total",
        "counter",
        "Records that it took away.",
        "stats.cleaner_removed_records",
    ),
    ("cleaner_last_pass_ms", "gauge", "How long the last log took, ms.", "stats.cleaner_last_pass_ms"),
    (
        "cleaner_uncleanable_partitions",
        "gauge",
        "Partitions that can't be compacted until the next start; the log says why.",
        "cleaner.uncleanable",
    ),
)


def _number(state: LogDirState, path: str) -> float:
    value: object = state.directory
    for name in path.split("."):
        value = getattr(value, name)
    return float(value)  # type: ignore[arg-type]


def _labels(partition: Partition) -> Labels:
    return (("topic", partition.topic), ("partition", str(partition.index)))


def _dir_labels(state: LogDirState) -> Labels:
    return (("directory", state.path),)
