"""The operator of `group_life`: a process that writes the records and asks the broker about groups, by confluent-kafka.

A process of its own, because librdkafka may abort at a reply that it did not expect. It takes lines of JSON and answers each
with {"ok": result} or {"error": text}:

    create      topic, partitions
    produce     topic, partitions, every_s: from now on, a record into each partition every so often, its value "partition:offset"
    finish      stop writing; the offset after the last record of each partition
    describe    group: its state, and the partitions of each member by its client id
    committed   group: partition to offset
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 30.0
DESCRIBE_TIMEOUT_S = 5.0


class Operator:
    """One producer and one admin client."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._stopped = threading.Event()
        self._writer: threading.Thread | None = None
        self._ends: dict[int, int] = {}
        self._problems: list[str] = []

    def create(self, topic: str, partitions: int) -> None:
        """Create the topic."""
        for future in self._admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(TIMEOUT_S)

    def produce(self, topic: str, partitions: int, every_s: float) -> None:
        """Begin to write."""
        self._writer = threading.Thread(
            target=self._write_all, args=(topic, partitions, every_s), daemon=True
        )
        self._writer.start()

    def _write_all(self, topic: str, partitions: int, every_s: float) -> None:
        try:
            self._write(topic, partitions, every_s)
        except Exception as error:
            self._problems.append(repr(error))

    def _write(self, topic: str, partitions: int, every_s: float) -> None:
        # Idempotent and alone, it knows the offset of each record before the broker says it.
        producer = Producer(
            {"bootstrap.servers": self._bootstrap, "enable.idempotence": True, "linger.ms": 20}
        )
        while len(producer.list_topics(topic, TIMEOUT_S).topics[topic].partitions) < partitions:
            self._stopped.wait(every_s)
        ends = dict.fromkeys(range(partitions), 0)

        def report(error: Any, message: Any) -> None:
            if error is not None:
                self._problems.append(str(error))
            elif message.value() != b"%d:%d" % (message.partition(), message.offset()):
                self._problems.append(
                    f"{message.value()!r} was written at {message.partition()}@{message.offset()}"
                )

        while not self._stopped.wait(every_s):
            for partition, offset in ends.items():
                producer.produce(
                    topic, b"%d:%d" % (partition, offset), partition=partition, on_delivery=report
                )
                ends[partition] = offset + 1
            producer.poll(0)
        if left := producer.flush(TIMEOUT_S):
            self._problems.append(f"{left} records were not written")
        self._ends = ends

    def finish(self) -> dict[int, int]:
        """Stop writing."""
        self._stopped.set()
        if self._writer is not None:
            self._writer.join()
        if self._problems:
            raise RuntimeError(f"{len(self._problems)} problems of the producer: {self._problems[:3]}")
        return self._ends

    def describe(self, group: str) -> dict[str, Any]:
        """The group as the broker sees it."""
        found = self._admin.describe_consumer_groups([group], request_timeout=DESCRIBE_TIMEOUT_S)[
            group
        ].result()
        members: dict[str, list[int]] = {}
        for member in (
            found.members
        ):  # the same client id twice is the same member twice, and shows as its partitions do
            owned = () if member.assignment is None else member.assignment.topic_partitions
            members.setdefault(member.client_id, []).extend(each.partition for each in owned)
        return {"state": found.state.name, "members": members}

    def committed(self, group: str) -> dict[int, int]:
        """What the group committed."""
        asked = [ConsumerGroupTopicPartitions(group)]
        (future,) = self._admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT_S).values()
        return {each.partition: each.offset for each in future.result().topic_partitions if each.offset >= 0}


def main() -> None:
    """Answer lines until there are no more."""
    out = os.dup(1)
    os.dup2(2, 1)
    operator = Operator(sys.argv[1])
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {"ok": getattr(operator, arguments.pop("op"))(**arguments)}
        except Exception as error:
            answer = {"error": repr(error)}
        os.write(out, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
