"""kill -9 while compacted topics are cleaned: the files verify, and the latest acknowledged value of every key is there."""

from __future__ import annotations

import os
import pathlib
import random
import threading
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from logbroker.records.batch import iter_batches
from logbroker.records.iterator import decode_records
from logbroker.storage.verify import verify_directory
from logbroker.testing.wire_client import WireClient

TOPIC = "compacted"
PARTITIONS = 3
KEYS = 40
PASS_WAIT_S = 3.0
SETTINGS = {
    "log.cleaner.backoff.ms": "20",
    "log.cleaner.threads": "2",
    "log.checkpoint.interval.ms": "150",
    "log.retention.check.interval.ms": "500",
}
CONFIG = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "internal.segment.bytes": "40000",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "0",
}


class Writer:
    """Writes growing numbers under few keys; remembers what was acknowledged."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._number = 0
        self.acked: dict[tuple[int, bytes], int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, bootstrap: str) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(bootstrap,))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self, bootstrap: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "linger.ms": 2,
                "message.timeout.ms": 3000,
                "log_level": 0,
                "compression.type": self._rng.choice(("none", "lz4", "zstd")),
            }
        )
        while not self._stop.is_set():
            self._number += 1
            key, number = b"key-%d" % self._rng.randrange(KEYS), self._number
            partition = self._rng.randrange(PARTITIONS)
            place = partition, key

            def acked(error: object, _: object, place=place, number=number) -> None:
                if error is None:
                    self.acked[place] = max(self.acked.get(place, 0), number)

            producer.produce(
                TOPIC, b"%d " % number + b"x" * self._rng.randrange(1200), key, partition, on_delivery=acked
            )
            producer.poll(0)
            self._stop.wait(0.001)
        producer.purge()
        producer.flush(5)


def latest(bootstrap: str) -> dict[tuple[int, bytes], int]:
    """By partition and key, the last number in the log; offsets must rise."""
    found: dict[tuple[int, bytes], int] = {}
    with WireClient(bootstrap) as client:
        for partition in range(PARTITIONS):
            offset = client.offset(TOPIC, partition, -2)[1]
            end = client.offset(TOPIC, partition, -1)[1]
            while offset < end:
                data = client.fetch(TOPIC, partition, offset)
                assert data.error_code == 0
                before = offset
                for position, header in iter_batches(data.records, verify_crc=True):
                    assert header.next_offset > offset
                    for record in decode_records(data.records[position : position + header.size_bytes]):
                        assert record.key is not None
                        assert record.value is not None
                        found[partition, bytes(record.key)] = int(bytes(record.value).split(b" ")[0])
                    offset = header.next_offset
                assert offset > before, "nothing can be read where something must be"
    return found


def under_way(data_dir: pathlib.Path) -> bool:
    """Whether compaction has left a trace that it is at work."""
    return any(
        name.endswith((".cleaned", ".swap"))
        for folder in data_dir.glob(f"{TOPIC}-*")
        for name in os.listdir(folder)
    )


def kill_again_and_again(make_broker, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    broker = make_broker(settings=SETTINGS)
    broker.start()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, config=CONFIG)])[TOPIC].result()
    writer = Writer(seed)
    amid = passes = 0
    for kill in range(kills):
        writer.start(broker.bootstrap)
        threading.Event().wait(rng.uniform(1.5, 4.0))
        passes += broker.metric("logbroker_cleaner_passes_total")
        assert broker.metric("logbroker_cleaner_uncleanable_partitions") == 0
        if not kill or rng.random() < 0.8:  # amid a pass, if one comes
            deadline = time.monotonic() + PASS_WAIT_S
            while not under_way(broker.data_dir) and time.monotonic() < deadline:
                threading.Event().wait(0.002)
            threading.Event().wait(rng.choice((0, 0.003, 0.02, 0.1)) if kill else 0)
        broker.kill()
        writer.stop()
        amid += under_way(broker.data_dir)
        assert verify_directory(str(broker.data_dir)) == [], f"seed {seed}, kill {kill}"
        broker.start()
        found = latest(broker.bootstrap)
        lost = {
            place: (number, found.get(place))
            for place, number in writer.acked.items()
            if found.get(place, -1) < number
        }
        assert not lost, f"seed {seed}, kill {kill}: acknowledged and found"
    assert passes, "hardly anything was compacted"
    assert amid, "no kill met a pass"
    print(f"seed {seed}: {kills} kills, {amid} amid a pass, {passes:.0f} passes")
    broker.stop()
    assert verify_directory(str(broker.data_dir)) == []


def test_kills_amid_compaction(make_broker):
    kill_again_and_again(make_broker, 4, random.SystemRandom().randrange(1 << 31))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_kills_amid_compaction(make_broker):
    kill_again_and_again(make_broker, 100, random.SystemRandom().randrange(1 << 31))
