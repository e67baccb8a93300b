"""What a scrape shows of topics, groups and directories, on a real metadata store and real logs."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from logbroker.base.clock import SystemClock
from logbroker.base.metrics import Registry
from logbroker.config.settings import Settings
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.daemons.exporter import DirectoryExporter, GroupExporter, NetworkExporter, TopicExporter
from logbroker.groups.offsets import OffsetStore
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.service import MetadataService
from logbroker.net.limits import ServerLimits
from logbroker.net.server import Server
from logbroker.records.builder import build_batch
from logbroker.replication.replica_manager import ReplicaManager


class Bench:
    """Metadata and logs in one directory, without sockets."""

    def __init__(self, metadata, replicas):
        self.metadata = metadata
        self.replicas = replicas
        self.registry = Registry()

    async def create(self, name, partitions):
        (outcome,) = await self.metadata.create_topics([NewTopic(name, partitions)])
        assert not outcome.error, outcome

    async def append(self, topic, partition, count):
        done = asyncio.get_running_loop().create_future()
        batch = build_batch([(1_700_000_000_000, None, b"value", ())] * count)
        self.replicas.partition(topic, partition).append_as_leader(batch, on_done=done.set_result)
        await done

    def scrape(self):
        samples = {}
        for family in text_string_to_metric_families(self.registry.text()):
            for sample in family.samples:
                samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        return samples


def run(tmp_path, check):
    async def main():
        settings = Settings(log_dirs=(str(tmp_path / "data"),), log_journal_file_bytes=1_048_576)
        (tmp_path / "data").mkdir()
        metadata = await MetadataService.open(settings)
        replicas = ReplicaManager(
            settings,
            SystemClock(),
            reserve_memory_offsets=metadata.reserve_memory_offsets,
            on_directory_offline=metadata.directory_failed,
            on_all_offline=pytest.fail,
        )
        for directory_id, path in replicas.identify(metadata.image):
            await metadata.register_directory(directory_id, path)
        await replicas.open(metadata.image)
        metadata.subscribe(replicas)
        try:
            await check(Bench(metadata, replicas))
        finally:
            await replicas.close()
            await metadata.close()

    asyncio.run(main())


def labels(**values):
    return tuple(sorted(values.items()))


def test_topics(tmp_path):
    async def check(bench):
        bench.registry.register(TopicExporter(lambda: bench.metadata.image, bench.replicas).collect)
        assert bench.scrape()["kafka_brokers", ()] == 1
        await bench.create("orders", 2)
        await bench.append("orders", 1, 5)
        await bench.append("orders", 1, 2)
        shown = bench.scrape()
        assert shown["kafka_topic_partitions", labels(topic="orders")] == 2
        first, second = (labels(topic="orders", partition=str(index)) for index in range(2))
        assert shown["kafka_topic_partition_current_offset", first] == 0
        assert shown["kafka_topic_partition_current_offset", second] == 7
        assert shown["kafka_topic_partition_oldest_offset", second] == 0
        assert shown["logbroker_log_end_offset", second] == 7
        assert shown["logbroker_log_size_bytes", second] > 7 * 5
        assert shown["kafka_topic_partition_leader", second] == 1
        assert shown["kafka_topic_partition_leader_is_preferred", second] == 1
        assert shown["kafka_topic_partition_replicas", second] == 1
        assert shown["kafka_topic_partition_in_sync_replica", second] == 1
        assert shown["kafka_topic_partition_under_replicated_partition", second] == 0
        assert shown["logbroker_metrics_collectors_failed", ()] == 0

    run(tmp_path, check)


def test_groups(tmp_path):
    async def check(bench):
        await bench.create("orders", 2)
        await bench.append("orders", 0, 10)
        machine = SimpleNamespace(
            offsets=OffsetStore(), groups={"billing": SimpleNamespace(members={"a": 1, "b": 2})}
        )
        now_s = 100.0
        bench.registry.register(
            GroupExporter(
                SimpleNamespace(machines=lambda: iter([machine])), bench.replicas, monotonic=lambda: now_s
            ).collect
        )
        machine.offsets.put("billing", "orders", 0, OffsetCommitValue(offset=4))
        machine.offsets.put("billing", "orders", 1, OffsetCommitValue(offset=0))
        machine.offsets.put("billing", "deleted", 0, OffsetCommitValue(offset=3))
        shown = bench.scrape()
        partition = labels(consumergroup="billing", topic="orders", partition="0")
        topic = labels(consumergroup="billing", topic="orders")
        assert shown["kafka_consumergroup_members", labels(consumergroup="billing")] == 2
        assert shown["kafka_consumergroup_current_offset", partition] == 4
        assert shown["kafka_consumergroup_lag", partition] == 6
        assert shown["kafka_consumergroup_lag_sum", topic] == 6
        assert shown["kafka_consumergroup_current_offset_sum", topic] == 4
        gone = labels(consumergroup="billing", topic="deleted", partition="0")
        assert shown["kafka_consumergroup_current_offset", gone] == 3
        assert ("kafka_consumergroup_lag", gone) not in shown
        seconds = labels(group="billing", topic="orders", partition="0")
        assert ("kafka_consumergroup_group_lag_seconds", seconds) not in shown
        assert shown["logbroker_metrics_collectors_failed", ()] == 0

        now_s = 110.0
        await bench.append("orders", 0, 10)
        machine.offsets.put("billing", "orders", 0, OffsetCommitValue(offset=15))
        assert bench.scrape()["kafka_consumergroup_group_lag_seconds", seconds] == pytest.approx(5)

    run(tmp_path, check)


def test_groups_are_bounded(tmp_path):
    async def check(bench):
        machine = SimpleNamespace(offsets=OffsetStore(), groups={})
        for number in range(5):
            machine.offsets.put(f"group{number}", "topic", 0, OffsetCommitValue(offset=number))
        exporter = GroupExporter(
            SimpleNamespace(machines=lambda: iter([machine])), bench.replicas, offsets_max=3
        )
        bench.registry.register(exporter.collect)
        shown = bench.scrape()
        assert shown["logbroker_metrics_groups_left_out", ()] == 2
        assert sum(1 for name, _ in shown if name == "kafka_consumergroup_current_offset") == 3

    run(tmp_path, check)


def test_directories(tmp_path):
    async def check(bench):
        bench.registry.register(DirectoryExporter(lambda: bench.replicas.states).collect)
        await bench.create("orders", 1)
        before = bench.scrape()
        await bench.append("orders", 0, 5)
        shown = bench.scrape()
        directory = labels(directory=str(tmp_path / "data"))
        assert shown["logbroker_directory_online", directory] == 1
        commits = "logbroker_journal_commit_seconds_count"
        assert shown[commits, directory] == before[commits, directory] + 1
        assert shown["logbroker_journal_commit_seconds_sum", directory] > 0
        assert shown["logbroker_journal_bytes_total", directory] >= 4096
        assert shown["logbroker_journal_commit_bytes_bucket", (*directory, ("le", "4096"))] >= 1
        assert shown["logbroker_disk_errors_total", directory] == 0
        assert ("logbroker_log_open_files", directory) in shown
        assert shown["logbroker_metrics_collectors_failed", ()] == 0

    run(tmp_path, check)


def test_connections():
    async def main():
        server = Server(lambda *_: True, ServerLimits(), SystemClock())
        listener = await server.listen("PLAINTEXT", "127.0.0.1", 0)
        bench = Bench(None, None)
        bench.registry.register(NetworkExporter(server).collect)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            while not server.connections:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)
            shown = bench.scrape()
            assert shown["logbroker_connections", ()] == 1
            assert shown["logbroker_connections_accepted_total", ()] == 1
            assert shown["logbroker_connections_closed_total", labels(reason="idle")] == 0
            assert shown["logbroker_metrics_collectors_failed", ()] == 0
            writer.close()
            await writer.wait_closed()
        finally:
            await server.stop(0)

    asyncio.run(main())
