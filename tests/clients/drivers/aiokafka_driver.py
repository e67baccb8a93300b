"""aiokafka, driven by lines; its loop turns while a line is awaited, so that its heartbeats go out."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from lines import claim_stdout, headers_of, record, unpack

TIMEOUT_S = 30.0


class AioKafka:
    def __init__(self, server: str) -> None:
        self.server = server
        self._admin: AIOKafkaAdminClient | None = None
        self.members: dict[str, AIOKafkaConsumer] = {}
        self.transactors: dict[str, AIOKafkaProducer] = {}

    async def admin(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(bootstrap_servers=self.server)
            await self._admin.start()
        return self._admin

    async def produce(
        self,
        topic: str,
        records: list[Any],
        codec: str = "none",
        idempotence: bool = False,
        acks: Any = "all",
    ) -> list[Any]:
        async with AIOKafkaProducer(
            bootstrap_servers=self.server,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotence,
            acks=acks,
            linger_ms=5,
            max_batch_size=65536,
            max_request_size=1_048_000,
        ) as producer:
            futures = [
                await producer.send(
                    topic,
                    key=unpack(each["k"]),
                    value=unpack(each["v"]),
                    headers=headers_of(each),
                    partition=each["p"],
                    timestamp_ms=each["t"],
                )
                for each in records
            ]
            done = await asyncio.wait_for(asyncio.gather(*futures), TIMEOUT_S)
        return [None if each is None else [each.partition, each.offset, each.timestamp] for each in done]

    def _consumer(self, **options: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.server, enable_auto_commit=False, auto_offset_reset="none", **options
        )

    async def consume(
        self, topic: str, spans: dict[str, list[int]], isolation: str = "read_uncommitted"
    ) -> list[dict[str, Any]]:
        left = {int(partition): span[1] for partition, span in spans.items() if span[0] < span[1]}
        read = []
        async with self._consumer(isolation_level=isolation) as consumer:
            consumer.assign([TopicPartition(topic, partition) for partition in left])
            for partition in left:
                consumer.seek(TopicPartition(topic, partition), spans[str(partition)][0])
            while left:
                message = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
                if message.partition in left and message.offset < left[message.partition]:
                    read.append(_record(message))
                    if message.offset + 1 >= left[message.partition]:
                        del left[message.partition]
        return read

    # ---- Transactions: see confluent_driver.py

    async def transactor(self, name: str, transactional_id: str, timeout_ms: int = 60_000) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.server,
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
        )
        await asyncio.wait_for(producer.start(), TIMEOUT_S)
        self.transactors[name] = producer

    async def transaction(
        self, name: str, topic: str, records: list[list[Any]], end: str = "commit", offsets: Any = None
    ) -> None:
        producer = self.transactors[name]
        await producer.begin_transaction()
        futures = [
            await producer.send(topic, value=text.encode(), partition=partition)
            for partition, text in records
        ]
        await asyncio.wait_for(asyncio.gather(*futures), TIMEOUT_S)
        if offsets is not None:
            positions = {TopicPartition(topic, int(each)): at for each, at in offsets["positions"].items()}
            await producer.send_offsets_to_transaction(positions, offsets["group"])
        if end == "commit":
            await asyncio.wait_for(producer.commit_transaction(), TIMEOUT_S)
        elif end == "abort":
            await asyncio.wait_for(producer.abort_transaction(), TIMEOUT_S)

    async def read_committed(self, topic: str, partitions: list[int]) -> dict[int, list[str]]:
        read: dict[int, list[str]] = {partition: [] for partition in partitions}
        asked = [TopicPartition(topic, each) for each in partitions]
        async with self._consumer(isolation_level="read_committed") as consumer:
            consumer.assign(asked)
            for each in asked:
                consumer.seek(each, 0)
            # It asks for the ends of committed records only where it also reads: below the last stable offset.
            ends = await consumer.end_offsets(asked)
            async with asyncio.timeout(TIMEOUT_S):
                for each in asked:
                    while await consumer.position(each) < ends[each]:
                        for messages in (await consumer.getmany(timeout_ms=200)).values():
                            for message in messages:
                                read[message.partition].append(message.value.decode())
        return read

    async def read_at(self, topic: str, partition: int, offsets: list[int]) -> list[int]:
        assigned = TopicPartition(topic, partition)
        found = []
        async with self._consumer() as consumer:
            consumer.assign([assigned])
            for offset in offsets:
                consumer.seek(assigned, offset)
                found.append((await asyncio.wait_for(consumer.getone(assigned), TIMEOUT_S)).offset)
        return found

    async def offsets(self, topic: str, partitions: list[int]) -> dict[int, list[int]]:
        asked = [TopicPartition(topic, each) for each in partitions]
        async with self._consumer() as consumer:
            first, last = await consumer.beginning_offsets(asked), await consumer.end_offsets(asked)
        return {each.partition: [first[each], last[each]] for each in asked}

    async def offsets_for_times(self, topic: str, times: dict[str, int]) -> dict[int, int | None]:
        asked = {TopicPartition(topic, int(partition)): time for partition, time in times.items()}
        async with self._consumer() as consumer:
            found = await consumer.offsets_for_times(asked)
        return {each.partition: None if at is None else at.offset for each, at in found.items()}

    # ---- Admin: this client hands over the broker's replies as they are ---------------------------------------------

    async def create_topic(self, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, topic_configs=config or {})
        _check((await (await self.admin()).create_topics([new], timeout_ms=30_000)).topic_errors)

    async def delete_topic(self, topic: str) -> None:
        _check((await (await self.admin()).delete_topics([topic], timeout_ms=30_000)).topic_error_codes)

    async def create_partitions(self, topic: str, total: int) -> None:
        _check((await (await self.admin()).create_partitions({topic: NewPartitions(total)})).topic_errors)

    async def topics(self) -> dict[str, int]:
        found = await (await self.admin()).describe_topics()
        return {each["topic"]: len(each["partitions"]) for each in found}

    async def configs(self, topic: str) -> dict[str, str]:
        replies = await (await self.admin()).describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)]
        )
        return {
            entry[0]: entry[1] for reply in replies for resource in reply.resources for entry in resource[4]
        }

    async def set_config(self, topic: str, name: str, value: str) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: value})
        for reply in await (await self.admin()).alter_configs([resource]):
            _check([(topic, code) for code, *_ in reply.resources])

    async def delete_records(self, topic: str, before: dict[str, int]) -> dict[int, int]:
        asked = {
            TopicPartition(topic, int(partition)): RecordsToDelete(offset)
            for partition, offset in before.items()
        }
        found = await (await self.admin()).delete_records(asked)
        return {each.partition: low_watermark for each, low_watermark in found.items()}

    async def cluster(self) -> int:
        return len((await (await self.admin()).describe_cluster())["brokers"])

    async def groups(self) -> list[str]:
        return [each[0] for each in await (await self.admin()).list_consumer_groups()]

    async def group(self, group: str) -> dict[str, Any]:
        (reply,) = await (await self.admin()).describe_consumer_groups([group])
        (found,) = reply.groups
        return {"state": found[2], "members": len(found[5])}

    async def committed(self, group: str, topic: str, partitions: list[int]) -> dict[int, int | None]:
        asked = [TopicPartition(topic, each) for each in partitions]
        found = await (await self.admin()).list_consumer_group_offsets(group, partitions=asked)
        return {each.partition: None if at.offset < 0 else at.offset for each, at in found.items()}

    # ---- Group members -------------------------------------------------------------------------------------------

    async def join(self, member: str, group: str, topics: list[str]) -> None:
        self.members[member] = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.server,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=200,
        )
        await self.members[member].start()

    async def poll(self, member: str, timeout_ms: int) -> dict[str, Any]:
        consumer = self.members[member]
        found = await consumer.getmany(timeout_ms=timeout_ms)
        return {
            "records": [_record(each) for some in found.values() for each in some],
            "assigned": sorted(each.partition for each in consumer.assignment()),
        }

    async def commit(self, member: str) -> None:
        await self.members[member].commit()

    async def leave(self, member: str) -> None:
        await self.members.pop(member).stop()

    async def quit(self) -> None:
        if self._admin is not None:
            await self._admin.close()


def _check(outcomes: list[Any]) -> None:
    for name, code, *rest in outcomes:
        if code:
            raise RuntimeError(f"{name}: error {code} {rest}")


def _record(message: Any) -> dict[str, Any]:
    return record(
        message.partition, message.offset, message.timestamp, message.key, message.value, message.headers
    )


async def main(server: str) -> None:
    out = claim_stdout()
    operations = AioKafka(server)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        arguments = json.loads(line)
        try:
            answer = {"ok": await getattr(operations, arguments.pop("op"))(**arguments)}
        except Exception as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    await operations.quit()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
