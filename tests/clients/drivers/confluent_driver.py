"""confluent-kafka (librdkafka), driven by lines."""

from __future__ import annotations

import sys
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from lines import headers_of, record, serve, unpack

TIMEOUT_S = 30.0


class Confluent:
    def __init__(self, server: str) -> None:
        self.server = server
        self.admin = AdminClient({"bootstrap.servers": server})
        self.members: dict[str, Consumer] = {}
        self.transactors: dict[str, Producer] = {}

    def produce(
        self,
        topic: str,
        records: list[Any],
        codec: str = "none",
        idempotence: bool = False,
        acks: Any = "all",
    ) -> list[Any]:
        delivered: list[Any] = [None] * len(records)
        producer = Producer(
            {
                "bootstrap.servers": self.server,
                "compression.codec": codec,
                "enable.idempotence": idempotence,
                "acks": acks,
                "linger.ms": 5,
                "message.max.bytes": 1_048_000,
            }
        )

        def report(index: int, error: Any, message: Any) -> None:
            if error is not None:
                delivered[index] = {"error": error.name()}
            else:
                delivered[index] = [message.partition(), message.offset(), message.timestamp()[1]]

        for index, each in enumerate(records):
            options = {} if each["t"] is None else {"timestamp": each["t"]}
            producer.produce(
                topic,
                key=unpack(each["k"]),
                value=unpack(each["v"]),
                headers=headers_of(each),
                partition=each["p"],
                on_delivery=lambda error, message, index=index: report(index, error, message),
                **options,
            )
            producer.poll(0)
        left = producer.flush(TIMEOUT_S)
        if left:
            raise TimeoutError(f"{left} records were not delivered")
        return delivered

    def _consumer(self, **options: Any) -> Consumer:
        always = {"bootstrap.servers": self.server, "enable.auto.commit": False}
        return Consumer({**always, "group.id": "unused", "auto.offset.reset": "error", **options})

    def consume(
        self, topic: str, spans: dict[str, list[int]], isolation: str = "read_uncommitted"
    ) -> list[dict[str, Any]]:
        left = {int(partition): span[1] for partition, span in spans.items() if span[0] < span[1]}
        consumer = self._consumer(**{"isolation.level": isolation})
        consumer.assign([TopicPartition(topic, partition, spans[str(partition)][0]) for partition in left])
        read = []
        while left:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise TimeoutError(f"nothing came of {left}")
            if message.error():
                raise RuntimeError(str(message.error()))
            if message.partition() in left and message.offset() < left[message.partition()]:
                read.append(_record(message))
                if message.offset() + 1 >= left[message.partition()]:
                    del left[message.partition()]
        consumer.close()
        return read

    # ---- Transactions

    def transactor(self, name: str, transactional_id: str, timeout_ms: int = 60_000) -> None:
        """A producer with a transactional id; whoever had it before is fenced."""
        producer = Producer(
            {
                "bootstrap.servers": self.server,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_ms,
                "linger.ms": 0,
            }
        )
        producer.init_transactions(TIMEOUT_S)
        self.transactors[name] = producer

    def transaction(
        self, name: str, topic: str, records: list[list[Any]], end: str = "commit", offsets: Any = None
    ) -> None:
        """One transaction of [partition, text] records and of offsets; it is committed, aborted or left open."""
        producer = self.transactors[name]
        failed: list[Any] = []
        producer.begin_transaction()
        for partition, text in records:
            producer.produce(
                topic,
                value=text,
                partition=partition,
                on_delivery=lambda error, _: error and failed.append(error),
            )
        if producer.flush(TIMEOUT_S) or failed:
            raise RuntimeError(f"not delivered: {failed}")
        if offsets is not None:
            positions = [TopicPartition(topic, int(each), at) for each, at in offsets["positions"].items()]
            consumer = self._consumer(**{"group.id": offsets["group"]})
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), TIMEOUT_S)
            consumer.close()
        if end == "commit":
            producer.commit_transaction(TIMEOUT_S)
        elif end == "abort":
            producer.abort_transaction(TIMEOUT_S)

    def read_committed(self, topic: str, partitions: list[int]) -> dict[int, list[str]]:
        """Everything below each partition's last stable offset."""
        consumer = self._consumer(**{"isolation.level": "read_committed", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        read: dict[int, list[str]] = {partition: [] for partition in partitions}
        left = set(partitions)
        while left:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise TimeoutError(f"nothing came of {left}")
            if message.error() is None:
                read[message.partition()].append(message.value().decode())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise RuntimeError(str(message.error()))
        consumer.close()
        return read

    def read_at(self, topic: str, partition: int, offsets: list[int]) -> list[int]:
        """Seek to each offset in turn; the offset of the record that came."""
        consumer = self._consumer()
        consumer.assign([TopicPartition(topic, partition, offsets[0])])
        found = []
        for offset in offsets:
            if found:
                consumer.seek(TopicPartition(topic, partition, offset))
            message = consumer.poll(TIMEOUT_S)
            if message is None or message.error():
                raise RuntimeError(f"at {offset}: {message and message.error()}")
            found.append(message.offset())
        consumer.close()
        return found

    def offsets(self, topic: str, partitions: list[int]) -> dict[int, list[int]]:
        consumer = self._consumer()
        found = {
            partition: list(consumer.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S))
            for partition in partitions
        }
        consumer.close()
        return found

    def offsets_for_times(self, topic: str, times: dict[str, int]) -> dict[int, int | None]:
        consumer = self._consumer()
        asked = [TopicPartition(topic, int(partition), time) for partition, time in times.items()]
        found = consumer.offsets_for_times(asked, TIMEOUT_S)
        consumer.close()
        # librdkafka answers the end of the log where there is no such record: -1 on the wire.
        return {each.partition: None if each.offset < 0 else each.offset for each in found}

    def max_timestamp_offset(self, topic: str, partition: int) -> int:
        asked = {TopicPartition(topic, partition): OffsetSpec.max_timestamp()}
        return next(iter(self.admin.list_offsets(asked).values())).result(TIMEOUT_S).offset

    # ---- Admin ---------------------------------------------------------------------------------------------------

    def create_topic(self, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
        new = NewTopic(topic, num_partitions=partitions, config=config or {})
        self.admin.create_topics([new], operation_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic], operation_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)

    def create_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(TIMEOUT_S)

    def topics(self) -> dict[str, int]:
        found = self.admin.list_topics(timeout=TIMEOUT_S).topics
        return {name: len(each.partitions) for name, each in found.items()}

    def configs(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = self.admin.describe_configs([resource])[resource].result(TIMEOUT_S)
        return {name: entry.value for name, entry in found.items()}

    def set_config(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)

    def delete_records(self, topic: str, before: dict[str, int]) -> dict[int, int]:
        asked = [TopicPartition(topic, int(partition), offset) for partition, offset in before.items()]
        found = self.admin.delete_records(asked)
        return {each.partition: done.result(TIMEOUT_S).low_watermark for each, done in found.items()}

    def cluster(self) -> int:
        return len(self.admin.describe_cluster().result(TIMEOUT_S).nodes)

    def groups(self) -> list[str]:
        return [each.group_id for each in self.admin.list_consumer_groups().result(TIMEOUT_S).valid]

    def group(self, group: str) -> dict[str, Any]:
        found = self.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
        return {"state": found.state.name, "members": len(found.members)}

    def committed(self, group: str, topic: str, partitions: list[int]) -> dict[int, int | None]:
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, each) for each in partitions])
        found = self.admin.list_consumer_group_offsets([asked])[group].result(TIMEOUT_S)
        return {
            each.partition: None if each.offset == OFFSET_INVALID else each.offset
            for each in found.topic_partitions
        }

    # ---- Group members -------------------------------------------------------------------------------------------

    def join(self, member: str, group: str, topics: list[str], protocol: str = "classic") -> None:
        settings: dict[str, Any] = {
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 200,
        }
        if protocol == "consumer":
            settings = {"group.protocol": "consumer"}
        self.members[member] = self._consumer(
            **{"group.id": group, "auto.offset.reset": "earliest", **settings}
        )
        self.members[member].subscribe(topics)

    def poll(self, member: str, timeout_ms: int) -> dict[str, Any]:
        consumer = self.members[member]
        messages = consumer.consume(500, timeout_ms / 1000)
        for message in messages:
            if message.error():
                raise RuntimeError(str(message.error()))
        return {
            "records": [_record(message) for message in messages],
            "assigned": sorted(each.partition for each in consumer.assignment()),
        }

    def commit(self, member: str) -> None:
        self.members[member].commit(asynchronous=False)

    def leave(self, member: str) -> None:
        self.members.pop(member).close()


def _record(message: Any) -> dict[str, Any]:
    return record(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )


if __name__ == "__main__":
    serve(Confluent(sys.argv[1]))
