"""How fast a compacted topic is cleaned, and what producers notice of it.

    python benchmarks/compaction.py [--gigabytes 1] [--value-bytes 1024] [--keys 200000] [--directory DIR]

A topic is filled while compaction is held back (min.cleanable.dirty.ratio=1), then let go. Beside it one client produces to another
topic at half of what it reaches alone, before the pass and during it; every record's time to its acknowledgement counts. One line
of JSON at the end: MB/s of the pass (bytes in the log when it began, by its time), and both p50 and p99 in ms.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import tempfile
import threading
import time
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from logbroker.testing.broker_process import BrokerProcess

IN_FLIGHT = 250
LOAD_PARTITIONS = 16
LOAD_VALUE = b"v" * 1024
ALONE_S = 3.0
BESIDE_S = 8.0
PACE_S = 0.005
TIMEOUT_S = 600.0


class Load:
    """One client that produces single records and notes how long each takes."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "linger.ms": 0,
                "queue.buffering.max.messages": 100_000,
            }
        )
        self._latencies: list[float] = []
        self._number = 0
        self._free = threading.Semaphore(IN_FLIGHT)

    def alone(self, seconds: float) -> float:
        """As fast as it can with so many in flight; records a second."""
        end = time.perf_counter() + seconds
        before = self._number
        while time.perf_counter() < end:
            if self._free.acquire(blocking=False):
                self._send(self._free.release)
            else:
                self._producer.poll(0.001)
        self._producer.flush(30)
        return (self._number - before) / seconds

    def paced(self, rate: float, stop: threading.Event, seconds: float) -> tuple[float, float]:
        """So many records a second until `stop`, or so long; p50 and p99 in ms."""
        self._latencies = []
        start = time.perf_counter()
        sent = 0
        while not stop.is_set() and time.perf_counter() - start < seconds:
            due = int((time.perf_counter() - start) * rate)
            while sent < due:
                self._send(lambda: None)
                sent += 1
            self._producer.poll(PACE_S)
        self._producer.flush(30)
        found = sorted(self._latencies)
        return found[len(found) // 2] * 1000, found[len(found) * 99 // 100] * 1000

    def _send(self, done: Any) -> None:
        began = time.perf_counter()

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                raise SystemExit(f"a produce failed: {error}")
            self._latencies.append(time.perf_counter() - began)
            done()

        self._number += 1
        self._producer.produce(
            "load", LOAD_VALUE, partition=self._number % LOAD_PARTITIONS, on_delivery=delivered
        )
        self._producer.poll(0)


def fill(bootstrap: str, size_bytes: int, value_bytes: int, keys: int) -> None:
    """Random values under random keys."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "batch.size": 262_144,
            "queue.buffering.max.kbytes": 65_536,
        }
    )
    blob = os.urandom(1 << 20)
    rng = random.Random(1)
    for _ in range(size_bytes // (value_bytes + 24)):
        at = rng.randrange(len(blob) - value_bytes)
        key = b"key-%010d" % rng.randrange(keys)
        while True:
            try:
                producer.produce("compacted", blob[at : at + value_bytes], key)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(TIMEOUT_S):
        raise SystemExit("the topic could not be filled")


def alter(admin: AdminClient, **configs: str) -> None:
    """Change configs of the compacted topic."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in configs.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, "compacted", incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def run(directory: pathlib.Path, size_bytes: int, value_bytes: int, keys: int) -> dict[str, float]:
    """See the module."""
    settings = {"log.cleaner.backoff.ms": "100", "log.checkpoint.interval.ms": "1000"}
    with BrokerProcess(directory / "data", settings=settings, verify=size_bytes < 1 << 30) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        compacted = NewTopic(
            "compacted",
            1,
            config={
                "cleanup.policy": "compact",
                "min.cleanable.dirty.ratio": "1.0",
                "segment.bytes": str(100 << 20),
            },
        )
        for future in admin.create_topics([compacted, NewTopic("load", LOAD_PARTITIONS)]).values():
            future.result()
        fill(broker.bootstrap, size_bytes, value_bytes, keys)
        filled = broker.metric("logbroker_log_size_bytes", topic="compacted")
        load = Load(broker.bootstrap)
        load.alone(1.0)
        most = load.alone(ALONE_S)
        quiet = load.paced(most / 2, threading.Event(), BESIDE_S)
        stop = threading.Event()
        passed = threading.Event()

        def watch() -> None:
            end = time.monotonic() + TIMEOUT_S
            while time.monotonic() < end and not broker.metric("logbroker_cleaner_passes_total"):
                time.sleep(0.2)
            passed.set()
            stop.set()

        alter(admin, min_cleanable_dirty_ratio="0.01")
        watcher = threading.Thread(target=watch)
        watcher.start()
        busy = load.paced(most / 2, stop, TIMEOUT_S)
        watcher.join()
        took_s = broker.metric("logbroker_cleaner_last_pass_ms") / 1000
        left = broker.metric("logbroker_log_size_bytes", topic="compacted")
        return {
            "value_bytes": value_bytes,
            "log_mb": round(filled / 1e6),
            "left_mb": round(left / 1e6),
            "pass_s": round(took_s, 2),
            "mb_per_s": round(broker.metric("logbroker_cleaner_read_bytes_total") / 2 / 1e6 / took_s, 1),
            "load_records_per_s": round(most / 2),
            "quiet_p50_ms": round(quiet[0], 2),
            "quiet_p99_ms": round(quiet[1], 2),
            "beside_p50_ms": round(busy[0], 2),
            "beside_p99_ms": round(busy[1], 2),
        }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--value-bytes", type=int, default=1024)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--directory", type=pathlib.Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        size_bytes = int(options.gigabytes * (1 << 30))
        print(json.dumps(run(pathlib.Path(directory), size_bytes, options.value_bytes, options.keys)))


if __name__ == "__main__":
    main()
