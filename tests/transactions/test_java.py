"""Kafka's own DumpLogSegments decodes what we write into `__transaction_state`."""

from __future__ import annotations

import json
import re

import pytest

from logbroker.coordination.formats.transaction_log import (
    PartitionsSchema,
    TransactionLogValue,
    transaction_log,
)
from logbroker.records.builder import BatchBuilder
from logbroker.transactions.records import encode, encode_key
from logbroker.transactions.states import State
from logbroker.transactions.transaction import Transaction

pytestmark = [pytest.mark.java]

NOW = 1_700_000_000_000
ENDING = Transaction(
    State.PREPARE_COMMIT,
    5,
    32_767,
    60_000,
    4,
    next_producer_id=9,
    partitions=frozenset({("t", 0), ("t", 2), ("ü", 1)}),
    started_ms=NOW,
    updated_ms=NOW + 7,
    client_version=2,
)
RECORDS = [
    encode("x", Transaction(State.EMPTY, 5, 0, 60_000, 5, updated_ms=NOW)),
    encode("tränsaction", ENDING),
    (encode_key("x"), None),
    (
        encode_key("old"),
        transaction_log.encode_value(
            TransactionLogValue(5, -1, -1, 3, -1, 1000, 4, [PartitionsSchema("t", [1])], 20, 10), 0
        ),
    ),
]


@pytest.fixture(scope="module")
def dumped(kafka_tools, tmp_path_factory):
    """What the tool says of each record: (key, payload)."""
    folder = tmp_path_factory.mktemp("dump") / "__transaction_state-0"
    folder.mkdir()
    builder = BatchBuilder(leader_epoch=0)
    for key, value in RECORDS:
        builder.append(NOW, key, value)
    segment = folder / "00000000000000000000.log"
    segment.write_bytes(builder.build())
    done = kafka_tools.run("DumpLogSegments", "--files", str(segment), "--transaction-log-decoder")
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\| offset: \d+ .*? key: (\{.*\}) payload: (.*)$", done.stdout, re.MULTILINE)
    assert len(lines) == len(RECORDS), done.stdout
    return [(json.loads(key), None if value == "<DELETE>" else json.loads(value)) for key, value in lines]


def test_it_reads_transactions(dumped):
    key, payload = dumped[0]
    assert key == {"type": "0", "data": {"transactionalId": "x"}}
    assert payload["version"] == "1"
    assert payload["data"]["transactionStatus"] == State.EMPTY.value
    assert payload["data"]["transactionPartitions"] is None
    data = dumped[1][1]["data"]
    assert dumped[1][0]["data"] == {"transactionalId": "tränsaction"}
    assert data == {
        "producerId": 5,
        "previousProducerId": 4,
        "nextProducerId": 9,
        "producerEpoch": 32_767,
        "transactionTimeoutMs": 60_000,
        "transactionStatus": 2,
        "transactionPartitions": [
            {"topic": "t", "partitionIds": [0, 2]},
            {"topic": "ü", "partitionIds": [1]},
        ],
        "transactionLastUpdateTimestampMs": NOW + 7,
        "transactionStartTimestampMs": NOW,
        "clientTransactionVersion": 2,
    }


def test_it_reads_tombstones_and_the_old_version(dumped):
    assert dumped[2] == ({"type": "0", "data": {"transactionalId": "x"}}, None)
    assert dumped[3][1]["version"] == "0"
    assert dumped[3][1]["data"]["transactionPartitions"] == [{"topic": "t", "partitionIds": [1]}]
