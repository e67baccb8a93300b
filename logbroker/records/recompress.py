"""Change the compression of a batch and nothing else: topics whose `compression.type` is not "producer".

The records' bytes move as they are from one codec to the other, so offset deltas, timestamps, keys and headers can't
change; producer id, epoch, sequence, flags and timestamps of the header are carried over. Length, codec and CRC are new.
"""

from __future__ import annotations

from logbroker.base.types import Buffer
from logbroker.records.batch import CODEC_MASK, HEADER_SIZE, BatchHeader, Codec, parse_header
from logbroker.records.builder import write_header
from logbroker.records.compression import DEFAULT_MAX_DECOMPRESSED_BYTES, compress
from logbroker.records.iterator import payload_of


def recompress(
    buffer: Buffer,
    codec: Codec,
    *,
    level: int | None = None,
    header: BatchHeader | None = None,
    payload: Buffer | None = None,
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES,
) -> bytearray:
    """The batch at the start of `buffer`, with its records packed by `codec`.

    Records are not walked here: a leader that recompresses has called `iterator.check_records` first, and
    hands on the payload it got. The new batch may be larger than `max.message.bytes`: look again.

    Args:
        buffer: The batch.
        codec: The codec to end with; `Codec.NONE` unpacks.
        level: Effort, in the codec's own scale.
        header: The batch's header, where the caller has it already.
        payload: Its records, unpacked, where the caller has them already.
        max_decompressed_bytes: Bound on the unpacked payload.

    Raises:
        InvalidBatchError: the batch can't be read or unpacked (see `iterator.payload_of`).
        ValueError: the codec has no such level.

    """
    if header is None:
        header = parse_header(buffer)
    if payload is None:
        payload = payload_of(buffer, header, 0, max_decompressed_bytes)
    batch = bytearray().join((bytes(HEADER_SIZE), compress(codec, payload, level)))
    write_header(
        batch,
        base_offset=header.base_offset,
        leader_epoch=header.partition_leader_epoch,
        attributes=header.attributes & ~CODEC_MASK | codec,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=header.base_timestamp,
        max_timestamp=header.max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=header.record_count,
    )
    return batch
