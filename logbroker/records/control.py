"""Control batches: the markers that end a transaction in a partition (KIP-98).

A marker is a batch of its own: attributes transactional and control, the producer's id and epoch, no sequence, not compressed,
and one record, all big-endian:

    key     version i16 = 0, type i16: 0 abort, 1 commit
    value   version i16 = 0, coordinator epoch i32

A newer key may be longer, and a newer value too: what follows is not looked at. Types that are not known here (Kafka's KRaft
writes some into its own log) end no transaction. Compaction may leave a marker's batch empty, to keep its producer's epoch; such a
batch says nothing any more. Pure functions over caller-owned bytes.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.records.batch import BatchHeader
from logbroker.records.builder import BatchBuilder
from logbroker.records.iterator import iter_records

VERSION: Final = 0
_KEY: Final = struct.Struct(">hh")
_VALUE: Final = struct.Struct(">hi")


class ControlType(IntEnum):
    """What a control record says; the number is in its key."""

    ABORT = 0
    COMMIT = 1


class Marker(NamedTuple):
    """The end of a transaction in one partition."""

    commit: bool
    coordinator_epoch: int


def build_marker(
    producer_id: int, producer_epoch: int, coordinator_epoch: int, *, commit: bool, timestamp_ms: int
) -> bytearray:
    """The control batch that ends a producer's transaction, byte for byte what Kafka writes."""
    builder = BatchBuilder(
        producer_id=producer_id, producer_epoch=producer_epoch, transactional=True, control=True
    )
    kind = ControlType.COMMIT if commit else ControlType.ABORT
    builder.append(timestamp_ms, _KEY.pack(VERSION, kind), _VALUE.pack(VERSION, coordinator_epoch))
    return builder.build()


def parse_marker(batch: Buffer, header: BatchHeader) -> Marker | None:
    """What a control batch says; None when it ends no transaction.

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE: it is a marker of ours no longer readable.

    """
    if not header.record_count:
        return None
    record = next(iter(iter_records(batch, header=header)), None)
    if record is None:
        return None
    key, value = record.key, record.value
    if key is None or len(key) < _KEY.size:
        raise InvalidBatchError(
            ErrorCode.CORRUPT_MESSAGE, f"the control record at offset {header.base_offset} has no type"
        )
    version, kind = _KEY.unpack_from(key)
    if version < 0:
        raise InvalidBatchError(
            ErrorCode.CORRUPT_MESSAGE,
            f"the control record at offset {header.base_offset} is of version {version}",
        )
    if kind not in (ControlType.ABORT, ControlType.COMMIT):
        return None
    if value is None or len(value) < _VALUE.size:
        raise InvalidBatchError(
            ErrorCode.CORRUPT_MESSAGE, f"the marker at offset {header.base_offset} has no coordinator epoch"
        )
    _, coordinator_epoch = _VALUE.unpack_from(value)
    return Marker(kind == ControlType.COMMIT, coordinator_epoch)
