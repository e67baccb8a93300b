"""Money moves between accounts over eight partitions while clients and broker are killed: no sum ever changes.

Each transfer is two records in one transaction of an unmodified client (programs/clerk.py). Whatever was killed when, a reader of committed
records sees both or none of them; what a clerk was told is committed is there, once; what it was told is aborted is not; and in the
end every partition's last stable offset is its end.
"""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest

from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)

PROGRAMS = pathlib.Path(__file__).parent / "programs"
TOPIC = "ledger"
PARTITIONS = 8
ACCOUNTS = 40
CLERKS = 3
SETTINGS = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "transaction.state.log.num.partitions": "5",
    "offsets.topic.num.partitions": "5",
    "group.min.session.timeout.ms": "100",
    "group.initial.rebalance.delay.ms": "0",
}
QUIET_S = 40.0
"""Within so long after the last kill everything is settled: a transaction times out after five seconds."""


class Program:
    """A client in a process of its own, and what it said over all its lives."""

    def __init__(self, log: pathlib.Path, command: list[str], *arguments: str) -> None:
        self._log = log
        self._command = command
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self.lines: list[str] = []

    def start(self, **changes: str) -> None:
        arguments = [changes.get(argument, argument) for argument in self._arguments]
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [*self._command, *arguments], stdout=subprocess.PIPE, stderr=log, text=True
            )
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        self._readers.append(reader)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            self.lines.extend(line.rstrip("\n") for line in lines if line.endswith("\n"))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for reader in self._readers:
            reader.join()
        self._readers.clear()


class Bank:
    """The broker, its topics, and readers of what is committed."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker

    def create(self, *topics: tuple[str, int]) -> None:
        with WireClient(self.broker.bootstrap) as client:
            request = CreateTopicsRequest([CreatableTopic(name, count, 1) for name, count in topics], 30_000)
            assert not any(topic.error_code for topic in client.call(ApiKey.CREATE_TOPICS, request, 5).topics)

    def ends(self, topic: str, partitions: int, *, committed: bool) -> list[int]:
        """The last stable offsets, or the ends, of a topic's partitions."""
        with WireClient(self.broker.bootstrap) as client:
            asked = [ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(partitions)]
            request = ListOffsetsRequest(-1, int(committed), [ListOffsetsTopic(topic, asked)])
            answers = client.call(ApiKey.LIST_OFFSETS, request, 7).topics[0].partitions
            assert not any(answer.error_code for answer in answers)
            return [answer.offset for answer in sorted(answers, key=lambda a: a.partition_index)]

    def wait_stable(self, topic: str, partitions: int) -> None:
        """Until no transaction is open anywhere."""
        until = time.monotonic() + QUIET_S
        while (stable := self.ends(topic, partitions, committed=True)) != (
            end := self.ends(topic, partitions, committed=False)
        ):
            assert time.monotonic() < until, f"last stable offsets hang: {stable} of {end}"
            time.sleep(0.05)

    def read(self, topic: str, partitions: int) -> list[str]:
        """Every committed record, by an unmodified client."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition

        consumer = Consumer(
            {
                "bootstrap.servers": self.broker.bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
        left, found = set(range(partitions)), []
        while left:
            message = consumer.poll(20)
            assert message is not None, f"nothing came of {left}"
            if message.error() is None:
                found.append(message.value().decode())
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                left.discard(message.partition())
        consumer.close()
        return found


def check_ledger(records: list[str], clerks: list[Program]) -> int:
    """Hold the committed records to what must be so; how many transfers there are."""
    transfers: dict[str, list[int]] = {}
    for record in records:
        name, _, delta = record.split()
        transfers.setdefault(name, []).append(int(delta))
    for name, deltas in transfers.items():
        assert len(deltas) == 2, f"{name} is visible {len(deltas)} times"
        assert sum(deltas) == 0, f"{name} changes the sum"
    said: dict[str, set[str]] = {"committed": set(), "aborted": set()}
    for clerk in clerks:
        for line in clerk.lines:
            outcome, name = line.split()
            said[outcome].add(name)
    assert said["committed"] <= transfers.keys(), "a committed transfer is lost"
    assert not said["aborted"] & transfers.keys(), "an aborted transfer is visible"
    assert said["committed"]
    return len(transfers)


def python(name: str) -> list[str]:
    return [sys.executable, str(PROGRAMS / name)]


def story(
    broker: BrokerProcess,
    directory: pathlib.Path,
    seed: int,
    duration_s: float,
    commands: list[list[str]] | None = None,
    pause_s: float = 1.2,
) -> tuple[int, int]:
    """Let clerks work, kill them and the broker at seeded moments; how many transfers and kills there were."""
    chance = random.Random(seed)
    bank = Bank(broker.start())
    bank.create((TOPIC, PARTITIONS))
    clerks = [
        Program(
            directory / f"clerk-{number}.log",
            command,
            broker.bootstrap,
            TOPIC,
            f"clerk-{number}",
            "SEED",
            str(ACCOUNTS),
            str(PARTITIONS),
        )
        for number, command in enumerate(commands or [python("clerk.py")] * CLERKS)
    ]
    kills = 0
    try:
        for clerk in clerks:
            clerk.start(SEED=str(kills))
        until = time.monotonic() + duration_s
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.2, pause_s))
            kills += 1
            if chance.random() < 0.35:
                broker.kill()
                broker.start()
            else:
                clerk = chance.choice(clerks)
                clerk.kill()
                clerk.start(SEED=str(kills))
        time.sleep(chance.uniform(0, 1.5))
    finally:
        for clerk in clerks:
            clerk.kill()
    broker.kill()
    broker.start()
    bank.wait_stable(TOPIC, PARTITIONS)
    return check_ledger(bank.read(TOPIC, PARTITIONS), clerks), kills


@pytest.mark.parametrize("seed", [1])
def test_money_is_neither_made_nor_lost(make_broker, tmp_path, seed):
    transfers, kills = story(make_broker(settings=SETTINGS), tmp_path, seed, 8.0)
    assert transfers > 20
    assert kills > 4


@pytest.mark.java
def test_money_is_neither_made_nor_lost_by_javas_producer(make_broker, tmp_path, kafka_tools):
    """Transaction version 2: partitions are added by Produce itself, and every end bumps the epoch (KIP-890)."""
    java = kafka_tools.command(str(PROGRAMS / "Clerk.java"), log_level="error")
    transfers, kills = story(make_broker(settings=SETTINGS), tmp_path, 3, 14.0, [java, java], pause_s=4.0)
    assert transfers > 20
    assert kills > 3


@pytest.mark.long
@pytest.mark.java
@pytest.mark.timeout(3600)
def test_money_is_neither_made_nor_lost_by_javas_producer_for_long(make_broker, tmp_path, kafka_tools, say):
    java = kafka_tools.command(str(PROGRAMS / "Clerk.java"), log_level="error")
    for seed in range(300, 310):
        broker = make_broker(f"data-{seed}", settings=SETTINGS)
        transfers, kills = story(broker, tmp_path, seed, 90.0, [java, java, python("clerk.py")], pause_s=5.0)
        say(f"seed {seed}: {transfers} transfers, {kills} kills")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_money_is_neither_made_nor_lost_for_long(make_broker, tmp_path, say):
    for seed in range(100, 120):
        transfers, kills = story(make_broker(f"data-{seed}", settings=SETTINGS), tmp_path, seed, 60.0)
        say(f"seed {seed}: {transfers} transfers, {kills} kills")


def copies(broker: BrokerProcess, directory: pathlib.Path, seed: int, inputs: int, kills: int) -> None:
    """Two copiers share the inputs; kill them and the broker so often, then let them finish."""
    from confluent_kafka import Producer

    chance = random.Random(seed)
    bank = Bank(broker.start())
    bank.create(("inputs", 4), ("outputs", 3))
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "log_level": 0})
    copiers = [
        Program(
            directory / f"copier-{n}.log",
            python("copier.py"),
            broker.bootstrap,
            "copiers",
            "inputs",
            "outputs",
            f"copier-{n}",
        )
        for n in range(2)
    ]
    try:
        for copier in copiers:
            copier.start()
        for number in range(inputs):
            producer.produce("inputs", value=str(number), partition=number % 4)
            if number % (inputs // kills) == inputs // kills - 1:
                producer.flush(30)
                time.sleep(chance.uniform(0.2, 1.0))
                if chance.random() < 0.35:
                    broker.kill()
                    broker.start()
                else:
                    copier = chance.choice(copiers)
                    copier.kill()
                    copier.start()
        assert producer.flush(30) == 0
        until = time.monotonic() + QUIET_S
        found: list[str] = []
        while len(found) < inputs:
            assert time.monotonic() < until, f"{len(found)} of {inputs} inputs were copied"
            time.sleep(0.3)
            found = bank.read("outputs", 3)
    finally:
        for copier in copiers:
            copier.kill()
    bank.wait_stable("outputs", 3)
    counted = sorted(int(record.split()[0]) for record in bank.read("outputs", 3))
    assert counted == list(range(inputs)), "an input was counted twice, or not at all"


def test_each_input_is_counted_exactly_once(make_broker, tmp_path):
    copies(make_broker(settings=SETTINGS), tmp_path, seed=2, inputs=2000, kills=5)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_each_input_is_counted_exactly_once_for_long(make_broker, tmp_path, say):
    for seed in range(200, 210):
        copies(make_broker(f"data-{seed}", settings=SETTINGS), tmp_path, seed, inputs=20_000, kills=40)
        say(f"seed {seed}: all inputs counted once")
