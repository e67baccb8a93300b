"""The records of `__transaction_state`: both versions, and what must not be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.coordination.formats.transaction_log import (
    PartitionsSchema,
    TransactionLogValue,
    transaction_log,
)
from logbroker.transactions.records import decode, encode, encode_key
from logbroker.transactions.states import State
from logbroker.transactions.transaction import Transaction

int64 = st.integers(0, (1 << 63) - 1)
WRITTEN = [state for state in State if state not in (State.DEAD, State.PREPARE_EPOCH_FENCE)]
transactions = st.builds(
    Transaction,
    state=st.sampled_from(WRITTEN),
    producer_id=int64,
    producer_epoch=st.integers(0, 32_767),
    timeout_ms=st.integers(1, (1 << 31) - 1),
    previous_producer_id=st.just(-1) | int64,
    next_producer_id=st.just(-1) | int64,
    partitions=st.frozensets(st.tuples(st.sampled_from(["t", "ü", "__consumer_offsets"]), st.integers(0, 9))),
    started_ms=st.just(-1) | int64,
    updated_ms=int64,
    client_version=st.sampled_from([0, 1, 2]),
)


@given(st.text(max_size=50), transactions)
def test_what_is_written_reads_back(name, transaction):
    key, value = encode(name, transaction)
    assert key == encode_key(name)
    assert transaction_log.decode_key(key).transactional_id == name
    expected = transaction
    if transaction.state is State.EMPTY:  # it has no partitions, and says so with null
        expected = decode(value).__class__(
            **{**{f: getattr(transaction, f) for f in Transaction.__slots__}, "partitions": frozenset()}
        )
    assert decode(value) == expected


# From the segments of a Kafka 4.3.1 broker.
KAFKAS = [
    (
        Transaction(State.EMPTY, 10, 0, 60_000, 10, updated_ms=1795553001094),
        "0001000000000000000a00000000ea600000000001a20f4c7e86ffffffffffffffff010008000000000000000a",
    ),
    (
        Transaction(
            State.ONGOING,
            10,
            2,
            60_000,
            10,
            partitions=frozenset({("t", 0)}),
            started_ms=1795553001106,
            updated_ms=1795553001106,
        ),
        "0001000000000000000a00020000ea6001020274020000000000000001a20f4c7e92000001a20f4c7e92010008000000000000000a",
    ),
    (
        Transaction(
            State.PREPARE_ABORT,
            10,
            3,
            60_000,
            10,
            partitions=frozenset({("t", 0)}),
            started_ms=1795553001106,
            updated_ms=1795553001108,
            client_version=2,
        ),
        (
            "0001000000000000000a00030000ea6003020274020000000000000001a20f4c7e94000001a20f4c7e92"
            "020008000000000000000a02020002"
        ),
    ),
    (
        Transaction(
            State.COMPLETE_ABORT,
            10,
            3,
            60_000,
            10,
            started_ms=1795553001106,
            updated_ms=1795553001109,
            client_version=2,
        ),
        "0001000000000000000a00030000ea600501000001a20f4c7e95000001a20f4c7e92020008000000000000000a02020002",
    ),
]


@pytest.mark.parametrize(("transaction", "value"), KAFKAS)
def test_a_value_is_kafkas_byte_for_byte(transaction, value):
    assert encode("on", transaction) == (bytes.fromhex("000000026f6e"), bytes.fromhex(value))
    assert decode(bytes.fromhex(value)) == transaction


def test_version_0_reads():
    value = transaction_log.encode_value(
        TransactionLogValue(5, -1, -1, 3, -1, 1000, 4, [PartitionsSchema("t", [0, 2])], 20, 10), 0
    )
    assert decode(value) == Transaction(
        State.COMPLETE_COMMIT,
        5,
        3,
        1000,
        partitions=frozenset({("t", 0), ("t", 2)}),
        started_ms=10,
        updated_ms=20,
    )


@pytest.mark.parametrize("status", [6, 7, 8, -1])
def test_a_state_that_is_never_written_is_damage(status):
    value = transaction_log.encode_value(TransactionLogValue(5, transaction_status=status), 1)
    with pytest.raises(ValueError, match=r"never written|not a valid State"):
        decode(value)


def test_cut_values_are_refused_wherever_they_are_cut():
    _, value = encode("x", Transaction(State.ONGOING, 5, 3, 1000, partitions=frozenset({("t", 1)})))
    for end in range(len(value)):
        with pytest.raises(ValueError):
            decode(value[:end])


def test_a_newer_version_says_so():
    with pytest.raises(ValueError, match="version 2; versions 0 to 1 are known: a newer release"):
        decode(b"\x00\x02" + bytes(40))
