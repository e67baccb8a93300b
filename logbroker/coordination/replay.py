"""Reading an internal topic's partition back: from its start to its end, down to the last record of every key.

The result is what a fully compacted log would hold, so it does not matter how far the cleaner has come, and memory is
bounded by the live state: values are kept as bytes and decoded by the state machine, once each, at the end.

Records of a transaction count when its marker says commit, and then with the offsets they have: a plain commit that
came between record and marker is newer and wins. Records of transactions that are still open are handed over as such: their
marker comes later.

Crash story: the log was recovered before this runs, so everything up to its end is durable and whole. What can't be
decoded here was damaged or is of a newer release; either way the shard must not serve (`ReplayError` says where).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from logbroker.base.errors import InvalidBatchError, LogbrokerError
from logbroker.base.types import Buffer
from logbroker.coordination.log import CoordinatorLog
from logbroker.coordination.machine import LoadedRecord, StateMachine, TransactionalMachine
from logbroker.records.batch import BatchHeader, check_crc, iter_batches
from logbroker.records.iterator import iter_records

READ_BYTES: Final = 1_048_576
"""How much is read and decoded between two turns of the event loop: about ten milliseconds of work."""

HANDED_AT_ONCE: Final = 2000
"""How many records a state machine takes over between two turns of the event loop: some milliseconds of work."""

_MARKER_KEY = struct.Struct(">hh")
_ABORT = 0
_COMMIT = 1


class ReplayError(LogbrokerError):
    """An internal topic holds something that can't be understood; says which topic, partition and offset."""


class OpenRecord(NamedTuple):
    """A record of a transaction that has no marker; `is_superseded`: a later one of its key counts already."""

    producer_id: int
    producer_epoch: int
    record: LoadedRecord
    is_superseded: bool


_Latest = dict[bytes, tuple[int, bytes | None]]


class Replayed:
    """What was found.

    Attributes:
        open: The last record of every key of transactions without a marker, in offset order.
        records_read: Records read, tombstones and overwritten ones included.
        bytes_read: Their batches' size.

    """

    def __init__(
        self, name: str, latest: _Latest, open_records: list[OpenRecord], records_read: int, bytes_read: int
    ) -> None:
        self.open = open_records
        self.records_read = records_read
        self.bytes_read = bytes_read
        self.live = 0
        self._name = name
        self._latest = latest

    def __iter__(self) -> Iterator[LoadedRecord]:
        """The last record of every key that has one, in offset order."""
        for key, (offset, value) in self._latest.items():
            if value is not None:
                yield LoadedRecord(offset, key, value)

    def _let_go(self) -> Iterator[LoadedRecord]:
        """The same, each forgotten when it is handed out: the state machine's memory takes the place of this one."""
        latest = list(self._latest.items())
        self._latest.clear()
        latest.reverse()
        while latest:
            key, (offset, value) = latest.pop()
            if value is not None:
                yield LoadedRecord(offset, key, value)

    def hand_over(self, machine: StateMachine) -> Iterator[None]:
        """Let `machine` take over everything, once; comes up for air after every `HANDED_AT_ONCE` records.

        Raises:
            ReplayError: A record is damaged.

        """
        replay_one = machine.replay
        offset = -1
        try:
            for live, record in enumerate(self._let_go(), 1):
                offset = record.offset
                replay_one(record)
                self.live = live
                if live % HANDED_AT_ONCE == 0:
                    yield
            for producer_id, producer_epoch, record, is_superseded in self.open:
                offset = record.offset
                if isinstance(machine, TransactionalMachine):
                    machine.replay_open(producer_id, producer_epoch, record, is_superseded=is_superseded)
        except ValueError as error:
            raise ReplayError(
                f"{self._name} has a record at offset {offset} that can't be read: {error}; "
                "`logbroker log dump` shows it"
            ) from error


class _OpenTransaction:
    """A producer's records that wait for a marker."""

    __slots__ = ("latest", "producer_epoch")

    def __init__(self) -> None:
        self.latest: _Latest = {}
        self.producer_epoch = -1


class _Replay:
    """State of one replay; `take` is fed with batches in order."""

    def __init__(self, topic: str, index: int) -> None:
        self._name = f"{topic}-{index}"
        self._latest: _Latest = {}
        self._open: dict[int, _OpenTransaction] = {}
        self._out_of_order = False
        self.records_read = 0
        self.next_offset = -1

    def take(self, buffer: Buffer) -> None:
        """Take over the whole batches of `buffer`."""
        try:
            for position, header in iter_batches(buffer):
                if header.last_offset < self.next_offset:
                    continue
                check_crc(buffer, header, position)
                self.records_read += header.record_count
                if header.is_control:
                    self._marker(buffer, position, header)
                elif header.is_transactional:
                    pending = self._open.get(header.producer_id)
                    if pending is None:
                        pending = self._open[header.producer_id] = _OpenTransaction()
                    pending.producer_epoch = header.producer_epoch
                    _collect(pending.latest, buffer, position, header, keep_tombstones=True)
                else:
                    _collect(self._latest, buffer, position, header, keep_tombstones=bool(self._open))
                self.next_offset = header.next_offset
        except InvalidBatchError as error:
            raise ReplayError(f"{self._name} can't be read at offset {self.next_offset}: {error}") from error

    def result(self, bytes_read: int) -> Replayed:
        """The live records."""
        if self._out_of_order:
            self._latest = dict(sorted(self._latest.items(), key=lambda item: item[1][0]))
        return Replayed(self._name, self._latest, self.open_records(), self.records_read, bytes_read)

    def open_records(self) -> list[OpenRecord]:
        """Records without a marker, in offset order; a tombstone behind one has taken it away."""
        found = []
        for producer_id, transaction in self._open.items():
            for key, (offset, value) in transaction.latest.items():
                later_offset, later = self._latest.get(key, (-1, b""))
                is_superseded = later_offset > offset
                if value is not None and not (is_superseded and later is None):
                    record = LoadedRecord(offset, key, value)
                    found.append(OpenRecord(producer_id, transaction.producer_epoch, record, is_superseded))
        found.sort(key=lambda entry: entry.record.offset)
        return found

    def _marker(self, buffer: Buffer, position: int, header: BatchHeader) -> None:
        for record in iter_records(buffer, position, header=header):
            pending = self._open.pop(header.producer_id, None)
            if record.key is None or len(record.key) < _MARKER_KEY.size:
                raise ReplayError(
                    f"{self._name} has a control record without a type at offset {record.offset}"
                )
            kind: int = _MARKER_KEY.unpack_from(record.key)[1]
            if kind not in (_ABORT, _COMMIT):
                raise ReplayError(
                    f"{self._name} has a control record of unknown type {kind} at offset {record.offset}"
                )
            if kind == _COMMIT and pending is not None:
                for key, entry in pending.latest.items():
                    known = self._latest.get(key)
                    if known is None or known[0] < entry[0]:
                        self._latest[key] = entry
                        self._out_of_order = True


def _collect(
    latest: _Latest, buffer: Buffer, position: int, header: BatchHeader, *, keep_tombstones: bool
) -> None:
    """Note the batch's records; tombstones are needed only while an older record of the key may still turn up."""
    for offset, _, key, value, _ in iter_records(buffer, position, header=header):
        if key is None:
            # A record without a key can't belong to any state; Kafka's own coordinators pass over it too.
            continue
        name = bytes(key)
        # A key moves to the end with each of its records: the table is in offset order.
        latest.pop(name, None)
        if value is not None:
            latest[name] = (offset, bytes(value))
        elif keep_tombstones:
            latest[name] = (offset, None)


async def replay(log: CoordinatorLog, topic: str, index: int) -> Replayed:
    """Read `log` from its start to where it ends now.

    Raises:
        BrokerError: The log can't be read (its directory is offline, say); may pass.
        ReplayError: It holds what can't be understood; won't pass by itself.

    """
    end = log.log_end_offset
    offset = log.log_start_offset
    state = _Replay(topic, index)
    bytes_read = 0
    while offset < end:
        buffers = await log.read_async(offset, READ_BYTES)
        for buffer in buffers:
            bytes_read += len(buffer)
            state.take(buffer)
        if state.next_offset <= offset:
            raise ReplayError(
                f"{topic}-{index} ends at offset {end}, but nothing can be read at offset {offset}"
            )
        offset = state.next_offset
        await asyncio.sleep(0)
    return state.result(bytes_read)
