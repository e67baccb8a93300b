"""What Kafka's own cleaner leaves of a log, recorded: the oracle of `test_compaction_like_kafka.py`.

    python tests/storage/compacted_by_kafka.py HOST:PORT LOG_DIR > tests/storage/compacted_by_kafka.json

against a Kafka started with `tools/kafka/kafka.sh start DIR PORT log.cleaner.backoff.ms=100` (LOG_DIR is DIR/data). For each codec the same
batches are produced to a topic that isn't dirty enough to be cleaned; then it is, and the batches of its segment files are written
down, in hexadecimal, with the base of the active segment, where both passes end.
"""

from __future__ import annotations

import json
import pathlib
import random
import sys
import time
from collections.abc import Iterator

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder
from logbroker.testing.wire_client import WireClient

T0_MS = 1_700_000_000_000
BATCHES = 120
KEYS = 25
SEGMENT_BYTES = 4000
DELETE_RETENTION_MS = 3_600_000
TIMEOUT_S = 60.0


def batches(codec: Codec) -> Iterator[bytes]:
    """The batches: some idempotent, tombstones among them, timestamps that go up and down."""
    rng = random.Random(int(codec))
    sequences = {900: 0, 901: 0, 902: 0}
    for number in range(BATCHES):
        producer, epoch, sequence = -1, -1, -1
        count = rng.randrange(1, 6)
        producer_id = 900 + rng.randrange(3) if number < 60 else 902
        if rng.random() < 0.5:
            producer, epoch, sequence = producer_id, 0, sequences[producer_id]
            sequences[producer_id] += count
        builder = BatchBuilder(
            codec=codec, producer_id=producer, producer_epoch=epoch, base_sequence=sequence
        )
        for _ in range(count):
            value = None if rng.random() < 0.12 else rng.randbytes(rng.randrange(0, 90))
            headers = [("h", b"1"), ("n", None)] if rng.random() < 0.1 else ()
            builder.append(T0_MS + rng.randrange(100_000), b"key-%d" % rng.randrange(KEYS), value, headers)
        yield bytes(builder.build())


def record(bootstrap: str, log_dir: pathlib.Path) -> dict[str, object]:
    """See the module."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found: dict[str, object] = {}
    for codec in Codec:
        topic = f"compacted-{codec.name.lower()}"
        config = {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "1.0",
            "internal.segment.bytes": str(SEGMENT_BYTES),
            "delete.retention.ms": str(DELETE_RETENTION_MS),
            "segment.ms": str(1 << 50),
        }
        admin.create_topics([NewTopic(topic, 1, config=config)])[topic].result()
        with WireClient(bootstrap) as client:
            for batch in batches(codec):
                client.produce(topic, 0, bytearray(batch))
        entry = ConfigEntry("min.cleanable.dirty.ratio", "0.01", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
        folder = log_dir / f"{topic}-0"
        active = max(int(path.stem) for path in folder.glob("*.log"))
        deadline = time.monotonic() + TIMEOUT_S
        checkpoint = log_dir / "cleaner-offset-checkpoint"
        while f"{topic} 0 {active}" not in (checkpoint.read_text() if checkpoint.exists() else ""):
            if time.monotonic() > deadline:
                raise SystemExit(f"{topic} is not cleaned")
            time.sleep(0.1)
        found[codec.name] = {
            "active": active,
            "segments": {path.stem: path.read_bytes().hex() for path in sorted(folder.glob("*.log"))},
        }
    return found


if __name__ == "__main__":
    print(json.dumps(record(sys.argv[1], pathlib.Path(sys.argv[2])), indent=1))
