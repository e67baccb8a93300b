"""A member of `group_life` whose library is confluent-kafka (librdkafka), by either protocol: see `group_life_member`."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from logbroker.testing.group_life_log import Kind
from logbroker.testing.group_life_member import (
    COMMIT_TRIES_S,
    FETCH_BYTES_MIN,
    FETCH_WAIT_MS_MAX,
    POLL_RECORDS_MAX,
    POLL_S,
    Lines,
    Progress,
    Subscribe,
    live,
)

RETRY_S = 0.1
CHANGING = (KafkaError.STALE_MEMBER_EPOCH, KafkaError.REBALANCE_IN_PROGRESS, KafkaError._WAIT_COORD)


class Member:
    """One consumer, polled by the only thread."""

    def __init__(self, lines: Lines, subscribe: Subscribe) -> None:
        self._lines = lines
        self._progress = Progress(lines)
        self._topic = subscribe.topic
        self._commit_interval_s = subscribe.commit_interval_ms / 1000
        config: dict[str, Any] = {
            "bootstrap.servers": subscribe.bootstrap,
            "group.id": subscribe.group,
            "client.id": subscribe.name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "max.poll.interval.ms": subscribe.max_poll_interval_ms,
            "fetch.min.bytes": FETCH_BYTES_MIN,
            "fetch.wait.max.ms": FETCH_WAIT_MS_MAX,
            "error_cb": lambda error: lines.say(Kind.TROUBLE, x=str(error)),
        }
        if subscribe.protocol == "consumer":
            config["group.protocol"] = "consumer"
        else:
            config["partition.assignment.strategy"] = "range"
            config["session.timeout.ms"] = subscribe.session_timeout_ms
            config["heartbeat.interval.ms"] = subscribe.heartbeat_interval_ms
        if config["max.poll.interval.ms"] < subscribe.session_timeout_ms:
            raise ValueError("max_poll_interval_ms has to be at least session_timeout_ms")
        self._consumer = Consumer(config)
        self._consumer.subscribe(
            [subscribe.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._progress.assigned(each.partition for each in partitions)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = [each.partition for each in partitions]
        self._commit(gone)
        self._progress.gone(gone)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._progress.gone((each.partition for each in partitions), lost=True)

    def _commit(self, partitions: list[int] | None = None) -> None:
        number, offsets = self._progress.begin_commit(partitions)
        if not offsets:
            return
        give_up_s = time.monotonic() + COMMIT_TRIES_S
        while True:
            try:
                done = self._consumer.commit(
                    offsets=[TopicPartition(self._topic, each, offset) for each, offset in offsets.items()],
                    asynchronous=False,
                )
            except KafkaException as problem:
                error = problem.args[0]
            else:
                error = next((each.error for each in done if each.error is not None), None)
            if error is None:
                self._progress.committed(number, offsets)
                return
            if error.code() not in CHANGING or time.monotonic() > give_up_s:
                self._progress.refused(number, error)
                return
            time.sleep(RETRY_S)

    def _poll(self) -> None:
        # One record at a time: what one call returns, all callbacks before it happened before.
        wait_s = POLL_S
        for _ in range(POLL_RECORDS_MAX):
            message = self._consumer.poll(wait_s)
            if message is None:
                break
            partition, offset = message.partition(), message.offset()
            if message.error() is not None or partition is None or offset is None:
                self._lines.say(Kind.TROUBLE, x=str(message.error()))
            else:
                self._progress.read([(partition, offset, message.value())])
            wait_s = 0

    def run(self) -> None:
        """Until it is told to stop."""
        live(
            self._lines,
            self._commit_interval_s,
            poll=self._poll,
            commit=self._commit,
            owned=lambda: [each.partition for each in self._consumer.assignment()],
        )
        self._consumer.close()
        self._lines.say("left")


if __name__ == "__main__":
    the_lines = Lines()
    Member(the_lines, the_lines.begin()).run()
