"""kafka-python, driven by lines."""

from __future__ import annotations

import sys
import time
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic, OffsetSpec
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata
from lines import headers_of, record, serve, unpack

TIMEOUT_S = 30.0
# A poll that ends while the group is being joined can leave this client waiting for ever, whichever broker it talks to.
POLL_MIN_MS = 1000


class KafkaPython:
    def __init__(self, server: str) -> None:
        self.server = server
        self._admin: KafkaAdminClient | None = None
        self.members: dict[str, KafkaConsumer] = {}
        self.transactors: dict[str, KafkaProducer] = {}

    @property
    def admin(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.server)
        return self._admin

    def produce(
        self,
        topic: str,
        records: list[Any],
        codec: str = "none",
        idempotence: bool = False,
        acks: Any = "all",
    ) -> list[Any]:
        producer = KafkaProducer(
            bootstrap_servers=self.server,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotence,
            acks=acks,
            linger_ms=5,
            batch_size=65536,
            max_request_size=1_048_000,
        )
        futures = [
            producer.send(
                topic,
                key=unpack(each["k"]),
                value=unpack(each["v"]),
                headers=headers_of(each),
                partition=each["p"],
                timestamp_ms=each["t"],
            )
            for each in records
        ]
        producer.flush(TIMEOUT_S)
        done = [future.get(TIMEOUT_S) for future in futures]
        producer.close(TIMEOUT_S)
        return [[each.partition, each.offset, each.timestamp] for each in done]

    def _consumer(self, **options: Any) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self.server, enable_auto_commit=False, auto_offset_reset="none", **options
        )

    def consume(
        self, topic: str, spans: dict[str, list[int]], isolation: str = "read_uncommitted"
    ) -> list[dict[str, Any]]:
        left = {int(partition): span[1] for partition, span in spans.items() if span[0] < span[1]}
        consumer = self._consumer(isolation_level=isolation)
        consumer.assign([TopicPartition(topic, partition) for partition in left])
        for partition in left:
            consumer.seek(TopicPartition(topic, partition), spans[str(partition)][0])
        read = []
        until = time.monotonic() + TIMEOUT_S
        while left:
            if time.monotonic() > until:
                raise TimeoutError(f"nothing came of {left}")
            for messages in consumer.poll(timeout_ms=1000).values():
                for message in messages:
                    if message.partition in left and message.offset < left[message.partition]:
                        read.append(_record(message))
                        if message.offset + 1 >= left[message.partition]:
                            del left[message.partition]
        consumer.close()
        return read

    # ---- Transactions: see confluent_driver.py

    def transactor(self, name: str, transactional_id: str, timeout_ms: int = 60_000) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.server,
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
        )
        producer.init_transactions()
        self.transactors[name] = producer

    def transaction(
        self, name: str, topic: str, records: list[list[Any]], end: str = "commit", offsets: Any = None
    ) -> None:
        producer = self.transactors[name]
        producer.begin_transaction()
        futures = [
            producer.send(topic, value=text.encode(), partition=partition) for partition, text in records
        ]
        producer.flush(TIMEOUT_S)
        for future in futures:
            future.get(TIMEOUT_S)
        if offsets is not None:
            positions = {
                TopicPartition(topic, int(each)): OffsetAndMetadata(at, "", -1)
                for each, at in offsets["positions"].items()
            }
            producer.send_offsets_to_transaction(positions, offsets["group"])
        if end == "commit":
            producer.commit_transaction()
        elif end == "abort":
            producer.abort_transaction()

    def read_committed(self, topic: str, partitions: list[int]) -> dict[int, list[str]]:
        consumer = self._consumer(isolation_level="read_committed")
        asked = [TopicPartition(topic, each) for each in partitions]
        consumer.assign(asked)
        for each in asked:
            consumer.seek(each, 0)
        ends = consumer.end_offsets(asked)
        read: dict[int, list[str]] = {partition: [] for partition in partitions}
        until = time.monotonic() + TIMEOUT_S
        while any(consumer.position(each) < ends[each] for each in asked):
            if time.monotonic() > until:
                raise TimeoutError(f"not read to {ends}")
            for messages in consumer.poll(timeout_ms=200).values():
                for message in messages:
                    read[message.partition].append(message.value.decode())
        consumer.close()
        return read

    def read_at(self, topic: str, partition: int, offsets: list[int]) -> list[int]:
        consumer = self._consumer(max_poll_records=1)
        assigned = TopicPartition(topic, partition)
        consumer.assign([assigned])
        found = []
        for offset in offsets:
            consumer.seek(assigned, offset)
            messages: list[Any] = []
            until = time.monotonic() + TIMEOUT_S
            while not messages and time.monotonic() < until:
                messages = consumer.poll(timeout_ms=1000).get(assigned, [])
            found.append(messages[0].offset)
        consumer.close()
        return found

    def offsets(self, topic: str, partitions: list[int]) -> dict[int, list[int]]:
        consumer = self._consumer()
        asked = [TopicPartition(topic, each) for each in partitions]
        first, last = consumer.beginning_offsets(asked), consumer.end_offsets(asked)
        consumer.close()
        return {each.partition: [first[each], last[each]] for each in asked}

    def offsets_for_times(self, topic: str, times: dict[str, int]) -> dict[int, int | None]:
        consumer = self._consumer()
        asked = {TopicPartition(topic, int(partition)): time for partition, time in times.items()}
        found = consumer.offsets_for_times(asked)
        consumer.close()
        return {each.partition: None if at is None else at.offset for each, at in found.items()}

    def max_timestamp_offset(self, topic: str, partition: int) -> int:
        asked = TopicPartition(topic, partition)
        return int(self.admin.list_partition_offsets({asked: OffsetSpec.MAX_TIMESTAMP})[asked].offset)

    # ---- Admin ---------------------------------------------------------------------------------------------------

    def create_topic(self, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
        new = NewTopic(topic, num_partitions=partitions, replication_factor=-1, topic_configs=config or {})
        self.admin.create_topics([new], timeout_ms=int(TIMEOUT_S * 1000))

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic], timeout_ms=int(TIMEOUT_S * 1000))

    def create_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions({topic: NewPartitions(total)})

    def topics(self) -> dict[str, int]:
        return {each["name"]: len(each["partitions"]) for each in self.admin.describe_topics()}

    def configs(self, topic: str) -> dict[str, str]:
        found = self.admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"
        )
        return _config_values(found)

    def set_config(self, topic: str, name: str, value: str) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: value})
        for outcome in self.admin.alter_configs([resource])["topic"].values():
            if outcome != "OK":
                raise RuntimeError(outcome)

    def delete_records(self, topic: str, before: dict[str, int]) -> dict[int, int]:
        asked = {TopicPartition(topic, int(partition)): offset for partition, offset in before.items()}
        found = self.admin.delete_records(asked)
        return {each.partition: int(at["low_watermark"]) for each, at in found.items()}

    def cluster(self) -> int:
        return len(self.admin.describe_cluster()["brokers"])

    def log_dirs(self) -> dict[str, int]:
        sizes = {}
        for broker in self.admin.describe_log_dirs():
            for directory in broker["log_dirs"]:
                for topic in directory["topics"]:
                    for each in topic["partitions"]:
                        sizes[f"{topic['name']}-{each['partition_index']}"] = each["partition_size"]
        return sizes

    def groups(self) -> list[str]:
        return [each["group_id"] for each in self.admin.list_groups()]

    def group(self, group: str) -> dict[str, Any]:
        found = self.admin.describe_groups([group])[group]
        return {"state": found["group_state"], "members": len(found["members"])}

    def committed(self, group: str, topic: str, partitions: list[int]) -> dict[int, int | None]:
        found = self.admin.list_group_offsets({group: [TopicPartition(topic, each) for each in partitions]})[
            group
        ]
        at = {each.partition: offset.offset for each, offset in found.items() if each.topic == topic}
        return {each: None if at.get(each, -1) < 0 else at[each] for each in partitions}

    # ---- Group members -------------------------------------------------------------------------------------------

    def join(self, member: str, group: str, topics: list[str]) -> None:
        self.members[member] = KafkaConsumer(
            *topics,
            bootstrap_servers=self.server,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=200,
        )

    def poll(self, member: str, timeout_ms: int) -> dict[str, Any]:
        consumer = self.members[member]
        read = [
            _record(each)
            for some in consumer.poll(timeout_ms=max(timeout_ms, POLL_MIN_MS)).values()
            for each in some
        ]
        return {"records": read, "assigned": sorted(each.partition for each in consumer.assignment())}

    def commit(self, member: str) -> None:
        self.members[member].commit()

    def leave(self, member: str) -> None:
        self.members.pop(member).close()


def _config_values(found: Any) -> dict[str, str]:
    """Name to value, whichever of its shapes the library answers in."""
    while isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    return {name: entry["value"] for name, entry in found.items()}


def _record(message: Any) -> dict[str, Any]:
    return record(
        message.partition, message.offset, message.timestamp, message.key, message.value, message.headers
    )


if __name__ == "__main__":
    serve(KafkaPython(sys.argv[1]))
