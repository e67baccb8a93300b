"""The two brokers of a comparison, each with its data under one directory of the same file system."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
from typing import Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from logbroker.testing.broker_process import BrokerProcess, free_port

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
ADMIN_TIMEOUT_S = 60.0
# Both forget a deleted topic's files soon, so that one row's data doesn't fill the disk for the next.
DELETE_DELAY = ("log.segment.delete.delay.ms", "1000")


class Broker(Protocol):
    """A broker that can be put under load."""

    name: str

    @property
    def bootstrap(self) -> str:
        """host:port."""

    def start(self) -> None:
        """Start it and wait until it serves."""

    def stop(self) -> None:
        """Stop it cleanly."""

    def counters(self) -> dict[str, float]:
        """Figures that only grow; their difference belongs to a run."""


class Ours:
    """logbroker, as it is shipped: every acknowledgement durable."""

    name = "logbroker"

    def __init__(self, directory: pathlib.Path) -> None:
        self.process = BrokerProcess(directory / "logbroker", settings=dict([DELETE_DELAY]), verify=False)
        self.ring_bytes = 0

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return self.process.bootstrap

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def start(self) -> None:
        """Start it and learn how large its journal is."""
        self.process.start()
        from logbroker.config.settings import Settings

        defaults = Settings()
        self.ring_bytes = defaults.log_journal_files * defaults.log_journal_file_bytes

    def stop(self) -> None:
        """SIGTERM; exit status 0 or it is a fault."""
        self.process.stop()

    def counters_ring_full(self) -> float:
        """The share of the ring's files that wait for a checkpoint; the one being written never does."""
        full, files = (self.process.metric(f"logbroker_journal_files{suffix}") for suffix in ("_full", ""))
        return full / max(files - 1, 1)

    def end(self) -> None:
        """Have no process left."""
        self.process.end()

    def counters(self) -> dict[str, float]:
        """Commits (one fdatasync each), syncs of segments, bytes on both routes, waits for the ring, checkpoints."""
        names = {
            "commits": "logbroker_journal_commits_total",
            "segment_syncs": "logbroker_segment_syncs_total",
            "journal_bytes": "logbroker_journal_bytes_total",
            "direct_bytes": "logbroker_direct_sync_bytes_total",
            "ring_waits": "logbroker_journal_ring_waits_total",
            "checkpoints": "logbroker_checkpoints_total",
            "cpu_s": "process_cpu_seconds_total",
        }
        return {name: self.process.metric(metric) for name, metric in names.items()}


class Kafka:
    """Apache Kafka with its defaults: KRaft, a heap of 1 GB, the page cache left to the operating system."""

    name = "Kafka"

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory / "kafka"
        self._port = free_port(neighbours=1)  # its controller listens there

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it with tools/kafka/kafka.sh."""
        self._directory.mkdir(parents=True, exist_ok=True)
        script = REPOSITORY / "tools" / "kafka" / "kafka.sh"
        started = subprocess.run(
            [str(script), "start", str(self._directory), str(self._port), "=".join(DELETE_DELAY)],
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise SystemExit(f"Kafka did not start: {started.stderr}")

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        script = REPOSITORY / "tools" / "kafka" / "kafka.sh"
        subprocess.run([str(script), "stop", str(self._directory)], check=True)

    end = stop

    def counters(self) -> dict[str, float]:
        """CPU time alone."""
        pid = int((self._directory / "pid").read_text())
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}


def create_topic(broker: Broker, topic: str, partitions: int) -> None:
    """Create a topic and write one record to each partition: Kafka's first append to one costs about a millisecond."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(ADMIN_TIMEOUT_S)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 50})
    for partition in range(partitions):
        producer.produce(topic, b"warm", partition=partition)
    if producer.flush(ADMIN_TIMEOUT_S):
        raise SystemExit(f"{broker.name}: the partitions of {topic} could not be warmed")


def delete_topic(broker: Broker, topic: str) -> None:
    """Delete a topic and give its files time to go."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(ADMIN_TIMEOUT_S)
    time.sleep(3.0)
