"""One pass over the same batches, ours and that of Kafka 4.3.1's cleaner as it was recorded (`compacted_by_kafka.py`)."""

from __future__ import annotations

import json
import pathlib
import time

import pytest
from storage.compacted_by_kafka import DELETE_RETENTION_MS, SEGMENT_BYTES, batches
from storage.support import Engine

from logbroker.records.batch import Codec, iter_batches
from logbroker.records.iterator import decode_records
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import LocalRunner
from logbroker.storage.cleaning_choice import assess

RECORDED = json.loads((pathlib.Path(__file__).parent / "compacted_by_kafka.json").read_text())


def shown(data, codec):
    """Each batch but for the time of the pass, its records as they are; without a codec its very bytes, too."""
    found = []
    for position, header in iter_batches(data, verify_crc=True):
        horizon = header.base_timestamp if header.has_delete_horizon else None
        records = [
            (
                one.offset,
                one.timestamp_ms,
                *(None if part is None else bytes(part) for part in one[2:4]),
                len(one.headers),
            )
            for one in decode_records(data[position : position + header.size_bytes])
        ]
        fixed = header._replace(crc=0, length=0)
        if horizon is not None:
            fixed = fixed._replace(base_timestamp=0)
        raw = data[position + 21 : position + header.size_bytes]
        whole = raw.hex() if codec is Codec.NONE and horizon is None else ""
        found.append((fixed, records, whole))
    return found


@pytest.mark.parametrize("codec", Codec)
def test_one_pass_leaves_what_kafka_leaves(tmp_path, codec):
    recorded = RECORDED[codec.name]
    with Engine(tmp_path) as engine:
        log = engine.create(
            cleanup_policy=frozenset({"compact"}),
            internal_segment_bytes=SEGMENT_BYTES,
            delete_retention_ms=DELETE_RETENTION_MS,
        )
        engine.clock.advance(int(time.time() * 1000) - engine.clock.wall_ms())
        for batch in batches(codec):
            engine.append(log, batch)
            engine.run()
        engine.checkpoint()
        assert log.segments[-1].base_offset == recorded["active"]
        done = []
        engine.directory.cleaner.clean(
            assess(log, engine.clock.wall_ms()),
            LocalRunner(engine.vfs),
            "cleaner",
            CleanerOptions(),
            lambda: done.append(True),
        )
        engine.run()
        assert done
        engine.checkpoint()
        ours = {
            name.removesuffix(".log"): pathlib.Path(f"{engine.path}/t-0/{name}").read_bytes()
            for name in engine.files(suffix=".log")
        }
        kafkas = {stem: bytes.fromhex(data) for stem, data in recorded["segments"].items()}
        assert ours.keys() == kafkas.keys()
        for stem, data in kafkas.items():
            assert shown(ours[stem], codec) == shown(data, codec), stem
