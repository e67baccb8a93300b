"""Moves money between accounts, one transaction each, until it is killed: clerk.py SERVER TOPIC TRANSACTIONAL_ID SEED ACCOUNTS PARTITIONS.

An account's records are in one partition. Says "committed ID" and "aborted ID" once it has been told so by the client library; of
transfers that it says nothing of, nobody knows. Written with confluent-kafka as its users would: a fatal error means a new producer.
"""

from __future__ import annotations

import itertools
import random
import sys
import time

from confluent_kafka import KafkaException, Producer

PATIENCE_S = 20.0


class Clerk:
    def __init__(
        self, server: str, topic: str, transactional_id: str, seed: int, accounts: int, partitions: int
    ):
        self.config = {
            "bootstrap.servers": server,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 5000,
            "linger.ms": 0,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "log_level": 0,
        }
        self.topic = topic
        self.random = random.Random(seed)
        self.accounts = accounts
        self.partitions = partitions
        self.names = (f"{transactional_id}.{seed}.{number}" for number in itertools.count())

    def work(self) -> None:
        while True:
            try:
                producer = Producer(self.config)
                producer.init_transactions(PATIENCE_S)
                while True:
                    self.transfer(producer)
            except KafkaException:
                time.sleep(0.05)  # a fatal error: begin anew

    def transfer(self, producer: Producer) -> None:
        name = next(self.names)
        payer, payee = self.random.sample(range(self.accounts), 2)
        amount = self.random.randint(1, 50)
        producer.begin_transaction()
        try:
            for account, delta in ((payer, -amount), (payee, amount)):
                producer.produce(
                    self.topic, value=f"{name} {account} {delta}", partition=account % self.partitions
                )
                if self.random.random() < 0.3:
                    producer.flush(PATIENCE_S)
            if self.random.random() < 0.2:
                self._abort(producer, name)
            else:
                self._commit(producer)
                say(f"committed {name}")
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            self._abort(producer, name)

    def _commit(self, producer: Producer) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                producer.commit_transaction(PATIENCE_S)
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise

    def _abort(self, producer: Producer, name: str) -> None:
        producer.abort_transaction(PATIENCE_S)
        say(f"aborted {name}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _, server, topic, transactional_id, seed, accounts, partitions = sys.argv
    Clerk(server, topic, transactional_id, int(seed), int(accounts), int(partitions)).work()
