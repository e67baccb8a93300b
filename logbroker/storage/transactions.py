"""What a log makes of transactions: markers in, last stable offset and aborted transactions out.

    transactional batch   the producer's entry says since which offset its transaction is open (`producer_state.py`)
    marker                a control batch of the coordinator ends it; an abort leaves an entry in the segment's `.txnindex`
    last stable offset    min(durable end, first unstable offset): what readers of committed records may see

A marker is a batch like any other: it takes an offset, is journaled, and counts when it is durable. Until then its transaction
is unstable, so after a kill at any instant a transaction is either open again, as it was for every reader, or ended for good.

Loop thread only, but for `note_marker`, which recovery calls on its lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.records.batch import BatchHeader, parse_header
from logbroker.records.control import build_marker, parse_marker
from logbroker.storage.append import JournalItem
from logbroker.storage.producer_entry import NO_OFFSET
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.transaction_index import AbortedTransaction

if TYPE_CHECKING:
    from logbroker.storage.log import Log
    from logbroker.storage.segment import Reader


def append_marker(
    log: Log,
    producer_id: int,
    producer_epoch: int,
    coordinator_epoch: int,
    leader_epoch: int,
    *,
    commit: bool,
    transaction_version: int = 0,
    on_done: Callable[[JournalItem], None] | None = None,
    waiter: Any = None,
) -> JournalItem:
    """End a producer's transaction in this partition; also where none is open, which fences its older epochs.

    Raises:
        BrokerError: Nothing was appended: KAFKA_STORAGE_ERROR and what else `Log.append` raises; INVALID_PRODUCER_EPOCH,
            TRANSACTION_COORDINATOR_FENCED; as in Kafka UNKNOWN_SERVER_ERROR for a producer that can't be.

    """
    if log.refusal is not None:
        raise log.refusal
    if producer_id < 0 or producer_epoch < 0:
        raise BrokerError(
            ErrorCode.UNKNOWN_SERVER_ERROR, f"a marker of producer id {producer_id}, epoch {producer_epoch}"
        )
    log.producers.check_marker(producer_id, producer_epoch, coordinator_epoch, transaction_version)
    # Forgets those whose markers have become durable: a partition may have no reader, who would.
    log.producers.transactions.first_unstable_offset(log.durable_end)
    batch = build_marker(
        producer_id,
        producer_epoch,
        coordinator_epoch,
        commit=commit,
        timestamp_ms=log.host.clock.wall_ms(),
    )
    return log.append(batch, parse_header(batch), leader_epoch, on_done, waiter)


def note_marker(
    producers: ProducerStates, header: BatchHeader, batch: Buffer, offset: int, now_ms: int | None = None
) -> AbortedTransaction | None:
    """Account for a control batch that lies at `offset`; what it aborted, for the index of its segment.

    Raises:
        InvalidBatchError: it can't be read.

    """
    marker = parse_marker(batch, header)
    if marker is None:
        return None
    first_offset = producers.record_marker(
        header.producer_id, header.producer_epoch, marker.coordinator_epoch, offset, now_ms
    )
    if marker.commit or first_offset < 0:
        return None
    stable = producers.transactions.first_open_offset
    return AbortedTransaction(
        header.producer_id, first_offset, offset, offset + 1 if stable == NO_OFFSET else stable
    )


def last_stable_offset(log: Log) -> int:
    """Records below it are of transactions that have ended for good, or of none."""
    unstable = log.producers.transactions.first_unstable_offset(log.durable_end)
    if unstable == NO_OFFSET:
        return log.durable_end
    if log.truncating:  # the producers' state is of before the cut
        return log.start_offset
    return min(max(unstable, log.start_offset), log.durable_end)


def aborted_transactions(log: Log, first_offset: int, end_offset: int) -> list[AbortedTransaction]:
    """Aborted transactions that have batches in this range of offsets, in the order of their markers.

    The range must end at or below the last stable offset.
    """
    found: list[AbortedTransaction] = []
    for segment in log.segments_from(first_offset):
        if segment.aborted is None:
            continue
        for aborted in segment.aborted.ending_from(first_offset):
            if aborted.first_offset < end_offset:
                found.append(aborted)
            if aborted.last_stable_offset >= end_offset:
                return found
    return found


def aborted_in_read(log: Log, offset: int, size_bytes: int, reader: Reader) -> list[AbortedTransaction]:
    """As `aborted_transactions`, for a read from `offset` that gave `size_bytes`: to the next entry of the offset index.

    Raises:
        WouldBlockError, OSError, CorruptionError: as `Log.read`.

    """
    segments = log.segments_from(offset)
    if all(segment.aborted is None for segment in segments):
        return []
    end_offset = log.end_offset
    for at, segment in enumerate(segments):
        located = segment.locate(offset, reader)
        if located is not None:
            bound = segment.offset_behind(located[0] + size_bytes, reader)
            if bound is not None:
                end_offset = bound
            elif at + 1 < len(segments):
                end_offset = segments[at + 1].base_offset
            break
    return aborted_transactions(log, offset, end_offset)
