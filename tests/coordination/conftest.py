"""A state machine that any test can read, on a log that it can break; and Kafka's jars."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.coordinators import Bench

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Cells:
    """Named cells: `set` changes one at once, and `answers` hears when that is durable."""

    def __init__(self, bench, shard):
        self.shard = shard
        self.cells = {}
        self.answers = []
        self.loads = 0
        self.told = []
        self.refuse_replay = False

    def set(self, key, value, answer=None):
        had = key in self.cells
        old = self.cells.get(key)

        def undo():
            if had:
                self.cells[key] = old
            else:
                del self.cells[key]

        def done(error):
            self.answers.append((answer or f"{key}={value}", ErrorCode(error).name))

        self.shard.write([(key.encode(), None if value is None else value.encode())], done, undo)
        if value is None:
            self.cells.pop(key, None)
        else:
            self.cells[key] = value

    def read(self, key):
        value = self.cells.get(key)
        self.shard.after_writes(lambda error: self.answers.append((f"read {value}", ErrorCode(error).name)))

    def replay(self, record):
        if self.refuse_replay or record.value == b"damaged":
            raise ValueError("the value is damaged")
        self.cells[record.key.decode()] = record.value.decode()

    def loaded(self):
        self.loads += 1

    def unloaded(self, error):
        self.told.append(error)


@pytest.fixture
def bench():
    return Bench(Cells, topic="cells", batch_bytes=400, timeout_ms=1000)


@pytest.fixture
def cells_machine():
    return Cells


@pytest.fixture(scope="session")
def kafka_lib():
    """The directory of Kafka's jars; skips where there is none."""
    if shutil.which("java") is None:
        pytest.skip("needs a JRE, 17 or newer: apt install default-jre-headless")
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or REPOSITORY / "tools" / "kafka" / "lib")
    if not list(lib.glob("kafka-clients-*.jar")):
        pytest.skip(
            "needs Kafka's jars: mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies "
            "-DoutputDirectory=lib, or KAFKA_LIB=<their directory>"
        )
    return lib
