"""The records of `__transaction_state`: where every transactional id stands.

    type  key                value, versions
      0   transactional id   TransactionLogValue 0-1

What is written is version 1, which `transaction.version` 2 asks for: its tagged fields say which producer id came before and
which comes next when the epochs of one run out (KIP-890), and how the client speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from logbroker.coordination.formats.record import RecordFormat
from logbroker.wire.schema import Field, Message, Structs

TRANSACTION: Final = 0
"""Record type."""

VALUE_VERSION: Final = 1
"""What is written."""


@dataclass(slots=True)
class TransactionLogKey:
    """Which transactional id."""

    transactional_id: str = ""


@dataclass(slots=True)
class PartitionsSchema:
    """Partitions of one topic that are in the transaction."""

    topic: str = ""
    partition_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class TransactionLogValue:
    """A transactional id's producer and its latest transaction."""

    producer_id: int = 0
    previous_producer_id: int = -1  # v1+
    next_producer_id: int = -1  # v1+
    producer_epoch: int = 0
    next_producer_epoch: int = -1  # v1+; nothing in Kafka 4.3.1 writes it
    transaction_timeout_ms: int = 0
    transaction_status: int = 0
    transaction_partitions: list[PartitionsSchema] | None = None
    transaction_last_update_timestamp_ms: int = 0
    transaction_start_timestamp_ms: int = 0
    client_transaction_version: int = 0  # v1+


STRUCTS: Structs = {
    TransactionLogKey: (Field("transactional_id", "string", 0, 0, default=""),),
    PartitionsSchema: (
        Field("topic", "string", 0, 1, default=""),
        Field("partition_ids", "int32", 0, 1, array=True, default=()),
    ),
    TransactionLogValue: (
        Field("producer_id", "int64", 0, 1),
        Field("previous_producer_id", "int64", 1, 1, tag=0, tagged=(1, 1), default=-1),
        Field("next_producer_id", "int64", 1, 1, tag=1, tagged=(1, 1), default=-1),
        Field("producer_epoch", "int16", 0, 1),
        Field("next_producer_epoch", "int16", 1, 1, tag=3, tagged=(1, 1), default=-1),
        Field("transaction_timeout_ms", "int32", 0, 1),
        Field("transaction_status", "int8", 0, 1),
        Field(
            "transaction_partitions",
            "struct",
            0,
            1,
            array=True,
            item=PartitionsSchema,
            nullable=(0, 1),
            default=None,
        ),
        Field("transaction_last_update_timestamp_ms", "int64", 0, 1),
        Field("transaction_start_timestamp_ms", "int64", 0, 1),
        Field("client_transaction_version", "int16", 1, 1, tag=2, tagged=(1, 1)),
    ),
}

_KEY = Message("TransactionLogKey", TransactionLogKey, 0, 0, flexible=None, structs=STRUCTS)
_VALUE = Message("TransactionLogValue", TransactionLogValue, 0, 1, flexible=1, structs=STRUCTS)

transaction_log: Final = RecordFormat[TransactionLogKey, TransactionLogValue](
    TRANSACTION, "TransactionLog", _KEY, _VALUE
)
