"""What compaction leaves of one batch: Kafka's rules, as functions of bytes.

- A record stays if no later one of the range that the map covers has its key, or if it lies behind that range. A record
  without a key goes.
- A tombstone stays until the batch's *delete horizon* (KIP-534): the pass that first leaves it, with nothing older of its key, writes
  now + `delete.retention.ms` into the batch's base timestamp and sets attribute bit 6; later passes take it once that time has come.
- A batch that loses all its records stays as a header if it is a live producer's last, so that its sequence isn't forgotten, or
  the last of the pass, so that the log's end isn't. (Where the page cache is durable enough, a power cut may take that last batch:
  the one before it is gone then too, and the checkpoint alone remembers its sequence.)
- A batch whose records all stay, and that needs no new horizon, is left as it is, byte for byte. Any other is written anew with the same
  codec, offsets, producer and sequence, and the base timestamp that Kafka gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from logbroker.base.types import Buffer
from logbroker.records.batch import (
    CODEC_MASK,
    DELETE_HORIZON_MASK,
    HEADER_SIZE,
    NO_TIMESTAMP,
    BatchHeader,
    Codec,
    check_crc,
)
from logbroker.records.builder import encode_varint, write_header
from logbroker.records.compression import compress
from logbroker.records.iterator import TIMESTAMP_LIMIT_MS, payload_of
from logbroker.records.key_walk import RecordSpan, walk_keys
from logbroker.storage.compaction_transactions import CleanedTransactions, marker_type
from logbroker.storage.offset_map import OffsetMap

UNPACKED_BYTES_MAX = 1 << 30
"""What one batch may unpack to here; a partition with a larger one can't be compacted."""

LastOfProducer = tuple[int, int]
"""(offset of the last data batch's last record or -1, epoch)"""


class Rules(NamedTuple):
    """What a pass decides by."""

    offsets: OffsetMap
    latest_offset: int
    """The map covers the log up to here, inclusive."""
    end_offset: int
    """Where the pass ends: the batch that ends there stays, if only as a header."""
    now_ms: int
    delete_retention_ms: int
    producers: Mapping[int, LastOfProducer]
    """Live producers, by id."""
    transactions: CleanedTransactions


class Kept(NamedTuple):
    """What is left of a batch."""

    batch: Buffer | None
    """None: nothing."""
    original: bool
    header: BatchHeader
    """Of what is left."""
    records: int


def spans_of(buffer: Buffer, header: BatchHeader, position: int = 0) -> tuple[bytes, list[RecordSpan]]:
    """The unpacked payload of the batch at `position`, and its records. Raises InvalidBatchError."""
    check_crc(buffer, header, position)
    payload = bytes(payload_of(buffer, header, position, UNPACKED_BYTES_MAX))
    return payload, walk_keys(payload, header.record_count)


def index_batch(
    buffer: Buffer,
    header: BatchHeader,
    position: int,
    offsets: OffsetMap,
    first_offset: int,
    transactions: CleanedTransactions,
) -> bool:
    """Note the keys of a batch in the map; False if it is full. Raises InvalidBatchError."""
    if header.is_control:
        _, spans = spans_of(buffer, header, position)
        transactions.marker_is_idle(header, marker_type(spans[0].key) if spans else None)
        return True
    if transactions.data_is_void(header) or header.last_offset < first_offset:
        return True
    base_offset = header.base_offset
    put = offsets.put
    for span in spans_of(buffer, header, position)[1]:
        key = span[6]
        if key is not None:
            offset = base_offset + span[5]
            if offset >= first_offset and not put(key, offset):
                return False
    return True


def filter_batch(buffer: Buffer, header: BatchHeader, position: int, rules: Rules) -> Kept:
    """What the rules leave of the batch at `position` of `buffer`. Raises InvalidBatchError."""
    payload, spans = spans_of(buffer, header, position)
    horizon = header.base_timestamp if header.has_delete_horizon else None
    past_horizon = horizon is not None and horizon <= rules.now_ms
    marker_of_nothing = False
    tombstones = False
    if header.is_control:
        marker_of_nothing = rules.transactions.marker_is_idle(
            header, marker_type(spans[0].key) if spans else None
        )
        retained = [] if marker_of_nothing and past_horizon else spans
        tombstones = any(not span.has_value for span in retained)
    elif rules.transactions.data_is_void(header):
        retained = []
    else:
        retained, tombstones = _live(header, spans, rules, past_horizon=past_horizon)
    if retained:
        due = (tombstones or marker_of_nothing) and horizon is None
        if len(retained) == len(spans) and not due:
            size = header.size_bytes
            return Kept(memoryview(buffer)[position : position + size], True, header, len(retained))
        if due:
            horizon = min(rules.now_ms + rules.delete_retention_ms, TIMESTAMP_LIMIT_MS - 1)
        batch, rebuilt = _rebuild(header, payload, retained, horizon)
        return Kept(batch, False, rebuilt, len(retained))
    if _is_last_of_producer(header, rules.producers) or header.next_offset == rules.end_offset:
        batch, rebuilt = _empty(header)
        return Kept(batch, False, rebuilt, 0)
    return Kept(None, False, header, 0)


def _live(
    header: BatchHeader, spans: list[RecordSpan], rules: Rules, *, past_horizon: bool
) -> tuple[list[RecordSpan], bool]:
    """The records that stay, and whether one is a tombstone."""
    retained = []
    tombstones = False
    base_offset = header.base_offset
    latest = rules.latest_offset
    get = rules.offsets.get
    for span in spans:
        offset = base_offset + span[5]
        if offset <= latest:
            key = span[6]
            if key is None or offset < get(key) or (past_horizon and not span[7]):
                continue
        retained.append(span)
        tombstones = tombstones or not span[7]
    return retained, tombstones


def _is_last_of_producer(header: BatchHeader, producers: Mapping[int, LastOfProducer]) -> bool:
    last = producers.get(header.producer_id) if header.producer_id >= 0 else None
    if last is None:
        return False
    if last[0] >= 0:
        return header.last_offset == last[0]
    return header.is_control and header.producer_epoch == last[1]


def _rebuild(
    header: BatchHeader, payload: bytes, retained: list[RecordSpan], horizon: int | None
) -> tuple[bytearray, BatchHeader]:
    old_base = header.base_timestamp
    append_time = header.max_timestamp if header.is_log_append_time else None
    if append_time is None:
        max_timestamp = old_base + max(span.timestamp_delta for span in retained)
        base = horizon if horizon is not None else old_base + retained[0].timestamp_delta
    else:
        max_timestamp = append_time
        base = horizon if horizon is not None else append_time
    parts: list[Buffer] = []
    if base == old_base and append_time is None:
        parts = [payload[span.start : span.end] for span in retained]
    else:
        fixed = None if append_time is None else encode_varint(append_time - base)
        shift = old_base - base
        for span in retained:
            time = fixed or encode_varint(span.timestamp_delta + shift)
            size = span.end - span.time_end
            parts += (
                encode_varint(size + len(time) + 1),
                payload[span.time_at - 1 : span.time_at],
                time,
                payload[span.time_end : span.end],
            )
    content: Buffer = b"".join(parts)
    codec = Codec(header.attributes & CODEC_MASK)
    if codec is not Codec.NONE:
        content = compress(codec, content)
    batch = bytearray(HEADER_SIZE) + content
    attributes = header.attributes & ~DELETE_HORIZON_MASK
    if horizon is not None:
        attributes |= DELETE_HORIZON_MASK
    return _finish(batch, header, attributes, base, max_timestamp, len(retained))


def _empty(header: BatchHeader) -> tuple[bytearray, BatchHeader]:
    """The batch as a header without records."""
    attributes = header.attributes & ~(CODEC_MASK | DELETE_HORIZON_MASK)
    return _finish(bytearray(HEADER_SIZE), header, attributes, NO_TIMESTAMP, header.max_timestamp, 0)


def _finish(
    batch: bytearray, header: BatchHeader, attributes: int, base: int, max_timestamp: int, count: int
) -> tuple[bytearray, BatchHeader]:
    write_header(
        batch,
        base_offset=header.base_offset,
        leader_epoch=header.partition_leader_epoch,
        attributes=attributes,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=base,
        max_timestamp=max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=count,
    )
    return batch, header._replace(
        length=len(batch) - 12,
        attributes=attributes,
        base_timestamp=base,
        max_timestamp=max_timestamp,
        record_count=count,
    )
