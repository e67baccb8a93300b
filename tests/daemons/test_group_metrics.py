"""What a scrape shows of consumer groups, on a real metadata store and real logs."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from logbroker.base.clock import SystemClock
from logbroker.base.metrics import Registry
from logbroker.config.settings import Settings
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.daemons.group_metrics import GroupExporter
from logbroker.groups.offsets import OffsetStore
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.service import MetadataService
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


def test_groups(tmp_path):
    async def check(bench):
        await bench.create("orders", 2)
        await bench.append("orders", 0, 10)
        machine = SimpleNamespace(
            offsets=OffsetStore(), groups={"billing": SimpleNamespace(members={"a": 1, "b": 2})}
        )
        now_s = 100.0
        bench.registry.register(
            GroupExporter(lambda: [machine], bench.replicas, monotonic=lambda: now_s).collect
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
        exporter = GroupExporter(lambda: [machine], bench.replicas, offsets_max=3)
        bench.registry.register(exporter.collect)
        shown = bench.scrape()
        assert shown["logbroker_metrics_groups_left_out", ()] == 2
        assert sum(1 for name, _ in shown if name == "kafka_consumergroup_current_offset") == 3

    run(tmp_path, check)
