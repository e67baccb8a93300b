"""Copies each input to an output exactly once, until it is killed: copier.py SERVER GROUP INPUTS OUTPUTS TRANSACTIONAL_ID.

Consume, transform, produce: outputs and the offsets of their inputs are one transaction. After any error the transaction is aborted and the
consumer begins again where its group has committed. Written with confluent-kafka as its users would.
"""

from __future__ import annotations

import contextlib
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer

PATIENCE_S = 20.0
BATCH = 20


def work(server: str, group: str, inputs: str, outputs: str, transactional_id: str) -> None:
    quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0}
    while True:
        consumer = Consumer(
            {
                **quick,
                "bootstrap.servers": server,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": 2000,
                "heartbeat.interval.ms": 300,
            }
        )
        try:
            producer = Producer(
                {
                    **quick,
                    "bootstrap.servers": server,
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": 5000,
                    "linger.ms": 0,
                }
            )
            producer.init_transactions(PATIENCE_S)
            consumer.subscribe([inputs])
            while True:
                copy_some(consumer, producer, outputs)
        except KafkaException as error:
            # Whatever it was: begin anew, from what the group has committed.
            sys.stderr.write(f"{error}\n")
            with contextlib.suppress(KafkaException):
                producer.abort_transaction(PATIENCE_S)
            time.sleep(0.05)
        finally:
            consumer.close()


def copy_some(consumer: Consumer, producer: Producer, outputs: str) -> None:
    messages = [message for message in consumer.consume(BATCH, 0.2) if message.error() is None]
    if not messages:
        return
    producer.begin_transaction()
    for message in messages:
        text = message.value().decode()
        producer.produce(outputs, value=f"{text} {message.partition()} {message.offset()}")
    positions = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(
        [position for position in positions if position.offset >= 0],
        consumer.consumer_group_metadata(),
        PATIENCE_S,
    )
    while True:
        try:
            producer.commit_transaction(PATIENCE_S)
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


if __name__ == "__main__":
    work(*sys.argv[1:])
